"""A strict simulator of Aries' OAuth server. It enforces the documented dialect; it is not a mock."""

from tests.local.aries.core import AriesCore
from tests.local.aries.errors import BearerError, PageRefusal, RedirectRefusal
from tests.local.aries.faults import FAULT_KINDS, Fault, FaultKind
from tests.local.aries.person import approve
from tests.local.aries.recording import RecordedRequest
from tests.local.aries.simulator import AriesSimulator
from tests.local.aries.tokens import USERS

__all__ = [
    "FAULT_KINDS",
    "USERS",
    "AriesCore",
    "AriesSimulator",
    "BearerError",
    "Fault",
    "FaultKind",
    "PageRefusal",
    "RecordedRequest",
    "RedirectRefusal",
    "approve",
]
