"""A clock for several processes: the machine's own, plus an offset in a file. All processes map this file."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from tests.support.clock import RunningClock

_OFFSET = struct.Struct("=d")


class SharedClock(RunningClock):
    """A clock that anyone who has its file can move.

    The processes of a test share no memory but a file. ``time`` is in there, and all else is the clock of the tests.

    With ``skips`` it never sleeps: it moves itself by what it was asked to sleep, as a clock does that only one worker
    at a time looks at. Movements at the same moment may be counted as one.
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
        """The seconds by which the clock is ahead of the machine's."""
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
