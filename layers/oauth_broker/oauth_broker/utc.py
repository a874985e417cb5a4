"""Times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def utc(seconds: float) -> str | None:
    """Return seconds since 1970 as ISO 8601 in UTC, to the second; None for 0, which stands for never."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None
