"""Leaving Aries alone while it refuses everybody: what all processes know of it together.

A Lambda process serves one request at a time, so what a process remembers by itself bounds nothing. The control item
tells all of them.
"""

from __future__ import annotations

from oauth_broker.clock import Clock
from oauth_broker.control_item import ControlItem
from oauth_broker.errors import Paused
from oauth_broker.provider import CALL_SECONDS

_UNTIL = "aries_paused_until"
_REFUSALS = "aries_refusals"
# Refusals in a row, of whichever sessions. Fewer may be about one session or person, and must hold up nobody else.
_REFUSALS_IN_A_ROW = 5
_CLOCKS_DIFFER_SECONDS = 5
# As long as a call may take, so that one at a time finds out whether Aries is well again.
_SECONDS = CALL_SECONDS


class Pause:
    """A circuit breaker for refreshes. Every method raises Busy where DynamoDB fails.

    Five refusals in a row begin a pause of ten seconds. After it one worker asks Aries while the others wait on for as
    long. A success ends the pause for all, and any success sets the refusals that its process knows of back to none.
    What Aries asks of one session is remembered in its row and may be longer.
    """

    def __init__(self, item: ControlItem, clock: Clock) -> None:
        self._item = item
        self._clock = clock

    def left(self) -> float:
        """Return for how many seconds the process knows that Aries is to be left alone, 0 where it may be asked.

        A time further ahead than any pause, of a clock that is wrong, say, holds up nobody.
        """
        seconds = self._item.numbers().get(_UNTIL, 0) - self._clock.now()
        return seconds if 0 < seconds <= _SECONDS + _CLOCKS_DIFFER_SECONDS else 0

    def admit(self) -> None:
        """Raise Paused unless Aries may be asked now. Who is let in after a pause prolongs it for the others."""
        seen = self._item.numbers().get(_UNTIL, 0)
        if not seen:
            return
        if self.left():
            raise _paused(self.left())
        is_first = self._item.swap(_UNTIL, seen, self._clock.now() + _SECONDS)
        # Unless another worker has just found that Aries is well.
        if not is_first and self.left():
            raise _paused(self.left())

    def refused(self) -> None:
        """Count that Aries refused to serve."""
        if self._item.add(_REFUSALS) >= _REFUSALS_IN_A_ROW:
            self._item.raise_to(_UNTIL, self._clock.now() + _SECONDS)

    def served(self) -> None:
        """Note that Aries served. That costs nothing while the process knows of no refusal."""
        if self._item.known().keys() & {_UNTIL, _REFUSALS}:
            self._item.remove(_UNTIL, _REFUSALS)


def _paused(seconds: float) -> Paused:
    return Paused("provider:paused", seconds)
