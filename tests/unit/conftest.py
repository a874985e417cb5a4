"""How much the unit tests let hypothesis try."""

from __future__ import annotations

from hypothesis import settings

# Bounded, so that all unit tests together stay a matter of seconds; no database, so that a run leaves no files behind.
settings.register_profile("unit", max_examples=120, deadline=None, database=None)
settings.load_profile("unit")
