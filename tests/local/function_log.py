"""Where the functions' output goes: what they print is apart from what the stack or a test prints."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

_sink: ContextVar[TextIO | None] = ContextVar("function_log", default=None)


class _Router(io.TextIOBase):
    """Stands for ``sys.stdout``: a function's output goes to its log, everything else where it went before."""

    def __init__(self, usual: TextIO) -> None:
        self.usual = usual

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return (_sink.get() or self.usual).write(text)

    def flush(self) -> None:
        (_sink.get() or self.usual).flush()


def restore_stdout() -> None:
    """Take the router out again."""
    if isinstance(sys.stdout, _Router):
        sys.stdout = sys.stdout.usual


@contextmanager
def output_to(log: TextIO) -> Iterator[None]:
    """Send what this thread prints to ``log``.

    Replacing ``sys.stdout`` for the length of one call, as ``contextlib.redirect_stdout`` does, would also take the
    output of every other thread, and handlers run in many. The router is put in place anew when it is missing, since
    test runners exchange ``sys.stdout`` between a fixture and a test.
    """
    if not isinstance(sys.stdout, _Router):
        sys.stdout = _Router(sys.stdout)
    token = _sink.set(log)
    try:
        yield
    finally:
        _sink.reset(token)
