"""The requests to the simulator, and the number of refreshes of one family in it at once."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

CODE_GRANTS = ("code", "authorization_code")


@dataclass(frozen=True)
class RecordedRequest:
    """A request as it arrived, with its secrets. Header names are in lower case.

    `endpoint` is `authorize`, `decision`, `token`, `users/me` or `trap`. `body` holds the parameters of the first two,
    or the members of a token request (None if it could not be read). For other endpoints it is None. `time` is the
    simulator's.
    """

    endpoint: str
    body: dict[str, object] | None
    headers: dict[str, str]
    time: float


class Recorder:
    """Thread-safe record of requests."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._requests: list[RecordedRequest] = []
        self._in_flight: Counter[str] = Counter()
        self._most_in_flight: Counter[str] = Counter()

    @property
    def requests(self) -> list[RecordedRequest]:
        """A copy, in order of arrival."""
        with self._lock:
            return list(self._requests)

    def record(self, endpoint: str, body: dict[str, object] | None, headers: Mapping[str, str]) -> None:
        lower_case = {name.lower(): value for name, value in headers.items()}
        with self._lock:
            self._requests.append(RecordedRequest(endpoint, body, lower_case, self._now()))

    def count(self, endpoint: str, *grant_types: str) -> int:
        """Requests to an endpoint. Grant types limit the count to token requests of one of them."""
        found = [request for request in self.requests if request.endpoint == endpoint]
        return len([r for r in found if (r.body or {}).get("grant_type") in grant_types] if grant_types else found)

    def reset(self) -> None:
        """Forgets all requests. A refresh still being handled stays counted as in flight."""
        with self._lock:
            self._requests.clear()
            self._most_in_flight = Counter(self._in_flight)

    def max_in_flight(self, family: str | None = None) -> int:
        """The most refreshes of one family ever handled at once, or of any family if none is given."""
        with self._lock:
            if family is not None:
                return self._most_in_flight[family]
            return max(self._most_in_flight.values(), default=0)

    @contextmanager
    def in_flight(self, family: str | None) -> Iterator[None]:
        """Counts a refresh of a family as in flight, from arrival until its answer is ready or given up."""
        if family is None:
            yield
            return
        with self._lock:
            self._in_flight[family] += 1
            self._most_in_flight[family] = max(self._most_in_flight[family], self._in_flight[family])
        try:
            yield
        finally:
            with self._lock:
                self._in_flight[family] -= 1
