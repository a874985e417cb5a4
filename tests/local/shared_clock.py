"""A clock for several processes: the machine's own, plus an offset in a file. All processes map this file."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from tests.support.clock import RunningClock

_OFFSET = struct.Struct("=d")


class SharedClock(RunningClock):
    """A clock in a file. Every process with this file can move the clock.

    The processes of a test share no memory but the file. ``time`` is in it, and all else is the clock of the tests.

    If ``skips`` is true, the clock never sleeps. It moves ahead by the time to sleep, like a clock with one worker at a
    time. Movements at the same moment may count as one.
    """

    def __init__(self, path: Path, *, skips: bool = False) -> None:
        """Open the clock in ``path``. If there is none, make it, with the machine's time."""
        if not path.exists():
            path.write_bytes(_OFFSET.pack(0.0))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _OFFSET.size)
        self._skips = skips

    @property
    def time(self) -> float:
        """The lead over the machine's clock, in seconds."""
        offset: float = _OFFSET.unpack_from(self._shared)[0]
        return offset

    @time.setter
    def time(self, seconds: float) -> None:
        _OFFSET.pack_into(self._shared, 0, seconds)

    def advance(self, seconds: float) -> None:
        """Move the clock ahead, for everybody."""
        self.time += seconds

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` of this clock."""
        if self._skips:
            self.advance(seconds)
        else:
            super().sleep(seconds)

    def close(self) -> None:
        """Let go of the file."""
        self._shared.close()
