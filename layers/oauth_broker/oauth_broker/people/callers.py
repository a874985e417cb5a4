"""The party that asks about a person's sessions: it holds a refresh token of one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from oauth_broker.clock import Clock
from oauth_broker.config.clients import Client
from oauth_broker.config.settings import Settings
from oauth_broker.errors import BrokerError, InvalidGrant, TooManyRequests
from oauth_broker.oauth.requests import RefreshTokenGrant
from oauth_broker.oauth.tokens import RefreshToken
from oauth_broker.operations.rate_limits import RateLimits
from oauth_broker.people.subjects import proven_subject
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.not_before import NotBefore
from oauth_broker.sessions.renewers import refuse_forged
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.table import SignIns
from oauth_broker.sessions.token_store import TokenStore
from oauth_broker.sessions.verdict import Terms, Verdict, end_reason, judge

# The failure of a refresh token that a verdict refuses, as in a refresh: a superseded one ends its session.
Refusal = Callable[[Verdict, SignIn, RefreshTokenGrant, Invocation], BrokerError]
# A lease or a pause of the session changes nothing about the right to ask.
_HOLDS = (Verdict.REPLAY, Verdict.WAIT, Verdict.PAUSED, Verdict.READY)
# RateLimits counts by app and source. A person counts once, whatever app and address they use.
_ANY_APP = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller with a proven right to one session. ``subject`` is '' if nobody knows whose session it is."""

    client: Client
    row: SignIn
    subject: str

    @property
    def session_id(self) -> str:
        """The session of the token."""
        return self.row.session_id

    def refuse_beyond(self, limits: RateLimits, reason: str, seconds: float) -> None:
        """Raise TooManyRequests if the person has used up the limit. A caller without a subject counts alone."""
        if limits.is_exceeded(_ANY_APP, self.subject or self.session_id):
            raise TooManyRequests(reason, seconds)

    def count_for(self, limits: RateLimits) -> None:
        """Count one request of the person."""
        limits.count(_ANY_APP, self.subject or self.session_id)


class Callers:
    """Proves the right of a caller by its refresh token. A refused token writes nothing, unless it ends its session."""

    def __init__(
        self,
        settings: Settings,
        sign_ins: SignIns,
        not_before: NotBefore,
        token_store: TokenStore,
        refusal: Refusal,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._sign_ins = sign_ins
        self._not_before = not_before
        self._token_store = token_store
        self._refusal = refusal
        self._clock = clock

    def of(self, client: Client, token: RefreshToken, invocation: Invocation) -> Caller:
        """Return the caller with the current refresh token of a session, or the previous one within the grace.

        An authentic superseded token ends its session, as in a refresh. Raises InvalidGrant for every other token. A
        previous token after the grace may be a late retry: it is refused, its session goes on, and its app refreshes
        first. Raises ServiceUnavailable if a store fails.
        """
        invocation.about_session(token.session_id, client.client_id)
        grant, now = RefreshTokenGrant(client, token, None), self._clock.now()
        replay_after = now - self._settings.refresh_grace_seconds
        terms = Terms(replay_after, self._settings.late_retry, self._not_before.of(client.client_id))
        row = self._sign_ins.find(token.session_id)
        verdict = judge(row, grant, terms, now)
        if row is None or verdict is Verdict.ENDED:
            raise InvalidGrant(end_reason(row, client, now))
        if verdict not in _HOLDS:
            raise self._refusal(verdict, row, grant, invocation)
        if verdict is not Verdict.REPLAY and not token.has_hash(row.handle_hash):
            raise InvalidGrant("previous_token")
        secret = self._token_store.committed(row)
        refuse_forged(token, secret, invocation)
        return Caller(client, row, proven_subject(row, secret, invocation))
