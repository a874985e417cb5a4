"""The protocol towards apps. It is pure: no clock, no network, no store."""
