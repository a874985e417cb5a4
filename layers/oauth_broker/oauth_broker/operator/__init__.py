"""What a person on call does."""
