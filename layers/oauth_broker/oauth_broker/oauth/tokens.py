"""Everything that is derived from a session id: codes, refresh tokens, hashes, secret names and version ids.

Nothing here is stored. A retry can be answered with the identical token, an old token can be told from a forged one,
and the secret of a row can be found from the row's key alone.
"""

from __future__ import annotations

import hmac
import json
import re
import uuid
from dataclasses import dataclass
from hashlib import sha256

from oauth_broker.secret import Secret, base64url, digest

_HASH = r"[A-Za-z0-9_-]{43}"
_CODE = re.compile(rf"({_HASH})\.{_HASH}")
# At most 9 digits, no leading zero: one text for each generation.
_REFRESH_TOKEN = re.compile(rf"({_HASH})\.([1-9][0-9]{{0,8}})\.{_HASH}")


def session_id_of(state: str) -> str:
    """Return the row key for the ``state`` sent to Aries. The state itself is never stored."""
    return digest(state)


def _mac(key: Secret, text: str) -> str:
    return base64url(hmac.digest(key.reveal().encode(), text.encode(), "sha256"))


def authorization_code(session_id: str, browser_secret: Secret) -> Secret:
    """Return the one-time code for the app.

    It follows from the browser's cookie, so that a browser that loads the callback twice can be given the same
    redirect again, and nobody else can.
    """
    return Secret(f"{session_id}.{_mac(browser_secret, session_id)}")


def request_mac(browser_secret: Secret, asked: tuple[str, ...]) -> str:
    """Return what proves that a row still holds what its own browser began with (``SignIn.asked``).

    Only the browser has the key. Somebody who may write rows can change what the app asked for, but cannot make this of
    it.
    """
    return _mac(browser_secret, json.dumps(asked))


def holder(client_id: str, redirect_uri: str, code_challenge: str) -> str:
    """Return what the secret of a session keeps of the app that may redeem the code.

    The row says the same, but whoever may write rows could say it of any other app.
    """
    return digest(json.dumps([client_id, redirect_uri, code_challenge]))


def session_id_of_code(code: Secret) -> str | None:
    """Return the session id that a one-time code names, or None where the code is malformed."""
    match = _CODE.fullmatch(code.reveal())
    return match[1] if match else None


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A well-formed refresh token of the broker: ``session_id.generation.mac``. Well formed is not authentic."""

    session_id: str
    generation: int
    text: Secret

    @classmethod
    def mint(cls, session_id: str, generation: int, session_key: Secret) -> RefreshToken:
        """Make the refresh token of one generation of a session: always the same text for the same key."""
        stem = f"{session_id}.{generation}"
        return cls(session_id, generation, Secret(f"{stem}.{_mac(session_key, stem)}"))

    @classmethod
    def parse(cls, text: Secret) -> RefreshToken | None:
        """Return the token, or None where the text is malformed."""
        match = _REFRESH_TOKEN.fullmatch(text.reveal())
        return cls(match[1], int(match[2]), text) if match else None

    @property
    def hash(self) -> str:
        """What the row keeps of the token."""
        return digest(self.text.reveal())

    def has_hash(self, kept: str) -> bool:
        """Tell whether ``kept`` is the hash of this token, in constant time."""
        return hmac.compare_digest(self.hash, kept)

    def is_authentic(self, session_key: Secret) -> bool:
        """Tell whether the broker made this token, in constant time."""
        return self.text == RefreshToken.mint(self.session_id, self.generation, session_key).text


def secret_name(prefix: str, session_id: str) -> str:
    """Return the name of the session's secret.

    Hexadecimal, since Secrets Manager misreads names that end in a hyphen and six characters. Derived from the row's
    key, so that cleanup can delete the secret of every removed row, recorded or not.
    """
    return prefix + sha256(b"secret" + session_id.encode()).hexdigest()


def secret_version(session_id: str, fence: int) -> str:
    """Return the version id that the holder of ``fence`` writes, a UUID (version 5).

    One id a fence makes the write idempotent (``ClientRequestToken``) and lets a later holder look for what a dead one
    may have stored.
    """
    namespace = uuid.UUID(bytes=sha256(session_id.encode()).digest()[:16])
    return str(uuid.uuid5(namespace, str(fence)))
