"""A session's secret for the tests of its stores."""

from __future__ import annotations

from dataclasses import replace

from oauth_broker.secret import Secret
from oauth_broker.sessions.session_secret import SessionSecret

SECRET = SessionSecret(
    Secret("canary-key"), "holder", Secret("canary-access"), Secret("canary-refresh"), 1_800_000_000, "a b"
)


def of_size(size: int) -> SessionSecret:
    """A secret whose stored form has ``size`` bytes."""
    return replace(SECRET, access_token=Secret("x" * (size - len(replace(SECRET, access_token=Secret("")).to_json()))))
