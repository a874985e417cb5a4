"""The actions of a person on call. IAM allows the invocation (``sam remote invoke``); the API has no route to it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from oauth_broker.clock import Clock, SystemClock
from oauth_broker.operator.actions import make_actions
from oauth_broker.operator.endpoint import OperatorEndpoint
from oauth_broker.runtime.invocation import Telemetry
from oauth_broker.runtime.start import started
from oauth_broker.runtime.telemetry import PowertoolsTelemetry


def make_handler(environment: Mapping[str, str], clock: Clock, telemetry: Telemetry) -> OperatorEndpoint:
    """Put the function together. It starts even with a wrong setting, and can then name that setting."""
    return OperatorEndpoint(telemetry, make_actions(environment, clock))


lambda_handler = started(make_handler(os.environ, SystemClock(), PowertoolsTelemetry(os.environ)))
