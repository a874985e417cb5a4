"""The clocks of the tests. The programs that run in a bare Python read this module too: it needs nothing else."""

from __future__ import annotations

import time

NOW = 1_800_000_000.0


class VirtualClock:
    """The one clock of the tests. ``time`` moves only when a test sets it, or when a worker sleeps."""

    def __init__(self, start: float = NOW) -> None:
        self.time = start

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class RunningClock(VirtualClock):
    """The machine's clock, ``time`` seconds ahead.

    Threads and processes need it to wait for one another. If the clock stood still, none could wait while the others
    work.
    """

    def __init__(self) -> None:
        super().__init__(0.0)

    def now(self) -> float:
        return self.time + time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
