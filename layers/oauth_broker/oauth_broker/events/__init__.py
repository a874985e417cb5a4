"""News of sessions, for programs of the deployment."""
