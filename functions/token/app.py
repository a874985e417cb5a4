"""``POST /oauth2/token``, and ``POST /v1/oauth2/token`` as Aries documents its own: redeem a code, or refresh."""

from __future__ import annotations

import os
from collections.abc import Mapping

from oauth_broker.clock import Clock, SystemClock
from oauth_broker.oauth.requests import (
    AuthorizationCodeGrant,
    RefreshTokenGrant,
    parse_aries_token_request,
    parse_token_request,
)
from oauth_broker.operations.endpoint import Endpoint
from oauth_broker.operations.parts import Parts
from oauth_broker.runtime import snap_start
from oauth_broker.runtime.invocation import Invocation, Telemetry
from oauth_broker.runtime.start import started
from oauth_broker.runtime.telemetry import PowertoolsTelemetry
from oauth_broker.web.http import HttpRequest, HttpResponse

ARIES_PATH = "/v1/oauth2/token"


def make_handler(environment: Mapping[str, str], clock: Clock, telemetry: Telemetry) -> Endpoint:
    """Put the function together. Raises ConfigurationError, naming the missing or malformed variable."""
    parts = Parts.from_environment(environment, clock)
    redeem, refresh = parts.redeem, parts.refresh

    def grant_tokens(request: HttpRequest, invocation: Invocation) -> HttpResponse:
        parse = parse_aries_token_request if request.path == ARIES_PATH else parse_token_request
        match parse(request, parts.settings.registry):
            case AuthorizationCodeGrant() as grant:
                answer = redeem(grant, invocation)
            case RefreshTokenGrant() as grant:
                answer = refresh(grant, invocation)
        return answer.to_response(clock.now())

    return Endpoint(parts.settings, telemetry, grant_tokens, method="POST", cors=True, bus=parts.bus)


snap_start.reseed_when_restored()
lambda_handler = started(make_handler(os.environ, SystemClock(), PowertoolsTelemetry(os.environ)))
