"""The targets of the fuzzer: each takes any bytes, and raises only if a parser breaks its declaration."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from oauth_broker.aries.client import Provider, ProviderFailure
from oauth_broker.aries.client_secret import ClientSecret
from oauth_broker.aries.transport import Reply
from oauth_broker.config.clients import Registry
from oauth_broker.config.settings import Settings
from oauth_broker.errors import (
    ConfigurationError,
    InvalidRequest,
    OAuthError,
    PageError,
    RedirectError,
    ServiceUnavailable,
)
from oauth_broker.oauth.authorization import AuthorizationRequest, ProviderCallback
from oauth_broker.oauth.requests import (
    parse_aries_token_request,
    parse_refresh_request,
    parse_revocation_request,
    parse_token_request,
)
from oauth_broker.oauth.tokens import RefreshToken, session_id_of_code
from oauth_broker.operator.commands import parse_command
from oauth_broker.operator.errors import InvalidCommand
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import Secret
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.seal import Seal
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.web.cookies import BrowserCookies
from oauth_broker.web.parameters import parse_form_or_json, parse_query, raw_query_value
from tests.fuzz.handlers import any_request
from tests.fuzz.planted import planted
from tests.support.clock import NOW, VirtualClock
from tests.support.lambda_context import Context
from tests.support.telemetry import Recorded
from tests.unit.fakes import ENVIRONMENT, FORM, JSON, Answering, FakeSecretsManager, http_request, posted, settings_with

Target = Callable[[bytes], None]

_APP_URI = "https://app.example.com/callback"
_SETTINGS = settings_with(
    APPS=json.dumps({"app": {"redirect_uris": [_APP_URI, "http://127.0.0.1/cb"], "scopes": ["read"]}})
)
_REGISTRY = _SETTINGS.registry
_SESSION = "S" * 43
_IN_ROW = SignIn(_SESSION, "active", 0, token_store="row", sealed=(b"sealed",))
_PORTS = frozenset(str(port) for port in range(1, 65536))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def query(data: bytes) -> None:
    """Parse a query string; read ``state`` both parsed and raw, because its raw value goes back to the app."""
    with suppress(InvalidRequest):
        parameters = parse_query(_text(data))
        state = parameters.get("state")
        assert (raw_query_value(_text(data), "state") is None) is (state is None)
        parameters.refuse_repeated()


def authorization_request(data: bytes) -> None:
    """Parse an app's authorization request. The broker redirects to registered URIs only."""
    try:
        parsed = AuthorizationRequest.parse(http_request(query=_text(data)), _REGISTRY)
    except PageError:
        return
    except RedirectError as error:
        client, redirect_uri, state = _REGISTRY.find(error.client_id or ""), error.redirect_uri, error.state
    else:
        client, redirect_uri, state = parsed.client, parsed.redirect_uri, parsed.state
    assert client is not None
    assert redirect_uri == _APP_URI or _is_loopback(redirect_uri)
    assert state is None or (state.isascii() and state.isprintable() and not set(state) & set(" #"))


def _is_loopback(uri: str) -> bool:
    port = uri.removeprefix("http://127.0.0.1").removesuffix("/cb")
    return uri == f"http://127.0.0.1{port}/cb" and (not port or (port[1:] in _PORTS and port[0] == ":"))


def provider_callback(data: bytes) -> None:
    """Parse the query of Aries' redirect to the callback."""
    with suppress(PageError):
        parsed = ProviderCallback.parse(http_request(query=_text(data)))
        assert len(parsed.state) == 43


def body(data: bytes) -> None:
    """Parse a form or a JSON body. The first byte chooses the kind, and real or false base64."""
    kind, content = data[:1], data[1:]
    content_type = JSON if kind in b"jk" else FORM
    request = posted(content, content_type)
    if kind in b"JK":
        request = http_request(
            "POST", headers={"content-type": content_type}, body=_text(content), body_is_base64=kind == b"K"
        )
    with suppress(InvalidRequest):
        parse_form_or_json(request).refuse_repeated()


def token_request(data: bytes) -> None:
    """Parse a post to the token, refresh and revocation endpoints. The first line is the Authorization header."""
    authorization, _, content = data.partition(b"\n")
    for content_type in (FORM, JSON):
        request = posted(content, content_type, authorization=_text(authorization))
        for parse in (parse_token_request, parse_aries_token_request, parse_refresh_request, parse_revocation_request):
            with suppress(OAuthError):
                assert parse(request, _REGISTRY).client.client_id == "app"


