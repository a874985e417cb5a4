"""A session's tokens wherever they are: in the vault, or sealed in the row where the vault would not take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from oauth_broker.clock import Backoff, Clock
from oauth_broker.errors import InvalidGrant, NotAllowed, ServiceUnavailable
from oauth_broker.oauth.tokens import secret_version
from oauth_broker.runtime.aws import AWS_CALL_SECONDS
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.escrow import Escrow
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.secret_store import SecretStore
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.sessions.table import SignIns

Found = TypeVar("Found")

# Secrets Manager is eventually consistent: what was written a moment ago may not be read yet.
READ_LAG_SECONDS = 3.0
# How long the vault is asked before an answer is sealed into the row instead. Longer would only hold more workers, and
# keep Secrets Manager's limit of 50 writes a second exhausted.
_VAULT_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """A durable answer of Aries. ``version`` is the vault's; ``escrow`` is not empty where the row must carry it."""

    secret: SessionSecret
    version: str
    escrow: tuple[bytes, ...] = ()


class TokenStore:
    """Reads and writes the tokens of sessions. Every method raises ServiceUnavailable where a store fails."""

    def __init__(
        self,
        sign_ins: SignIns,
        secret_store: SecretStore,
        escrow: Escrow,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._sign_ins = sign_ins
        self._secret_store = secret_store
        self._escrow = escrow
        self._clock = clock
        self._backoff = Backoff(clock, random_bytes)

    def committed(self, row: SignIn) -> SessionSecret:
        """Return what the row committed.

        By the version that the row names, never whatever is current, and never from a cache. Raises InvalidGrant where
        it is gone because the session has ended since the row was read, and ServiceUnavailable where it is gone
        though it has not. If AWS refuses the reading for want of a right, the row decides likewise: AWS does not
        document whether Secrets Manager answers so for a name that does not exist.
        """
        if row.escrow:
            return self._escrow.open(row)
        last: ServiceUnavailable = ServiceUnavailable("vault:version_not_found")

        def read() -> SessionSecret | None:
            nonlocal last
            try:
                return self._secret_store.read(row.session_id, row.secret_version)
            except NotAllowed as refusal:
                last = refusal
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
        """Return what was stored since the last commit under a fence before the row's, the newest, or None.

        A version that is not found may have been written a moment ago, so that it counts as missing only when several
        seconds have passed; an older one is good only once every newer one is missing.
        """
        fences = range(row.fence - 1, row.committed_fence, -1)
        if not fences:
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

    def store(self, row: SignIn, secret: SessionSecret, invocation: Invocation) -> StoredTokens:
        """Make Aries' answer durable under the row's fence: in the vault, or sealed for the commit to carry.

        Tries both until there is only time for the commit. Raises ServiceUnavailable where neither took it.
        """
        vault_until = self._clock.now() + _VAULT_SECONDS
        vault_may_take_it = True
        for _ in self._backoff.tries(lambda: invocation.remaining() - AWS_CALL_SECONDS):
            if vault_may_take_it:
                try:
                    return StoredTokens(secret, self._secret_store.store(row.session_id, row.fence, secret))
                except ServiceUnavailable as failure:
                    vault_may_take_it, last = failure.retriable, failure
            if not vault_may_take_it or self._clock.now() >= vault_until:
                try:
                    sealed = self._escrow.seal(row, secret)
                except ServiceUnavailable as failure:
                    last = failure
                else:
                    invocation.count("Escrowed")
                    invocation.log("escrowed", level="warning", reason=last.reason)
                    # The version stays the old one's: no version of this fence is known to exist.
                    return StoredTokens(secret, row.secret_version, sealed)
        raise last

    def _repeatedly(self, read: Callable[[], Found | None]) -> Found | None:
        for _ in self._backoff.tries_for(READ_LAG_SECONDS):
            found = read()
            if found is not None:
                return found
        return None
