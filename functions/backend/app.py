"""``POST /backend/{client_id}/token``: an access token for the backend of an app. API Gateway asks IAM first."""

from __future__ import annotations

import os
from collections.abc import Mapping

from oauth_broker.backends.endpoint import BackendEndpoint
from oauth_broker.backends.parts import BackendParts
from oauth_broker.clock import Clock, SystemClock
from oauth_broker.operations.endpoint import Endpoint
from oauth_broker.runtime import snap_start
from oauth_broker.runtime.invocation import Telemetry
from oauth_broker.runtime.start import started
from oauth_broker.runtime.telemetry import PowertoolsTelemetry


def make_handler(environment: Mapping[str, str], clock: Clock, telemetry: Telemetry) -> Endpoint:
    """Put the function together. Raises ConfigurationError, naming the missing or malformed variable."""
    parts = BackendParts.from_environment(environment, clock)
    return BackendEndpoint(parts.settings, telemetry, parts.backend_tokens, method="POST", cors=False, bus=parts.bus)


snap_start.reseed_when_restored()
lambda_handler = started(make_handler(os.environ, SystemClock(), PowertoolsTelemetry(os.environ)))