def token(data: bytes) -> None:
    """Parse a refresh token of the broker's, or a one-time code. The result repeats its text, or there is none."""
    text = _text(data)
    parsed = RefreshToken.parse(Secret(text))
    assert parsed is None or text.startswith(f"{parsed.session_id}.{parsed.generation}.")
    session_id = session_id_of_code(Secret(text))
    assert session_id is None or text.startswith(f"{session_id}.")


def cookies(data: bytes) -> None:
    """Parse a browser's cookies, one a line. A Set-Cookie header takes over a cookie's whole, plain name only."""
    present = _text(data).split("\n")
    for secure in (True, False):
        jar = BrowserCookies(secure)
        found = jar.find(_SESSION, present)
        assert found is None or found.reveal().isascii()
        for header in jar.bind(_SESSION, Secret("value"), present, 600):
            name, _, rest = header.partition("=")
            assert name.replace("-", "").replace("_", "").isalnum()
            assert rest.count(";") == (5 if secure else 4)
            assert header.isascii()
            assert header.isprintable()


def aries_answer(data: bytes) -> None:
    """Read an answer of Aries: a line with the status, then the body."""
    status, _, content = data.partition(b"\n")
    reply = Reply(int(status) if status.isdigit() and len(status) == 3 else 200, content)
    client_secret = ClientSecret(FakeSecretsManager("secret"), "arn", VirtualClock())
    provider = Provider(_SETTINGS, Answering(reply), client_secret, VirtualClock())
    with suppress(ProviderFailure):
        tokens = provider.refresh(Secret("token"), "uri", Invocation(Context(), Recorded()))
        assert 200 <= reply.status < 300
        assert tokens.access_token.reveal()
        assert NOW < tokens.expires_at <= NOW + 365 * 24 * 60 * 60


def settings(data: bytes) -> None:
    """Parse an environment: a line ``NAME=value`` changes a variable of a good one."""
    changes = {name: value for name, _, value in (line.partition("=") for line in _text(data).split("\n"))}
    with suppress(ConfigurationError):
        assert Settings.from_environment({**ENVIRONMENT, **changes}).aries_issuer.startswith(("https://", "http://"))


def apps(data: bytes) -> None:
    """Parse the parameter Apps. A registered URI passes unchanged, and can never run as a script."""
    with suppress(ConfigurationError):
        for client in Registry.parse(_text(data)).clients:
            for uri in client.redirect_uris:
                assert client.allows_redirect(uri)
                assert not uri.startswith(("javascript:", "data:", "vbscript:"))


def stored_secret(data: bytes) -> None:
    """Parse the secrets of Secrets Manager: a session's secret and the client secret."""
    with suppress(ServiceUnavailable):
        SessionSecret.from_json(data)
    with suppress(ServiceUnavailable):
        assert ClientSecret(FakeSecretsManager(_text(data)), "arn", VirtualClock()).current().reveal()


class _Opening:
    """KMS, if it opens every ciphertext to this plaintext."""

    def __init__(self, plaintext: bytes) -> None:
        self._plaintext = plaintext

    def encrypt(self, **_: Any) -> Any:
        raise AssertionError("nothing is sealed here")

    def decrypt(self, **_: Any) -> Any:
        return {"Plaintext": self._plaintext}


def sealed_secret(data: bytes) -> None:
    """Parse the plaintext of a seal: the JSON itself, and the compressed form with any JSON or any compressed bytes."""
    for plaintext in (data, b"\x01" + zlib.compress(data), b"\x01" + data):
        with suppress(ServiceUnavailable):
            Seal(partial(_Opening, plaintext), "key").open(_IN_ROW, "row")


def operator_command(data: bytes) -> None:
    """Parse an event of the operator function: any JSON."""
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return
    with suppress(InvalidCommand):
        parse_command(event)


PARSERS: Mapping[str, Target] = {
    target.__name__: target
    for target in (
        query,
        authorization_request,
        provider_callback,
        body,
        token_request,
        token,
        cookies,
        aries_answer,
        settings,
        apps,
        stored_secret,
        sealed_secret,
        operator_command,
        any_request,
    )
}
TARGETS: Mapping[str, Target] = {**PARSERS, "planted": planted}
