"""The requests of people about their sessions, as their apps send them: forms with a refresh token in the body.

A refresh token never goes into a header or a URL, because servers and proxies on the way log those.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from oauth_broker.config.clients import Client, Registry
from oauth_broker.errors import InvalidGrant, InvalidRequest
from oauth_broker.oauth.requests import identify_client
from oauth_broker.oauth.tokens import RefreshToken
from oauth_broker.secret import Secret
from oauth_broker.web.http import HttpRequest
from oauth_broker.web.parameters import Parameters, parse_form

_REFERENCE = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A request for the person's sessions."""

    client: Client
    token: RefreshToken


@dataclass(frozen=True, slots=True)
class EndRequest:
    """A request to end the session with this reference, or with None all but the session of the token."""

    client: Client
    token: RefreshToken
    reference: str | None


def parse_list_request(request: HttpRequest, registry: Registry) -> ListRequest:
    """Check a form for the list of sessions."""
    parameters = parse_form(request)
    client, token = _caller(request, parameters, registry)
    return ListRequest(client, token)


def parse_end_request(request: HttpRequest, registry: Registry) -> EndRequest:
    """Check a form that ends one session or all others."""
    parameters = parse_form(request)
    client, token = _caller(request, parameters, registry)
    reference, others = parameters.get("session"), parameters.get("others")
    if (reference is None) == (others is None):
        raise InvalidRequest("Send exactly one of the parameters session and others.", "session_or_others")
    if others not in (None, "true"):
        raise InvalidRequest("The parameter others must be true, or left out.", "malformed_others")
    if reference is not None and _REFERENCE.fullmatch(reference) is None:
        raise InvalidRequest("The parameter session must be a session of the list.", "malformed_session")
    return EndRequest(client, token, reference)


def _caller(request: HttpRequest, parameters: Parameters, registry: Registry) -> tuple[Client, RefreshToken]:
    parameters.refuse_repeated()
    client = identify_client(request, parameters, registry)
    token = RefreshToken.parse(Secret(parameters.require("token")))
    if token is None:
        raise InvalidGrant("malformed_token")
    return client, token
