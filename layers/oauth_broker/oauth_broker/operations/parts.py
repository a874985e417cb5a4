"""The parts of a function, each put together once and in this one place. `operator.parts` adds the operator's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Self

from oauth_broker.clock import Clock
from oauth_broker.config.settings import Settings

if TYPE_CHECKING:
    from oauth_broker.aries.client import Provider
    from oauth_broker.aries.client_secret import ClientSecret
    from oauth_broker.aries.transport import RequestsTransport
    from oauth_broker.aries.user import AriesUser
    from oauth_broker.events.bus import EventBus
    from oauth_broker.operations.access import Access
    from oauth_broker.operations.authorize import Authorize
    from oauth_broker.operations.callback import Callback
    from oauth_broker.operations.cleanup import Cleanup
    from oauth_broker.operations.exchange import Exchange
    from oauth_broker.operations.metadata import Metadata
    from oauth_broker.operations.pause import Pause
    from oauth_broker.operations.redeem import Redeem
    from oauth_broker.operations.refresh import Refresh
    from oauth_broker.operations.renewal import Renewal
    from oauth_broker.operations.resolution import Resolution
    from oauth_broker.operations.revoke import Revoke
    from oauth_broker.operations.turn import Turns
    from oauth_broker.people.callers import Callers
    from oauth_broker.people.identification import Identification
    from oauth_broker.people.other_sessions import OtherSessions
    from oauth_broker.people.person_items import PersonItems
    from oauth_broker.people.session_limit import SessionLimit
    from oauth_broker.people.session_list import SessionList
    from oauth_broker.people.session_rows import SessionRows
    from oauth_broker.people.subjects import Subjects
    from oauth_broker.runtime.aws import DynamoDbClient, KmsClient, SecretsManagerClient
    from oauth_broker.sessions.control_item import ControlItem
    from oauth_broker.sessions.leases import Leases
    from oauth_broker.sessions.not_before import NotBefore
    from oauth_broker.sessions.seal import Seal
    from oauth_broker.sessions.secret_store import SecretStore
    from oauth_broker.sessions.session_end import SessionEnd
    from oauth_broker.sessions.sign_out import SignOut
    from oauth_broker.sessions.table import SignIns
    from oauth_broker.sessions.token_store import TokenStore


class Parts:
    """Every part of the API's functions and of cleanup, with its real clients, made at its first use.

    A part imports its module then, because a cold start pays for every import: the authorize function needs neither the
    client of Aries nor Secrets Manager, and the metadata function needs no client at all.
    """

    def __init__(self, settings: Settings, clock: Clock, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self.settings = settings
        self.clock = clock
        self.random_bytes = random_bytes

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], clock: Clock) -> Self:
        """Read the settings. Raises ConfigurationError, which names the variable that is missing or malformed."""
        return cls(Settings.from_environment(environment), clock)

    @cached_property
    def dynamodb(self) -> DynamoDbClient:
        """The DynamoDB client."""
        from oauth_broker.runtime import aws

        return aws.dynamodb()

    @cached_property
    def secretsmanager(self) -> SecretsManagerClient:
        """The Secrets Manager client."""
        from oauth_broker.runtime import aws

        return aws.secretsmanager()

    def kms(self) -> KmsClient:
        """Make a KMS client. If each session has a secret, then hardly any process needs one: see `sessions.seal`."""
        from oauth_broker.runtime import aws

        return aws.kms()

    @cached_property
    def bus(self) -> EventBus | None:
        """The deployment's event bus, or None if it has none. A function without one loads nothing for it."""
        if not self.settings.event_bus:
            return None
        from oauth_broker.events.bus import EventBus
        from oauth_broker.runtime import aws

        return EventBus(aws.events(), self.settings.event_bus)

    @cached_property
    def sign_ins(self) -> SignIns:
        """The sign-in table."""
        from oauth_broker.sessions.table import SignIns

        return SignIns(self.dynamodb, self.settings.table_name)

    @cached_property
    def control_item(self) -> ControlItem:
        """The item that every process reads every few seconds."""
        from oauth_broker.sessions.control_item import ControlItem

        return ControlItem(self.dynamodb, self.settings.table_name, self.clock)

    @cached_property
    def not_before(self) -> NotBefore:
        """The times of mass sign-outs."""
        from oauth_broker.sessions.not_before import NotBefore

        return NotBefore(self.control_item, self.clock)

    @cached_property
    def leases(self) -> Leases:
        """The leases on sessions."""
        from oauth_broker.sessions.leases import Leases

        return Leases(self.sign_ins)

    @cached_property
    def secret_store(self) -> SecretStore:
        """The secrets of sessions, in Secrets Manager."""
        from oauth_broker.sessions.secret_store import SecretsManagerStore

        return SecretsManagerStore(self.secretsmanager, self.settings.secret_prefix, self.settings.key_id)

    @cached_property
    def token_store(self) -> TokenStore:
        """The tokens of sessions, in Secrets Manager or sealed in the row."""
        from oauth_broker.sessions.token_store import TokenStore

        return TokenStore(self.sign_ins, self.secret_store, self.seal, self.clock, self.random_bytes)

    @cached_property
    def seal(self) -> Seal:
        """The seal of tokens in a row."""
        from oauth_broker.sessions.seal import Seal

        return Seal(self.kms, self.settings.key_id)

    @cached_property
    def ready_token_store(self) -> TokenStore:
        """The tokens of sessions, for an operation that needs them every time.

        With the tokens in the row, the client of KMS is made now, because the process has a whole core while it starts.
        """
        if self.settings.tokens_in_row:
            self.seal.client()
        return self.token_store

    @cached_property
    def session_end(self) -> SessionEnd:
        """The end of sessions."""
        from oauth_broker.sessions.session_end import SessionEnd

        return SessionEnd(self.sign_ins, self.secret_store, self.clock)

    @cached_property
    def client_secret(self) -> ClientSecret:
        """The client secret at Aries."""
        from oauth_broker.aries.client_secret import ClientSecret

        return ClientSecret(self.secretsmanager, self.settings.aries_client_secret_arn, self.clock)

    @cached_property
    def transport(self) -> RequestsTransport:
        """The connections to Aries."""
        from oauth_broker.aries.transport import RequestsTransport

        return RequestsTransport()

    @cached_property
    def provider(self) -> Provider:
        """The client of Aries."""
        from oauth_broker.aries.client import Provider

        return Provider(self.settings, self.transport, self.client_secret, self.clock)

    @cached_property
    def pause(self) -> Pause:
        """The pause of all refreshes while Aries refuses."""
        from oauth_broker.operations.pause import Pause

        return Pause(self.control_item, self.clock)

    @cached_property
    def sign_out(self) -> SignOut:
        """The end of a row in any state."""
        from oauth_broker.sessions.sign_out import SignOut

        return SignOut(self.sign_ins, self.secret_store, self.clock)

    @cached_property
    def subjects(self) -> Subjects:
        """The broker's names for people."""
        from oauth_broker.people.subjects import Subjects

        return Subjects(self.secretsmanager, self.settings.subject_key_arn, self.settings.aries_user_url)

    @cached_property
    def person_items(self) -> PersonItems:
        """The items of people in the table."""
        from oauth_broker.people.person_items import PersonItems

        return PersonItems(self.dynamodb, self.settings.table_name, self.clock)

    @cached_property
    def user(self) -> AriesUser:
        """The question to Aries whose access token it is."""
        from oauth_broker.aries.user import AriesUser

        return AriesUser(self.settings.aries_user_url, self.settings.aries_user_id_member, self.transport, self.clock)

    @cached_property
    def identification(self) -> Identification | None:
        """The way to learn whose session it is, or None if the deployment asks nobody."""
        if not self.settings.identifies_people:
            return None
        from oauth_broker.people.identification import Identification

        return Identification(
            self.user,
            self.subjects,
            self.person_items,
            self.sign_ins,
            self.sign_out,
            self.session_limit,
            self.clock,
        )

    @cached_property
    def session_rows(self) -> SessionRows:
        """The rows of a person's sessions."""
        from oauth_broker.people.session_rows import SessionRows

        return SessionRows(self.dynamodb, self.settings.table_name, self.clock, self.random_bytes)

    @cached_property
    def session_limit(self) -> SessionLimit:
        """The most sessions of one person with one app."""
        from oauth_broker.people.session_limit import SessionLimit

        return SessionLimit(
            self.settings.session_limit,
            self.person_items,
            self.session_rows,
            self.not_before,
            self.sign_out,
            self.clock,
        )

    @cached_property
    def callers(self) -> Callers:
        """The parties that ask about a person's sessions."""
        from oauth_broker.people.callers import Callers

        return Callers(
            self.settings,
            self.sign_ins,
            self.not_before,
            self.ready_token_store,
            self.resolution.refusal,
            self.clock,
        )

    @cached_property
    def session_list(self) -> SessionList:
        """The list of a person's sessions."""
        from oauth_broker.people.session_list import SessionList

        return SessionList(
            self.settings.registry, self.callers, self.person_items, self.session_rows, self.not_before, self.clock
        )

    @cached_property
    def other_sessions(self) -> OtherSessions:
        """The end of a person's other sessions."""
        from oauth_broker.people.other_sessions import OtherSessions

        return OtherSessions(
            self.settings.registry,
            self.callers,
            self.person_items,
            self.session_rows,
            self.sign_out,
            self.revoke,
            self.clock,
        )

    @cached_property
    def authorize(self) -> Authorize:
        """The authorization endpoint."""
        from oauth_broker.operations.authorize import Authorize

        return Authorize(self.settings, self.sign_ins, self.clock, self.random_bytes)

    @cached_property
    def exchange(self) -> Exchange:
        """The work on a sign-in under its claim."""
        from oauth_broker.operations.exchange import Exchange

        return Exchange(
            self.settings, self.sign_ins, self.ready_token_store, self.provider, self.clock, self.random_bytes
        )

    @cached_property
    def callback(self) -> Callback:
        """The redirect URI that is registered with Aries."""
        from oauth_broker.operations.callback import Callback

        return Callback(self.settings, self.sign_ins, self.exchange, self.clock, self.random_bytes)

    @cached_property
    def redeem(self) -> Redeem:
        """The ``authorization_code`` grant."""
        from oauth_broker.operations.redeem import Redeem

        return Redeem(
            self.settings,
            self.sign_ins,
            self.not_before,
            self.ready_token_store,
            self.session_end,
            self.clock,
            self.random_bytes,
            self.identification,
        )

    @cached_property
    def renewal(self) -> Renewal:
        """The work of a refresh under its lease."""
        from oauth_broker.operations.renewal import Renewal

        return Renewal(
            self.settings,
            self.leases,
            self.ready_token_store,
            self.provider,
            self.pause,
            self.session_end,
            self.clock,
            self.random_bytes,
        )

    @cached_property
    def turns(self) -> Turns:
        """The turns of requests at a session."""
        from oauth_broker.operations.turn import Turns

        return Turns(self.settings, self.leases, self.pause, self.renewal, self.clock, self.random_bytes)

    @cached_property
    def resolution(self) -> Resolution:
        """The answers to a refresh without a lease."""
        from oauth_broker.operations.resolution import Resolution

        return Resolution(self.settings, self.ready_token_store, self.session_end, self.clock)

    @cached_property
    def refresh(self) -> Refresh:
        """The ``refresh_token`` grant."""
        from oauth_broker.operations.refresh import Refresh

        return Refresh(
            self.settings,
            self.leases,
            self.not_before,
            self.turns,
            self.resolution,
            self.clock,
            self.random_bytes,
            self.identification,
        )

    @cached_property
    def access(self) -> Access:
        """The access tokens for callers that hold no refresh token."""
        from oauth_broker.operations.access import Access

        return Access(
            self.leases,
            self.not_before,
            self.turns,
            self.ready_token_store,
            self.session_end,
            self.clock,
            self.random_bytes,
        )

    @cached_property
    def revoke(self) -> Revoke:
        """The revocation endpoint."""
        from oauth_broker.operations.revoke import Revoke

        return Revoke(self.settings, self.sign_ins, self.secret_store, self.token_store, self.clock)

    @cached_property
    def metadata(self) -> Metadata:
        """The discovery documents."""
        from oauth_broker.operations.metadata import Metadata

        return Metadata(self.settings)

    @cached_property
    def cleanup(self) -> Cleanup:
        """The deletion of secrets whose rows are gone."""
        from oauth_broker.operations.cleanup import Cleanup

        return Cleanup(self.secret_store, self.clock, self.random_bytes)
