"""Time and waiting, passed in so that a test can own them."""

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
    """Paces repeated tries. Workers that failed together do not retry together: every pause is random."""

    def __init__(self, clock: Clock, random_bytes: Callable[[int], bytes]) -> None:
        self._clock = clock
        self._random_bytes = random_bytes

    def tries(self, time_left: Callable[[], float], *, first: float = 0.1, longest: float = 1.0) -> Iterator[int]:
        """Yield 0 at once, and 1, 2, ... after pauses, as long as ``time_left()`` seconds are more than the pause.

        ``time_left`` is less what one more try may take. Pauses are between half of a doubling bound and all of it.
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
        """Return what ``call`` returns, calling it again while it is ServiceUnavailable and there is time.

        Raises the last ServiceUnavailable, and at once one that says that repeating is of no use.
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
