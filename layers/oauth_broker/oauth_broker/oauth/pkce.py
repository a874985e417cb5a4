"""Proof Key for Code Exchange, S256 only (RFC 7636)."""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

from oauth_broker.secret import Secret, base64url

# RFC 7636 section 4.1. Written out, because \w also matches letters and digits outside ASCII.
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
# Section 4.2: 32 bytes in base64url are exactly 43 characters without padding.
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


def challenge_of(verifier: Secret) -> str:
    """Return the S256 ``code_challenge`` of a code verifier (RFC 7636 section 4.2)."""
    return base64url(sha256(verifier.reveal().encode()).digest())


def is_challenge(text: str) -> bool:
    """Tell whether ``text`` has the form of an S256 ``code_challenge``."""
    return _CHALLENGE.fullmatch(text) is not None


def verifies(verifier: Secret, challenge: str) -> bool:
    """Tell whether ``verifier`` is well formed and belongs to ``challenge`` (RFC 7636 section 4.6)."""
    if _VERIFIER.fullmatch(verifier.reveal()) is None:
        return False
    return hmac.compare_digest(challenge_of(verifier), challenge)
