"""Time and waiting. Callers pass the clock in, and tests pass in their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Protocol, TypeVar

from oauth_broker.errors import ServiceUnavailable


class Clock(Protocol):
    """Wall-clock time and waiting."""

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``."""
        time.sleep(seconds)


Result = TypeVar("Result")


class Backoff:
    """Paces repeated tries. Every pause is random, because workers must not retry in step after a common failure."""

    def __init__(self, clock: Clock, random_bytes: Callable[[int], bytes]) -> None:
        self._clock = clock
        self._random_bytes = random_bytes

    def tries(self, time_left: Callable[[], float], *, first: float = 0.1, longest: float = 1.0) -> Iterator[int]:
        """Yield 0 at once, then 1, 2, ... after pauses, while ``time_left()`` is more seconds than the next pause.

        ``time_left`` leaves out the seconds of one more try. A pause is between half of a bound and all of it. The
        bound is ``first`` seconds for the first pause, and doubles for each later one, up to ``longest`` seconds.
        """
        bound = first
        for attempt in count():
            yield attempt
            pause = bound * (0.5 + self._random_bytes(1)[0] / 510)
            if time_left() <= pause:
                return
            self._clock.sleep(pause)
            bound = min(bound * 2, longest)

    def until_done(self, call: Callable[[], Result], time_left: Callable[[], float]) -> Result:
        """Return the result of ``call``. If it raises ServiceUnavailable, call it again while time is left.

        Raises the last ServiceUnavailable if no time is left. Raises ServiceUnavailable at once if it is not retriable.
        """
        failure = ServiceUnavailable("too_little_time")
        for _ in self.tries(time_left):
            try:
                return call()
            except ServiceUnavailable as unavailable:
                failure = unavailable
                if not unavailable.retriable:
                    break
        raise failure

    def tries_for(self, seconds: float) -> Iterator[int]:
        """Yield like ``tries``, for ``seconds`` from now."""
        ends_at = self._clock.now() + seconds
        return self.tries(lambda: ends_at - self._clock.now())
