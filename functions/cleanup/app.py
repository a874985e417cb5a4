"""The table's stream: delete the secret of every removed row that may have one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from oauth_broker.clock import Clock, SystemClock
from oauth_broker.operations.cleanup import BatchResponse
from oauth_broker.operations.parts import Parts
from oauth_broker.runtime.invocation import Invocation, LambdaContext, Telemetry
from oauth_broker.runtime.start import started
from oauth_broker.runtime.telemetry import PowertoolsTelemetry

Handler = Callable[[Mapping[str, Any], LambdaContext], BatchResponse]


def make_handler(environment: Mapping[str, str], clock: Clock, telemetry: Telemetry) -> Handler:
    """Put the function together. Raises ConfigurationError, naming the missing or malformed variable."""
    cleanup = Parts.from_environment(environment, clock).cleanup

    def handle(event: Mapping[str, Any], context: LambdaContext) -> BatchResponse:
        return cleanup(event, Invocation(context, telemetry))

    return handle


lambda_handler = started(make_handler(os.environ, SystemClock(), PowertoolsTelemetry(os.environ)))
