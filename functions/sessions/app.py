"""``POST /oauth2/sessions`` and ``POST /oauth2/sessions/revoke``: a person's sessions, and the end of the others."""

from __future__ import annotations

import os
from collections.abc import Mapping

from oauth_broker.clock import Clock, SystemClock
from oauth_broker.operations.endpoint import Endpoint
from oauth_broker.operations.parts import Parts
from oauth_broker.people.session_request import parse_end_request, parse_list_request
from oauth_broker.runtime import snap_start
from oauth_broker.runtime.invocation import Invocation, Telemetry
from oauth_broker.runtime.start import started
from oauth_broker.runtime.telemetry import PowertoolsTelemetry
from oauth_broker.web.http import HttpRequest, HttpResponse, json_response

REVOKE_PATH = "/oauth2/sessions/revoke"


def make_handler(environment: Mapping[str, str], clock: Clock, telemetry: Telemetry) -> Endpoint:
    """Put the function together. Raises ConfigurationError, naming the missing or malformed variable."""
    parts = Parts.from_environment(environment, clock)
    registry = parts.settings.registry
    list_sessions, end_sessions = parts.session_list, parts.other_sessions

    def answer(request: HttpRequest, invocation: Invocation) -> HttpResponse:
        if request.path == REVOKE_PATH:
            return json_response(end_sessions(parse_end_request(request, registry), invocation).to_json())
        return json_response(list_sessions(parse_list_request(request, registry), invocation).to_json())

    return Endpoint(parts.settings, telemetry, answer, method="POST", cors=True, bus=parts.bus)


snap_start.reseed_when_restored()
lambda_handler = started(make_handler(os.environ, SystemClock(), PowertoolsTelemetry(os.environ)))
