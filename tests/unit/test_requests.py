"""What apps and Aries ask, straight from requests."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.errors import (
    BrokerError,
    InvalidClient,
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    OAuthError,
    PageError,
    RedirectError,
    UnsupportedGrantType,
    UnsupportedResponseType,
)
from oauth_broker.handles import RefreshToken
from oauth_broker.messages import HttpRequest
from oauth_broker.registry import Registry
from oauth_broker.requests import (
    AuthorizationCodeGrant,
    AuthorizationRequest,
    ProviderCallback,
    RefreshTokenGrant,
    canonical_scope,
    parse_refresh_request,
    parse_revocation_request,
    parse_token_request,
)
from oauth_broker.secret import Secret
from tests.unit.fakes import FORM, JSON, http_request, posted

APP_URI = "https://app.example.com/callback"
REGISTRY = Registry.parse(
    json.dumps(
        {
            "app": {"redirect_uris": [APP_URI, "http://127.0.0.1/cb"], "scopes": ["b:write", "a:read", "c:all"]},
            "other": {"redirect_uris": ["https://other.example.com/callback"], "scopes": ["a:read"]},
        }
    )
)
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
ARIES = "https://app.aries.example"
TOKEN = RefreshToken.mint("S" * 43, 3, Secret("key")).text.reveal()

# Pieces that requests are made of, so that random ones often mean something.
pieces = st.sampled_from(
    ["client_id=app", "redirect_uri=" + quote(APP_URI), "state=", "grant_type=refresh_token", "code=", "scope=a:read"]
    + ["refresh_token=" + TOKEN, "token=", "error=", "iss=", "&", "=", "+", "%", "%00", "%ff", "é", "\n", "{", '"', "x"]
)
texts = st.lists(pieces, max_size=12).map("".join) | st.text(max_size=80)

Fields = dict[str, str | None]


def encoded(fields: Mapping[str, str | None], changes: Mapping[str, str | None]) -> str:
    merged = {**fields, **changes}
    return urlencode({name: value for name, value in merged.items() if value is not None})


# The authorization request.

AUTHORIZATION: Fields = {
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
    """The error that goes back to the app, with the state as it was sent."""
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
    [None, "", APP_URI + "/", APP_URI.upper(), "https://other.example.com/callback", "http://127.0.0.1:1/cb2", " " + APP_URI],
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
        ({"scope": "a:read  b:write"}, InvalidScope),
        ({"scope": " "}, InvalidScope),
        ({"scope": " a:read"}, InvalidScope),
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


@pytest.mark.parametrize("raw", ["x" * 2049, "é", "a b", "a\tb", "a\rb", "a\nb", "a\n", "a#b", "\x7f", "\x1b[0m", "\u2028"])
def test_a_state_that_cannot_be_sent_back_exactly_is_refused_and_not_shortened(raw: str) -> None:
    redirected = refused(f"&state={raw}", state=None)
    assert isinstance(redirected.error, InvalidRequest)
    assert redirected.error.reason == "malformed_state"
    assert redirected.state is None


def test_without_a_scope_the_app_gets_all_that_it_is_registered_for() -> None:
    for scope in (None, ""):
        assert authorization(scope=scope).scope == "a:read b:write c:all"


def test_the_order_and_repetition_of_scope_values_mean_nothing() -> None:
    assert authorization(scope="c:all a:read c:all").scope == "a:read c:all"


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1))
def test_a_canonical_scope_is_the_sorted_set_of_its_values(values: list[str]) -> None:
    canonical = canonical_scope(" ".join(values))
    assert canonical.split(" ") == sorted(set(values))
    assert canonical_scope(canonical) == canonical


@given(texts)
def test_any_authorization_query_is_accepted_redirected_or_shown_on_a_page(query: str) -> None:
    for text in (query, encoded(AUTHORIZATION, {}) + "&" + query):
        try:
            request = AuthorizationRequest.parse(http_request(query=text), REGISTRY)
        except RedirectError as error:
            assert error.redirect_uri == APP_URI
        except PageError:
            pass
        else:
            assert request.redirect_uri == APP_URI
            assert request.scope


# The callback from Aries.


def callback(query: str) -> ProviderCallback:
    return ProviderCallback.parse(http_request(query=query), ARIES)


def test_a_callback_has_a_state_and_a_code() -> None:
    parsed = callback("code=c%2Bd&state=s")
    assert parsed.state == "s"
    assert parsed.code == Secret("c+d")
    assert parsed.error is None
    assert "c+d" not in repr(parsed)


def test_the_issuer_may_be_named_if_it_is_the_configured_one() -> None:
    assert callback(f"code=c&state=s&iss={quote(ARIES, safe='')}").code == Secret("c")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "code=c",
        "code=c&state=",
        "code=c&state=s&state=s",
        "code=c&state=s&iss=https://evil.example",
        f"code=c&state=s&iss={ARIES}/",
        f"code=c&state=s&iss={ARIES.upper()}",
        f"code=c&state=s&iss={ARIES}&iss={ARIES}",
        f"error=access_denied&state=s&iss={ARIES}.evil.example",
        "code=%ff&state=s",
    ],
)
def test_a_callback_that_names_no_sign_in_or_another_issuer_is_shown_on_a_page(query: str) -> None:
    with pytest.raises(PageError) as raised:
        callback(query)
    assert raised.value.status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("code", ["", "a%20b", "a%0ab", "%00", "%C3%A9", "x" * 4097])
def test_a_code_that_is_missing_or_malformed_is_none(code: str) -> None:
    assert callback(f"code={code}&state=s").code is None
    assert callback("state=s").code is None


def test_a_repeated_code_is_none_so_that_neither_is_tried() -> None:
    assert callback("code=a&code=b&state=s").code is None
    assert callback("code=a&code=a&state=s").code is None


def test_the_longest_code_is_accepted() -> None:
    assert callback(f"code={'x' * 4096}&state=s").code == Secret("x" * 4096)


def test_an_error_is_told_even_beside_a_code() -> None:
    parsed = callback("code=c&error=access_denied&state=s")
    assert parsed.error == "access_denied"
    assert callback("error=%3Cscript%3E&state=s").error == "<script>"


def test_a_repeated_error_is_an_error_that_nobody_knows() -> None:
    assert callback("error=access_denied&error=access_denied&state=s").error == "repeated"
    assert callback("code=c&error=&error=&state=s").error is not None


def test_an_empty_error_is_none() -> None:
    assert callback("code=c&error=&state=s").error is None


@given(texts)
def test_any_callback_is_read_or_shown_on_a_page(query: str) -> None:
    for text in (query, f"state=s&{query}"):
        try:
            assert callback(text).state
        except PageError:
            pass


# The token request.

CODE: Fields = {
    "grant_type": "authorization_code",
    "client_id": "app",
    "code": "the-code",
    "redirect_uri": APP_URI,
    "code_verifier": VERIFIER,
}
REFRESH: Fields = {"grant_type": "refresh_token", "client_id": "app", "refresh_token": TOKEN}
REVOCATION: Fields = {"client_id": "app", "token": TOKEN}

Parse = Callable[[HttpRequest, Registry], Any]
ENDPOINTS: list[tuple[Parse, Fields]] = [
    (parse_token_request, CODE),
    (parse_token_request, REFRESH),
    (parse_refresh_request, REFRESH),
    (parse_revocation_request, REVOCATION),
]
every_endpoint = pytest.mark.parametrize(("parse", "fields"), ENDPOINTS)


def basic(name: str, password: str = "") -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_a_code_grant_is_read_from_the_form() -> None:
    grant = parse_token_request(posted(encoded(CODE, {})), REGISTRY)
    assert isinstance(grant, AuthorizationCodeGrant)
    assert grant.client.client_id == "app"
    assert grant.code == Secret("the-code")
    assert grant.redirect_uri == APP_URI
    assert grant.code_verifier == Secret(VERIFIER)
    assert "the-code" not in repr(grant)
    assert VERIFIER not in repr(grant)


@pytest.mark.parametrize("name", ["code", "redirect_uri", "code_verifier"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_code_grant_without_one_of_its_parameters_is_an_invalid_request(name: str, value: str | None) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_token_request(posted(encoded(CODE, {name: value})), REGISTRY)
    assert raised.value.reason == f"missing_{name}"


@pytest.mark.parametrize("parse", [parse_token_request, parse_refresh_request])
def test_a_refresh_grant_is_read_from_the_form(parse: Parse) -> None:
    grant = parse(posted(encoded(REFRESH, {"scope": "c:all a:read"})), REGISTRY)
    assert isinstance(grant, RefreshTokenGrant)
    assert grant.client.client_id == "app"
    assert grant.token.text == Secret(TOKEN)
    assert grant.token.generation == 3
    assert grant.scope == "a:read c:all"
    assert TOKEN not in repr(grant)


@pytest.mark.parametrize("scope", [None, ""])
def test_a_refresh_grant_need_not_name_a_scope(scope: str | None) -> None:
    assert parse_refresh_request(posted(encoded(REFRESH, {"scope": scope})), REGISTRY).scope is None


@pytest.mark.parametrize("parse", [parse_token_request, parse_refresh_request])
@pytest.mark.parametrize("token", ["garbage", TOKEN + "x", TOKEN[:-1], " " + TOKEN, "\uff11", "a.b.c"])
def test_a_malformed_refresh_token_is_an_invalid_grant(parse: Parse, token: str) -> None:
    with pytest.raises(InvalidGrant):
        parse(posted(encoded(REFRESH, {"refresh_token": token})), REGISTRY)


@pytest.mark.parametrize("parse", [parse_token_request, parse_refresh_request])
@pytest.mark.parametrize("token", [None, ""])
def test_a_missing_refresh_token_is_an_invalid_request(parse: Parse, token: str | None) -> None:
    with pytest.raises(InvalidRequest):
        parse(posted(encoded(REFRESH, {"refresh_token": token})), REGISTRY)


@pytest.mark.parametrize("grant_type", [None, ""])
def test_the_token_endpoint_asks_for_a_grant_type(grant_type: str | None) -> None:
    with pytest.raises(InvalidRequest):
        parse_token_request(posted(encoded(CODE, {"grant_type": grant_type})), REGISTRY)


@pytest.mark.parametrize(
    "grant_type",
    ["password", "code", "client_credentials", "implicit", "Refresh_Token", "refresh_token ", "authorization_code\n"],
)
@pytest.mark.parametrize(("parse", "fields"), ENDPOINTS[:3])
def test_any_other_grant_type_is_not_supported(parse: Parse, fields: Fields, grant_type: str) -> None:
    with pytest.raises(UnsupportedGrantType):
        parse(posted(encoded(fields, {"grant_type": grant_type})), REGISTRY)


def test_the_refresh_endpoint_takes_refreshes_only_and_needs_no_grant_type() -> None:
    assert parse_refresh_request(posted(encoded(REFRESH, {"grant_type": None})), REGISTRY).token.generation == 3
    with pytest.raises(UnsupportedGrantType):
        parse_refresh_request(posted(encoded(CODE, {})), REGISTRY)


def test_the_refresh_endpoint_takes_json_and_the_token_endpoint_does_not() -> None:
    body = json.dumps({"client_id": "app", "refresh_token": TOKEN})
    assert parse_refresh_request(posted(body, JSON), REGISTRY).token.text == Secret(TOKEN)
    for parse in (parse_token_request, parse_revocation_request):
        with pytest.raises(InvalidRequest):
            parse(posted(json.dumps(REFRESH), JSON), REGISTRY)


@every_endpoint
@pytest.mark.parametrize("content_type", [None, "text/plain", f"{FORM}, {JSON}", "multipart/form-data"])
def test_a_content_type_that_is_not_a_forms_is_an_invalid_request(
    parse: Parse, fields: Fields, content_type: str | None
) -> None:
    with pytest.raises(InvalidRequest):
        parse(posted(encoded(fields, {}), content_type), REGISTRY)


@every_endpoint
def test_any_repeated_parameter_is_an_invalid_request(parse: Parse, fields: Fields) -> None:
    for name in (*fields, "unknown"):
        with pytest.raises(InvalidRequest):
            parse(posted(encoded(fields, {}) + f"&{name}=1&{name}=1"), REGISTRY)


@every_endpoint
def test_parameters_in_the_query_string_are_not_read(parse: Parse, fields: Fields) -> None:
    with pytest.raises(OAuthError):
        parse(posted("", query=encoded(fields, {})), REGISTRY)
    for name in fields.keys() - {"grant_type"}:
        with pytest.raises(OAuthError):
            parse(posted(encoded(fields, {name: None}), query=encoded(fields, {})), REGISTRY)


@every_endpoint
@pytest.mark.parametrize("client_id", [None, "", "nobody", "APP", "app ", "app\0"])
def test_an_unknown_client_is_told_before_anything_else_is_looked_at(
    parse: Parse, fields: Fields, client_id: str | None
) -> None:
    for others in (fields, {"grant_type": fields.get("grant_type")}):
        with pytest.raises(InvalidClient) as raised:
            parse(posted(encoded(others, {"client_id": client_id})), REGISTRY)
        assert not raised.value.basic
        assert raised.value.status == HTTPStatus.UNAUTHORIZED


@every_endpoint
def test_an_empty_client_secret_is_that_of_a_public_client_and_any_other_is_refused(parse: Parse, fields: Fields) -> None:
    assert parse(posted(encoded(fields, {"client_secret": ""})), REGISTRY).client.client_id == "app"
    with pytest.raises(InvalidClient) as raised:
        parse(posted(encoded(fields, {"client_secret": "x"})), REGISTRY)
    assert raised.value.reason == "unexpected_secret"


@every_endpoint
@pytest.mark.parametrize("client_id", [None, "", "app"])
def test_http_basic_with_an_empty_password_names_the_public_client(
    parse: Parse, fields: Fields, client_id: str | None
) -> None:
    for header in (basic("app"), basic("app").replace("Basic", "bAsIc"), basic("%61pp"), basic("app") + " "):
        request = posted(encoded(fields, {"client_id": client_id}), authorization=header)
        assert parse(request, REGISTRY).client.client_id == "app"


@every_endpoint
@pytest.mark.parametrize(
    "header",
    [
        basic("app", "secret"),
        basic("nobody"),
        basic(""),
        basic("nobody", "secret"),
        "Basic",
        "Basic ",
        "Basic !",
        "Basic YXBwOg",
        "Basic YXBw\u00e9",
        "Basic " + base64.b64encode(b"\xff:").decode(),
        "Basic " + base64.b64encode(b"app\0:").decode(),
    ],
)
def test_http_basic_that_does_not_name_it_is_answered_with_a_challenge(
    parse: Parse, fields: Fields, header: str
) -> None:
    with pytest.raises(InvalidClient) as raised:
        parse(posted(encoded(fields, {"client_id": None}), authorization=header), REGISTRY)
    assert raised.value.basic


@every_endpoint
def test_two_different_clients_are_an_invalid_request(parse: Parse, fields: Fields) -> None:
    with pytest.raises(InvalidRequest):
        parse(posted(encoded(fields, {"client_id": "other"}), authorization=basic("app")), REGISTRY)


@every_endpoint
def test_a_secret_in_the_form_is_refused_beside_http_basic_too(parse: Parse, fields: Fields) -> None:
    # RFC 6749 section 2.3: not more than one authentication method in a request.
    with pytest.raises(OAuthError):
        parse(posted(encoded(fields, {"client_secret": "x"}), authorization=basic("app")), REGISTRY)


@every_endpoint
@pytest.mark.parametrize("header", ["Bearer abc", "Digest username=app", "basically YXBwOg==", "", "app"])
def test_another_authorization_scheme_is_ignored(parse: Parse, fields: Fields, header: str) -> None:
    assert parse(posted(encoded(fields, {}), authorization=header), REGISTRY).client.client_id == "app"


def test_a_revocation_request_is_read_from_the_form() -> None:
    request = parse_revocation_request(posted(encoded(REVOCATION, {"token_type_hint": "access_token"})), REGISTRY)
    assert request.client.client_id == "app"
    assert request.token == RefreshToken.parse(Secret(TOKEN))
    assert TOKEN not in repr(request)


@pytest.mark.parametrize("token", ["garbage", "eyJ.eyJ.sig", TOKEN[:-1], "\u00e9"])
def test_a_token_that_cannot_be_ours_is_none_and_no_error(token: str) -> None:
    assert parse_revocation_request(posted(encoded(REVOCATION, {"token": token})), REGISTRY).token is None


@pytest.mark.parametrize("token", [None, ""])
def test_a_revocation_without_a_token_is_an_invalid_request(token: str | None) -> None:
    with pytest.raises(InvalidRequest):
        parse_revocation_request(posted(encoded(REVOCATION, {"token": token})), REGISTRY)


@given(texts, st.sampled_from([FORM, JSON, "text/plain"]), st.none() | st.text(max_size=20).map(lambda t: f"Basic {t}"))
def test_any_body_is_a_request_or_an_oauth_error_that_quotes_nothing_of_it(
    body: str, content_type: str, authorization_header: str | None
) -> None:
    for parse, fields in ENDPOINTS:
        for text in (body, encoded(fields, {}) + "&" + body):
            try:
                parse(posted(text, content_type, authorization=authorization_header), REGISTRY)
            except OAuthError as error:
                assert TOKEN not in error.description + error.reason
                assert error.status in (400, 401)


@pytest.mark.parametrize("canary", ["canary-1", "canary\n2", "canary\u20283"])
def test_no_failure_repeats_what_the_caller_sent(canary: str) -> None:
    failures: list[BrokerError] = []
    for parse, fields in ENDPOINTS:
        for name in (*fields, "scope", "client_secret"):
            for twice in ("", f"&{urlencode({name: canary})}"):
                try:
                    parse(posted(encoded(fields, {name: canary}) + twice), REGISTRY)
                except OAuthError as error:
                    failures.append(error)
    for name in AUTHORIZATION.keys() - {"redirect_uri"}:
        try:
            authorization(**{name: canary})
        except (PageError, RedirectError) as failure:
            failures.append(failure)
    assert len(failures) > 30
    for failure in failures:
        # A redirect does carry the state back, byte for byte, and nothing else.
        shown = failure.error if isinstance(failure, RedirectError) else failure
        assert "canary" not in " ".join([failure.reason, str(failure), *map(str, vars(shown).values())])
