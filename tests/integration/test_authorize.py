"""The authorization endpoint, through the real handler."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest

from oauth_broker.oauth.tokens import session_id_of
from oauth_broker.sessions.table import SIGN_IN_SECONDS
from tests.support.deployment import APP_URI, ARIES_CLIENT_ID, CALLBACK_URI, CLIENT_ID, GRACE, ISSUER, SCOPE, SCOPES
from tests.support.pkce import CHALLENGE
from tests.support.world import Answer, World, running_world


def assert_local(world: World, answer: Answer) -> None:
    """Check for a page to the person: no redirect, no row, no call to Aries."""
    assert answer.status == 400
    assert "location" not in answer.headers
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert not answer.cookies
    assert world.rows() == []
    assert world.aries.token_calls == 0


def assert_redirected(world: World, answer: Answer, error: str, state: str | None = "app-state") -> None:
    """Check for an error sent to the registered URI, with the exact state and the issuer."""
    assert answer.status == 302
    assert answer.location.startswith(APP_URI + "?")
    assert answer.query["error"] == error
    assert answer.query["iss"] == ISSUER
    assert answer.query.get("state") == state
    assert world.rows() == []


def test_the_redirect_to_aries_carries_the_parameters_of_its_first_step_and_nothing_of_the_apps(world: World) -> None:
    phone = world.phone()
    answer = phone.authorize()
    url = urlsplit(answer.location)
    assert f"{url.scheme}://{url.netloc}{url.path}" == world.environment["ARIES_AUTHORIZE_URL"]
    assert set(answer.query) == {
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
    }
    assert answer.query["client_id"] == ARIES_CLIENT_ID
    assert answer.query["redirect_uri"] == CALLBACK_URI
    assert answer.query["scope"] == SCOPE
    assert answer.query["code_challenge_method"] == "S256"
    for own in (phone.client_id, phone.state, CHALLENGE, "app.example.com"):
        assert own not in answer.location
    # The strict parser of the simulator accepts the query.
    assert world.aries.core.authorize(url.query).redirect_uri == CALLBACK_URI


def test_every_sign_in_gets_a_fresh_state_of_at_least_128_bits_and_a_fresh_challenge(world: World) -> None:
    answers = [world.phone().authorize().query for _ in range(20)]
    assert len({answer["state"] for answer in answers}) == 20
    assert len({answer["code_challenge"] for answer in answers}) == 20
    assert all(len(answer["state"]) == 43 for answer in answers)


def test_the_row_holds_neither_the_state_nor_the_cookie(world: World) -> None:
    phone = world.phone()
    answer = phone.authorize()
    row = phone.row()
    assert row["status"] == "pending"
    assert row["session_id"] == session_id_of(answer.query["state"])
    assert int(row["expires_at"]) == int(world.clock.now()) + SIGN_IN_SECONDS
    stored = " ".join(str(value) for value in row.values())
    assert answer.query["state"] not in stored
    assert next(iter(phone.cookies.values())) not in stored


def test_the_cookie_is_bound_to_the_host_and_out_of_reach_of_scripts(world: World) -> None:
    phone = world.phone()
    (cookie,) = phone.authorize().cookies
    name, *attributes = cookie.split("; ")
    assert name.startswith(f"__Host-signin-{phone.session_id[:16]}=")
    assert len(name.partition("=")[2]) == 43
    assert set(attributes) == {"Path=/", f"Max-Age={SIGN_IN_SECONDS}", "HttpOnly", "SameSite=Lax", "Secure"}


def test_the_oldest_of_more_than_five_sign_ins_in_one_browser_loses_its_cookie(world: World) -> None:
    phone = world.phone()
    names = []
    for _ in range(7):
        phone.authorize()
        names.append(list(phone.cookies)[-1])
    assert list(phone.cookies) == names[2:]


@pytest.mark.parametrize("changes", [{"client_id": None}, {"client_id": "nobody"}, {"client_id": ""}])
def test_an_unknown_client_gets_a_page(world: World, changes: dict[str, Any]) -> None:
    assert_local(world, world.phone().authorize(**changes))


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_a_repeated_client_id_or_redirect_uri_gets_a_page(world: World, name: str) -> None:
    phone = world.phone()
    query = phone.authorization_query()
    repeated = dict(parse_qsl(query))[name]
    assert_local(world, phone.authorize(f"{query}&{name}={quote(repeated, safe='')}"))


@pytest.mark.parametrize(
    "redirect_uri",
    [
        None,
        "",
        "https://APP.example.com/callback",
        "HTTPS://app.example.com/callback",
        "https://app.example.com:443/callback",
        "https://app.example.com:8443/callback",
        "https://app.example.com/callback/",
        "https://app.example.com/callback?x=1",
        "https://app.example.com/callback?",
        "https://app.example.com/callback#",
        "https://app.example.com/callback#fragment",
        "https://app.example.com/x/../callback",
        "https://app.example.com/%2e%2e/callback",
        "https://app.example.com/callbac%6b",
        "https://app.example.com@evil.example/callback",
        "https://user@app.example.com/callback",
        "https://app.example.com.evil.example/callback",
        "https://evilapp.example.com/callback",
        "https://app.example.com\\@evil.example/callback",
        "https:\\\\app.example.com/callback",
        "https://app.example.com/call\tback",
        " https://app.example.com/callback",
        "https://app.example.com/callback\n",
        "https://\u0430pp.example.com/callback",
        "//app.example.com/callback",
        "http://app.example.com/callback",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://web.example.com/callback",
        "com.example.trader:/callback2",
        "COM.example.trader:/callback",
    ],
)
def test_a_redirect_uri_that_differs_in_anything_gets_a_page(world: World, redirect_uri: str | None) -> None:
    assert_local(world, world.phone().authorize(redirect_uri=redirect_uri))


@pytest.mark.parametrize("port", ["", ":1", ":8080", ":65535"])
def test_of_a_loopback_redirect_uri_the_port_may_vary(world: World, port: str) -> None:
    answer = world.phone().authorize(redirect_uri=f"http://127.0.0.1{port}/callback")
    assert answer.status == 302
    assert answer.location.startswith("https://app.aries.example/")


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:65536/callback",
        "http://127.0.0.1:08080/callback",
        "http://127.0.0.1:8080/other",
        "http://127.0.0.1:8080/callback/",
        "http://127.0.0.1:8080@evil.example/callback",
        "http://127.0.0.1.evil.example:8080/callback",
        "http://127.0.0.2:8080/callback",
        "http://localhost:8080/callback",
        "http://[::1]:8080/callback",
        "https://127.0.0.1:8080/callback",
    ],
)
def test_of_a_loopback_redirect_uri_nothing_but_the_port_may_vary(world: World, redirect_uri: str) -> None:
    assert_local(world, world.phone().authorize(redirect_uri=redirect_uri))


def loopback_world(registered: str) -> AbstractContextManager[World]:
    """A world with one redirect URI for the app, on loopback."""
    return running_world(APPS=json.dumps({CLIENT_ID: {"redirect_uris": [registered], "scopes": SCOPES}}))


@pytest.mark.parametrize("registered", ["http://localhost", "http://localhost/", "http://localhost:8080/"])
def test_of_a_loopback_redirect_uri_an_empty_path_and_a_slash_are_the_same(registered: str) -> None:
    with loopback_world(registered) as world:
        # google-auth-oauthlib and Qt end their URIs with a slash, whatever the registration says.
        for asked in ("http://localhost:49152/", "http://localhost:49152", "http://localhost/"):
            phone = world.phone(redirect_uri=asked)
            code = phone.callback(phone.approve(phone.authorize()))
            assert code.location.startswith(f"{asked}?code=")
            assert phone.redeem(code.query["code"]).status == 200
        for other in ("http://localhost:49152/x", "http://localhost:49152//", "http://127.0.0.1:49152/"):
            assert world.phone().authorize(redirect_uri=other).status == 400


def test_the_redirect_uri_of_a_code_is_compared_byte_for_byte_with_the_one_that_the_sign_in_sent() -> None:
    with loopback_world("http://localhost") as world:
        phone = world.phone(redirect_uri="http://localhost:49152/")
        code = phone.code()
        for other in ("http://localhost:49152", "http://localhost:49153/", "http://localhost/", "http://localhost"):
            assert phone.redeem(code, redirect_uri=other).json["error"] == "invalid_grant"
        assert phone.redeem(code).status == 200


@pytest.mark.parametrize(
    "redirect_uri", ["https://app.example.com", "com.example.trader:/", "https://app.example.com/"]
)
def test_of_any_other_redirect_uri_an_empty_path_and_a_slash_are_two(redirect_uri: str) -> None:
    other = redirect_uri.removesuffix("/") if redirect_uri.endswith("/") else f"{redirect_uri}/"
    with loopback_world(redirect_uri) as world:
        assert_local(world, world.phone().authorize(redirect_uri=other))
        assert world.phone(redirect_uri=redirect_uri).authorize().status == 302


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"response_mode": "form_post"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "a" * 42}, "invalid_request"),
        ({"code_challenge": "a" * 44}, "invalid_request"),
        ({"code_challenge": "a" * 43 + "="}, "invalid_request"),
        ({"code_challenge": "a" * 42 + "="}, "invalid_request"),
        ({"code_challenge": "a" * 42 + "+"}, "invalid_request"),
        ({"code_challenge": "a" * 43 + "\n"}, "invalid_request"),
        ({"code_challenge": "a" * 42 + "\uff11"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"scope": "admin:everything"}, "invalid_scope"),
        ({"scope": "account:information admin"}, "invalid_scope"),
        ({"scope": "account:information\x00"}, "invalid_scope"),
        ({"scope": "account:information\torder:execution"}, "invalid_scope"),
    ],
)
def test_every_other_mistake_is_told_to_the_app(world: World, changes: dict[str, str | None], error: str) -> None:
    assert_redirected(world, world.phone().authorize(**changes), error)


@pytest.mark.parametrize(
    ("scope", "description"),
    [
        (
            f"{SCOPE} admin:everything",
            "The app is not registered for the scope admin:everything. Ask only for registered scopes.",
        ),
        (
            f"openid {SCOPE}",
            "The app is not registered for the scope openid. "
            "This server issues no ID tokens: leave out openid, profile and offline_access.",
        ),
        (
            f"{SCOPE} <script>",
            "The app is not registered for one of the scopes in the request. Ask only for registered scopes.",
        ),
    ],
)
def test_the_app_is_told_which_scope_it_is_not_registered_for(world: World, scope: str, description: str) -> None:
    answer = world.phone().authorize(scope=scope)
    assert_redirected(world, answer, "invalid_scope")
    assert answer.query["error_description"] == description


@pytest.mark.parametrize("scope", [f"{SCOPE} ", f" {SCOPE}", SCOPE.replace(" ", "  ")])
def test_blanks_at_the_ends_of_the_scope_and_doubled_ones_mean_nothing(world: World, scope: str) -> None:
    phone = world.phone(scope=scope)
    assert phone.sign_in().json["scope"] == SCOPE
    world.clock.time += GRACE + 1
    for function in ("token", "refresh"):
        assert phone.refresh(function=function, scope=scope).json["scope"] == SCOPE


@pytest.mark.parametrize("name", ["response_type", "scope", "code_challenge", "code_challenge_method", "nonce"])
def test_any_parameter_sent_twice_is_an_invalid_request(world: World, name: str) -> None:
    phone = world.phone()
    query = phone.authorization_query(nonce="n")
    assert_redirected(world, phone.authorize(f"{query}&{name}=code"), "invalid_request")


def test_a_repeated_state_is_not_echoed(world: World) -> None:
    phone = world.phone()
    query = phone.authorization_query() + "&state=other"
    assert_redirected(world, phone.authorize(query), "invalid_request", state=None)


@pytest.mark.parametrize(
    "raw",
    [
        "a" * 1000,
        "%41%42" * 100,
        quote("zażółć gęślą & = ? # 漢字", safe=""),
        "base64+/==",
        "with%2Bplus%2Fslash%3D",
        "nul%00byte",
        "line%0D%0ASet-Cookie%3A%20x%3Dy",
        "%e2%80%a8",
        "a%20b+c",
        "!$'()*,;:@/?~",
    ],
)
def test_the_state_comes_back_byte_for_byte(world: World, raw: str) -> None:
    phone = world.phone()
    query = phone.authorization_query(state=None) + f"&state={raw}"
    answer = phone.callback(phone.approve(phone.authorize(query)))
    assert answer.status == 302
    assert answer.location.endswith(f"&state={raw}")
    refused = phone.authorize(query + "&response_mode=fragment")
    assert refused.location.endswith(f"&state={raw}")
    assert unquote(raw) == unquote(refused.location.rpartition("&state=")[2])


@pytest.mark.parametrize("raw", ["a" * 2049, "a\nb", "a\x00b", "ä"])
def test_a_state_that_cannot_be_echoed_exactly_is_refused_and_never_shortened(world: World, raw: str) -> None:
    phone = world.phone()
    query = phone.authorization_query(state=None) + f"&state={raw}"
    assert_redirected(world, phone.authorize(query), "invalid_request", state=None)


def test_a_missing_state_is_left_out_of_the_answer(world: World) -> None:
    phone = world.phone()
    answer = phone.callback(phone.approve(phone.authorize(state=None)))
    assert set(answer.query) == {"code", "iss"}


def test_a_missing_scope_means_all_scopes_of_the_app(world: World) -> None:
    answer = world.phone().authorize(scope=None)
    assert answer.query["scope"].split() == sorted(
        ["account:information", "market:information", "order:execution", "user:information"]
    )


def test_unknown_parameters_are_ignored(world: World) -> None:
    assert world.phone().authorize(nonce="n", login_hint="me", audience="x").location.startswith("https://app.aries")


@pytest.mark.parametrize("prompt", ["none", "none ", "none none"])
def test_a_sign_in_without_a_person_is_refused_at_once_and_nothing_begins(world: World, prompt: str) -> None:
    answer = world.phone().authorize(prompt=prompt)
    assert_redirected(world, answer, "login_required")
    assert not answer.cookies
    assert world.telemetry.counted("SignInsStarted") == world.telemetry.counted("SignInsFailed") == 0


@pytest.mark.parametrize("prompt", ["none login", "login none", "none consent select_account"])
def test_the_prompt_none_beside_another_is_an_invalid_request(world: World, prompt: str) -> None:
    assert_redirected(world, world.phone().authorize(prompt=prompt), "invalid_request")


def test_a_request_that_is_wrong_is_told_so_before_it_is_refused_for_its_prompt(world: World) -> None:
    phone = world.phone()
    assert_redirected(world, phone.authorize(prompt="none", scope="admin"), "invalid_scope")
    assert_redirected(world, phone.authorize(prompt="none", code_challenge=None), "invalid_request")
    assert_redirected(
        world, phone.authorize(phone.authorization_query(prompt="none") + "&prompt=none"), "invalid_request"
    )
    assert world.phone().authorize(prompt="none", client_id="nobody").status == 400


@pytest.mark.parametrize("prompt", ["", "login", "consent", "login consent", "select_account", "NONE", "nonee"])
def test_every_other_prompt_is_ignored_and_goes_no_further(world: World, prompt: str) -> None:
    answer = world.phone().authorize(prompt=prompt)
    assert answer.location.startswith("https://app.aries")
    assert "prompt" not in answer.query


@pytest.mark.parametrize("query", ["", "&&&", "%ff=1", "client_id=%ff", "a=1&" * 70])
def test_a_query_that_cannot_be_read_gets_a_page(world: World, query: str) -> None:
    assert_local(world, world.phone().authorize(query))


@pytest.mark.parametrize(
    "changes", [{}, {"client_id": "nobody"}, {"response_type": "token"}], ids=["success", "page", "redirect"]
)
def test_every_response_forbids_storing_referring_and_plain_http(world: World, changes: dict[str, Any]) -> None:
    answer = world.phone().authorize(**changes)
    assert answer.status != 307
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers


def test_a_person_is_never_sent_to_aries_with_a_sign_in_that_was_not_saved(world: World) -> None:
    with world.aws.failing("PutItem"):
        answer = world.phone().authorize()
    assert_redirected(world, answer, "temporarily_unavailable")
    assert not answer.cookies


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-purpose": "prefetch;prerender"},
        {"sec-purpose": "PREFETCH"},
        {"purpose": "prefetch"},
        {"x-moz": "prefetch"},
    ],
)
def test_a_prefetch_gets_an_empty_answer_and_writes_nothing(world: World, headers: dict[str, str]) -> None:
    query = world.phone().authorization_query()
    answer = world.call("authorize", "GET", "/oauth2/authorize", query=query, headers=headers)
    assert (answer.status, answer.body, answer.cookies, world.rows()) == (403, "", [], [])


def test_another_method_is_refused(world: World) -> None:
    answer = world.call("authorize", "POST", "/oauth2/authorize")
    assert (answer.status, answer.headers["allow"]) == (405, "GET")
