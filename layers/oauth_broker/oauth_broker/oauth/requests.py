"""An app's own requests: to the token, refresh and revocation endpoints. Operations accept only checked ones."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote_plus

from oauth_broker.config.clients import Client, Registry
from oauth_broker.errors import InvalidClient, InvalidGrant, InvalidRequest, UnsupportedGrantType
from oauth_broker.oauth.scope import requested_scope
from oauth_broker.oauth.tokens import RefreshToken
from oauth_broker.secret import Secret
from oauth_broker.web.http import HttpRequest
from oauth_broker.web.parameters import Parameters, parse_form, parse_form_or_json, parse_json

_UNKNOWN_CLIENT = "No app is registered with this client_id. Check the client_id."


@dataclass(frozen=True, slots=True)
class AuthorizationCodeGrant:
    """RFC 6749 section 4.1.3 with RFC 7636 section 4.5. ``redirect_uri`` is None if the app did not name one.

    OAuth 2.1 section 4.1.3 dropped the parameter: the code verifier binds the code to its app.
    """

    client: Client
    code: Secret
    redirect_uri: str | None
    code_verifier: Secret


@dataclass(frozen=True, slots=True)
class RefreshTokenGrant:
    """RFC 6749 section 6. ``scope`` is canonical, or None if the app did not name one."""

    client: Client
    token: RefreshToken
    scope: str | None


@dataclass(frozen=True, slots=True)
class RevocationRequest:
    """RFC 7009 section 2.1. ``token`` is None if the text cannot be a token of this broker."""

    client: Client
    token: RefreshToken | None


def parse_token_request(request: HttpRequest, registry: Registry) -> AuthorizationCodeGrant | RefreshTokenGrant:
    """Check a form for the token endpoint. The client is identified before a code or token is read."""
    return _parse_grant(request, parse_form(request), registry, code_grant="authorization_code")


def parse_aries_token_request(request: HttpRequest, registry: Registry) -> AuthorizationCodeGrant | RefreshTokenGrant:
    """Check a token request as Aries documents it (steps 3 and 5): JSON, and the code grant is called ``code``.

    Single-page apps written from Aries' own page need this form. Their refresh (step 5) goes without the client secret.
    """
    return _parse_grant(request, parse_json(request), registry, code_grant="code")


def _parse_grant(
    request: HttpRequest, parameters: Parameters, registry: Registry, *, code_grant: str
) -> AuthorizationCodeGrant | RefreshTokenGrant:
    parameters.refuse_repeated()
    grants: dict[str, Callable[[Client, Parameters], AuthorizationCodeGrant | RefreshTokenGrant]] = {
        code_grant: _code_grant,
        "refresh_token": _refresh_grant,
    }
    grant = grants.get(parameters.require("grant_type"))
    if grant is None:
        raise UnsupportedGrantType(f"The parameter grant_type must be {' or '.join(grants)}.")
    return grant(identify_client(request, parameters, registry), parameters)


def parse_refresh_request(request: HttpRequest, registry: Registry) -> RefreshTokenGrant:
    """Check a form or JSON body for the refresh endpoint. ``grant_type`` may be left out."""
    parameters = parse_form_or_json(request)
    parameters.refuse_repeated()
    if parameters.get("grant_type") not in (None, "refresh_token"):
        raise UnsupportedGrantType("The parameter grant_type must be refresh_token, or left out.")
    return _refresh_grant(identify_client(request, parameters, registry), parameters)


def parse_revocation_request(request: HttpRequest, registry: Registry) -> RevocationRequest:
    """Check a form for the revocation endpoint."""
    parameters = parse_form(request)
    parameters.refuse_repeated()
    client = identify_client(request, parameters, registry)
    return RevocationRequest(client, RefreshToken.parse(Secret(parameters.require("token"))))


def _code_grant(client: Client, parameters: Parameters) -> AuthorizationCodeGrant:
    return AuthorizationCodeGrant(
        client,
        Secret(parameters.require("code")),
        parameters.get("redirect_uri"),
        Secret(parameters.require("code_verifier")),
    )


def _refresh_grant(client: Client, parameters: Parameters) -> RefreshTokenGrant:
    token = RefreshToken.parse(Secret(parameters.require("refresh_token")))
    if token is None:
        raise InvalidGrant("malformed_token")
    return RefreshTokenGrant(client, token, requested_scope(parameters))


def identify_client(request: HttpRequest, parameters: Parameters, registry: Registry) -> Client:
    """Return the client named by ``client_id`` or by HTTP Basic with an empty password (RFC 6749 section 2.3.1)."""
    basic = _basic_credentials(request)
    client_id = parameters.get("client_id")
    name, password = basic or (client_id or "", "")
    if client_id not in (None, name):
        raise InvalidRequest(
            "The parameter client_id and the Basic credentials name two different clients. Send the client_id alone.",
            "two_clients",
        )
    client = registry.find(name)
    if client is None:
        described = _UNKNOWN_CLIENT if name else "The parameter client_id is missing."
        raise InvalidClient(described, "unknown_client", basic=basic is not None)
    # RFC 7523 section 2.2: an assertion authenticates a client as a secret does. The broker checks neither.
    secret = password or parameters.get("client_secret")
    if secret or parameters.get("client_assertion"):
        sent = "secret" if secret else "assertion"
        described = f"A client {sent} was sent, but all apps are public clients here. Send no client {sent}."
        raise InvalidClient(described, "unexpected_secret", basic=basic is not None)
    return client


def _basic_credentials(request: HttpRequest) -> tuple[str, str] | None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        described = "The Basic credentials cannot be read. Leave them out and send the client_id as a parameter."
        raise InvalidClient(described, "malformed_basic", basic=True) from error
    return unquote_plus(name), unquote_plus(password)
