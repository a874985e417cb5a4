"""The longest time that a worker which died holds a session up."""

from __future__ import annotations

from oauth_broker.sessions.leases import LEASE_MARGIN_SECONDS
from tests.support.lambda_context import FUNCTION_SECONDS

LEASE_SECONDS = FUNCTION_SECONDS + LEASE_MARGIN_SECONDS
