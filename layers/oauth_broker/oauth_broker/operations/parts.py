"""The parts of a refresh put together, for the two functions that offer it."""

from __future__ import annotations

import os

from oauth_broker.aries.client import Provider
from oauth_broker.aries.client_secret import ClientSecret
from oauth_broker.aries.transport import RequestsTransport
from oauth_broker.clock import Clock
from oauth_broker.config.settings import Settings
from oauth_broker.operations.refresh import Refresh
from oauth_broker.runtime import aws
from oauth_broker.sessions.control_item import ControlItem
from oauth_broker.sessions.escrow import Escrow
from oauth_broker.sessions.secret_store import SecretsManagerStore
from oauth_broker.sessions.session_end import SessionEnd
from oauth_broker.sessions.table import SignIns
from oauth_broker.sessions.token_store import TokenStore


def make_refresh(
    settings: Settings,
    sign_ins: SignIns,
    dynamodb: aws.DynamoDbClient,
    secrets: aws.SecretsManagerClient,
    clock: Clock,
) -> Refresh:
    """Return the refresh operation over the given clients, with its own connections to Aries and, if needed, KMS."""
    secret_store = SecretsManagerStore(secrets, settings.secret_prefix, settings.key_id)
    return Refresh(
        settings,
        sign_ins,
        ControlItem(dynamodb, settings.table_name, clock),
        TokenStore(sign_ins, secret_store, Escrow(aws.kms, settings.key_id), clock, os.urandom),
        Provider(settings, RequestsTransport(), ClientSecret(secrets, settings.aries_client_secret_arn, clock), clock),
        SessionEnd(sign_ins, secret_store, clock),
        clock,
        os.urandom,
    )
