"""The context of an invocation, as Lambda hands it to a function with each event.

The programs of a bare Python read this module too. The measurement of a cold start begins after this import, and a
module imported here would be missing from the figures. The only import at the top is therefore ``collections.abc``.
"""

from __future__ import annotations

from collections.abc import Callable

# The timeout of the functions behind the API.
FUNCTION_SECONDS = 29


class Context:
    """A Lambda context with ``seconds`` at its start. They pass as ``now`` does, or not at all by default."""

    def __init__(
        self, seconds: float = FUNCTION_SECONDS, *, now: Callable[[], float] = lambda: 0.0, request_id: str = ""
    ) -> None:
        self.seconds = seconds
        self.aws_request_id = request_id or _any_request_id()
        self._now = now
        self._started_at = now()

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self.seconds - (self._now() - self._started_at)) * 1000))


def _any_request_id() -> str:
    import uuid

    return str(uuid.uuid4())
