"""The actions of a person on call."""
