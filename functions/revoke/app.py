"""``POST /oauth2/revoke``: sign out (RFC 7009)."""

from __future__ import annotations

import os
from collections.abc import Mapping

from oauth_broker.clock import Clock, SystemClock
from oauth_broker.oauth.requests import parse_revocation_request
from oauth_broker.operations.endpoint import Endpoint
from oauth_broker.operations.parts import Parts
from oauth_broker.runtime import snap_start
from oauth_broker.runtime.invocation import Invocation, Telemetry
from oauth_broker.runtime.start import started
from oauth_broker.runtime.telemetry import PowertoolsTelemetry
from oauth_broker.web.http import HttpRequest, HttpResponse, json_response


def make_handler(environment: Mapping[str, str], clock: Clock, telemetry: Telemetry) -> Endpoint:
    """Put the function together. Raises ConfigurationError, naming the missing or malformed variable."""
    parts = Parts.from_environment(environment, clock)
    revoke = parts.revoke

    def sign_out(request: HttpRequest, invocation: Invocation) -> HttpResponse:
        revoke(parse_revocation_request(request, parts.settings.registry), invocation)
        # `{}`, because several clients cannot read an empty body.
        return json_response({})

    return Endpoint(parts.settings, telemetry, sign_out, method="POST", cors=True, bus=parts.bus)


snap_start.reseed_when_restored()
lambda_handler = started(make_handler(os.environ, SystemClock(), PowertoolsTelemetry(os.environ)))
