"""``GET /oauth2/authorize``: the app's authorization request."""

from __future__ import annotations

import os
from collections.abc import Mapping

from oauth_broker.clock import Clock, SystemClock
from oauth_broker.config.settings import Settings
from oauth_broker.operations.authorize import Authorize
from oauth_broker.operations.endpoint import Endpoint
from oauth_broker.runtime import aws, snap_start
from oauth_broker.runtime.invocation import Telemetry
from oauth_broker.runtime.telemetry import PowertoolsTelemetry
from oauth_broker.sessions.table import SignIns


def make_handler(environment: Mapping[str, str], clock: Clock, telemetry: Telemetry) -> Endpoint:
    """Put the function together. Raises ConfigurationError naming the variable that is missing or malformed."""
    settings = Settings.from_environment(environment)
    authorize = Authorize(settings, SignIns(aws.dynamodb(), settings.table_name), clock, os.urandom)
    return Endpoint(settings, telemetry, authorize, method="GET", cors=False)


snap_start.reseed_when_restored()
lambda_handler = make_handler(os.environ, SystemClock(), PowertoolsTelemetry(os.environ))
