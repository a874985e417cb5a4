"""A backend's request for an access token: its path and its JSON body."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from oauth_broker.aries.user import user_id_of
from oauth_broker.config.clients import Client, Registry
from oauth_broker.errors import InvalidRequest, NotABackendApp, SignInRequired
from oauth_broker.oauth.scope import canonical_scope
from oauth_broker.oauth.tokens import BackendHandle
from oauth_broker.secret import Secret
from oauth_broker.web.http import HttpRequest
from oauth_broker.web.parameters import parse_members

# The client id stands here byte for byte: IAM has judged this path, and a decoded one could name another app.
_PATH = re.compile(r"/backend/([^/]*)/token")
_MEMBERS = frozenset({"backend_handle", "min_seconds", "scope", "user"})
_LEAST_SECONDS = 60
_MOST_SECONDS = 300


@dataclass(frozen=True, slots=True)
class BackendRequest:
    """A checked request. ``scope`` is canonical, '' if the backend named none.

    ``session`` is the handle of a session, or a secret with the id of a person at Aries.
    """

    client: Client
    session: BackendHandle | Secret
    min_seconds: int
    scope: str


def parse_backend_request(request: HttpRequest, registry: Registry) -> BackendRequest:
    """Check a request of a backend. Raises NotABackendApp, InvalidRequest, or SignInRequired for a malformed handle.

    A null counts as left out. Exactly one of ``backend_handle`` and ``user`` is there.
    """
    client = _client(request.path, registry)
    members = parse_members(request)
    if not members.keys() <= _MEMBERS:
        raise InvalidRequest(f"The members of the body are {', '.join(sorted(_MEMBERS))}.", "unknown_member")
    if ("user" in members) is ("backend_handle" in members):
        raise InvalidRequest("The body must have exactly one of backend_handle and user.", "no_session_named")
    min_seconds, scope = _min_seconds(members), _scope(members)
    session = _user(members["user"], client) if "user" in members else _handle(members["backend_handle"])
    return BackendRequest(client, session, min_seconds, scope)


def _handle(text: Any) -> BackendHandle:
    if not isinstance(text, str):
        raise InvalidRequest("The member backend_handle must be a string.", "malformed_backend_handle")
    handle = BackendHandle.parse(Secret(text))
    if handle is None:
        raise SignInRequired("malformed_handle")
    return handle


def _user(value: Any, client: Client) -> Secret:
    if client.backend != "by_user":
        raise NotABackendApp("not_by_user")
    text = user_id_of(value)
    if text is None:
        raise InvalidRequest(
            "The member user must be the id at Aries: a string of 1 to 256 bytes, or an integer.", "malformed_user"
        )
    return Secret(text)


def _client(path: str, registry: Registry) -> Client:
    match = _PATH.fullmatch(path)
    client = registry.find(match[1]) if match else None
    if client is None:
        raise NotABackendApp("unknown_client")
    if not client.backend:
        raise NotABackendApp("no_backend")
    return client


def _min_seconds(members: dict[str, Any]) -> int:
    seconds = members.get("min_seconds", _LEAST_SECONDS)
    # bool is a number to Python, not to JSON.
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not _LEAST_SECONDS <= seconds <= _MOST_SECONDS:
        raise InvalidRequest(
            f"The member min_seconds must be a whole number from {_LEAST_SECONDS} to {_MOST_SECONDS}.",
            "malformed_min_seconds",
        )
    return seconds


def _scope(members: dict[str, Any]) -> str:
    scope = members.get("scope", "")
    if not isinstance(scope, str) or not scope.isascii():
        raise InvalidRequest("The member scope must be a string of ASCII characters.", "malformed_scope")
    return canonical_scope(scope)
