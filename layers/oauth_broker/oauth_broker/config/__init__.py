"""The decisions of a deployment: its settings, its registered apps, the dialect of its provider."""
