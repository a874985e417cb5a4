"""Tokens that compress as badly as any."""

from __future__ import annotations

import random
from string import ascii_letters, digits


def long_token(length: int) -> str:
    """Return a token of so many characters, always the same."""
    return "".join(random.Random(length).choices(ascii_letters + digits + "-._~", k=length))
