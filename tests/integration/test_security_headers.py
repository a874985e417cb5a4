"""Every answer of every function, success or failure, carries the same security headers and hardened cookies."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oauth_broker.people.other_sessions import SIGN_IN_AGAIN_SECONDS
from oauth_broker.web.http import HttpRequest
from tests.local.aries import Fault
from tests.support.deployment import GRACE, OTHER_CLIENT_ID
from tests.support.functions import BACKEND_PATH
from tests.support.people import device, ended, listed
from tests.support.world import Answer, World

HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=63072000",
    "x-content-type-options": "nosniff",
}
POLICY = ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'")
PREFETCH = {"sec-purpose": "prefetch"}
PROTECTED = {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"}


def unbound(world: World) -> Answer:
    phone = world.phone()
    query = phone.approve(phone.authorize())
    phone.cookies.clear()
    return phone.callback(query)


def declined(world: World) -> Answer:
    phone = world.phone()
    phone.authorize()
    return phone.callback(f"state={phone.aries_state}&error=access_denied")


def finished(world: World) -> Answer:
    phone = world.phone()
    query = phone.approve(phone.authorize())
    phone.redeem(phone.callback(query).query["code"])
    return phone.callback(query)


def code_issued(world: World) -> Answer:
    phone = world.phone()
    return phone.callback(phone.approve(phone.authorize()))


def table_fails_in_the_browser(world: World) -> Answer:
    phone = world.phone()
    query = phone.approve(phone.authorize())
    with world.aws.failing("UpdateItem", "access_denied"):
        return phone.callback(query)


def aries_fails(world: World) -> Answer:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    world.aries.faults.append(Fault("server_error"))
    return phone.refresh()


def table_fails(world: World) -> Answer:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    with world.aws.failing("UpdateItem", "access_denied"):
        return phone.revoke()


def table_fails_a_backend(world: World) -> Answer:
    phone = world.with_backend()
    with world.aws.failing("GetItem", "access_denied"):
        return phone.ask_as_backend()


def a_bug(world: World) -> Answer:
    handler = world.make_handler("token")

    def fail(request: HttpRequest, invocation: object) -> None:
        raise KeyError("a bug")

    object.__setattr__(handler, "operation", fail)
    return world.form("token", {}, via=handler)


def on_another_host(function: str, method: str, path: str) -> Callable[[World], Answer]:
    """Ask a broker with a domain of its own under API Gateway's default host name."""

    def ask(world: World) -> Answer:
        handler = world.make_handler(function, ISSUER="", DOMAIN_NAME="broker.example.com")
        return world.call(function, method, path, domain_name="abc.execute-api.example.com", via=handler)

    return ask


def prefetched(world: World) -> Answer:
    phone = world.phone()
    return phone.callback(phone.approve(phone.authorize()), headers=PREFETCH)


def prefetched_at_the_start(world: World) -> Answer:
    query = world.phone().authorization_query()
    return world.call("authorize", "GET", "/oauth2/authorize", query=query, headers=PREFETCH)


def a_page_before_the_app_opens(world: World) -> Answer:
    phone = world.phone(redirect_uri="com.example.trader:/callback")
    untapped = {"sec-ch-ua": '"Chromium";v="142"', "sec-fetch-mode": "navigate"}
    answer = phone.callback(phone.approve(phone.authorize()), headers=untapped)
    assert "<title>One more step</title>" in answer.body
    return answer


def ended_later(world: World) -> Answer:
    phone = device(world)
    world.clock.time += SIGN_IN_AGAIN_SECONDS
    return ended(phone, others="true")


def ended_twice(world: World) -> Answer:
    phone = device(world)
    ended(phone, others="true")
    return ended(phone, others="true")


def metadata(path: str) -> Callable[[World], Answer]:
    return lambda world: world.call("metadata", "GET", path)


