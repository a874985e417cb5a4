"""What each function does."""
