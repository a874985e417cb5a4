"""Jittered exponential backoff."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def pauses(token_bytes: Callable[[int], bytes], first: float = 0.1, longest: float = 1.0) -> Iterator[float]:
    """Yield the seconds to wait before the next try, without end.

    Each is between half of a doubling bound and all of it, so that workers that failed together do not retry together.
    """
    bound = first
    while True:
        yield bound * (0.5 + token_bytes(1)[0] / 510)
        bound = min(bound * 2, longest)
