"""What a deployment decides: its settings, the registered clients, the dialect of its provider."""
