"""All values derived from a session id: codes, refresh tokens, hashes, secret names and version ids.

The broker derives the values anew and stores no token. A retry can get the identical token, an old token can be told
from a forged one, and the secret of a row can be found from the row's key alone.
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
# 132 bits, so that a row of a session stays within DynamoDB's first unit.
_PROOF_CHARACTERS = 22
_SIGNED_SUBJECT = re.compile(rf"(k1\.{_HASH})\.[A-Za-z0-9_-]{{{_PROOF_CHARACTERS}}}")
_CODE = re.compile(rf"({_HASH})\.{_HASH}")
_HANDLE = _CODE
_BACKEND = "backend"
# At most 9 digits, no leading zero: one text for each generation.
_REFRESH_TOKEN = re.compile(rf"({_HASH})\.([1-9][0-9]{{0,8}})\.{_HASH}")


def session_id_of(state: str) -> str:
    """Return the row key for the ``state`` sent to Aries. The state itself is never stored."""
    return digest(state)


def _mac(key: Secret, text: str) -> str:
    return base64url(hmac.digest(key.reveal().encode(), text.encode(), "sha256"))


def authorization_code(session_id: str, browser_secret: Secret) -> Secret:
    """Return the one-time code for the app.

    The code follows from the browser's cookie. If the browser loads the callback twice, it gets the same redirect
    again. Another browser cannot get it.
    """
    return Secret(f"{session_id}.{_mac(browser_secret, session_id)}")


def request_mac(browser_secret: Secret, asked: tuple[str, ...]) -> str:
    """Return the proof that the app's request in a row (``SignIn.asked``) is unchanged since its browser brought it.

    The browser alone has the key. An attacker with write access to rows can change the app's request, but cannot make
    its proof.
    """
    return _mac(browser_secret, json.dumps(asked))


def app_digest(client_id: str, redirect_uri: str, code_challenge: str) -> str:
    """Return the digest of the app with the right to redeem the code: ``holder`` in the session's secret or seal.

    The row names the same app, but an attacker with write access to rows could name any other app there.
    """
    return digest(json.dumps([client_id, redirect_uri, code_challenge]))


def signed_subject(subject: str, session_id: str, session_key: Secret) -> str:
    """Return the subject with the proof that the broker itself wrote it to this session's row.

    The session's key is in its secret or seal. An attacker with write access to rows could name a subject of their own
    in the row of another person's session, but cannot make its proof.
    """
    return f"{subject}.{_mac(session_key, json.dumps(['subject', session_id, subject]))[:_PROOF_CHARACTERS]}"


def subject_of(signed: str) -> str:
    """Return the subject that a row names, or '' if it names none. Whoever may write the row may have chosen it."""
    match = _SIGNED_SUBJECT.fullmatch(signed)
    return match[1] if match else ""


def is_subject_proven(signed: str, session_id: str, session_key: Secret) -> bool:
    """Tell whether the broker wrote this subject to the row of this session, in constant time."""
    subject = subject_of(signed)
    return bool(subject) and hmac.compare_digest(signed, signed_subject(subject, session_id, session_key))


def session_id_of_code(code: Secret) -> str | None:
    """Return the session id in a one-time code, or None if the code is malformed."""
    match = _CODE.fullmatch(code.reveal())
    return match[1] if match else None


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A well-formed refresh token of the broker: ``session_id.generation.mac``. It may still be forged."""

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
        """Return the token, or None if the text is malformed."""
        match = _REFRESH_TOKEN.fullmatch(text.reveal())
        return cls(match[1], int(match[2]), text) if match else None

    @property
    def hash(self) -> str:
        """The hash of the token in the row."""
        return digest(self.text.reveal())

    def has_hash(self, stored: str) -> bool:
        """Tell whether ``stored`` is the hash of this token, in constant time."""
        return hmac.compare_digest(self.hash, stored)

    def is_authentic(self, session_key: Secret) -> bool:
        """Tell whether the broker made this token, in constant time."""
        return self.text == RefreshToken.mint(self.session_id, self.generation, session_key).text


@dataclass(frozen=True, slots=True)
class BackendHandle:
    """A well-formed handle of a session for the backend of its app: ``session_id.mac``. It may still be forged.

    The handle alone opens nothing: IAM must allow the backend to ask for tokens of the app. It is the same for the
    whole session.
    """

    session_id: str
    text: Secret

    @classmethod
    def mint(cls, session_id: str, session_key: Secret) -> BackendHandle:
        """Make the handle of a session. No refresh token has the same MAC, because its text has a generation."""
        return cls(session_id, Secret(f"{session_id}.{_mac(session_key, _BACKEND)}"))

    @classmethod
    def parse(cls, text: Secret) -> BackendHandle | None:
        """Return the handle, or None if the text is malformed."""
        match = _HANDLE.fullmatch(text.reveal())
        return cls(match[1], text) if match else None

    def is_authentic(self, session_key: Secret) -> bool:
        """Tell whether the broker made this handle, in constant time."""
        return self.text == BackendHandle.mint(self.session_id, session_key).text


def secret_name(prefix: str, session_id: str) -> str:
    """Return the name of the session's secret.

    The name is hexadecimal, because Secrets Manager misreads names ending in a hyphen and six characters. It derives
    from the row's key, because cleanup must delete the secret of a removed row, recorded or not.
    """
    return prefix + sha256(b"secret" + session_id.encode()).hexdigest()


def secret_version(session_id: str, fence: int) -> str:
    """Return the version id for the secret written by the worker with ``fence``, a UUID (version 5).

    The same id for the same fence makes the write idempotent (``ClientRequestToken``). A later worker can look for the
    version of a dead worker.
    """
    namespace = uuid.UUID(bytes=sha256(session_id.encode()).digest()[:16])
    return str(uuid.uuid5(namespace, str(fence)))
