"""``POST /oauth2/revoke``: sign out (RFC 7009)."""

from __future__ import annotations

import os
from collections.abc import Mapping

from oauth_broker import aws, snap_start
from oauth_broker.clock import Clock, SystemClock
from oauth_broker.endpoint import Endpoint
from oauth_broker.escrow import Escrow
from oauth_broker.invocation import Invocation, Telemetry
from oauth_broker.messages import HttpRequest, HttpResponse, json_response
from oauth_broker.requests import parse_revocation_request
from oauth_broker.revoke import Revoke
from oauth_broker.session_store import SessionStore
from oauth_broker.settings import Settings
from oauth_broker.sign_ins import SignIns
from oauth_broker.telemetry import PowertoolsTelemetry
from oauth_broker.vault import SecretsManagerVault


def make_handler(environment: Mapping[str, str], clock: Clock, telemetry: Telemetry) -> Endpoint:
    """Put the function together. Raises ConfigurationError naming the variable that is missing or malformed."""
    settings = Settings.from_environment(environment)
    vault = SecretsManagerVault(aws.secretsmanager(), settings.secret_prefix, settings.key_id)
    sign_ins = SignIns(aws.dynamodb(), settings.table_name)
    store = SessionStore(sign_ins, vault, Escrow(aws.kms, settings.key_id), clock, os.urandom)
    revoke = Revoke(settings, sign_ins, vault, store, clock)

    def sign_out(request: HttpRequest, invocation: Invocation) -> HttpResponse:
        revoke(parse_revocation_request(request, settings.registry), invocation)
        # `{}` and not an empty body, which several clients cannot read.
        return json_response({})

    return Endpoint(settings, telemetry, sign_out, method="POST", cors=True)


snap_start.reseed_when_restored()
lambda_handler = make_handler(os.environ, SystemClock(), PowertoolsTelemetry(os.environ))
