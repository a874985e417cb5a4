"""The browser's requests: authorization requests of apps, and callbacks from Aries."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.config.clients import Registry
from oauth_broker.errors import (
    BrokerError,
    InvalidRequest,
    InvalidScope,
    OAuthError,
    PageError,
    RedirectError,
    UnsupportedResponseType,
)
from oauth_broker.oauth.authorization import AuthorizationRequest, ProviderCallback
from oauth_broker.oauth.scope import canonical_scope
from oauth_broker.secret import Secret
from tests.support.drawn import secret_texts
from tests.support.pkce import CHALLENGE
from tests.unit.fakes import encoded, failure_of, http_request

APP_URI = "https://app.example.com/callback"
REGISTRY = Registry.parse(
    json.dumps(
        {
            "app": {"redirect_uris": [APP_URI, "http://127.0.0.1/cb"], "scopes": ["b:write", "a:read", "c:all"]},
            "other": {"redirect_uris": ["https://other.example.com/callback"], "scopes": ["a:read"]},
        }
    )
)
ARIES = "https://app.aries.example"

# Pieces of queries, so random queries often make sense.
pieces = st.sampled_from(
    [
        *("client_id=app", "redirect_uri=" + quote(APP_URI), "state=", "code=", "scope=a:read", "error=", "iss="),
        *("&", "=", "+", "%", "%00", "%ff", "é", "\n", "{", '"', "x"),
    ]
)
texts = st.lists(pieces, max_size=12).map("".join) | secret_texts(max_size=80)


# The authorization request.

AUTHORIZATION: dict[str, str | None] = {
    "response_type": "code",
    "client_id": "app",
    "redirect_uri": APP_URI,
    "scope": "a:read",
    "state": "app-state",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


def authorization(extra: str = "", **changes: str | None) -> AuthorizationRequest:
    return AuthorizationRequest.parse(http_request(query=encoded(AUTHORIZATION, changes) + extra), REGISTRY)


def refused(extra: str = "", **changes: str | None) -> RedirectError:
    """Return the error for the app. It must carry the state as sent."""
    with pytest.raises(RedirectError) as raised:
        authorization(extra, **changes)
    assert raised.value.redirect_uri == changes.get("redirect_uri", APP_URI)
    return raised.value


def shown_as_page(extra: str = "", **changes: str | None) -> None:
    with pytest.raises(PageError) as raised:
        authorization(extra, **changes)
    assert raised.value.status == HTTPStatus.BAD_REQUEST


def test_a_complete_authorization_request_is_accepted() -> None:
    request = authorization()
    assert request.client.client_id == "app"
    assert request.redirect_uri == APP_URI
    assert request.state == "app-state"
    assert request.code_challenge == CHALLENGE
    assert request.scope == "a:read"


def test_unknown_parameters_are_ignored_and_state_may_be_left_out() -> None:
    request = authorization("&nonce=n&prompt=login&response_mode=query&login_hint=", state=None)
    assert request.state is None


def test_a_loopback_redirect_uri_is_kept_with_the_port_that_was_asked_for() -> None:
    assert authorization(redirect_uri="http://127.0.0.1:49152/cb").redirect_uri == "http://127.0.0.1:49152/cb"


@pytest.mark.parametrize("client_id", [None, "", "nobody", "App", "app ", "app\0", "app\n", "\uff41pp", "other"])
def test_an_unknown_or_another_apps_client_id_is_shown_on_a_page(client_id: str | None) -> None:
    shown_as_page(client_id=client_id)


@pytest.mark.parametrize(
    "redirect_uri",
    [
        None,
        "",
        APP_URI + "/",
        APP_URI.upper(),
        "https://other.example.com/callback",
        "http://127.0.0.1:1/cb2",
        " " + APP_URI,
    ],
)
def test_a_redirect_uri_that_is_not_registered_is_shown_on_a_page(redirect_uri: str | None) -> None:
    shown_as_page(redirect_uri=redirect_uri)


@pytest.mark.parametrize("extra", ["&client_id=app", "&client_id=", "&redirect_uri=" + quote(APP_URI), "&redirect_uri"])
def test_a_repeated_client_id_or_redirect_uri_is_shown_on_a_page(extra: str) -> None:
    shown_as_page(extra)


def test_the_page_comes_before_every_other_complaint() -> None:
    shown_as_page("&state=2", client_id="nobody", response_type=None, code_challenge=None)


@pytest.mark.parametrize("extra", ["&a=%ff", "&state=%c3"])
def test_a_query_that_cannot_be_read_is_shown_on_a_page(extra: str) -> None:
    shown_as_page(extra)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, InvalidRequest),
        ({"response_type": ""}, InvalidRequest),
        ({"response_type": "token"}, UnsupportedResponseType),
        ({"response_type": "code token"}, UnsupportedResponseType),
        ({"response_type": "id_token"}, UnsupportedResponseType),
        ({"response_type": "Code"}, UnsupportedResponseType),
        ({"response_type": "code\n"}, UnsupportedResponseType),
        ({"response_mode": "fragment"}, InvalidRequest),
        ({"response_mode": "form_post"}, InvalidRequest),
        ({"code_challenge": None}, InvalidRequest),
        ({"code_challenge": ""}, InvalidRequest),
        ({"code_challenge": CHALLENGE[:42]}, InvalidRequest),
        ({"code_challenge": CHALLENGE + "A"}, InvalidRequest),
        ({"code_challenge": CHALLENGE + "="}, InvalidRequest),
        ({"code_challenge": CHALLENGE[:42] + "+"}, InvalidRequest),
        ({"code_challenge": CHALLENGE + "\n"}, InvalidRequest),
        ({"code_challenge": CHALLENGE[:42] + "\uff11"}, InvalidRequest),
        ({"code_challenge_method": None}, InvalidRequest),
        ({"code_challenge_method": "plain"}, InvalidRequest),
        ({"code_challenge_method": "s256"}, InvalidRequest),
        ({"code_challenge_method": "S256 "}, InvalidRequest),
        ({"code_challenge_method": "S512"}, InvalidRequest),
        ({"scope": "d:unknown"}, InvalidScope),
        ({"scope": "a:read d:unknown"}, InvalidScope),
        ({"scope": "A:READ"}, InvalidScope),
        ({"scope": "a:read\tb:write"}, InvalidScope),
        ({"scope": "a:read\n"}, InvalidScope),
        ({"scope": "a:read\0"}, InvalidScope),
        ({"scope": "a:read,b:write"}, InvalidScope),
        ({"scope": " \t"}, InvalidScope),
        ({"scope": "a:read\u00a0"}, InvalidScope),
    ],
)
def test_any_other_error_goes_back_to_the_app_with_its_state(changes: dict[str, Any], error: type[OAuthError]) -> None:
    redirected = refused(**changes)
    assert type(redirected.error) is error
    assert redirected.state == "app-state"


@pytest.mark.parametrize(
    "name", ["response_type", "scope", "code_challenge", "code_challenge_method", "response_mode", "unknown"]
)
def test_any_other_parameter_twice_is_an_invalid_request(name: str) -> None:
    value = quote(AUTHORIZATION.get(name) or "query")
    redirected = refused(f"&{name}={value}&{name}={value}")
    assert isinstance(redirected.error, InvalidRequest)
    assert redirected.state == "app-state"


@pytest.mark.parametrize("extra", ["&state=app-state", "&state=other", "&state=", "&state", "&%73tate=other"])
def test_a_repeated_state_is_not_echoed(extra: str) -> None:
    redirected = refused(extra)
    assert isinstance(redirected.error, InvalidRequest)
    assert redirected.state is None


@pytest.mark.parametrize(
    "raw",
    [
        "a+b/c=",
        "a%2Bb%2Fc%3D",
        "%C3%A9%E2%80%A8",
        "a%26b%3Dc",
        "%00",
        "%0d%0aset-cookie:a",
        "a%",
        "%zz",
        "a=b=c",
        "'(){}|^`<>\\",
        '"',
        "x" * 1000,
        "%20" * 600,
        "x" * 2048,
    ],
)
def test_a_state_is_kept_byte_for_byte_still_encoded(raw: str) -> None:
    assert authorization(f"&state={raw}", state=None).state == raw
    assert refused(f"&state={raw}", state=None, response_type="token").state == raw


@pytest.mark.parametrize(
    "raw", ["x" * 2049, "é", "a b", "a\tb", "a\rb", "a\nb", "a\n", "a#b", "\x7f", "\x1b[0m", "\u2028"]
)
def test_a_state_that_cannot_be_sent_back_exactly_is_refused_and_not_shortened(raw: str) -> None:
    redirected = refused(f"&state={raw}", state=None)
    assert isinstance(redirected.error, InvalidRequest)
    assert redirected.error.reason == "malformed_state"
    assert redirected.state is None


def test_without_a_scope_the_app_gets_all_that_it_is_registered_for() -> None:
    for scope in (None, "", " ", "   "):
        assert authorization(scope=scope).scope == "a:read b:write c:all"


def test_the_order_and_repetition_of_scope_values_mean_nothing() -> None:
    assert authorization(scope="c:all a:read c:all").scope == "a:read c:all"


@pytest.mark.parametrize("scope", [" a:read b:write", "a:read b:write ", "a:read  b:write", "  b:write   a:read  "])
def test_blanks_at_the_ends_of_a_scope_and_doubled_ones_mean_nothing(scope: str) -> None:
    assert authorization(scope=scope).scope == "a:read b:write"


@pytest.mark.parametrize(
    ("scope", "description"),
    [
        ("a:read d:unknown", "The app is not registered for the scope d:unknown. Ask only for registered scopes."),
        ("a:read z z:z y", "The app is not registered for the scope y. Ask only for registered scopes."),
        ("s" * 40, f"The app is not registered for the scope {'s' * 40}. Ask only for registered scopes."),
        *(
            (scope, "The app is not registered for one of the scopes in the request. Ask only for registered scopes.")
            for scope in ("s" * 41, "<b>", "d'", "d%20e", "d\n", "d\u00e9", "a:read\0", "d\u2028", "d&e")
        ),
        *(
            (
                f"{scope} a:read",
                f"The app is not registered for the scope {scope}. This server issues no ID tokens: leave out openid, "
                "profile and offline_access.",
            )
            for scope in ("openid", "offline_access", "profile", "email")
        ),
    ],
)
def test_a_scope_that_is_not_registered_is_named_if_it_is_short_and_plain(scope: str, description: str) -> None:
    error = refused(scope=scope).error
    assert isinstance(error, InvalidScope)
    assert error.description == description


@given(texts)
def test_a_description_repeats_nothing_of_a_scope_that_a_person_could_take_for_a_message(scope: str) -> None:
    failure = failure_of(RedirectError, lambda: authorization(scope=f"{scope} d:unknown"))
    # RFC 6749 section 4.1.2.1, without markup.
    if failure is not None:
        assert re.fullmatch(r"[A-Za-z0-9 .,:/_-]{1,160}", failure.error.description)


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1))
def test_a_canonical_scope_is_the_sorted_set_of_its_values(values: list[str]) -> None:
    canonical = canonical_scope(" ".join(values))
    assert canonical.split(" ") == sorted(set(values))
    assert canonical_scope(canonical) == canonical


@given(texts)
def test_any_authorization_query_is_accepted_redirected_or_shown_on_a_page(query: str) -> None:
    for text in (query, encoded(AUTHORIZATION, {}) + "&" + query):
        request = http_request(query=text)
        failure = failure_of(BrokerError, lambda request=request: AuthorizationRequest.parse(request, REGISTRY))  # type: ignore[misc]
        assert failure is None or isinstance(failure, PageError | RedirectError)
        if isinstance(failure, RedirectError):
            assert failure.redirect_uri == APP_URI


# The callback from Aries.


STATE = "s-_9" * 10 + "abc"


def callback(query: str) -> ProviderCallback:
    return ProviderCallback.parse(http_request(query=query))


def test_a_callback_has_a_state_and_a_code() -> None:
    parsed = callback(f"code=c%2Bd&state={STATE}")
    assert parsed.state == STATE
    assert parsed.code == Secret("c+d")
    assert parsed.error is None
    assert "c+d" not in repr(parsed)


def test_a_callback_that_names_an_issuer_has_it_as_it_was_sent() -> None:
    assert callback(f"code=c&state={STATE}").issuer is None
    assert callback(f"code=c&state={STATE}&iss=").issuer is None
    for issuer in (ARIES, f"{ARIES}/", f"{ARIES}/realms/my%20realm", ARIES.upper()):
        assert callback(f"code=c&state={STATE}&iss={quote(issuer, safe='')}").issuer == issuer


@pytest.mark.parametrize(
    "query",
    [
        "",
        "code=c",
        "code=c&state=",
        *(
            f"code=c&state={state}"
            for state in ("s", STATE[1:], STATE + "a", STATE[1:] + "%2B", STATE + "%0a", STATE[1:] + "%C3%A9")
        ),
        f"code=c&state={STATE}&state={STATE}",
        f"code=c&state={STATE}&iss={ARIES}&iss={ARIES}",
        f"code=%ff&state={STATE}",
    ],
)
def test_a_callback_that_names_no_sign_in_or_two_issuers_is_shown_on_a_page(query: str) -> None:
    with pytest.raises(PageError) as raised:
        callback(query)
    assert raised.value.status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("code", ["", "a%20b", "a%0ab", "%00", "%C3%A9", "x" * 4097])
def test_a_code_that_is_missing_or_malformed_is_none(code: str) -> None:
    assert callback(f"code={code}&state={STATE}").code is None
    assert callback(f"state={STATE}").code is None


def test_a_repeated_code_is_none_so_that_neither_is_tried() -> None:
    assert callback(f"code=a&code=b&state={STATE}").code is None
    assert callback(f"code=a&code=a&state={STATE}").code is None


def test_the_longest_code_is_accepted() -> None:
    assert callback(f"code={'x' * 4096}&state={STATE}").code == Secret("x" * 4096)


def test_an_error_is_told_even_beside_a_code() -> None:
    parsed = callback(f"code=c&error=access_denied&state={STATE}")
    assert parsed.error == "access_denied"
    assert callback(f"error=%3Cscript%3E&state={STATE}").error == "<script>"


def test_a_repeated_error_is_an_error_that_nobody_knows() -> None:
    assert callback(f"error=access_denied&error=access_denied&state={STATE}").error == "repeated"
    assert callback(f"code=c&error=&error=&state={STATE}").error is not None


def test_an_empty_error_is_none() -> None:
    assert callback(f"code=c&error=&state={STATE}").error is None


@given(texts)
def test_any_callback_is_read_or_shown_on_a_page(query: str) -> None:
    for text in (query, f"state={STATE}&{query}"):
        with suppress(PageError):
            assert callback(text).state


@pytest.mark.parametrize("canary", ["canary=1", "canary\n2", "canary\u20283"])
@pytest.mark.parametrize("name", [name for name in AUTHORIZATION if name not in ("redirect_uri", "state")])
def test_no_failure_repeats_what_the_caller_sent(name: str, canary: str) -> None:
    with pytest.raises((PageError, RedirectError)) as raised:
        authorization(**{name: canary})
    failure = raised.value
    # A redirect may carry two things back: the state byte for byte, and one short, plain scope.
    shown = failure.error if isinstance(failure, RedirectError) else failure
    assert "canary" not in " ".join([failure.reason, str(failure), *map(str, vars(shown).values())])
