"""Shared by the tests of unmodified OAuth clients: a broker with a movable clock, and the app under test."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

from oauth_broker.clock import SystemClock
from tests.local.apps import SCOPES
from tests.local.aries import Fault
from tests.local.stack import LocalStack

CLIENT = "trader-desktop"
REDIRECT_URI = "https://app.example.com/desktop"
# The port of a loopback redirect URI may vary, and its path may be empty.
LOOPBACK = "http://localhost"
APPS = {CLIENT: {"redirect_uris": [REDIRECT_URI, LOOPBACK], "scopes": list(SCOPES)}}
# This order differs from the order of the broker's answer.
SCOPE = " ".join(sorted(SCOPES, reverse=True))
# Values of `state` that change if any hop decodes once too often or too seldom.
ODD_STATES = ["a+b/c==", "%2B%26", "50% & \u00fc", "error=access_denied"]
ACCOUNT = "/v1/users/me"

GRACE_SECONDS = 60
# Longer than the lease of a refresh with an unknown outcome at Aries.
LEASE_OVER_SECONDS = 120

# Aries' Retry-After, longer than the broker waits on an app's behalf.
PAUSE_SECONDS = 20

# Failures of Aries that leave the session alive, and the seconds until a repeated refresh can succeed.
ARIES_FAILS = [
    (Fault("too_many_requests", seconds=PAUSE_SECONDS), PAUSE_SECONDS),
    (Fault("server_error"), LEASE_OVER_SECONDS),
    (Fault("html"), LEASE_OVER_SECONDS),
]


class Broker(LocalStack):
    """The local stack with the grace of a deployment: tests move its clock instead of waiting."""

    def __init__(
        self, apps: Mapping[str, Mapping[str, Any]] = APPS, token_store: Literal["secrets", "row"] = "secrets"
    ) -> None:
        """Register the apps."""
        super().__init__(
            refresh_grace=GRACE_SECONDS, apps=apps, token_store=token_store, aries_options={"now": self._now}
        )
        self._ahead = 0.0
        self._clock = mock.patch.object(SystemClock, "now", side_effect=self._now)

    def __enter__(self) -> Self:
        """Start with the clock in place before any function reads it."""
        self._clock.start()
        try:
            return super().__enter__()
        except BaseException:
            self._clock.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and restore the machine's clock."""
        try:
            super().__exit__(kind, error, trace)
        finally:
            self._clock.stop()

    def _now(self) -> float:
        return time.time() + self._ahead

    def wait(self, seconds: float) -> None:
        """Move the clock of the broker and of Aries ahead. The client's clock stays as it is."""
        self._ahead += seconds

    def wait_out_the_grace(self) -> None:
        """Move the clock past the grace: the next refresh is a new one, not a replay."""
        self.wait(GRACE_SECONDS + 1)

    @contextmanager
    def refreshes_at_aries(self, expected: int) -> Iterator[None]:
        """Check the number of refreshes at Aries within the block."""
        before = self.aries_simulator.refresh_calls
        yield
        assert self.aries_simulator.refresh_calls - before == expected

    @contextmanager
    def aries_failing(self, fault: Fault, times: int = 1) -> Iterator[None]:
        """Fail the next ``times`` refreshes within the block, and check that they took place."""
        faults = self.aries_simulator.faults
        for _ in range(times):
            faults.append(fault)
        try:
            with self.refreshes_at_aries(times):
                yield
            assert len(faults) == 0
        finally:
            # If a test ends early, then its faults must not reach the next test.
            faults.clear()


def parameters_of(redirect: str) -> dict[str, str]:
    """Return the parameters of a redirect to the app."""
    return dict(parse_qsl(urlsplit(redirect).query, strict_parsing=True))


def same_tokens(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two answers are the same, apart from the seconds left of the access token."""
    return all(one[name] == other[name] for name in ("access_token", "refresh_token", "token_type", "scope"))
