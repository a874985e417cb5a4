"""CORS: a page of a registered origin may read answers, other pages may not (the Fetch standard, "CORS protocol")."""

from __future__ import annotations

import json

import pytest

from tests.support.deployment import APP_URI, APPS, CLIENT_ID, ORIGIN, OTHER_CLIENT_ID
from tests.support.pkce import VERIFIER
from tests.support.world import Answer, World, running_world

POSTED = {
    "/oauth2/token": "token",
    "/v1/oauth2/token": "token",
    "/oauth2/refresh": "refresh",
    "/oauth2/revoke": "revoke",
    "/oauth2/sessions": "sessions",
    "/oauth2/sessions/revoke": "sessions",
}
FETCHED = dict.fromkeys(
    (
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/oauth2/jwks.json",
        "/.well-known/apple-app-site-association",
        "/.well-known/assetlinks.json",
    ),
    "metadata",
)
NAVIGATED = {"/oauth2/authorize": "authorize", "/oauth2/callback": "callback"}
READABLE = pytest.mark.parametrize(("path", "function"), (POSTED | FETCHED).items())
FOREIGN = [
    "",
    "null",
    "*",
    "https://evil.example",
    ORIGIN + "/",
    ORIGIN + ":443",
    ORIGIN + ":8443",
    ORIGIN + ".evil.example",
    ORIGIN + "evil.example",
    ORIGIN + "\x00",
    ORIGIN + "%60.evil.example",
    ORIGIN.upper(),
    ORIGIN.replace("web", "Web"),
    ORIGIN.replace("https", "http"),
    ORIGIN.replace("https", "HTTPS"),
    ORIGIN.replace("web.", "sub.web."),
    ORIGIN.replace("web.", ""),
    ORIGIN.replace("web.", "evilweb."),
    ORIGIN.replace("web.", "webx"),
    ORIGIN[:-1],
    f"{ORIGIN} https://evil.example",
    f"https://evil.example, {ORIGIN}",
    f"{ORIGIN}, {ORIGIN}",
    # The origin of a registered redirect URI, but not itself a registered origin.
    "https://app.example.com",
]


def varies_by(method: str) -> str:
    """Return the Vary header. The answer to a preflight depends on the requested headers too."""
    return "Origin, Access-Control-Request-Headers" if method == "OPTIONS" else "Origin"


def cors_headers(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control")}


def assert_readable(answer: Answer, origin: str = ORIGIN) -> None:
    assert cors_headers(answer) == {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": "Retry-After, WWW-Authenticate, apigw-requestid",
    }
    assert answer.headers["vary"] == "Origin"


@READABLE
def test_a_preflight_of_a_registered_origin_is_told_what_it_may_send(world: World, path: str, function: str) -> None:
    method = "GET" if function == "metadata" else "POST"
    headers = {
        "origin": ORIGIN,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type",
    }
    answer = world.call(function, "OPTIONS", path, headers=headers)
    assert (answer.status, answer.body) == (204, "")
    assert cors_headers(answer) == {
        "access-control-allow-origin": ORIGIN,
        "access-control-allow-methods": method,
        "access-control-allow-headers": "authorization, content-type",
        "access-control-max-age": "600",
    }
    assert answer.headers["vary"] == "Origin, Access-Control-Request-Headers"


def preflight(world: World, asked: str | None, origin: str = ORIGIN) -> Answer:
    headers = {"origin": origin, "access-control-request-method": "POST"}
    if asked is not None:
        headers["access-control-request-headers"] = asked
    return world.call("token", "OPTIONS", "/oauth2/token", headers=headers)


@pytest.mark.parametrize(
    "asked",
    [
        # @capacitor-community/generic-oauth2, okta-auth-js, Sentry, and all of them together.
        "cache-control,content-type",
        "content-type,x-okta-user-agent-extended",
        "baggage,content-type,sentry-trace",
        "authorization,baggage,cache-control,content-type,sentry-trace,traceparent,x-okta-user-agent-extended",
        "X-Under_Score",
        "a" * 1024,
    ],
)
def test_a_page_of_a_registered_origin_may_send_whatever_headers_its_libraries_add(world: World, asked: str) -> None:
    allowed = preflight(world, asked).headers["access-control-allow-headers"]
    assert allowed.split(", ") == asked.split(",")


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        (" Content-Type ,\tsentry-trace", "Content-Type, sentry-trace"),
        ("content-type,,a b,x:y,\u00e9,\x00,(x),*,baggage", "content-type, baggage"),
        ("content-type\r\nset-cookie: a=b,baggage", "baggage"),
    ],
)
def test_of_the_headers_that_a_preflight_asks_for_only_names_come_back(world: World, asked: str, allowed: str) -> None:
    assert preflight(world, asked).headers["access-control-allow-headers"] == allowed


@pytest.mark.parametrize("asked", [None, "", ",", "*", " ", "a" * 1025, "x," * 600])
def test_a_preflight_that_asks_for_none_or_for_too_much_is_told_the_headers_that_apps_need(
    world: World, asked: str | None
) -> None:
    answer = preflight(world, asked)
    assert (answer.status, answer.headers["access-control-allow-headers"]) == (204, "Authorization, Content-Type")


def test_no_other_origin_is_told_what_headers_it_may_send(world: World) -> None:
    for origin in FOREIGN:
        answer = preflight(world, "content-type,sentry-trace", origin)
        assert (answer.status, cors_headers(answer), answer.headers["vary"]) == (204, {}, varies_by("OPTIONS"))


