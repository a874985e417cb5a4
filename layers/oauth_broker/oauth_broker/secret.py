"""Secret texts, masked against accidents, and the digests shown or stored in their place."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import final


@final
class Secret:
    """A secret text. ``repr`` and ``str`` are masked; ``reveal`` is the only way to the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value to send or store it, never to log it."""
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    # Unhashable, because a dictionary compares its keys in variable time.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")


def base64url(data: bytes) -> str:
    """Return ``data`` in base64url without padding (RFC 7636 appendix A)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def digest(text: str) -> str:
    """Return base64url(SHA-256(text)), 43 characters, stored in place of a secret of 256 bits."""
    return base64url(sha256(text.encode()).digest())


def session_digest(session_id: str) -> str:
    """Return the session's name for CloudTrail: 64 hex characters. The first 16 are the session's reference."""
    return sha256(b"log" + session_id.encode()).hexdigest()


def session_reference(session_id: str) -> str:
    """Return the session's name in log lines: 16 hex characters. The session id cannot be computed from them."""
    return session_digest(session_id)[:16]