ANSWERS: dict[str, tuple[int, Callable[[World], Answer]]] = {
    "authorize: sent to Aries": (302, lambda world: world.phone().authorize()),
    "authorize: unknown app": (400, lambda world: world.phone().authorize(client_id="nobody")),
    "authorize: an error for the app": (302, lambda world: world.phone().authorize(scope="other")),
    "authorize: wrong method": (405, lambda world: world.form("authorize", {})),
    "authorize: prefetched": (403, prefetched_at_the_start),
    "authorize: another host": (404, on_another_host("authorize", "GET", "/oauth2/authorize")),
    "callback: a code for the app": (302, code_issued),
    "callback: declined": (302, declined),
    "callback: unknown sign-in": (400, lambda world: world.phone().callback("state=" + "A" * 43)),
    "callback: another browser": (400, unbound),
    "callback: finished": (200, finished),
    "callback: a page with a link to the app": (200, a_page_before_the_app_opens),
    "callback: prefetched": (403, prefetched),
    "callback: another host": (404, on_another_host("callback", "GET", "/oauth2/callback")),
    "callback: the table fails": (503, table_fails_in_the_browser),
    "token: tokens": (200, lambda world: world.phone().sign_in()),
    "token: a bad code": (400, lambda world: world.phone().redeem("bad")),
    "token: unknown app": (401, lambda world: world.phone(client_id="nobody").redeem("bad")),
    "token: wrong method": (405, lambda world: world.call("token", "GET", "/oauth2/token")),
    "token: preflight": (204, lambda world: world.call("token", "OPTIONS", "/oauth2/token")),
    "token: Aries fails": (503, aries_fails),
    "token: a bug": (500, a_bug),
    "token: another host": (404, on_another_host("token", "POST", "/oauth2/token")),
    "refresh: a bad token": (400, lambda world: world.phone().refresh("bad", function="refresh")),
    "refresh: replayed": (200, lambda world: world.signed_in().refresh(function="refresh")),
    "revoke: signed out": (200, lambda world: world.signed_in().revoke()),
    "revoke: garbage": (200, lambda world: world.phone().revoke("bad")),
    "revoke: another app's": (
        200,
        lambda world: world.phone(client_id=OTHER_CLIENT_ID).revoke(world.signed_in().refresh_token),
    ),
    "revoke: the table fails": (503, table_fails),
    "sessions: listed": (200, lambda world: listed(device(world))),
    "sessions: a bad token": (400, lambda world: listed(device(world), token="bad")),
    "sessions: an old sign-in": (403, ended_later),
    "sessions: too often": (429, ended_twice),
    "backend: a token": (200, lambda world: world.with_backend().ask_as_backend()),
    "backend: no session": (400, lambda world: world.backend({"backend_handle": "bad"})),
    "backend: no identity": (403, lambda world: world.backend({}, caller="")),
    "backend: another app": (403, lambda world: world.backend({}, path="/backend/nobody/token")),
    "backend: the table fails": (503, table_fails_a_backend),
    "backend: another host": (404, on_another_host("backend", "POST", BACKEND_PATH)),
    "metadata: another host": (
        404,
        on_another_host("metadata", "GET", "/.well-known/oauth-authorization-server"),
    ),
    "metadata: RFC 8414": (200, metadata("/.well-known/oauth-authorization-server")),
    "metadata: OpenID": (200, metadata("/.well-known/openid-configuration")),
    "metadata: keys": (200, metadata("/oauth2/jwks.json")),
    "metadata: Apple": (200, metadata("/.well-known/apple-app-site-association")),
    "metadata: Android": (200, metadata("/.well-known/assetlinks.json")),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_of_every_kind_carries_every_security_header(world: World, kind: str) -> None:
    status, make = ANSWERS[kind]
    answer = make(world)
    assert answer.status == status
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    policy = [part.strip() for part in answer.headers["content-security-policy"].split(";")]
    assert set(POLICY) <= set(policy)
    is_page = answer.headers.get("content-type", "").startswith("text/html")
    extra = [part for part in policy if part not in POLICY]
    assert [part.partition(" ")[0] for part in extra] == (["style-src"] if is_page else [])
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "<script" not in answer.body


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_failure_and_every_page_has_the_id_of_its_invocation_and_no_success_has_it(
    world: World, kind: str
) -> None:
    answer = ANSWERS[kind][1](world)
    content_type = answer.headers.get("content-type", "")
    if content_type.startswith("text/html"):
        assert answer.body.count(f"<small>Request id for support: {answer.request_id}</small>") == 1
    elif answer.status == 429 or (answer.status >= 500 and not kind.startswith("backend")):
        assert answer.sentence
    elif answer.status >= 400 and answer.body:
        assert (content_type, answer.json["request_id"]) == ("application/json", answer.request_id)
    else:
        # A refused prefetch has no body, because no one reads its answer.
        assert answer.status < 400 or "prefetch" in kind
        assert answer.request_id not in answer.body + str(answer.headers) + str(answer.cookies)


def test_a_cookie_is_host_bound_secure_hidden_from_scripts_and_of_one_site(world: World) -> None:
    phone = world.phone()
    made = [cookie for _ in range(7) for cookie in phone.authorize().cookies]
    removals = [cookie for cookie in made if "Max-Age=0" in cookie]
    assert removals  # Removing a cookie takes the same attributes as setting it.
    for cookie in made:
        name, *attributes = cookie.split("; ")
        assert name.startswith("__Host-signin-")
        assert set(attributes) >= PROTECTED
        assert not any(attribute.startswith("Domain") for attribute in attributes)
