"""A session's tokens wherever they are: in the vault, or sealed in the row where the vault would not take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from oauth_broker.backoff import pauses
from oauth_broker.clock import Clock
from oauth_broker.escrow import Escrow
from oauth_broker.handles import secret_version
from oauth_broker.invocation import Invocation
from oauth_broker.session_secret import SessionSecret
from oauth_broker.sign_in import SignIn
from oauth_broker.vault import NotStored, Vault

Found = TypeVar("Found")

# Secrets Manager is eventually consistent: what was written a moment ago may not be read yet.
READ_LAG_SECONDS = 3.0
# What must be left to seal an answer and to commit it.
_ESCROW_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A durable answer of Aries. ``version`` is the vault's; ``escrow`` is not empty where the row must carry it."""

    secret: SessionSecret
    version: str
    escrow: tuple[bytes, ...] = ()


class SessionStore:
    """Reads and writes the tokens of sessions. Every method raises Busy where a store fails."""

    def __init__(self, vault: Vault, escrow: Escrow, clock: Clock, token_bytes: Callable[[int], bytes]) -> None:
        self._vault = vault
        self._escrow = escrow
        self._clock = clock
        self._token_bytes = token_bytes

    def committed(self, row: SignIn) -> SessionSecret | None:
        """Return what the row committed, or None where it is gone.

        By the version that the row names, never whatever is current, and never from a cache.
        """
        if row.escrow:
            return self._escrow.open(row.session_id, row.escrow)
        return self._repeatedly(lambda: self._vault.read(row.session_id, row.secret_version))

    def earlier(self, row: SignIn) -> Kept | None:
        """Return what was stored since the last commit under a fence before the row's, the newest, or None.

        A version that is not found may have been written a moment ago, so that it counts as missing only when several
        seconds have passed; an older one is good only once every newer one is missing.
        """
        fences = range(row.fence - 1, row.committed_fence, -1)
        if not fences:
            return None
        found: dict[int, Kept] = {}

        def newest() -> Kept | None:
            for fence in fences:
                if fence not in found:
                    version = secret_version(row.session_id, fence)
                    secret = self._vault.read(row.session_id, version)
                    if secret is not None:
                        found[fence] = Kept(secret, version)
            return found.get(fences[0])

        return self._repeatedly(newest) or (found[max(found)] if found else None)

    def keep(self, row: SignIn, secret: SessionSecret, invocation: Invocation) -> Kept:
        """Make Aries' answer durable under the row's fence.

        Secrets Manager limits writes to 50 a second in a region, so the write is repeated while there is time, and then
        the answer is sealed for the commit to carry. Raises Busy where even that fails.
        """
        backoff = pauses(self._token_bytes, longest=2.0)
        while True:
            pause = next(backoff)
            try:
                return Kept(secret, self._vault.store(row.session_id, row.fence, secret))
            except NotStored as failure:
                if not failure.retriable or invocation.remaining() - pause < _ESCROW_SECONDS:
                    invocation.count("Escrowed")
                    invocation.log("escrowed", level="warning", session_id=row.session_id, reason=failure.reason)
                    break
            self._clock.sleep(pause)
        # The version stays the old one's: no version of this fence is known to exist.
        return Kept(secret, row.secret_version, self._escrow.seal(row.session_id, secret))

    def _repeatedly(self, read: Callable[[], Found | None]) -> Found | None:
        give_up_at = self._clock.now() + READ_LAG_SECONDS
        backoff = pauses(self._token_bytes)
        while (found := read()) is None and self._clock.now() < give_up_at:
            self._clock.sleep(next(backoff))
        return found
