"""Access tokens for the backends of apps, while the app is closed."""
