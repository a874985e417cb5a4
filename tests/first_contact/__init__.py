"""What somebody meets who clones this on a machine whose configuration is against it."""
