"""Each real handler answers any request as declared: no 5xx, no exception, all security headers.

The table holds a sign-in in each state, so a request may hit one by its codes, tokens and cookies.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oauth_broker.operations.endpoint import Endpoint
from tests.support.deployment import APP_URI, CLIENT_ID, ORIGIN, SCOPE
from tests.support.drawn import secret_texts
from tests.support.functions import CALLER, ENDPOINTS, http_event
from tests.support.lambda_context import Context
from tests.support.long import examples
from tests.support.pkce import CHALLENGE, VERIFIER
from tests.support.world import World

# AWS and Aries work here, so even a 503 would be the client's doing.
DECLARED = {200, 204, 302, 400, 401, 403, 404, 405, 429}
SECURITY_HEADERS = {
    "cache-control",
    "content-security-policy",
    "referrer-policy",
    "strict-transport-security",
    "x-content-type-options",
}
PATHS = {
    **ENDPOINTS,
    "/.well-known/openid-configuration": "metadata",
    "/.well-known/apple-app-site-association": "metadata",
    "/oauth2/jwks.json": "metadata",
}
METHODS = ["GET", "POST", "OPTIONS", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "post", "", "\u00e9", "BREW"]
FORM, JSON = "application/x-www-form-urlencoded", "application/json"

texts = secret_texts(max_size=30)
# These include halves of surrogate pairs: the JSON of an event can hold them.
odd_texts = secret_texts(st.characters(exclude_categories=()), max_size=30)
sized = settings(
    max_examples=examples(150),
    # Every run sends the same requests, and so reaches the same statuses.
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass(frozen=True)
class Known:
    """The possessions of clients here: parameters with a meaning in this world, and their browsers' cookies."""

    fields: dict[str, list[str]]
    cookies: list[str]


def known_to_clients(world: World) -> Known:
    active, issued, pending = world.signed_in(), world.phone(state="i"), world.phone(state="p")
    handle = world.with_backend().backend_handle
    code = issued.code()
    from_aries = pending.approve(pending.authorize())
    aries_code = dict(pair.split("=") for pair in from_aries.split("&"))["code"]
    phones = (active, issued, pending)
    return Known(
        fields={
            "response_type": ["code"],
            "grant_type": ["authorization_code", "refresh_token", "code"],
            "client_id": [CLIENT_ID] * 4 + ["trader-web"],
            "redirect_uri": [APP_URI] * 4 + ["http://127.0.0.1:5000/callback"],
            "scope": [SCOPE, "order:execution"],
            "state": [phone.aries_state for phone in phones],
            "code": [code, aries_code],
            "code_verifier": [VERIFIER],
            "code_challenge": [CHALLENGE],
            "code_challenge_method": ["S256"],
            "refresh_token": [active.refresh_token],
            "token": [active.refresh_token],
            "backend_handle": [handle],
            "error": ["", "", "access_denied"],
        },
        cookies=[f"{name}={value}" for phone in phones for name, value in phone.cookies.items()],
    )


@st.composite
def changed(draw: st.DrawFn, known: Known) -> dict[str, str]:
    """Every parameter of the protocol with a known value, save for a few."""
    fields = {name: draw(st.sampled_from(values)) for name, values in known.fields.items()}
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=3)):
        fields[name] = draw(st.just("") | texts)
    return fields


def events(known: Known, method: str, paths: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Requests with mostly known values. Any part may be changed, left out, repeated or replaced."""
    fields = changed(known)
    queries = fields.map(urlencode) | texts
    bodies = (
        st.tuples(st.just(FORM), fields.map(lambda members: urlencode(members).encode()))
        | st.tuples(st.just(JSON), fields.map(lambda members: json.dumps(members).encode()))
        | st.tuples(st.sampled_from([FORM, JSON, "text/plain", "", f"{FORM}; charset=x"]), st.binary(max_size=40))
        | st.tuples(odd_texts, st.binary(max_size=40))
    )
    if "grant_type" not in known.fields:
        # The endpoint takes JSON alone.
        unchanged = {name: values[0] for name, values in known.fields.items()}
        bodies |= st.just((JSON, json.dumps(unchanged).encode()))
    headers = st.fixed_dictionaries(
        {},
        optional={
            "authorization": texts | st.binary(max_size=20).map(lambda raw: "Basic " + base64.b64encode(raw).decode()),
            "origin": st.sampled_from([ORIGIN, "null", "https://evil.example"]) | odd_texts,
            "sec-purpose": st.sampled_from(["prefetch", "prefetch;prerender"]) | odd_texts,
            "sec-fetch-mode": st.sampled_from(["navigate", "cors"]) | odd_texts,
            "sec-ch-ua": odd_texts,
            "user-agent": odd_texts,
        },
    )
    return st.builds(
        event,
        st.sampled_from([method] * 60 + [*METHODS, "\u4e00\u0130"]),
        st.sampled_from(paths),
        queries,
        headers,
        st.just(known.cookies) | st.lists(st.sampled_from(known.cookies) | texts, max_size=4),
        bodies,
        st.sampled_from(["base64", "base64", "base64", "plain", "claims to be base64", "none"]),
    )


def event(
    method: str,
    path: str,
    query: str,
    headers: dict[str, str],
    cookies: list[str],
    content: tuple[str, bytes],
    handed_over: str,
) -> dict[str, Any]:
    content_type, body = content
    all_headers = {**headers, "content-type": content_type}
    made = http_event(method, path, query=query, headers=all_headers, cookies=cookies, caller=CALLER)
    match handed_over:
        case "base64":
            made |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        case "plain":
            made |= {"body": body.decode("latin-1")}
        case "claims to be base64":
            made |= {"body": body.decode("latin-1"), "isBase64Encoded": True}
    sent: dict[str, Any] = json.loads(json.dumps(made))
    return sent


def assert_declared(world: World, handler: Endpoint, sent: dict[str, Any]) -> int:
    lines = len(world.telemetry.lines)
    answer = handler(sent, Context(now=world.clock.now))
    said = (sent, answer, world.telemetry.lines[lines:])
    assert answer["statusCode"] in DECLARED, said
    assert answer["headers"].keys() >= SECURITY_HEADERS, said
    assert world.telemetry.counted("InternalErrors") == 0, said
    assert json.dumps(answer)
    for text in (*answer["headers"].values(), *answer["cookies"]):
        assert text.isascii(), said
        assert text.isprintable(), said
    return int(answer["statusCode"])


@pytest.mark.parametrize(
    ("function", "method", "reached"),
    [
        ("authorize", "GET", {302, 400}),
        ("callback", "GET", {302, 400}),
        ("token", "POST", {200, 400, 401}),
        ("refresh", "POST", {200, 400, 401}),
        ("revoke", "POST", {200, 400}),
        ("sessions", "POST", {200, 400, 401}),
        ("backend", "POST", {200, 400}),
        ("metadata", "GET", {200, 405}),
    ],
)
def test_whatever_a_client_sends_is_answered_as_declared(
    function: str, method: str, reached: set[int], world: World
) -> None:
    handler = world.handler(function)
    known = known_to_clients(world)
    if function == "backend":
        # It refuses members that it does not know.
        known = Known({name: known.fields[name] for name in ("backend_handle", "scope")}, known.cookies)
    statuses: set[int] = set()
    paths = [path for path, name in PATHS.items() if name == function]

    @sized
    @given(events(known, method, paths))
    def answers_as_declared(sent: dict[str, Any]) -> None:
        statuses.add(assert_declared(world, handler, sent))

    answers_as_declared()
    # The requests reached success as well as refusal.
    assert statuses >= reached
