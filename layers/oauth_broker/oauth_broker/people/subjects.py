"""Subjects: the broker's own names for people. The id at Aries is in no row, no log line and no event."""

from __future__ import annotations

import hmac

from oauth_broker.errors import ServiceUnavailable
from oauth_broker.oauth.tokens import is_subject_proven, subject_of
from oauth_broker.runtime.aws import SecretsManagerClient, translated
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import Secret, base64url
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.session_secret import SessionSecret

# The first and only way to make subjects. A second one would have another name.
_KIND = "k1."
_SHORTEST_KEY = 32


class Subjects:
    """Makes the subject of a person: ``k1.`` and HMAC-SHA256(key, user URL, NUL, id) in base64url.

    The same person has the same subject in every session, as long as key and user URL stay. The subject is a
    pseudonym: whoever has the key and the table can find small ids by trying them all.
    """

    def __init__(self, client: SecretsManagerClient, key_arn: str, user_url: str) -> None:
        self._client = client
        self._key_arn = key_arn
        self._user_url = user_url
        # The process reads the key at its first use, so that no snapshot of the process holds it.
        self._key: Secret | None = None

    def of(self, user_id: str) -> str:
        """Return the subject of the person with this id at Aries.

        Raises ServiceUnavailable if the key cannot be read. Without the key nobody can tell which sessions are the
        person's, and an answer without them would be wrong.
        """
        if self._key is None:
            self._key = self._read_key()
        said = f"{self._user_url}\0{user_id}".encode()
        return _KIND + base64url(hmac.digest(self._key.reveal().encode(), said, "sha256"))

    def reread(self) -> None:
        """Read the key anew. Raises ServiceUnavailable if it cannot be read."""
        self._key = self._read_key()

    def _read_key(self) -> Secret:
        with translated("subject_key"):
            text: str = self._client.get_secret_value(SecretId=self._key_arn).get("SecretString", "")
        if len(text) < _SHORTEST_KEY:
            raise ServiceUnavailable("subject_key:malformed")
        return Secret(text)


def is_of(row: SignIn, subject: str) -> bool:
    """Tell whether a row of a person's item may be this person's session: it names no other person.

    A session is in the item for a moment before its row names the person.
    """
    return not row.subject or subject_of(row.subject) == subject


def proven_subject(row: SignIn, secret: SessionSecret, invocation: Invocation) -> str:
    """Return the subject of a session, or '' if none is known.

    If the session's key did not make the proof beside the subject, then somebody has written the row. Such a subject
    counts as none: otherwise its writer could reach another person's session as one of their own.
    """
    if not row.subject:
        return ""
    if not is_subject_proven(row.subject, row.session_id, secret.session_key):
        invocation.count("RowsAltered")
        invocation.log("subject_not_proven", level="error")
        return ""
    return subject_of(row.subject)
