"""A clock for several processes: the machine's own, plus an offset in a file. All processes map this file."""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path

_OFFSET = struct.Struct("=d")


class SharedClock:
    """A clock that every process with its file can move.

    If ``skips`` is true, it never sleeps: it moves itself ahead instead. This suits one worker at a time. Two movements
    at the same moment may count as one.
    """

    def __init__(self, path: Path, *, skips: bool = False) -> None:
        """Open the clock in ``path``. If there is none, make it, with the machine's time."""
        if not path.exists():
            path.write_bytes(_OFFSET.pack(0.0))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _OFFSET.size)
        self._skips = skips

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        offset: float = _OFFSET.unpack_from(self._shared)[0]
        return time.time() + offset

    def advance(self, seconds: float) -> None:
        """Move the clock ahead, for everybody."""
        _OFFSET.pack_into(self._shared, 0, _OFFSET.unpack_from(self._shared)[0] + seconds)

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` of this clock."""
        if self._skips:
            self.advance(seconds)
        else:
            time.sleep(seconds)

    def close(self) -> None:
        """Let go of the file."""
        self._shared.close()
