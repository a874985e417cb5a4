"""Token families: the issued tokens, their validity, and the rotation of refresh tokens."""

import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.local.aries.errors import InsufficientScope, InvalidAccessToken, InvalidGrant

Rotation = Literal["none", "same", "strict", "grace", "family"]


@dataclass
class Behaviour:
    """Settings for a test to change while the simulator runs.

    `rotation` says what a refresh does to the refresh token: `none` keeps it and leaves it out of the answer; `same`
    keeps it and repeats it; `strict` replaces it, the old one is invalid at once; `grace` replaces it, and the one
    before is answered with the current one for `grace_seconds`; `family` replaces it, and use of an old one ends the
    whole family.
    """

    rotation: Rotation
    access_token_seconds: int
    code_seconds: float
    grace_seconds: float


@dataclass(frozen=True)
class User:
    """A person with an account at Aries."""

    id: str
    name: str
    email: str


USERS = (
    User("usr_1001", "Alex Morgan", "alex.morgan@example.com"),
    User("usr_1002", "Sam Rivera", "sam.rivera@example.com"),
)


@dataclass
class Family:
    """All tokens from one approval."""

    id: str
    user: User
    scopes: tuple[str, ...]
    redirect_uri: str
    refresh_token: str
    previous: str | None = None
    rotated_at: float = 0.0
    live: bool = True


class IssuedTokens:
    """Every token ever issued. It has no lock of its own: the core holds a lock around each operation."""

    def __init__(self, behaviour: Behaviour, now: Callable[[], float]) -> None:
        self._behaviour = behaviour
        self._now = now
        self.families: dict[str, Family] = {}
        self._of_refresh_token: dict[str, Family] = {}
        self._of_access_token: dict[str, tuple[Family, float]] = {}

    def open_family(self, user: User, scopes: tuple[str, ...], redirect_uri: str) -> Family:
        family = Family(f"family-{len(self.families) + 1}", user, scopes, redirect_uri, new_refresh_token())
        self.families[family.id] = family
        self._of_refresh_token[family.refresh_token] = family
        return family

    def family_of(self, token: str) -> Family | None:
        """The family of any access or refresh token ever issued, good or not."""
        known = self._of_access_token.get(token)
        return known[0] if known else self._of_refresh_token.get(token)

    def is_live(self, refresh_token: str) -> bool:
        """Whether a refresh with this token would be accepted now."""
        family = self._of_refresh_token.get(refresh_token)
        return (
            family is not None
            and family.live
            and (refresh_token == family.refresh_token or self._in_grace(family, refresh_token))
        )

    def refresh(self, refresh_token: str, redirect_uri: str | None) -> dict[str, object]:
        """The token endpoint's answer to a refresh; raises InvalidGrant. `redirect_uri` None was not sent."""
        family = self._of_refresh_token.get(refresh_token)
        if family is None or not family.live:
            raise InvalidGrant("The refresh token is unknown or revoked")
        if redirect_uri not in (None, family.redirect_uri):
            raise InvalidGrant("redirect_uri differs from the one of the authorization request")
        if not self.is_live(refresh_token):
            if self._behaviour.rotation == "family":
                family.live = False
            raise InvalidGrant("The refresh token has been replaced")
        rotates = self._behaviour.rotation in ("strict", "grace", "family")
        if rotates and refresh_token == family.refresh_token:
            self._rotate(family)
        return self.answer(family, with_refresh_token=self._behaviour.rotation != "none")

    def answer(self, family: Family, *, with_refresh_token: bool = True) -> dict[str, object]:
        """A success body of the documented form, with a new access token."""
        issued_at, seconds = self._now(), self._behaviour.access_token_seconds
        scope = " ".join(family.scopes)
        access_token = new_access_token(family.user.id, scope, issued_at, seconds)
        self._of_access_token[access_token] = (family, issued_at + seconds)
        body: dict[str, object] = {"access_token": access_token, "token_type": "Bearer", "expires_in": seconds}
        if with_refresh_token:
            body["refresh_token"] = family.refresh_token
        return body | {"scope": scope}

    def user_of(self, access_token: str, *, any_scope: frozenset[str]) -> User:
        """The account of a token, if it is good and holds one of these scopes. Raises BearerError."""
        family, expires_at = self._of_access_token.get(access_token, (None, 0.0))
        if family is None or not family.live or self._now() >= expires_at:
            raise InvalidAccessToken
        if any_scope.isdisjoint(family.scopes):
            raise InsufficientScope
        return family.user

    def _rotate(self, family: Family) -> None:
        family.previous, family.refresh_token = family.refresh_token, new_refresh_token()
        family.rotated_at = self._now()
        self._of_refresh_token[family.refresh_token] = family

    def _in_grace(self, family: Family, refresh_token: str) -> bool:
        return (
            self._behaviour.rotation == "grace"
            and refresh_token == family.previous
            and self._now() < family.rotated_at + self._behaviour.grace_seconds
        )


def new_access_token(subject: str, scope: str, issued_at: float, seconds: int) -> str:
    """An opaque string of a JWT's shape and size (about 700 bytes). Its signature is random; it is not for reading."""
    claims = {
        "iss": "https://app.aries.com",
        "sub": subject,
        "aud": "https://api.aries.com",
        "scope": scope,
        "iat": int(issued_at),
        "exp": int(issued_at) + seconds,
        "jti": secrets.token_hex(16),
    }
    return f"{_encoded({'alg': 'RS256', 'typ': 'JWT'})}.{_encoded(claims)}.{secrets.token_urlsafe(256)}"


def new_refresh_token() -> str:
    """An opaque string of an encrypted JWT's shape and size (about 400 bytes)."""
    header = _encoded({"cty": "JWT", "enc": "A256GCM", "alg": "RSA-OAEP"})
    return ".".join([header, *(secrets.token_urlsafe(size) for size in (128, 12, 90, 16))])


def _encoded(value: dict[str, object]) -> str:
    text = json.dumps(value, separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
