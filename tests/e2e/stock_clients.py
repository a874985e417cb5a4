"""What the tests of unmodified OAuth clients share: a broker whose clock they move, and the app that they play."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

from oauth_broker.clock import SystemClock
from tests.local.apps import SCOPES
from tests.local.aries import Fault
from tests.local.stack import LocalStack

CLIENT = "trader-desktop"
REDIRECT_URI = "https://app.example.com/desktop"
# Of a loopback redirect URI the port may vary, and the path may be empty.
LOOPBACK = "http://localhost"
APPS = {CLIENT: {"redirect_uris": [REDIRECT_URI, LOOPBACK], "scopes": list(SCOPES)}}
# Not in the order in which the broker returns it.
SCOPE = " ".join(sorted(SCOPES, reverse=True))
# What a client may choose as `state` and may not get back changed, even by a decoding too many or too few.
ODD_STATES = ["a+b/c==", "%2B%26", "50% & \u00fc", "error=access_denied"]
ACCOUNT = "/v1/users/me"

GRACE_SECONDS = 60
# Longer than the lease that a refresh keeps whose outcome at Aries is unknown.
LEASE_OVER_SECONDS = 120

# For which Aries wants to be left alone: longer than the broker waits for an app.
PAUSE_SECONDS = 20

# How Aries fails without the session being lost, and when a client may expect its repeated refresh to succeed.
ARIES_FAILS = [
    (Fault("too_many_requests", seconds=PAUSE_SECONDS), PAUSE_SECONDS),
    (Fault("server_error"), LEASE_OVER_SECONDS),
    (Fault("html"), LEASE_OVER_SECONDS),
]


class Broker(LocalStack):
    """The local stack with the grace of a deployment, since nobody waits for it: its clock is moved."""

    def __init__(self, apps: Mapping[str, Mapping[str, Any]] = APPS) -> None:
        """Register the apps."""
        super().__init__(refresh_grace=GRACE_SECONDS, apps=apps, aries_options={"now": self._now})
        self._ahead = 0.0
        self._clock = mock.patch.object(SystemClock, "now", side_effect=self._now)

    def __enter__(self) -> Self:
        """Start, with the clock in place before any function looks at it."""
        self._clock.start()
        try:
            return super().__enter__()
        except BaseException:
            self._clock.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and put the machine's clock back."""
        try:
            super().__exit__(kind, error, trace)
        finally:
            self._clock.stop()

    def _now(self) -> float:
        return time.time() + self._ahead

    def wait(self, seconds: float) -> None:
        """Move the clock of the broker and of Aries ahead; the client's own goes on as it was."""
        self._ahead += seconds

    def wait_out_the_grace(self) -> None:
        """Move the clock to where the next refresh is a new one, not the last one repeated."""
        self.wait(GRACE_SECONDS + 1)

    @contextmanager
    def refreshes_at_aries(self, expected: int) -> Iterator[None]:
        """Check how often Aries is asked to refresh within the block."""
        before = self.aries_simulator.refresh_calls
        yield
        assert self.aries_simulator.refresh_calls - before == expected

    @contextmanager
    def aries_failing(self, fault: Fault, times: int = 1) -> Iterator[None]:
        """Fail the one refresh of the block, or so many, and check that they were made."""
        faults = self.aries_simulator.faults
        for _ in range(times):
            faults.append(fault)
        try:
            with self.refreshes_at_aries(times):
                yield
            assert len(faults) == 0
        finally:
            # A test that ends early leaves no fault to the next one.
            faults.clear()


def parameters_of(redirect: str) -> dict[str, str]:
    """Return the parameters that a redirect to the app carries."""
    return dict(parse_qsl(urlsplit(redirect).query, strict_parsing=True))


def same_tokens(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two answers are one and the same, but for the seconds that the access token still has."""
    return all(one[name] == other[name] for name in ("access_token", "refresh_token", "token_type", "scope"))
