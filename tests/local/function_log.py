"""Keeps the functions' output apart from the output of the stack or of a test."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

_sink: ContextVar[TextIO | None] = ContextVar("function_log", default=None)


class _Router(io.TextIOBase):
    """Stands for ``sys.stdout``: a function's output goes to its log, all other output to the usual stream."""

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
    """Send the output of this thread to ``log``.

    ``contextlib.redirect_stdout`` replaces ``sys.stdout`` for a call, and would also take the output of all other
    threads; handlers run in many. If the router is missing, it is put in place again, because test runners exchange
    ``sys.stdout`` between a fixture and a test.
    """
    if not isinstance(sys.stdout, _Router):
        sys.stdout = _Router(sys.stdout)
    token = _sink.set(log)
    try:
        yield
    finally:
        _sink.reset(token)
