"""The parts of the operator function, each put together once. Every other part is in `operations.parts`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Self

from oauth_broker.aries.client import Provider
from oauth_broker.aries.client_secret import ClientSecret
from oauth_broker.clock import Clock
from oauth_broker.config.settings import Settings
from oauth_broker.operations.parts import Parts
from oauth_broker.operator.checks import ConfigurationChecks, Unread
from oauth_broker.operator.count import LiveCount
from oauth_broker.operator.count_progress import Counts
from oauth_broker.operator.dead_letters import DeadLetters
from oauth_broker.operator.mass_sign_out import MassSignOut
from oauth_broker.operator.person import PersonActions
from oauth_broker.operator.reports import SessionReports
from oauth_broker.operator.search import SessionSearch
from oauth_broker.operator.sessions import SessionActions
from oauth_broker.operator.sweep import Sweeper
from oauth_broker.operator.sweep_progress import Sweeps
from oauth_broker.people.subjects import Subjects
from oauth_broker.runtime import aws


class OperatorParts(Parts):
    """Every part of the operator function. ``dead_letter_queue_url`` is '' if there is no queue."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        random_bytes: Callable[[int], bytes] = os.urandom,
        *,
        dead_letter_queue_url: str = "",
    ) -> None:
        super().__init__(settings, clock, random_bytes)
        self._dead_letter_queue_url = dead_letter_queue_url

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], clock: Clock) -> Self:
        """Read the settings. Raises ConfigurationError, which names the variable that is missing or malformed."""
        settings = Settings.from_environment(environment)
        return cls(settings, clock, dead_letter_queue_url=environment.get("DEAD_LETTER_QUEUE_URL", ""))

    @cached_property
    def search(self) -> SessionSearch:
        """The search for sessions by their reference, or by their time."""
        return SessionSearch(self.dynamodb, self.settings.table_name)

    @cached_property
    def session_actions(self) -> SessionActions:
        """The actions on one session."""
        return SessionActions(self.search, self.sign_ins, self.not_before, self.sign_out, self.reports, self.clock)

    @cached_property
    def reports(self) -> SessionReports:
        """The reports of sessions."""
        return SessionReports(self.settings.registry, self.clock)

    @cached_property
    def person_actions(self) -> PersonActions:
        """The actions on all sessions of a person."""
        return PersonActions(
            self.subjects if self.settings.identifies_people else None,
            self.person_items,
            self.session_rows,
            self.not_before,
            self.sign_out,
            self.reports,
            self.settings.registry,
            self.clock,
        )

    @cached_property
    def live_count(self) -> LiveCount:
        """The count of live sessions."""
        counts = Counts(self.dynamodb, self.settings.table_name)
        return LiveCount(self.search, self.not_before, self.reports, counts, self.clock, self.random_bytes)

    @cached_property
    def sweeps(self) -> Sweeps:
        """The progress of sweeps."""
        return Sweeps(self.dynamodb, self.settings.table_name)

    @cached_property
    def sweeper(self) -> Sweeper:
        """The work of a mass sign-out through the rows."""
        return Sweeper(self.search, self.sign_out, self.sweeps, self.clock, self.random_bytes)

    @cached_property
    def mass_sign_out(self) -> MassSignOut:
        """The mass sign-out."""
        return MassSignOut(self.settings.registry, self.not_before, self.sweeps, self.sweeper, self.clock)

    @cached_property
    def dead_letters(self) -> DeadLetters | None:
        """The queue of dead letters, or None if there is none."""
        if not self._dead_letter_queue_url:
            return None
        return DeadLetters(aws.sqs(), self._dead_letter_queue_url, aws.dynamodbstreams(), self.cleanup)

    def uncached_client_secret(self) -> ClientSecret:
        """Make a reader of the client secret with an empty cache, because a check must see the stored one."""
        return ClientSecret(self.secretsmanager, self.settings.aries_client_secret_arn, self.clock)

    def uncached_provider(self) -> Provider:
        """Make a client of Aries that reads the client secret anew."""
        return Provider(self.settings, self.transport, self.uncached_client_secret(), self.clock)

    def uncached_subjects(self) -> Subjects:
        """Make a maker of subjects that reads its key anew."""
        return Subjects(self.secretsmanager, self.settings.subject_key_arn, self.settings.aries_user_url)

    @cached_property
    def checks(self) -> ConfigurationChecks:
        """The configuration check."""
        return ConfigurationChecks(
            self.settings,
            self.not_before,
            self.search,
            Unread(self.uncached_client_secret, self.uncached_provider, self.uncached_subjects),
            self.dead_letters,
            self.transport,
            self.bus,
        )
