"""The secrets of a session, and their stored form."""

from __future__ import annotations

import json
from dataclasses import dataclass

from oauth_broker.errors import ServiceUnavailable
from oauth_broker.secret import Secret
from oauth_broker.strict_json import parse_object


@dataclass(frozen=True, slots=True)
class SessionSecret:
    """The secrets of a session. ``refresh_token`` is Aries', or None if Aries gave none.

    ``session_key`` authenticates the broker's own refresh tokens. ``holder`` is a digest of the app that may redeem the
    code (``tokens.app_digest``). Every version has the same ``session_key`` and ``holder``. ``access_seconds`` is the
    whole life of the access token, as Aries granted it; 0 if a release wrote the secret that did not note it.
    """

    session_key: Secret
    holder: str
    access_token: Secret
    refresh_token: Secret | None
    access_expires_at: int
    scope: str
    access_seconds: int = 0

    def to_json(self) -> str:
        """Return the stored form, always the same text for the same value."""
        return json.dumps(
            {
                "session_key": self.session_key.reveal(),
                "holder": self.holder,
                "access_token": self.access_token.reveal(),
                "refresh_token": self.refresh_token.reveal() if self.refresh_token else None,
                "access_expires_at": self.access_expires_at,
                "scope": self.scope,
                "access_seconds": self.access_seconds,
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> SessionSecret:
        """Read the stored form.

        Raises ServiceUnavailable if the form is wrong, because our own fault must never end a session.
        """
        try:
            match {"access_seconds": 0} | parse_object(text):
                case {
                    "session_key": str(session_key),
                    "holder": str(holder),
                    "access_token": str(access_token),
                    "refresh_token": str() | None as refresh_token,
                    "access_expires_at": int(expires_at),
                    "scope": str(scope),
                    "access_seconds": int(seconds),
                } if not isinstance(expires_at, bool) and not isinstance(seconds, bool):
                    key, access = Secret(session_key), Secret(access_token)
                    refreshing = None if refresh_token is None else Secret(refresh_token)
                    return cls(key, holder, access, refreshing, expires_at, scope, seconds)
        except ValueError as error:
            raise ServiceUnavailable("vault:malformed_secret") from error
        raise ServiceUnavailable("vault:malformed_secret")
