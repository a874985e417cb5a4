"""The pause of all refreshes while Aries refuses everybody.

A Lambda process serves one request at a time, so its own memory bounds nothing. The control item tells all processes.
"""

from __future__ import annotations

from dataclasses import dataclass

from oauth_broker.aries.client import ARIES_CALL_SECONDS
from oauth_broker.clock import Clock
from oauth_broker.errors import Paused
from oauth_broker.sessions.control_item import CACHE_SECONDS, ControlItem

# A refused session takes one of sixteen places, always the same one, so that the item stays small.
_PLACE_DIGITS = 1
# The longest time of a call, so that one worker at a time finds out whether Aries is well again.
_PAUSE_SECONDS = ARIES_CALL_SECONDS
# The clocks of two processes may differ by this much.
_CLOCKS_DIFFER_SECONDS = 5


@dataclass(frozen=True, slots=True)
class PauseSettings:
    """The settings of a pause.

    ``refused_sessions`` is the number of refused sessions that begins it. Aries may refuse fewer for reasons of their
    own, and those must hold up no other. ``until`` and ``refused`` are names in the control item.
    """

    until: str
    refused: str
    refused_sessions: int


APPS = PauseSettings("aries_paused_until", "aries_refused_", 5)
# Backends make way earlier: a person waits for an app.
BACKENDS = PauseSettings("backends_paused_until", "backends_refused_", 2)


class Pause:
    """A circuit breaker for renewals. Every method raises ServiceUnavailable if DynamoDB fails.

    A refusal stays noted until the next success of any session. The pause begins five seconds after the refusal of the
    fifth session, unless a session succeeds before. In five seconds every process learns of the refusals, so a success
    would have removed them. In the pause, one worker asks Aries every ten seconds, and the others wait. A success ends
    the pause for all. The pause of a single session is in its row, and may be longer.

    Some callers have a pause of their own, which begins after fewer refused sessions. They keep the pause ``wider``,
    which is for all, as well.
    """

    def __init__(
        self, item: ControlItem, clock: Clock, settings: PauseSettings = APPS, wider: Pause | None = None
    ) -> None:
        self._item = item
        self._clock = clock
        self._settings = settings
        self._wider = wider

    def left(self) -> float:
        """Return the seconds left of the pause as far as the process knows, or 0.

        A time further ahead than any pause (of a wrong clock, say) holds up no session.
        """
        numbers, now = self._item.numbers(), self._clock.now()
        left = numbers.get(self._settings.until, 0) - now
        is_on = now >= self._begins_at(numbers) and 0 < left <= _PAUSE_SECONDS + _CLOCKS_DIFFER_SECONDS
        return max(left if is_on else 0, self._wider.left() if self._wider else 0)

    def admit(self, *, was_refused: bool) -> None:
        """Raise Paused unless Aries may be asked now. An admission in a pause prolongs the pause for the others.

        ``was_refused`` tells whether Aries has refused this very session last. Other sessions go first,
        because their answer says more about Aries.
        """
        if left := self.left():
            raise paused(left)
        numbers, now = self._item.numbers(), self._clock.now()
        begins_at, seen = self._begins_at(numbers), numbers.get(self._settings.until, 0)
        # The wait counts from the beginning of the pause or, after an admission in it, from the end of its time.
        waited = now - max(begins_at, seen if seen <= now else 0)
        if was_refused and 0 <= waited < _PAUSE_SECONDS:
            raise paused(_PAUSE_SECONDS - waited)
        if self._wider:
            # This admission uses up the one try of the wider pause. The refusal above therefore comes before it.
            self._wider.admit(was_refused=was_refused)
        if now < begins_at:
            return
        is_first = self._item.swap(self._settings.until, seen, now + _PAUSE_SECONDS)
        # If another worker was first, it has prolonged the pause, or has found Aries well and ended the pause.
        if not is_first and (left := self.left()):
            raise paused(left)

    def refused(self, reference: str) -> None:
        """Note that Aries refused to serve a session. Log lines call it ``reference``."""
        place = self._settings.refused + reference[:_PLACE_DIGITS]
        if place not in self._item.known():
            self._item.swap(place, 0, self._clock.now())

    def served(self) -> None:
        """Note that Aries served a session. The call costs nothing while the process knows of no refusal."""
        settings = self._settings
        names = [name for name in self._item.known() if name.startswith(settings.refused) or name == settings.until]
        if names:
            self._item.remove(*names)
        if self._wider:
            self._wider.served()

    def _begins_at(self, numbers: dict[str, float]) -> float:
        """Return the beginning of the pause: five seconds after the refusal of the last session needed, or never."""
        refused = sorted(at for name, at in numbers.items() if name.startswith(self._settings.refused))
        needed = self._settings.refused_sessions
        return refused[needed - 1] + CACHE_SECONDS if len(refused) >= needed else float("inf")


def paused(seconds: float) -> Paused:
    """Return the failure of a request in a pause of ``seconds`` more."""
    return Paused("provider:paused", seconds)
