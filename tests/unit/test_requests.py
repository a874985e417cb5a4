"""Requests of apps to the token, refresh and revocation endpoints."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.config.clients import Registry
from oauth_broker.errors import InvalidClient, InvalidGrant, InvalidRequest, OAuthError, UnsupportedGrantType
from oauth_broker.oauth.requests import (
    AuthorizationCodeGrant,
    RefreshTokenGrant,
    parse_aries_token_request,
    parse_refresh_request,
    parse_revocation_request,
    parse_token_request,
)
from oauth_broker.oauth.tokens import RefreshToken
from oauth_broker.secret import Secret
from oauth_broker.web.http import HttpRequest
from tests.support.drawn import secret_texts
from tests.support.pkce import VERIFIER
from tests.unit.fakes import FORM, JSON, encoded, failure_of, posted

APP_URI = "https://app.example.com/callback"
REGISTRY = Registry.parse(
    json.dumps(
        {
            "app": {"redirect_uris": [APP_URI], "scopes": ["b:write", "a:read", "c:all"]},
            "other": {"redirect_uris": ["https://other.example.com/callback"], "scopes": ["a:read"]},
        }
    )
)
TOKEN = RefreshToken.mint("S" * 43, 3, Secret("key")).text.reveal()

# Pieces of bodies, so random bodies often make sense.
pieces = st.sampled_from(
    [
        *("client_id=app", "grant_type=refresh_token", "code=", "scope=a:read", "refresh_token=" + TOKEN, "token="),
        *("&", "=", "+", "%", "%00", "%ff", "é", "\n", "{", '"', "x"),
    ]
)
texts = st.lists(pieces, max_size=12).map("".join) | secret_texts(max_size=80)

Fields = dict[str, str | None]


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


def as_json(fields: Fields) -> HttpRequest:
    return posted(json.dumps(fields), "application/json")


def test_aries_own_token_requests_are_read_from_json() -> None:
    assert parse_aries_token_request(as_json(CODE | {"grant_type": "code"}), REGISTRY) == parse_token_request(
        posted(encoded(CODE, {})), REGISTRY
    )
    assert parse_aries_token_request(as_json(REFRESH), REGISTRY) == parse_token_request(
        posted(encoded(REFRESH, {})), REGISTRY
    )


def test_neither_dialect_of_token_requests_is_taken_for_the_other() -> None:
    for fields in (CODE, CODE | {"grant_type": "password"}):
        with pytest.raises(UnsupportedGrantType) as raised:
            parse_aries_token_request(as_json(fields), REGISTRY)
        assert raised.value.description == "The parameter grant_type must be code or refresh_token."
    with pytest.raises(InvalidRequest) as refused:
        parse_aries_token_request(posted(encoded(CODE, {"grant_type": "code"})), REGISTRY)
    assert refused.value.reason == "content_type"
    with pytest.raises(InvalidRequest):
        parse_token_request(as_json(CODE), REGISTRY)


def test_the_client_secret_of_aries_fifth_step_is_refused() -> None:
    with pytest.raises(InvalidClient):
        parse_aries_token_request(as_json(REFRESH | {"client_secret": "secret"}), REGISTRY)


@pytest.mark.parametrize("name", ["code", "code_verifier"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_code_grant_without_one_of_its_parameters_is_an_invalid_request(name: str, value: str | None) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_token_request(posted(encoded(CODE, {name: value})), REGISTRY)
    assert raised.value.reason == f"missing_{name}"


@pytest.mark.parametrize("redirect_uri", [None, ""])
def test_a_code_grant_need_not_name_the_redirect_uri(redirect_uri: str | None) -> None:
    grant = parse_token_request(posted(encoded(CODE, {"redirect_uri": redirect_uri})), REGISTRY)
    assert isinstance(grant, AuthorizationCodeGrant)
    assert grant.redirect_uri is None


@pytest.mark.parametrize("parse", [parse_token_request, parse_refresh_request])
def test_a_refresh_grant_is_read_from_the_form(parse: Parse) -> None:
    grant = parse(posted(encoded(REFRESH, {"scope": "c:all a:read"})), REGISTRY)
    assert isinstance(grant, RefreshTokenGrant)
    assert grant.client.client_id == "app"
    assert grant.token.text == Secret(TOKEN)
    assert grant.token.generation == 3
    assert grant.scope == "a:read c:all"
    assert TOKEN not in repr(grant)


@pytest.mark.parametrize("scope", [None, "", " "])
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
    for name in fields.keys() - {"grant_type", "redirect_uri"}:
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
def test_an_empty_client_secret_is_that_of_a_public_client_and_any_other_is_refused(
    parse: Parse, fields: Fields
) -> None:
    assert parse(posted(encoded(fields, {"client_secret": ""})), REGISTRY).client.client_id == "app"
    with pytest.raises(InvalidClient) as raised:
        parse(posted(encoded(fields, {"client_secret": "x"})), REGISTRY)
    assert raised.value.reason == "unexpected_secret"


SECRET_SENT = "A client secret was sent, but all apps are public clients here. Send no client secret."


@every_endpoint
@pytest.mark.parametrize(
    ("changes", "authorization", "description"),
    [
        ({"client_secret": "x"}, None, SECRET_SENT),
        ({"client_secret": "x", "client_assertion": "x"}, None, SECRET_SENT),
        ({"client_id": None}, basic("app", "x"), SECRET_SENT),
        ({"client_assertion": "x"}, None, SECRET_SENT.replace("secret", "assertion")),
        (
            {"client_id": "nobody", "client_secret": "x"},
            None,
            "No app is registered with this client_id. Check the client_id.",
        ),
        ({"client_id": None}, None, "The parameter client_id is missing."),
        ({"client_id": None}, basic(""), "The parameter client_id is missing."),
        (
            {},
            "Basic !",
            "The Basic credentials cannot be read. Leave them out and send the client_id as a parameter.",
        ),
    ],
)
def test_a_client_that_is_refused_is_told_why(
    parse: Parse, fields: Fields, changes: Fields, authorization: str | None, description: str
) -> None:
    with pytest.raises(InvalidClient) as raised:
        parse(posted(encoded(fields, changes), authorization=authorization), REGISTRY)
    assert raised.value.description == description


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
        "Basic !YXBwOg==",
        "Basic YXBw\tOg==",
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
    # RFC 6749 section 2.3: a request has at most one authentication method.
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


@given(
    texts,
    st.sampled_from([FORM, JSON, "text/plain"]),
    st.none() | secret_texts(max_size=20).map(lambda t: f"Basic {t}"),
)
def test_any_body_is_a_request_or_an_oauth_error_that_quotes_nothing_of_it(
    body: str, content_type: str, authorization_header: str | None
) -> None:
    for parse, fields in ENDPOINTS:
        for text in (body, encoded(fields, {}) + "&" + body):
            request = posted(text, content_type, authorization=authorization_header)
            failure = failure_of(OAuthError, partial(parse, request, REGISTRY))
            if failure is not None:
                assert TOKEN not in failure.description + failure.reason
                assert failure.status in (400, 401)


@every_endpoint
@pytest.mark.parametrize("canary", ["canary-1", "canary\n2", "canary\u20283"])
def test_no_failure_repeats_what_the_caller_sent(parse: Parse, fields: Fields, canary: str) -> None:
    bodies = [
        encoded(fields, {name: canary}) + twice
        for name in (*fields, "client_secret")
        for twice in ("", "&" + urlencode({name: canary}))
    ]
    failures = [failure_of(OAuthError, partial(parse, posted(body), REGISTRY)) for body in bodies]
    # Every request with a repeated parameter fails.
    assert None not in failures[1::2]
    for failure in filter(None, failures):
        assert "canary" not in failure.description + failure.reason + str(failure)
