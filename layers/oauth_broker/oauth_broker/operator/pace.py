"""A pace for calls of AWS, so that an operator's long work leaves room for the apps."""

from __future__ import annotations

from oauth_broker.clock import Clock


class Pace:
    """Keeps calls apart, so that there are at most ``per_second``."""

    def __init__(self, clock: Clock, per_second: int) -> None:
        self._clock = clock
        self._between = 1 / per_second
        self._next_at = 0.0

    def keep(self) -> None:
        """Wait until the next call may go out."""
        pause = self._next_at - self._clock.now()
        if pause > 0:
            self._clock.sleep(pause)
        self._next_at = self._clock.now() + self._between
