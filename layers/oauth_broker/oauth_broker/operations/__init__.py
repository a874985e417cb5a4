"""The operations of the broker: one module for each function, and their common parts."""
