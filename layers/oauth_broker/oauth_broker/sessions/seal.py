"""Seals: a session's tokens as ciphertexts of KMS, in the session's row.

Two kinds of rows have a seal:

* A session that keeps its tokens in the row (``token_store`` is `row`) has them in the attribute ``sealed``, always.
* A session with a secret has an **escrow** if Secrets Manager refused Aries' answer: the commit then carries the answer
  in the attribute ``escrow``. Secrets Manager takes at most 50 writes a second in a region, and that limit must not
  lose a refresh after Aries has answered it.

The plaintext is one byte for the form, and then the session secret's JSON, compressed. KMS opens a ciphertext only with
the encryption context of its sealing, so a seal opens in no other row, for no other app, and under no other fence.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Container
from functools import cached_property
from typing import Literal

from oauth_broker.errors import SealNotOpened, ServiceUnavailable
from oauth_broker.runtime.aws import KmsClient, translated
from oauth_broker.secret import session_digest
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.session_secret import SessionSecret

# The encryption context names it, and the roles' conditions too.
Purpose = Literal["escrow", "row"]

# KMS encrypts at most 4,096 bytes a call, so a longer value takes several calls.
_PART_BYTES = 4096
# The form of the plaintext. Before, the plaintext was the JSON itself, and JSON begins with a brace.
_COMPRESSED = b"\x01"
_PLAIN = b"{"
# Level 6 is zlib's own choice. Tokens of 4.7 KB become 3.6 KB: one call of KMS, and smaller rows.
_LEVEL = 6
# Secrets Manager's limit for one value, and so the longest secret that anybody stores.
_MAX_SECRET_BYTES = 64 * 1024
# KMS' answers that no repetition changes: the ciphertext or its context is another one, the key is another, disabled,
# about to be deleted or gone, or the function has no right.
FINAL = frozenset(
    {
        "InvalidCiphertextException",
        "IncorrectKeyException",
        "InvalidKeyUsageException",
        "DisabledException",
        "KMSInvalidStateException",
        "NotFoundException",
        "AccessDeniedException",
        # The ciphertext is empty, or longer than any of KMS.
        "ValidationException",
    }
)


class Seal:
    """Seals and opens session secrets with the stack's key. Raises ServiceUnavailable if KMS fails.

    A seal that does not open raises SealNotOpened, which is one of these. It never ends a session.
    """

    def __init__(self, make_client: Callable[[], KmsClient], key_id: str) -> None:
        # The client is made on first use. With a secret for each session hardly any process needs it, and it would
        # cost every cold start.
        self._make_client = make_client
        self._made: KmsClient | None = None
        self._key_id = key_id

    def sealing(self, row: SignIn, secret: SessionSecret, purpose: Purpose) -> Sealing:
        """Return the sealing of ``secret`` for the write that commits the row's fence. It has not asked KMS yet."""
        return Sealing(self, row, secret, purpose)

    def encrypt(self, part: bytes, context: dict[str, str]) -> bytes:
        """Return the ciphertext of one part. Raises what boto3 raises."""
        answer = self.client().encrypt(KeyId=self._key_id, Plaintext=part, EncryptionContext=context)
        return bytes(answer["CiphertextBlob"])

    def open(self, row: SignIn, purpose: Purpose) -> SessionSecret:
        """Open the parts in the row, bound to its committed fence. Raises SealNotOpened if no repetition can help."""
        sealed = row.sealed if purpose == "row" else row.escrow
        try:
            with translated("kms", FINAL):
                data = b"".join(
                    self.client().decrypt(
                        KeyId=self._key_id,
                        CiphertextBlob=part,
                        EncryptionContext=_context(row, purpose, row.committed_fence, index, len(sealed)),
                    )["Plaintext"]
                    for index, part in enumerate(sealed)
                )
        except ServiceUnavailable as failure:
            if failure.retriable:
                raise
            raise SealNotOpened(failure.reason, retriable=False) from failure
        expanded = _expanded(data)
        try:
            return SessionSecret.from_json(expanded)
        except ServiceUnavailable as failure:
            raise SealNotOpened("seal:malformed") from failure

    def client(self) -> KmsClient:
        """Return the client of KMS, made once."""
        if self._made is None:
            self._made = self._make_client()
        return self._made


class Sealing:
    """A secret on its way into the row. It keeps the parts that are sealed, so a repetition seals the others alone.

    Each part is bound to its purpose, the session, its app, the row's fence, and its place among the parts.
    """

    def __init__(self, seal: Seal, row: SignIn, secret: SessionSecret, purpose: Purpose) -> None:
        self._seal, self._row, self._secret, self._purpose = seal, row, secret, purpose
        self._sealed: list[bytes] = []

    @cached_property
    def _parts(self) -> list[bytes]:
        """Return the parts of the plaintext. Most refreshes never seal, and need not compress."""
        data = _COMPRESSED + zlib.compress(self._secret.to_json().encode(), _LEVEL)
        return [data[start : start + _PART_BYTES] for start in range(0, len(data), _PART_BYTES)]

    def sealed(self, final: Container[str] = ()) -> tuple[bytes, ...]:
        """Return the sealed parts, after sealing what is left.

        Raises ServiceUnavailable. It is retriable unless its error code is one of ``final``.
        """
        with translated("kms", final):
            for index in range(len(self._sealed), len(self._parts)):
                context = _context(self._row, self._purpose, self._row.fence, index, len(self._parts))
                self._sealed.append(self._seal.encrypt(self._parts[index], context))
        return tuple(self._sealed)


def _expanded(data: bytes) -> bytes:
    """Return the JSON in a plaintext. KMS has authenticated it, and its length is bounded all the same."""
    if data.startswith(_PLAIN):
        return data
    if not data.startswith(_COMPRESSED):
        raise SealNotOpened("seal:unknown_form")
    expander = zlib.decompressobj()
    try:
        expanded = expander.decompress(data[1:], _MAX_SECRET_BYTES)
    except zlib.error as error:
        raise SealNotOpened("seal:malformed") from error
    if not expander.eof:
        raise SealNotOpened("seal:malformed")
    return expanded


def _context(row: SignIn, purpose: Purpose, fence: int, index: int, count: int) -> dict[str, str]:
    """Return the encryption context. CloudTrail shows it, so it has a digest of the session id in place of the id."""
    return {
        "purpose": purpose,
        "session": session_digest(row.session_id),
        "client_id": row.client_id,
        "fence": str(fence),
        "part": f"{index + 1}/{count}",
    }
