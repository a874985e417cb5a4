"""``POST /oauth2/revoke``: sign out (RFC 7009)."""

from __future__ import annotations

import os
from collections.abc import Mapping

from oauth_broker.clock import Clock, SystemClock
from oauth_broker.config.settings import Settings
from oauth_broker.oauth.requests import parse_revocation_request
from oauth_broker.operations.endpoint import Endpoint
from oauth_broker.operations.revoke import Revoke
from oauth_broker.runtime import aws, snap_start
from oauth_broker.runtime.invocation import Invocation, Telemetry
from oauth_broker.runtime.telemetry import PowertoolsTelemetry
from oauth_broker.sessions.escrow import Escrow
from oauth_broker.sessions.secret_store import SecretsManagerStore
from oauth_broker.sessions.table import SignIns
from oauth_broker.sessions.token_store import TokenStore
from oauth_broker.web.http import HttpRequest, HttpResponse, json_response


def make_handler(environment: Mapping[str, str], clock: Clock, telemetry: Telemetry) -> Endpoint:
    """Put the function together. Raises ConfigurationError naming the variable that is missing or malformed."""
    settings = Settings.from_environment(environment)
    secret_store = SecretsManagerStore(aws.secretsmanager(), settings.secret_prefix, settings.key_id)
    sign_ins = SignIns(aws.dynamodb(), settings.table_name)
    store = TokenStore(sign_ins, secret_store, Escrow(aws.kms, settings.key_id), clock, os.urandom)
    revoke = Revoke(settings, sign_ins, secret_store, store, clock)

    def sign_out(request: HttpRequest, invocation: Invocation) -> HttpResponse:
        revoke(parse_revocation_request(request, settings.registry), invocation)
        # `{}` and not an empty body, which several clients cannot read.
        return json_response({})

    return Endpoint(settings, telemetry, sign_out, method="POST", cors=True)


snap_start.reseed_when_restored()
lambda_handler = make_handler(os.environ, SystemClock(), PowertoolsTelemetry(os.environ))
