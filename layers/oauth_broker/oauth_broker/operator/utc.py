"""Times for people to read."""

from __future__ import annotations

from datetime import UTC, datetime

_LAST_SECOND = 253_402_300_799


def utc(seconds: float) -> str | None:
    """Return seconds since 1970 as ISO 8601 in UTC, to the second, or None for 0 (never).

    A time after the year 9999 becomes the end of that year, and one before 1970 the beginning of 1970.
    """
    if not seconds:
        return None
    shown = max(0, min(int(seconds), _LAST_SECOND))
    return datetime.fromtimestamp(shown, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
