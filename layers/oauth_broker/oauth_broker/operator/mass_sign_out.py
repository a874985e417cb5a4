"""The answer to a leak: a mass sign-out ends all sessions, or those of one app, at once.

The not-before time is written first, and it alone decides. A process that has read it accepts no token and no code of a
session that began before it. The sweep then tidies up: it ends the rows and deletes their secrets one by one, which may
take hours and many invocations (`operator.sweep`).
"""

from __future__ import annotations

from typing import Any

from oauth_broker.clock import Clock
from oauth_broker.config.clients import Registry
from oauth_broker.errors import ServiceUnavailable
from oauth_broker.operator.commands import RevokeAll
from oauth_broker.operator.errors import InvalidCommand, NothingFound, TemporaryFailure
from oauth_broker.operator.sweep import Sweeper
from oauth_broker.operator.sweep_progress import Progress, Sweeps
from oauth_broker.operator.utc import utc
from oauth_broker.runtime.aws import AWS_CALL_SECONDS
from oauth_broker.runtime.invocation import Event, Invocation
from oauth_broker.sessions.control_item import CACHE_SECONDS
from oauth_broker.sessions.not_before import EVERYONE, NotBefore, target_of
from oauth_broker.sessions.sign_out import RESERVED_SECONDS

# A not-before time is known everywhere after this many seconds: the write, the caches of processes that have just read
# another one, and 4 seconds for clocks that differ. Every row that began before it is then in the table, too.
IN_EFFECT_SECONDS = AWS_CALL_SECONDS + CACHE_SECONDS + 4

CONTINUE = 'Repeat the same command with "continue": true until "finished" is true.'

SECRETS_DENIED = (
    "All sessions are over. But AWS refused to delete the secrets that secrets_denied counts, because a right is "
    "missing. Check whether OperatorRole still allows secretsmanager:DeleteSecret on them. See SecretAccessDeniedAlarm."
)


class MassSignOut:
    """Signs out all sessions of a target that began until now.

    Once this is in effect, no new request gets tokens of such a session. A request under way may still get some, within
    the 29 seconds of a function; the broker refuses them in the next request. A sign-in under way is over too. Access
    tokens that were handed out are valid at Aries until they expire.
    """

    def __init__(
        self, registry: Registry, not_before: NotBefore, sweeps: Sweeps, sweeper: Sweeper, clock: Clock
    ) -> None:
        self._registry = registry
        self._not_before = not_before
        self._sweeps = sweeps
        self._sweeper = sweeper
        self._clock = clock

    def __call__(self, command: RevokeAll, invocation: Invocation) -> dict[str, Any]:
        """Begin, continue, or report; return the progress.

        Raises InvalidCommand for an unknown app, and NothingFound if there is no mass sign-out to continue. If AWS
        fails, raises ServiceUnavailable while the not-before time may be unwritten, and TemporaryFailure after that.
        """
        target = EVERYONE if command.client_id is None else target_of(command.client_id)
        if command.step == "start":
            self._refuse_unknown_app(command)
            not_before = self._sweeper.with_retries(
                lambda: self._not_before.set(target, int(self._clock.now())), invocation
            )
        else:
            not_before = self._not_before.current(target)
            if not not_before:
                raise NothingFound(
                    'This mass sign-out was never begun. To begin it, leave out "continue" and "status".',
                    "no_mass_sign_out",
                )
        if command.step == "status":
            return self._report(self._found(target, not_before), "")
        try:
            return self._work(target, not_before, command.client_id, invocation)
        except ServiceUnavailable as unavailable:
            raise TemporaryFailure(
                f"The sessions that began up to {utc(not_before)} are signed out. This is in effect everywhere "
                f"{IN_EFFECT_SECONDS} seconds after that time. But AWS failed ({unavailable.reason}), and not all "
                f"sessions are tidied up. {CONTINUE}",
                unavailable.reason,
            ) from unavailable

    def _refuse_unknown_app(self, command: RevokeAll) -> None:
        if command.client_id is None:
            return
        is_registered = self._registry.find(command.client_id) is not None
        if is_registered == command.removed_app:
            names = ", ".join(client.client_id for client in self._registry.clients)
            raise InvalidCommand(
                'The app is registered. Leave "removed_app" out.'
                if is_registered
                else f'The member "client_id" names no registered app. The registered apps are: {names}. If the app '
                'was removed from Apps, add "removed_app": true.',
                "registered_app" if is_registered else "unknown_app",
            )

    def _work(self, target: str, not_before: int, client_id: str | None, invocation: Invocation) -> dict[str, Any]:
        progress = self._sweeper.with_retries(
            lambda: self._sweeps.begin(target, not_before, self._clock.now()), invocation
        )
        self._wait_for_effect(progress.not_before, invocation)
        self._announce(progress, client_id, invocation)
        # If the time left is too short for this wait, it is too short for a row, and the sweep does nothing.
        return self._report(*self._sweeper.sweep(progress, client_id, invocation))

    def _announce(self, progress: Progress, client_id: str | None, invocation: Invocation) -> None:
        """Announce the mass sign-out, once it is in effect. A receiver that asks earlier may find a session alive.

        A process may die between its first write and this, so an invocation that finds no saved page says it again.
        """
        if progress.is_just_begun and self._is_in_effect(progress.not_before):
            invocation.announce(Event.revoked_all(client_id, progress.not_before))
            # The sweep may take the rest of the invocation.
            invocation.send_announced()

    def _wait_for_effect(self, not_before: int, invocation: Invocation) -> None:
        pause = min(not_before + IN_EFFECT_SECONDS - self._clock.now(), invocation.remaining() - RESERVED_SECONDS)
        if pause > 0:
            self._clock.sleep(pause)

    def _is_in_effect(self, not_before: int) -> bool:
        return self._clock.now() >= not_before + IN_EFFECT_SECONDS

    def _found(self, target: str, not_before: int) -> Progress:
        """Return the sweep up to ``not_before`` or a later time. A process may have died before it began the sweep."""
        found = self._sweeps.find(target)
        return found if found is not None and found.not_before >= not_before else Progress(target, not_before)

    def _report(self, progress: Progress, trouble: str) -> dict[str, Any]:
        report: dict[str, Any] = {
            "scope": progress.target,
            "cut_off": utc(progress.not_before),
            "in_effect": self._is_in_effect(progress.not_before),
            "ended": progress.ended,
            "secrets_deleted": progress.secrets_deleted,
            "secrets_denied": progress.secrets_denied,
            "failed": len(progress.left),
            "finished": bool(progress.finished_at),
            "started_at": utc(progress.started_at),
            "last_progress_at": utc(progress.saved_at),
            "finished_at": utc(progress.finished_at),
        }
        if trouble:
            report["trouble"] = trouble
        if not progress.finished_at:
            report["next"] = CONTINUE
        elif progress.secrets_denied:
            report["warning"] = SECRETS_DENIED
        elif not progress.ended and not progress.secrets_deleted:
            # A session that was over already counts here only if its secret was deleted once more.
            report["warning"] = (
                'No session that began up to "cut_off" was found, or all of them were over already. If the command has '
                'a "client_id", check that it is the right one.'
            )
        return report
