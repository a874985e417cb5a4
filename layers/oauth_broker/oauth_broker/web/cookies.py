"""The cookies of sign-ins. Each sign-in has its own cookie, and the cookie binds it to the browser of its start."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from oauth_broker.secret import Secret

# A sixth cookie would come close to API Gateway's limit of 10,240 bytes for all headers.
_MAX_COOKIES = 5
_ID_LENGTH = 16


@dataclass(frozen=True, slots=True)
class BrowserCookies:
    """The naming of the cookies.

    ``secure`` is False only if the issuer is http on loopback, because some browsers and cookie jars drop Secure
    cookies there. Everywhere else the ``__Host-`` prefix (RFC 6265bis section 4.1.3.2) keeps other hosts from setting
    the cookies.
    """

    secure: bool

    @classmethod
    def for_issuer(cls, issuer: str) -> BrowserCookies:
        """Return the naming that suits the issuer."""
        return cls(secure=issuer.startswith("https://"))

    @property
    def _prefix(self) -> str:
        return "__Host-signin-" if self.secure else "signin-"

    def _attributes(self, max_age: int) -> str:
        return f"Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax" + ("; Secure" if self.secure else "")

    def find(self, session_id: str, cookies: Iterable[str]) -> Secret | None:
        """Return this sign-in's cookie value from a request's cookies (``name=value`` each), or None."""
        wanted = self._prefix + session_id[:_ID_LENGTH]
        values = [value for name, _, value in (cookie.partition("=") for cookie in cookies) if name == wanted]
        return Secret(values[0]) if len(values) == 1 and values[0].isascii() else None

    def bind(self, session_id: str, value: Secret, present: Iterable[str], seconds: int) -> tuple[str, ...]:
        """Return the Set-Cookie values for a new sign-in: its own cookie, and removals of the oldest beyond five.

        The new cookie lives for ``seconds``. ``present`` are the request's cookies. Browsers send the
        oldest first (RFC 6265 section 5.4).
        """
        ours = re.compile(re.escape(self._prefix) + rf"[A-Za-z0-9_-]{{{_ID_LENGTH}}}")
        names = [name for name in (cookie.partition("=")[0] for cookie in present) if ours.fullmatch(name)]
        surplus = names[: max(0, len(names) - _MAX_COOKIES + 1)]
        return (
            f"{self._prefix}{session_id[:_ID_LENGTH]}={value.reveal()}; {self._attributes(seconds)}",
            *(f"{name}=; {self._attributes(0)}" for name in surplus),
        )
