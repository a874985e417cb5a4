"""Leaving Aries alone while it refuses everybody: what all processes know of it together.

A Lambda process serves one request at a time, so what a process remembers by itself bounds nothing. The control item
tells all of them.
"""

from __future__ import annotations

from oauth_broker.aries.client import ARIES_CALL_SECONDS
from oauth_broker.clock import Clock
from oauth_broker.errors import Paused
from oauth_broker.sessions.control_item import CACHE_SECONDS, ControlItem

_UNTIL = "aries_paused_until"
_REFUSED = "aries_refused_"
# A refused session takes one of sixteen places, always the same one, so that the item stays small.
_PLACE_DIGITS = 1
# Fewer sessions may be refused for reasons of their own, and must hold up nobody else.
_REFUSED_SESSIONS = 5
# As long as a call may take, so that one at a time finds out whether Aries is well again.
_SECONDS = ARIES_CALL_SECONDS
# By which the clocks of two processes may differ.
_CLOCKS_DIFFER_SECONDS = 5


class Pause:
    """A circuit breaker for refreshes. Every method raises ServiceUnavailable where DynamoDB fails.

    A refusal is noted until the next success of any session. The pause begins when five sessions have been refused
    and five seconds later nobody has been served: by then every process knows of the refusals, so that a success
    would have removed them. In the pause one worker asks Aries every ten seconds while the others wait. A success
    ends it for all. What Aries asks of one session is remembered in its row, and may be longer.
    """

    def __init__(self, item: ControlItem, clock: Clock) -> None:
        self._item = item
        self._clock = clock

    def left(self) -> float:
        """Return for how many seconds the process knows that Aries is to be left alone, 0 where it may be asked.

        A time further ahead than any pause, of a clock that is wrong, say, holds up nobody.
        """
        numbers, now = self._item.numbers(), self._clock.now()
        left = numbers.get(_UNTIL, 0) - now
        return left if now >= _begins_at(numbers) and 0 < left <= _SECONDS + _CLOCKS_DIFFER_SECONDS else 0

    def admit(self, *, was_refused: bool) -> None:
        """Raise Paused unless Aries may be asked now. Who is let in during a pause prolongs it for the others.

        ``was_refused`` tells whether Aries has refused this very session last. Others go first: they tell more.
        """
        if left := self.left():
            raise paused(left)
        numbers, now = self._item.numbers(), self._clock.now()
        begins_at, seen = _begins_at(numbers), numbers.get(_UNTIL, 0)
        if now < begins_at:
            return
        # Since the pause began or, if somebody has asked in it, since that one's time was over.
        waited = now - max(begins_at, seen if seen <= now else 0)
        if was_refused and waited < _SECONDS:
            raise paused(_SECONDS - waited)
        is_first = self._item.swap(_UNTIL, seen, now + _SECONDS)
        # Unless another worker has just found that Aries is well.
        if not is_first and (left := self.left()):
            raise paused(left)

    def refused(self, reference: str) -> None:
        """Note that Aries refused to serve the session that log lines call ``reference``."""
        place = _REFUSED + reference[:_PLACE_DIGITS]
        if place not in self._item.known():
            self._item.swap(place, 0, self._clock.now())

    def served(self) -> None:
        """Note that Aries served. That costs nothing while the process knows of no refusal."""
        names = [name for name in self._item.known() if name.startswith(_REFUSED) or name == _UNTIL]
        if names:
            self._item.remove(*names)


def _begins_at(numbers: dict[str, float]) -> float:
    """Return when a pause begins by what is noted: five seconds after the fifth session was refused, or never."""
    refused = sorted(at for name, at in numbers.items() if name.startswith(_REFUSED))
    return refused[_REFUSED_SESSIONS - 1] + CACHE_SECONDS if len(refused) >= _REFUSED_SESSIONS else float("inf")


def paused(seconds: float) -> Paused:
    """Return the failure of a request that comes while Aries is to be left alone for ``seconds``."""
    return Paused("provider:paused", seconds)
