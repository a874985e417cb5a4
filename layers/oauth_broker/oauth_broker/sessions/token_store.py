"""The tokens of a session: in the secret store, or sealed in the row.

A session's store is chosen at its sign-in and never changes. A session in the row never touches Secrets Manager.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from oauth_broker.clock import Backoff, Clock
from oauth_broker.errors import InvalidGrant, NotAllowed, ServiceUnavailable
from oauth_broker.oauth.tokens import secret_version
from oauth_broker.runtime.aws import AWS_CALL_SECONDS
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.row import IN_ROW, SignIn
from oauth_broker.sessions.seal import FINAL, Seal
from oauth_broker.sessions.secret_store import SecretStore
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.sessions.table import SignIns

Found = TypeVar("Found")

# Secrets Manager is eventually consistent: a read may miss a new version for a moment.
READ_LAG_SECONDS = 3.0
# After this time without success at the secret store, KMS seals the answer into the row. A longer time would only hold
# more workers, and keep Secrets Manager's limit of 50 writes a second exhausted.
_SECRET_STORE_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """An answer of Aries. The commit writes ``version``, ``escrow`` and ``sealed`` to the row.

    In the secret store the answer is durable. ``escrow`` has it if the secret store refused it, and ``sealed`` has it
    for a session in the row: in both cases the commit makes it durable.
    """

    secret: SessionSecret
    version: str
    escrow: tuple[bytes, ...] = ()
    sealed: tuple[bytes, ...] = ()


class TokenStore:
    """Reads and writes the tokens of sessions. Every method raises ServiceUnavailable if a store fails."""

    def __init__(
        self,
        sign_ins: SignIns,
        secret_store: SecretStore,
        seal: Seal,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._sign_ins = sign_ins
        self._secret_store = secret_store
        self._seal = seal
        self._clock = clock
        self._backoff = Backoff(clock, random_bytes)
        # Whether KMS refused to seal the last answer for a row, in this process.
        self._cannot_seal = False

    def create(self, row: SignIn, secret: SessionSecret) -> StoredTokens:
        """Store the first tokens of a claimed sign-in, in the secret store. Repeating it is safe."""
        return StoredTokens(secret, self._secret_store.create(row.session_id, secret))

    def create_in_row(self, row: SignIn, secret: SessionSecret) -> StoredTokens:
        """Seal the first tokens of a claimed sign-in for its row. Repeating it is safe.

        The failure is not retriable if the key does not serve: the person need not wait for it to the end.
        Nobody ever writes the version of fence -1. A release that knows no seal therefore finds no tokens and answers
        503; it neither calls Aries nor ends the session.
        """
        version = secret_version(row.session_id, -1)
        return StoredTokens(secret, version, sealed=self._seal.sealing(row, secret, "row").sealed(FINAL))

    def committed(self, row: SignIn) -> SessionSecret:
        """Return the tokens that the row committed.

        The read takes the version in the row, never the current one, and never a cache. If that version is gone, the
        row decides: raises InvalidGrant if the session has ended since the row was read, and else ServiceUnavailable.
        If AWS denies the read, the row decides likewise: AWS does not document whether Secrets Manager answers so for
        an absent name.
        """
        if row.token_store == IN_ROW:
            return self._seal.open(row, "row")
        if row.escrow:
            return self._seal.open(row, "escrow")
        last: ServiceUnavailable = ServiceUnavailable("vault:version_not_found")

        def read() -> SessionSecret | None:
            nonlocal last
            try:
                return self._secret_store.read(row.session_id, row.secret_version)
            except NotAllowed as failure:
                last = failure
                return None

        secret = self._repeatedly(read)
        if secret is not None:
            return secret
        self._refuse_ended(row)
        raise last

    def _refuse_ended(self, row: SignIn) -> None:
        """Raise InvalidGrant if the session has ended or expired since ``row`` was read."""
        again = self._sign_ins.find(row.session_id)
        if again is None or again.status != row.status or not again.is_live(self._clock.now()):
            raise InvalidGrant("session_ended")

    def earlier(self, row: SignIn) -> StoredTokens | None:
        """Return the newest answer stored since the last commit under a fence before the row's, or None.

        A session in the row has none, because one write stores and commits its tokens. A read may miss a new version
        for a moment. A version therefore counts as missing after READ_LAG_SECONDS and no sooner. An older version
        counts once every newer one is missing.
        """
        fences = range(row.fence - 1, row.committed_fence, -1)
        if not fences or row.token_store == IN_ROW:
            return None
        found: dict[int, StoredTokens] = {}

        def newest() -> StoredTokens | None:
            for fence in fences:
                if fence not in found:
                    version = secret_version(row.session_id, fence)
                    secret = self._secret_store.read(row.session_id, version)
                    if secret is not None:
                        found[fence] = StoredTokens(secret, version)
            return found.get(fences[0])

        return self._repeatedly(newest) or (found[max(found)] if found else None)

    def refuse_unless_it_can_seal(self, row: SignIn, secret: SessionSecret) -> None:
        """Seal ``secret`` for nothing if KMS refused this process' last sealing. Call it before Aries is asked.

        If KMS opens and does not seal, each refresh would lose its session. Each process therefore loses one at most.
        """
        if row.token_store == IN_ROW and self._cannot_seal:
            self._seal.sealing(row, secret, "row").sealed()
            self._cannot_seal = False

    def store(self, row: SignIn, secret: SessionSecret, invocation: Invocation) -> StoredTokens:
        """Make Aries' answer durable under the row's fence: in the secret store, or sealed for the commit to carry.

        Tries both until the time left is short enough for the commit alone. Raises ServiceUnavailable if both fail.
        For a session in the row, the commit always carries the answer.
        """
        if row.token_store == IN_ROW:
            self._cannot_seal = True
            in_row = self._seal.sealing(row, secret, "row")
            sealed = self._backoff.until_done(in_row.sealed, lambda: invocation.remaining() - AWS_CALL_SECONDS)
            self._cannot_seal = False
            return StoredTokens(secret, row.secret_version, sealed=sealed)
        seal_at = self._clock.now() + _SECRET_STORE_SECONDS
        store_may_take_it = True
        escrow = self._seal.sealing(row, secret, "escrow")
        for _ in self._backoff.tries(lambda: invocation.remaining() - AWS_CALL_SECONDS):
            if store_may_take_it:
                try:
                    return StoredTokens(secret, self._secret_store.store(row.session_id, row.fence, secret))
                except ServiceUnavailable as failure:
                    store_may_take_it, last = failure.retriable, failure
            if not store_may_take_it or self._clock.now() >= seal_at:
                try:
                    sealed = escrow.sealed()
                except ServiceUnavailable as failure:
                    last = failure
                else:
                    invocation.count("Escrowed")
                    invocation.log("escrowed", level="warning", reason=last.reason)
                    # The version stays the old one, because the version of this fence may not exist.
                    return StoredTokens(secret, row.secret_version, escrow=sealed)
        raise last

    def _repeatedly(self, read: Callable[[], Found | None]) -> Found | None:
        for _ in self._backoff.tries_for(READ_LAG_SECONDS):
            found = read()
            if found is not None:
                return found
        return None
