"""Mass sign-outs. A not-before time ends all sessions of one app, or of all apps, that began up to that second.

The not-before times are numbers of the control item, so a mass sign-out takes effect everywhere within seconds.
"""

from __future__ import annotations

from oauth_broker.clock import Clock
from oauth_broker.sessions.control_item import ControlItem

EVERYONE = "everyone"
# Clocks are wrong by less than this.
_FUTURE_SECONDS = 2 * 60 * 60


def target_of(client_id: str) -> str:
    """Return the target for the sessions of one app. The target for all sessions is EVERYONE."""
    return f"client:{client_id}"


class NotBefore:
    """The not-before times in the control item. Every method raises ServiceUnavailable if DynamoDB fails.

    If a time is further ahead than any clock's error, it counts as none. Mass sign-outs never set such a time, and it
    would end sessions that begin later.
    """

    def __init__(self, item: ControlItem, clock: Clock) -> None:
        self._item = item
        self._clock = clock

    def of(self, client_id: str) -> int:
        """Return the second up to which sessions of the app are over, or 0.

        Raises ServiceUnavailable if the process cannot know it, because a failure of DynamoDB must not let a
        signed-out session in.
        """
        numbers = self._item.numbers()
        return max(self._past(numbers, EVERYONE), self._past(numbers, target_of(client_id)))

    def current(self, target: str) -> int:
        """Read the not-before time of one target from the table, or 0 if there is none."""
        return self._past(self._item.read(), target)

    def set(self, target: str, second: int) -> int:
        """Sign out all sessions of the target that began up to ``second``, and return the stored not-before time.

        The stored time is ``second`` or later, because a not-before time never moves back. Repeating it is safe.
        """
        return int(self._item.raise_to(target, second, self._most()))

    def _past(self, numbers: dict[str, float], target: str) -> int:
        number = numbers.get(target, 0)
        return int(number) if number <= self._most() else 0

    def _most(self) -> float:
        return self._clock.now() + _FUTURE_SECONDS
