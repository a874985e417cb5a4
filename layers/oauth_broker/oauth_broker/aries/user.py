"""The question to Aries whose access token this is (Aries step 4)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Protocol

from oauth_broker.aries.transport import NoReply, NotSent, Reply
from oauth_broker.clock import Clock
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import Secret
from oauth_broker.strict_json import parse_object

# The whole call. The app waits for it in every sign-in.
USER_CALL_SECONDS = 2
# After so many failures in a row, this process leaves Aries' user endpoint alone for a while, and sign-ins are fast.
_FAILURES = 3
_PAUSE_SECONDS = 30
_OF_THIS_TOKEN = ("status_401", "status_403")
_LONGEST_ID_BYTES = 256


class Getting(Protocol):
    """A way to send a GET."""

    def get(self, url: str, headers: dict[str, str], seconds: float) -> Reply:
        """Return the answer within ``seconds`` in all. Raises NotSent or NoReply."""
        ...


class AriesUser:
    """Asks Aries for the id of the person whose access token it is."""

    def __init__(self, url: str, member: str, transport: Getting, clock: Clock) -> None:
        self._url = url
        self._member = member
        self._transport = transport
        self._clock = clock
        self._failures = 0
        self._silent_until = 0.0

    def id(self, access_token: Secret, invocation: Invocation) -> str | None:
        """Return the person's id at Aries, or None if Aries does not say it within two seconds. It never fails.

        The id is the text of the configured member: a string of 1 to 256 bytes, or an integer. After three failures in
        a row, this process asks nobody for half a minute.
        """
        if self.is_silent():
            invocation.count("SubjectsNotFound", reason="paused")
            return None
        found, reason = self._ask(access_token, invocation)
        if found is None:
            # A refusal of this access token says nothing about other people's.
            if reason not in _OF_THIS_TOKEN:
                self._failures += 1
                if self._failures >= _FAILURES:
                    self._silent_until = self._clock.now() + _PAUSE_SECONDS
            invocation.count("SubjectsNotFound", reason=reason)
            invocation.log("subject_not_found", level="warning", reason=f"user:{reason}")
            return None
        self._failures = 0
        return found

    def is_silent(self) -> bool:
        """Tell whether this process asks nobody for now."""
        return self._clock.now() < self._silent_until

    def _ask(self, access_token: Secret, invocation: Invocation) -> tuple[str | None, str]:
        """Return the id, or None and the reason."""
        sent_at = self._clock.now()
        try:
            headers = {"authorization": f"Bearer {access_token.reveal()}"}
            reply = self._transport.get(self._url, headers, USER_CALL_SECONDS)
        except (NotSent, NoReply) as error:
            return None, f"no_reply:{error}"
        finally:
            invocation.measure("ProviderLatency", (self._clock.now() - sent_at) * 1000, grant="user")
        if reply.status != HTTPStatus.OK:
            return None, f"status_{reply.status}"
        try:
            found = parse_object(reply.body).get(self._member)
        except ValueError:
            return None, "malformed_answer"
        text = user_id_of(found)
        return text, "" if text else "no_id"


def user_id_of(value: object) -> str | None:
    """Return a person's id at Aries as text, or None if the value is no id.

    An id is a string of 1 to 256 bytes, or an integer, which is the same id as the string of its digits.
    """
    # bool is a number to Python, not to JSON.
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        text = str(value)
        size = len(text.encode())
    except ValueError:
        # A lone surrogate, which JSON can name and UTF-8 cannot, or an integer of thousands of digits.
        return None
    return text if 1 <= size <= _LONGEST_ID_BYTES else None
