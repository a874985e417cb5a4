"""``GET /oauth2/callback``: the redirect URI registered with Aries."""

from __future__ import annotations

import os
from collections.abc import Mapping

from oauth_broker.aries.client import Provider
from oauth_broker.aries.client_secret import ClientSecret
from oauth_broker.aries.transport import RequestsTransport
from oauth_broker.clock import Clock, SystemClock
from oauth_broker.config.settings import Settings
from oauth_broker.operations.callback import Callback
from oauth_broker.operations.endpoint import Endpoint
from oauth_broker.runtime import aws, snap_start
from oauth_broker.runtime.invocation import Telemetry
from oauth_broker.runtime.telemetry import PowertoolsTelemetry
from oauth_broker.sessions.secret_store import SecretsManagerStore
from oauth_broker.sessions.table import SignIns


def make_handler(environment: Mapping[str, str], clock: Clock, telemetry: Telemetry) -> Endpoint:
    """Put the function together. Raises ConfigurationError naming the variable that is missing or malformed."""
    settings = Settings.from_environment(environment)
    secrets = aws.secretsmanager()
    callback = Callback(
        settings,
        SignIns(aws.dynamodb(), settings.table_name),
        SecretsManagerStore(secrets, settings.secret_prefix, settings.key_id),
        Provider(settings, RequestsTransport(), ClientSecret(secrets, settings.aries_client_secret_arn, clock), clock),
        clock,
        os.urandom,
    )
    return Endpoint(settings, telemetry, callback, method="GET", cors=False)


snap_start.reseed_when_restored()
lambda_handler = make_handler(os.environ, SystemClock(), PowertoolsTelemetry(os.environ))
