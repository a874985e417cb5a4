"""The operations of the broker: a module for each function, and their common parts."""
