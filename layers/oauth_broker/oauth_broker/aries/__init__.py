"""The OAuth client towards Aries."""
