"""The browser's requests: an app's authorization request, and Aries' callback. Operations accept only checked ones."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from oauth_broker.config.clients import Client, Registry
from oauth_broker.config.settings import PROMPTS
from oauth_broker.errors import (
    InvalidRequest,
    InvalidScope,
    LoginRequired,
    OAuthError,
    RedirectError,
    RequestNotSupported,
    RequestUriNotSupported,
    UnsupportedResponseType,
)
from oauth_broker.oauth.pkce import is_challenge
from oauth_broker.oauth.scope import requested_scope, scope_values
from oauth_broker.secret import Secret
from oauth_broker.web import pages
from oauth_broker.web.http import HttpRequest
from oauth_broker.web.parameters import Parameters, parse_query, raw_query_value

# The characters of a query (RFC 3986 section 3.4). The limit leaves room for the rest of a Location header.
_RAW_STATE = re.compile(r'[!"$-~]{1,2048}')
# The authorization endpoint's own `state`: 32 bytes in base64url.
_PROVIDER_STATE = re.compile(r"[A-Za-z0-9_-]{43}")
_PROVIDER_CODE = re.compile(r"[!-~]{1,4096}")
# The only scopes for an error to repeat: no blank, no markup, shorter than a message or any token of the broker.
_SHOWN_SCOPE = re.compile(r"[A-Za-z0-9._:/-]{1,40}")
# OpenID Connect Core sections 3.1.2.1, 5.4 and 11. Many libraries ask for some of these by default.
_OPENID_SCOPES = frozenset({"openid", "profile", "email", "address", "phone", "offline_access"})
# The parameters that a deployment may let through to Aries, and their forms. prompt=none is refused before.
PASSED_ON: Mapping[str, tuple[re.Pattern[str], str]] = MappingProxyType(
    {
        "prompt": (
            re.compile(f"({'|'.join(PROMPTS)})( ({'|'.join(PROMPTS)})){{0,2}}"),
            "login, consent or select_account, or several of them with spaces between",
        ),
        "login_hint": (re.compile(r"[^\x00-\x1f\x7f]{1,256}"), "1 to 256 characters on one line"),
        "max_age": (re.compile("[0-9]{1,9}"), "a whole number of seconds"),
    }
)
_NO_REQUEST_OBJECTS = "Request objects are not supported. Send each parameter in the query."


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """RFC 6749 section 4.1.1 with RFC 7636 section 4.3. ``state`` is raw, still percent-encoded.

    ``passed_on`` has those parameters of OpenID Connect Core section 3.1.2.1 that go to Aries as they are. They may
    name a person, so no log line has them.
    """

    client: Client
    redirect_uri: str
    state: str | None = field(repr=False)
    code_challenge: str
    scope: str
    passed_on: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, request: HttpRequest, registry: Registry, pass_on: Collection[str] = ()) -> AuthorizationRequest:
        """Check an app's authorization request. ``pass_on`` names the parameters that the deployment lets through.

        Raises PageError until client and redirect URI are known to belong together. Raises RedirectError afterwards.
        """
        try:
            parameters = parse_query(request.raw_query)
            client = registry.find(parameters.get("client_id") or "")
            redirect_uri = parameters.get("redirect_uri") or ""
        except InvalidRequest as error:
            raise pages.bad_link(error.reason) from error
        if client is None:
            raise pages.bad_link("unknown_client")
        if not client.allows_redirect(redirect_uri):
            raise pages.bad_link("unregistered_redirect_uri")
        state = None if parameters.is_repeated("state") else raw_query_value(request.raw_query, "state")
        try:
            if state is not None and _RAW_STATE.fullmatch(state) is None:
                state = None
                raise InvalidRequest(
                    "The parameter state is malformed. Send at most 2048 characters, percent-encoded.",
                    "malformed_state",
                )
            parameters.refuse_repeated()
            _refuse_request_objects(parameters)
            challenge, scope = _code_challenge(parameters), _scope(parameters, client)
            _refuse_silent(parameters)
            return cls(client, redirect_uri, state, challenge, scope, _passed_on(parameters, pass_on))
        except OAuthError as error:
            raise RedirectError(error, error.reason, redirect_uri, state, client.client_id, "refused") from error


def _refuse_request_objects(parameters: Parameters) -> None:
    # An app relies on its signature of a request object. The parameters beside the object are not signed.
    if parameters.get("request") is not None:
        raise RequestNotSupported(_NO_REQUEST_OBJECTS)
    if parameters.get("request_uri") is not None:
        raise RequestUriNotSupported(_NO_REQUEST_OBJECTS)


def _refuse_silent(parameters: Parameters) -> None:
    """Refuse ``prompt=none`` at once (OpenID Connect Core section 3.1.2.1).

    Libraries load such a request in a hidden frame. A page of Aries' would stay hidden there until the app gives up.
    """
    prompts = set((parameters.get("prompt") or "").split())
    if "none" not in prompts:
        return
    if len(prompts) > 1:
        raise InvalidRequest(
            "The prompt none was sent with another prompt. Leave none out: a person has to sign in.", "prompt"
        )
    raise LoginRequired("A person has to sign in. Send the request without prompt=none.")


def _passed_on(parameters: Parameters, pass_on: Collection[str]) -> dict[str, str]:
    """Return what goes to Aries. A parameter that the deployment does not let through is ignored, as an unknown one."""
    found = {name: value for name in pass_on if (value := parameters.get(name)) is not None}
    for name, value in found.items():
        form, what = PASSED_ON[name]
        if form.fullmatch(value) is None:
            raise InvalidRequest(f"The parameter {name} must be {what}.", f"malformed_{name}")
    return found


def _code_challenge(parameters: Parameters) -> str:
    if parameters.require("response_type") != "code":
        raise UnsupportedResponseType("The parameter response_type must be code.")
    if parameters.get("response_mode") not in (None, "query"):
        raise InvalidRequest("The parameter response_mode must be query, or left out.", "response_mode")
    challenge = parameters.require("code_challenge")
    if not is_challenge(challenge):
        raise InvalidRequest(
            "The parameter code_challenge must be the SHA-256 of the code verifier in base64url: 43 characters.",
            "malformed_code_challenge",
        )
    # RFC 7636 section 4.3: a missing method means `plain`. The broker does not support `plain`.
    if parameters.require("code_challenge_method") != "S256":
        raise InvalidRequest("The parameter code_challenge_method must be S256.", "code_challenge_method")
    return challenge


def _scope(parameters: Parameters, client: Client) -> str:
    asked = requested_scope(parameters)
    if asked is None:
        # RFC 6749 section 3.3 lets the server choose a default: all scopes of the app's registration.
        return " ".join(sorted(client.scopes))
    unregistered = scope_values(asked) - client.scopes
    if unregistered:
        raise InvalidScope(_describe_unregistered(unregistered))
    return asked


def _describe_unregistered(scopes: frozenset[str]) -> str:
    first = min(scopes)
    which = f"the scope {first}" if _SHOWN_SCOPE.fullmatch(first) else "one of the scopes in the request"
    described = f"The app is not registered for {which}."
    if scopes & _OPENID_SCOPES:
        return f"{described} This server issues no ID tokens: leave out openid, profile and offline_access."
    return f"{described} Ask only for registered scopes."


@dataclass(frozen=True, slots=True)
class ProviderCallback:
    """Aries' answer through the browser (Aries step 2): either an error or a code, or neither.

    ``issuer`` is the ``iss`` of RFC 9207, or None, and is not compared here.
    """

    state: str = field(repr=False)
    code: Secret | None
    error: str | None = field(repr=False)
    issuer: str | None = field(repr=False)

    @classmethod
    def parse(cls, request: HttpRequest) -> ProviderCallback:
        """Check the callback's query. Raises PageError if the query cannot name a sign-in."""
        try:
            parameters = parse_query(request.raw_query)
            state = parameters.require("state")
            issuer = parameters.get("iss")
        except InvalidRequest as error:
            raise pages.unknown_sign_in(error.reason) from error
        if _PROVIDER_STATE.fullmatch(state) is None:
            raise pages.unknown_sign_in("malformed_state")
        return cls(state, _provider_code(parameters), _provider_error(parameters), issuer)


def _provider_code(parameters: Parameters) -> Secret | None:
    if parameters.is_repeated("code"):
        return None
    code = parameters.get("code") or ""
    return Secret(code) if _PROVIDER_CODE.fullmatch(code) else None


def _provider_error(parameters: Parameters) -> str | None:
    return "repeated" if parameters.is_repeated("error") else parameters.get("error")
