"""The rules of Aries without any I/O: the HTTP server enforces them, and a test may drive them directly."""

import hmac
import re
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256

from tests.local.aries.authorization import AuthorizationRequest, parse_authorization
from tests.local.aries.dialects import DIALECTS, DialectName
from tests.local.aries.errors import InvalidClient, InvalidGrant, InvalidRequest, TokenError, UnsupportedGrantType
from tests.local.aries.tokens import USERS, Behaviour, Family, IssuedTokens, Rotation, User

PROFILE_SCOPES = frozenset({"user:information", "account:information"})

# RFC 7636 section 4.1.
_CODE_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


@dataclass
class _Code:
    """A one-time authorization code, with the approved request, and its use."""

    request: AuthorizationRequest
    user: User
    expires_at: float
    used: bool = False
    family: Family | None = None


class AriesCore:
    """The authorization server and its tokens. Thread-safe; every operation is atomic."""

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        redirect_uris: Collection[str],
        *,
        scopes: Collection[str],
        rotation: Rotation = "strict",
        dialect: DialectName = "aries",
        access_token_seconds: int = 3600,
        code_seconds: float = 60,
        grace_seconds: float = 60,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.client_id = client_id
        self.redirect_uris = tuple(redirect_uris)
        self.scopes = tuple(scopes)
        self.dialect = DIALECTS[dialect]
        self.behaviour = Behaviour(rotation, access_token_seconds, code_seconds, grace_seconds)
        self.now = now
        self._client_secrets: tuple[str, ...] = (client_secret,)
        self._tokens = IssuedTokens(self.behaviour, now)
        self._codes: dict[str, _Code] = {}
        self._lock = threading.Lock()

    def set_client_secrets(self, *client_secrets: str) -> None:
        """Replaces the client secret; several are all accepted, as while an operator rotates it."""
        self._client_secrets = client_secrets

    def authorize(self, query: str) -> AuthorizationRequest:
        """Checks the raw query string of an authorization request; raises PageRefusal or RedirectRefusal."""
        return parse_authorization(query, self.client_id, self.redirect_uris, self.scopes)

    def approve(self, request: AuthorizationRequest, user: User = USERS[0]) -> str:
        """The one-time code for an approved request."""
        code = secrets.token_urlsafe(32)
        with self._lock:
            self._codes[code] = _Code(request, user, self.now() + self.behaviour.code_seconds)
        return code

    def token(self, body: Mapping[str, object]) -> tuple[int, dict[str, object]]:
        """The token endpoint: status and body of the answer. Unknown members are ignored (RFC 6749 section 3.2)."""
        with self._lock:
            try:
                return 200, self._grant(_strings(body))
            except TokenError as error:
                return int(error.status), error.body()

    def user(self, access_token: str) -> User:
        """The account behind an access token; raises BearerError."""
        with self._lock:
            return self._tokens.user_of(access_token, any_scope=PROFILE_SCOPES)

    def families(self) -> list[str]:
        """The ids of all token families, oldest first. Every exchange of a code begins a family."""
        with self._lock:
            return list(self._tokens.families)

    def family_of(self, token: object) -> str | None:
        """The family of an access or refresh token, good or not, or None if Aries never issued it."""
        with self._lock:
            family = self._tokens.family_of(token) if isinstance(token, str) else None
            return family.id if family else None

    def current_refresh_token(self, family: str) -> str | None:
        """The newest refresh token of a family, or None if the family was ended."""
        with self._lock:
            found = self._tokens.families[family]
            return found.refresh_token if found.live else None

    def newest_refresh_token(self, family: str) -> str:
        """The newest refresh token of a family, good or not."""
        with self._lock:
            return self._tokens.families[family].refresh_token

    def is_refresh_token_live(self, token: str) -> bool:
        """Whether a refresh with this token would be accepted now."""
        with self._lock:
            return self._tokens.is_live(token)

    def revoke_family(self, family: str) -> None:
        """Ends a family, as when the person withdraws the app's access at Aries."""
        with self._lock:
            self._tokens.families[family].live = False

    def _grant(self, body: dict[str, str]) -> dict[str, object]:
        grant_type = _required(body, "grant_type")
        if grant_type == self.dialect.code_grant:
            return self._exchange(body)
        if grant_type == "refresh_token":
            return self._refresh(body)
        raise UnsupportedGrantType(f"grant_type must be {self.dialect.code_grant} or refresh_token")

    def _exchange(self, body: dict[str, str]) -> dict[str, object]:
        if "client_secret" in body and not self.dialect.code_takes_secret:
            raise InvalidRequest("client_secret must not be sent with a code: code_verifier takes its place")
        presented, redirect_uri = _required(body, "code"), _required(body, "redirect_uri")
        verifier = _required(body, "code_verifier")
        self._identify(body, secret_required=False)
        if not _CODE_VERIFIER.fullmatch(verifier):
            raise InvalidRequest("code_verifier must be 43 to 128 unreserved characters")
        code = self._take_code(presented)
        if redirect_uri != code.request.redirect_uri:
            raise InvalidGrant("redirect_uri differs from the one of the authorization request")
        if not hmac.compare_digest(_challenge(verifier), code.request.code_challenge):
            raise InvalidGrant("code_verifier does not match code_challenge")
        code.family = self._tokens.open_family(code.user, code.request.scopes, redirect_uri)
        return self._tokens.answer(code.family)

    def _take_code(self, presented: str) -> _Code:
        """Uses up a code, whatever comes of the request: "do not use the code twice"."""
        code = self._codes.get(presented)
        if code is None:
            raise InvalidGrant("The code is unknown")
        if code.used:
            # RFC 6749 section 4.1.2: a second use of a code should revoke the tokens issued from it.
            if code.family:
                code.family.live = False
            raise InvalidGrant("The code has been used")
        code.used = True
        if self.now() >= code.expires_at:
            raise InvalidGrant("The code has expired")
        return code

    def _refresh(self, body: dict[str, str]) -> dict[str, object]:
        refresh_token, redirect_uri = _required(body, "refresh_token"), body.get("redirect_uri")
        if self.dialect.refresh_needs_redirect_uri:
            redirect_uri = _required(body, "redirect_uri")
        self._identify(body, secret_required=True)
        return self._tokens.refresh(refresh_token, redirect_uri)

    def _identify(self, body: dict[str, str], *, secret_required: bool) -> None:
        if _required(body, "client_id") != self.client_id:
            raise InvalidClient("The client is unknown")
        if secret_required:
            _required(body, "client_secret")
        presented = body.get("client_secret")
        if presented is not None and not any(_same(presented, secret) for secret in self._client_secrets):
            raise InvalidClient("The client secret is wrong")


def _strings(body: Mapping[str, object]) -> dict[str, str]:
    strings = {name: value for name, value in body.items() if isinstance(value, str)}
    if len(strings) != len(body):
        raise InvalidRequest("Every member must be a string")
    return strings


def _required(body: dict[str, str], name: str) -> str:
    # RFC 6749 section 3.2: a parameter without a value counts as omitted.
    if not body.get(name):
        raise InvalidRequest(f"{name} is required")
    return body[name]


def _challenge(verifier: str) -> str:
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _same(presented: str, expected: str) -> bool:
    # JSON can spell a lone surrogate, and plain UTF-8 cannot encode it.
    return hmac.compare_digest(presented.encode("utf-8", "surrogatepass"), expected.encode())
