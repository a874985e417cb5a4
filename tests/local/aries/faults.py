"""The switches for faults of the token endpoint."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

FaultKind = Literal[
    "reset",  # the connection is reset, no answer
    "close",  # the connection is closed, no answer
    "hang",  # no answer for `seconds`, then the connection is closed
    "late",  # handled properly, `seconds` late ("before": then processed; "after": processed at once, answered then)
    "server_error",  # `status` (503) with an HTML page and, unless it is empty, Retry-After: `retry_after`
    "too_many_requests",  # 429 with Retry-After: `seconds`
    "html",  # 200 with an HTML page
    "json_array",  # the answer inside an array
    "duplicate_keys",  # the first member twice, with another value
    "nan",  # expires_in is NaN
    "long_number",  # expires_in has 5,000 digits
    "deep_nesting",  # a member nests 100,000 arrays
    "large_body",  # the answer, then blanks up to 10 MB
    "gzip_bomb",  # the same up to 64 MB, gzipped to about 64 KB
    "trickle_body",  # one byte of the body every `seconds`
    "trickle_headers",  # one byte of the head, and then of the body, every `seconds`
    "redirect",  # 307 to /__trap; the trap records every follower
    "invalid_grant",  # 400 (or `status`) {"error": "invalid_grant"}
    "invalid_client",  # 401 (or `status`) {"error": "invalid_client"}
    "unknown_error",  # 422 (or `status`) {"error": `error`}
    "truncated",  # half of the body that Content-Length promises, then the connection is closed
    "wrong_content_type",  # the answer as text/plain
    "members",  # a success of 200 (or `status`), its body changed by `members`, `raw_members` and `omit`
]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
When = Literal["before", "after"]


@dataclass(frozen=True)
class Fault:
    """A fault for the next `times` token requests (None: until `clear`), of any or of one `grant_type`.

    `when` is "before" (instead of processing; tokens in such an answer are counterfeit) or "after" (processed and
    committed, then the answer is spoilt). The kind `members` is always "after": `members` sets any JSON values,
    `raw_members` sets any text as a value (`1e400`), and `omit` leaves members out. It does not change a refusal.
    """

    kind: FaultKind
    times: int | None = 1
    grant_type: str | None = None
    when: When = "before"
    seconds: float = 1.0
    status: int | None = None
    error: str = "temporarily_confused"
    retry_after: str = ""
    members: Mapping[str, object] = field(default_factory=dict)
    raw_members: Mapping[str, str] = field(default_factory=dict)
    omit: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise ValueError(f"kind must be one of {', '.join(FAULT_KINDS)}")
        if self.when not in get_args(When):
            raise ValueError("when must be before or after")
        if self.times is not None and self.times < 1:
            raise ValueError("times must be at least 1, or null")

    @property
    def processes_first(self) -> bool:
        return self.when == "after" or self.kind == "members"


class FaultSwitches:
    """The faults to come, in order. Thread-safe: each is spent on exactly `times` requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Fault, int | None]] = []

    def append(self, fault: Fault) -> None:
        with self._lock:
            self._waiting.append((fault, fault.times))

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def __len__(self) -> int:
        with self._lock:
            return len(self._waiting)

    def take(self, grant_type: object) -> Fault | None:
        """The first fault for a token request of this grant type."""
        with self._lock:
            for index, (fault, left) in enumerate(self._waiting):
                if fault.grant_type in (None, grant_type):
                    if left == 1:
                        del self._waiting[index]
                    elif left is not None:
                        self._waiting[index] = (fault, left - 1)
                    return fault
            return None
