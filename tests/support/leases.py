"""The longest time for which a dead worker holds up a session."""

from __future__ import annotations

from oauth_broker.sessions.row import LEASE_MARGIN_SECONDS
from tests.support.lambda_context import FUNCTION_SECONDS

LEASE_SECONDS = FUNCTION_SECONDS + LEASE_MARGIN_SECONDS
