"""Answers that Secrets Manager would not take, sealed by KMS and kept in the row until it does.

Secrets Manager takes at most 50 writes a second in a region. A refresh that Aries has answered must not be lost to
that limit, so the last way out is to commit the answer itself.
"""

from __future__ import annotations

from collections.abc import Callable

from oauth_broker.runtime.aws import KmsClient, translated
from oauth_broker.secret import session_digest
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.session_secret import SessionSecret

# KMS encrypts at most 4,096 bytes a call; a value that is longer takes several.
_PART_BYTES = 4096


class Escrow:
    """Seals and opens session secrets with the stack's key. Raises ServiceUnavailable where KMS fails."""

    def __init__(self, make_client: Callable[[], KmsClient], key_id: str) -> None:
        # Made on first use: hardly any process ever needs it, and it would cost every cold start.
        self._make_client = make_client
        self._made: KmsClient | None = None
        self._key_id = key_id

    def seal(self, row: SignIn, secret: SessionSecret) -> tuple[bytes, ...]:
        """Return the sealed parts of ``secret`` for a row whose lease's fence is to be committed.

        Each part is bound to the session, its app, that fence, and its place among the parts.
        """
        data = secret.to_json().encode()
        parts = [data[start : start + _PART_BYTES] for start in range(0, len(data), _PART_BYTES)]
        with translated("kms"):
            return tuple(
                self._client().encrypt(
                    KeyId=self._key_id,
                    Plaintext=part,
                    EncryptionContext=_context(row, row.fence, index, len(parts)),
                )["CiphertextBlob"]
                for index, part in enumerate(parts)
            )

    def open(self, row: SignIn) -> SessionSecret:
        """Return what ``seal`` sealed for the fence that the row committed."""
        with translated("kms"):
            data = b"".join(
                self._client().decrypt(
                    KeyId=self._key_id,
                    CiphertextBlob=part,
                    EncryptionContext=_context(row, row.committed_fence, index, len(row.escrow)),
                )["Plaintext"]
                for index, part in enumerate(row.escrow)
            )
        return SessionSecret.from_json(data)

    def _client(self) -> KmsClient:
        if self._made is None:
            self._made = self._make_client()
        return self._made


def _context(row: SignIn, fence: int, index: int, count: int) -> dict[str, str]:
    """Return the encryption context, which CloudTrail shows: a digest of the session id in place of the id."""
    return {
        "purpose": "escrow",
        "session": session_digest(row.session_id),
        "client_id": row.client_id,
        "fence": str(fence),
        "part": f"{index + 1}/{count}",
    }