def test_a_token_request_with_the_headers_of_libraries_is_answered_as_ever(world: World) -> None:
    phone = world.phone(
        client_id=OTHER_CLIENT_ID, redirect_uri="https://web.example.com/callback", scope="account:information"
    )
    phone.sign_in()
    fields = {"grant_type": "refresh_token", "client_id": OTHER_CLIENT_ID, "refresh_token": phone.refresh_token}
    added = {"origin": ORIGIN, "cache-control": "no-store", "sentry-trace": "0-0-0", "baggage": "a=b"}
    answer = world.form("token", fields, added)
    assert answer.status == 200
    assert_readable(answer)


@READABLE
def test_no_other_origin_is_told_anything_and_a_cache_may_not_mix_them_up(
    world: World, path: str, function: str
) -> None:
    method = "GET" if function == "metadata" else "POST"
    for origin in FOREIGN:
        for asked in ("OPTIONS", method):
            answer = world.call(function, asked, path, headers={"origin": origin})
            assert (cors_headers(answer), answer.headers["vary"]) == ({}, varies_by(asked)), (origin, asked)
    # A cache may hold an answer to a request without an origin. A page must not get this answer.
    for asked in ("OPTIONS", method):
        answer = world.call(function, asked, path)
        assert (cors_headers(answer), answer.headers["vary"]) == ({}, varies_by(asked))


@pytest.mark.parametrize(("path", "function"), NAVIGATED.items())
def test_what_a_browser_navigates_to_is_read_across_origins_by_nobody(world: World, path: str, function: str) -> None:
    phone = world.phone()
    query = phone.authorization_query() if function == "authorize" else phone.approve(phone.authorize())
    cookies = [f"{name}={value}" for name, value in phone.cookies.items()]
    for origin in (ORIGIN, *FOREIGN):
        for text in ("", query):
            answer = world.call(function, "GET", path, query=text, cookies=cookies, headers={"origin": origin})
            assert cors_headers(answer) == {}
        asking = {"origin": origin, "access-control-request-method": "GET"}
        refused = world.call(function, "OPTIONS", path, headers=asking)
        assert (refused.status, cors_headers(refused)) == (405, {})


def test_every_answer_can_be_read_by_the_page_that_asked(world: World) -> None:
    phone = world.phone(
        client_id=OTHER_CLIENT_ID, redirect_uri="https://web.example.com/callback", scope="account:information"
    )
    code, headers = phone.code(), {"origin": ORIGIN}
    fields = {
        "grant_type": "authorization_code",
        "client_id": OTHER_CLIENT_ID,
        "code": code,
        "redirect_uri": phone.redirect_uri,
        "code_verifier": VERIFIER,
    }

    def stumble() -> None:
        raise KeyError("a bug")

    with world.aws.failing("GetItem"):
        unavailable = world.form("token", fields, headers)
    with world.aws.visited("GetItem", stumble):
        broken = world.form("token", fields, headers)
    redeemed = world.form("token", fields, headers)
    refresh = {"client_id": OTHER_CLIENT_ID, "refresh_token": redeemed.json["refresh_token"]}
    for answer, status in (
        (unavailable, 503),
        (broken, 500),
        (redeemed, 200),
        (world.form("refresh", refresh, headers), 200),
        (world.form("refresh", refresh | {"client_id": "nobody"}, headers), 401),
        (world.form("refresh", refresh | {"refresh_token": "x"}, headers), 400),
        (world.form("revoke", refresh | {"token": "x"}, headers), 200),
        (world.form("token", {"grant_type": "password"}, headers), 400),
        (world.call("token", "GET", "/oauth2/token", headers=headers), 405),
        (world.call("metadata", "POST", "/oauth2/jwks.json", headers=headers), 405),
        (world.call("metadata", "GET", "/oauth2/other", headers=headers), 404),
    ):
        assert answer.status == status
        assert_readable(answer)


def test_each_origin_of_each_app_is_named_as_it_is_registered() -> None:
    origins = ["https://one.example", "https://two.example:8443", "http://localhost:3000", "http://[::1]:3000"]
    apps = APPS | {
        "one": {"redirect_uris": ["https://one.example/"], "scopes": ["a"], "origins": origins[:2]},
        "two": {"redirect_uris": ["https://two.example/"], "scopes": ["a"], "origins": origins[2:]},
    }
    with running_world(APPS=json.dumps(apps)) as world:
        for origin in (*origins, ORIGIN):
            assert_readable(world.call("metadata", "GET", "/oauth2/jwks.json", headers={"origin": origin}), origin)
        for origin in ("http://localhost", "http://localhost:3001", "https://localhost:3000", "https://two.example"):
            answer = world.call("metadata", "GET", "/oauth2/jwks.json", headers={"origin": origin})
            assert cors_headers(answer) == {}


def test_no_page_can_read_an_answer_if_no_app_has_an_origin() -> None:
    apps = {CLIENT_ID: {"redirect_uris": [APP_URI], "scopes": ["a"]}}
    with running_world(APPS=json.dumps(apps)) as world:
        for origin in (ORIGIN, *FOREIGN):
            answer = world.call("token", "OPTIONS", "/oauth2/token", headers={"origin": origin})
            assert (answer.status, cors_headers(answer)) == (204, {})
