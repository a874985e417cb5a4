"""What happened to a row, kept in the row itself, so that one look answers why a user was signed out.

An entry is a text, ``seconds event`` or ``seconds event reason``: seconds since 1970, a word for the transition, and
the same reason code as in the log. Nothing in it is secret.
"""

from __future__ import annotations

from dataclasses import dataclass

# Enough for a sign-in and what went wrong last. DynamoDB charges every write by the row's size.
LENGTH = 10


def entry(now: float, event: str, reason: str = "") -> str:
    """Return the entry for what happens at ``now``."""
    return f"{int(now)} {event} {reason}".rstrip()


def extended(timeline: tuple[str, ...], new: str) -> tuple[str, ...]:
    """Return the timeline with one more entry, and no more than the last ``LENGTH``.

    An entry that only repeats the one before takes its place: neither an outage nor a month of refreshes may push out
    what came before.
    """
    kept = timeline[:-1] if timeline and _what(timeline[-1]) == _what(new) else timeline
    return (*kept, new)[-LENGTH:]


def was_refused(timeline: tuple[str, ...]) -> bool:
    """Tell whether the last thing that happened to the session was an answer of Aries that was none."""
    return bool(timeline) and _what(timeline[-1]).startswith("refresh_failed provider:status_")


@dataclass(frozen=True, slots=True)
class Transition:
    """One entry, read: ``at`` is in seconds since 1970, ``reason`` is '' where there is none."""

    at: int
    event: str
    reason: str


def transitions(timeline: tuple[str, ...]) -> list[Transition]:
    """Read a timeline, the oldest entry first."""
    return [Transition(int(at), *_split(what)) for at, _, what in (text.partition(" ") for text in timeline)]


def _what(text: str) -> str:
    return text.partition(" ")[2]


def _split(what: str) -> tuple[str, str]:
    event, _, reason = what.partition(" ")
    return event, reason
