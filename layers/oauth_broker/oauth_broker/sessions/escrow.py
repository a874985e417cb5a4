"""Escrow: the row carries an answer of Aries, sealed by KMS, until Secrets Manager takes an answer again.

Secrets Manager takes at most 50 writes a second in a region. That limit must not lose a refresh after Aries has
answered it. As a last resort, the commit therefore carries the answer itself.
"""

from __future__ import annotations

from collections.abc import Callable

from oauth_broker.runtime.aws import KmsClient, translated
from oauth_broker.secret import session_digest
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.session_secret import SessionSecret

# KMS encrypts at most 4,096 bytes a call, so a longer value takes several calls.
_PART_BYTES = 4096


class Escrow:
    """Seals and opens session secrets with the stack's key. Raises ServiceUnavailable if KMS fails."""

    def __init__(self, make_client: Callable[[], KmsClient], key_id: str) -> None:
        # The client is made on first use: hardly any process needs it, and it would cost every cold start.
        self._make_client = make_client
        self._made: KmsClient | None = None
        self._key_id = key_id

    def seal(self, row: SignIn, secret: SessionSecret) -> tuple[bytes, ...]:
        """Return the sealed parts of ``secret``, for the commit of the row's fence.

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
        """Open the sealed parts in the row, bound to its committed fence."""
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
    """Return the encryption context. CloudTrail shows it, so it has a digest of the session id in place of the id."""
    return {
        "purpose": "escrow",
        "session": session_digest(row.session_id),
        "client_id": row.client_id,
        "fence": str(fence),
        "part": f"{index + 1}/{count}",
    }
