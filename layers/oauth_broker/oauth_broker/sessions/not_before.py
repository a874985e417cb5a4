"""Mass sign-outs: every session that began no later than a moment is over, of one app or of everyone's.

The cut-offs are numbers of the control item, so that a mass sign-out takes effect everywhere within seconds.
"""

from __future__ import annotations

from oauth_broker.clock import Clock
from oauth_broker.sessions.control_item import ControlItem

EVERYONE = "everyone"
# By which no clock is wrong.
_FUTURE_SECONDS = 2 * 60 * 60


def target_of(client_id: str) -> str:
    """Return the name of the cut-off of one app's sessions; that of all sessions is EVERYONE."""
    return f"client:{client_id}"


class NotBefore:
    """The cut-offs, as the process knows the control item. Every method raises ServiceUnavailable where DynamoDB fails.

    A cut-off of the future is none: no mass sign-out sets it, and it would end sessions that begin later.
    """

    def __init__(self, item: ControlItem, clock: Clock) -> None:
        self._item = item
        self._clock = clock

    def of(self, client_id: str) -> int:
        """Return the second up to which sessions of the app are over, 0 where there is none.

        Raises ServiceUnavailable where that cannot be known: nobody who was signed out is let in because DynamoDB
        fails.
        """
        numbers = self._item.numbers()
        return max(self._past(numbers, EVERYONE), self._past(numbers, target_of(client_id)))

    def current(self, target: str) -> int:
        """Return the cut-off of one scope as it is now, 0 where there is none."""
        return self._past(self._item.read(), target)

    def set(self, target: str, second: int) -> int:
        """Sign out all sessions of the scope that began up to ``second``; return the cut-off that then stands.

        That is ``second``, or a later one: no cut-off ever moves back. Repeating it is safe.
        """
        return int(self._item.raise_to(target, second, self._most()))

    def _past(self, numbers: dict[str, float], target: str) -> int:
        number = numbers.get(target, 0)
        return int(number) if number <= self._most() else 0

    def _most(self) -> float:
        return self._clock.now() + _FUTURE_SECONDS
