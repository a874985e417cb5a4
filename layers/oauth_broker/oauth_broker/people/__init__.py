"""The people whose sessions the broker keeps: who they are, and what one person may do with their own sessions."""
