"""For any input, even lone surrogates from JSON, each parser returns its promised type or raises its declared error.

The tests of each module check the results of good input. tests/fuzz repeats this file's checks, guided by coverage.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.aries.client import Provider, ProviderFailure
from oauth_broker.aries.client_secret import ClientSecret
from oauth_broker.aries.transport import Reply
from oauth_broker.config.settings import Settings
from oauth_broker.errors import (
    BrokerError,
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
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.web.cookies import BrowserCookies
from oauth_broker.web.http import HttpRequest
from oauth_broker.web.parameters import parse_query
from tests.support.clock import NOW, VirtualClock
from tests.support.drawn import secret_texts
from tests.support.lambda_context import Context
from tests.support.telemetry import Recorded
from tests.unit.fakes import (
    ENVIRONMENT,
    FORM,
    JSON,
    Answering,
    FakeSecretsManager,
    failure_of,
    http_request,
    settings_with,
)

SETTINGS = settings_with()
SESSION = "S" * 43
TOKEN = f"{SESSION}.7.{'m' * 43}"
# Every code point, and halves of surrogate pairs too. The JSON of an event can hold halves, but UTF-8 cannot.
characters = st.characters(exclude_categories=())
texts = secret_texts(characters, max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
FIELDS = {
    "response_type": ["code"],
    "grant_type": ["authorization_code", "refresh_token", "code"],
    "client_id": ["app"],
    "redirect_uri": ["https://app.example.com/callback"],
    "scope": ["read", "read read", " "],
    "state": ["s" * 43, "a b", "%"],
    "code": [f"{SESSION}.{'m' * 43}"],
    "code_verifier": ["v" * 43],
    "code_challenge": ["c" * 43],
    "code_challenge_method": ["S256", "plain"],
    "refresh_token": [TOKEN],
    "token": [TOKEN],
    "client_secret": [""],
    "iss": ["https://app.aries.example", "https://evil.example"],
}
# Mostly requests that make sense, with a few values that do not belong there.
fields = st.fixed_dictionaries({}, optional={name: st.sampled_from(good) | texts for name, good in FIELDS.items()})
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from([FORM, JSON, f"{FORM}; charset=utf-8", "text/plain", ""]) | texts,
        "authorization": texts | texts.map(lambda text: f"Basic {text}") | st.just("basic YXBwOg=="),
        "sec-purpose": texts,
    },
)
written = (
    fields.map(lambda members: urlencode(members, errors="surrogatepass"))
    | fields.map(json.dumps)
    | st.dictionaries(st.sampled_from(sorted(FIELDS)), json_values, max_size=5).map(json.dumps)
    | texts
)


def request_of(query: str, sent: dict[str, str], cookies: list[str], body: str, encoded: bool) -> HttpRequest:
    """Return a request with any text in each part."""
    return http_request("POST", query=query, headers=sent, cookies=cookies, body=body, body_is_base64=encoded)


requests = st.builds(request_of, written, headers, st.lists(texts, max_size=3), written, st.booleans())


@given(requests)
def test_any_request_to_an_endpoint_for_apps_is_read_or_an_oauth_error(request: HttpRequest) -> None:
    for parse in (parse_token_request, parse_aries_token_request, parse_refresh_request, parse_revocation_request):
        failure = failure_of(OAuthError, partial(parse, request, SETTINGS.registry))
        assert failure is None or (failure.status in (400, 401) and failure.description.isascii())


@given(requests)
def test_any_request_to_a_browser_endpoint_is_read_redirected_or_a_page(request: HttpRequest) -> None:
    failure = failure_of(BrokerError, partial(AuthorizationRequest.parse, request, SETTINGS.registry))
    assert failure is None or isinstance(failure, PageError | RedirectError)
    if isinstance(failure, RedirectError):
        assert failure.redirect_uri == "https://app.example.com/callback"
        assert failure.state is None or failure.state.isascii()
    failure_of(PageError, partial(ProviderCallback.parse, request))


@pytest.mark.parametrize("query", ["state=\ud800", "\udfff", "state=a&\udc80=b", "%ed%a0%80", "%ff", "a=%c0%80"])
def test_a_query_that_is_no_utf_8_is_an_invalid_request(query: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_query(query)
    assert raised.value.reason == "malformed_parameters"


@given(st.lists(texts | texts.map(lambda text: f"__Host-signin-{text}"), max_size=9))
def test_no_cookie_of_a_request_adds_anything_to_those_that_are_set(present: list[str]) -> None:
    for secure in (True, False):
        jar = BrowserCookies(secure)
        jar.find(SESSION, present)
        for header in jar.bind(SESSION, Secret("value"), present, 600):
            assert header.isascii()
            assert header.isprintable()
            assert header.startswith("__Host-signin-" if secure else "signin-")
            assert header.count(";") == (5 if secure else 4)
            assert header.count(",") == 0


@given(secret_texts(max_size=40), st.integers(0, len(TOKEN)), st.integers(0, len(TOKEN)))
def test_any_text_and_any_change_to_a_token_is_read_as_it_is_or_not_at_all(text: str, start: int, end: int) -> None:
    for changed in (text, TOKEN[:start] + text + TOKEN[end:]):
        token = RefreshToken.parse(Secret(changed))
        assert token is None or changed.startswith(f"{token.session_id}.{token.generation}.")
        session_id = session_id_of_code(Secret(changed))
        assert session_id is None or changed.startswith(f"{session_id}.")


granted = st.fixed_dictionaries(
    {},
    optional={
        "access_token": st.just("a") | json_values,
        "refresh_token": st.just("r") | json_values,
        "token_type": st.just("Bearer") | json_values,
        "expires_in": st.integers() | st.floats() | json_values,
        "scope": st.just("read") | json_values,
        "error": st.sampled_from(["invalid_grant", "invalid_client"]) | json_values,
    },
)


@given(st.sampled_from([200, 200, 200, 400, 401, 429, 503]), granted.map(json.dumps) | texts, st.booleans())
def test_any_answer_of_aries_is_tokens_that_can_be_kept_or_a_failure(status: int, answer: str, code: bool) -> None:
    clock = VirtualClock()
    transport = Answering(Reply(status, answer.encode("utf-8", "surrogatepass")))
    provider = Provider(SETTINGS, transport, ClientSecret(FakeSecretsManager("secret"), "arn", clock), clock)
    invocation = Invocation(Context(), Recorded())
    call: Callable[[], Any] = (
        partial(provider.exchange, Secret("c"), Secret("v"), "uri", invocation)
        if code
        else partial(provider.refresh, Secret("r"), "uri", invocation)
    )
    try:
        tokens = call()
    except ProviderFailure:
        return
    assert status == 200
    assert NOW < tokens.expires_at <= NOW + 365 * 24 * 60 * 60
    # A stored secret comes back the same.
    secret = SessionSecret(Secret("k"), "h", tokens.access_token, tokens.refresh_token, tokens.expires_at, "read")
    assert SessionSecret.from_json(secret.to_json()) == secret


@given(st.dictionaries(st.sampled_from(sorted(ENVIRONMENT)), texts | st.sampled_from(sorted(ENVIRONMENT.values()))))
def test_any_environment_is_settings_or_an_error_that_names_a_variable(changes: dict[str, str]) -> None:
    environment = {**ENVIRONMENT, **changes}
    failure = failure_of(ConfigurationError, partial(Settings.from_environment, environment))
    assert failure is None or failure.reason.startswith(tuple(ENVIRONMENT))


members = st.fixed_dictionaries(
    {},
    optional={
        "action": st.sampled_from(["session", "revoke", "revoke_all", "check", "redrive"]) | json_values,
        "operator": st.just("me") | json_values,
        "session": st.just("0123456789abcdef") | json_values,
        "client_id": st.just("app") | json_values,
        **dict.fromkeys(("everyone", "removed_app", "continue", "status", "drop_lost", "surprise"), json_values),
        **{name: st.integers(-1, 1001) | json_values for name in ("seconds", "limit")},
    },
)


@given(members | json_values)
def test_any_event_of_an_operator_is_a_command_or_an_invalid_command(event: object) -> None:
    failure = failure_of(InvalidCommand, partial(parse_command, event))
    assert failure is None or failure.message.endswith((".", "}."))


@given(secret_texts(max_size=40) | granted.map(json.dumps))
def test_any_stored_client_secret_is_one_or_busy(stored: str) -> None:
    client_secret = ClientSecret(FakeSecretsManager(stored), "arn", VirtualClock())
    failure = failure_of(ServiceUnavailable, client_secret.current)
    assert failure is None or failure.reason == "client_secret:malformed"
