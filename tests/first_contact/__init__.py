"""The first contact with a clone of the project, on a machine with a hostile configuration."""
