"""Step 1: checks the query of an authorization request, and makes a value of it for the next step."""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from tests.local.aries.errors import PageRefusal, RedirectRefusal

# RFC 7636 section 4.2: base64url of a SHA-256 digest without padding is exactly 43 characters.
_CODE_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class AuthorizationRequest:
    """A checked authorization request."""

    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str
    code_challenge: str

    def location(self, **answer: str) -> str:
        """The redirect URI with these parameters and the `state`."""
        return with_query(self.redirect_uri, answer | {"state": self.state})


def parse_authorization(
    query: str, client_id: str, redirect_uris: Collection[str], known_scopes: Collection[str]
) -> AuthorizationRequest:
    """Checks a raw query string; raises PageRefusal or RedirectRefusal.

    Unknown parameters are ignored (RFC 6749 section 3.1).
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise PageRefusal("The request is not UTF-8.") from None
    parameters, repeated = dict(pairs), _repeated([name for name, _ in pairs])

    if "client_id" in repeated or parameters.get("client_id") != client_id:
        raise PageRefusal("No app is registered under this client_id.")
    redirect_uri = parameters.get("redirect_uri", "")
    if "redirect_uri" in repeated or redirect_uri not in redirect_uris:
        raise PageRefusal("This redirect_uri is not registered for the app.")

    state = parameters.get("state", "")

    def refuse(error: str, description: str) -> RedirectRefusal:
        answer = {"error": error, "error_description": description}
        if state and "state" not in repeated:
            answer["state"] = state
        return RedirectRefusal(error, description, with_query(redirect_uri, answer))

    if repeated:
        raise refuse("invalid_request", "A parameter is repeated")
    required = ("response_type", "scope", "state", "code_challenge", "code_challenge_method")
    if missing := [name for name in required if not parameters.get(name)]:
        raise refuse("invalid_request", f"Missing: {', '.join(missing)}")
    if parameters["response_type"] != "code":
        raise refuse("unsupported_response_type", "response_type must be code")
    if parameters["code_challenge_method"] != "S256":
        raise refuse("invalid_request", "code_challenge_method must be S256")
    if not _CODE_CHALLENGE.fullmatch(parameters["code_challenge"]):
        raise refuse("invalid_request", "code_challenge must be 43 characters of base64url")
    scopes = tuple(parameters["scope"].split(" "))
    if _repeated(scopes) or not set(scopes).issubset(known_scopes):
        raise refuse("invalid_scope", "scope must name known scopes, each once, separated by one space")
    return AuthorizationRequest(client_id, redirect_uri, scopes, state, parameters["code_challenge"])


def with_query(uri: str, parameters: dict[str, str]) -> str:
    """The URI with parameters added; a query of its own is kept (RFC 6749 section 3.1.2)."""
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(parameters)}"


def _repeated(names: Collection[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}
