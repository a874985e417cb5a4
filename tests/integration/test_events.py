"""The captured events cover the template's routes and one sign-in, in the form of API Gateway and DynamoDB."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from oauth_broker.oauth.pkce import challenge_of
from oauth_broker.oauth.tokens import RefreshToken, session_id_of, session_id_of_code
from oauth_broker.secret import Secret, digest, session_reference
from oauth_broker.sessions.row import SignIn, from_item
from tests.integration.test_template import ROUTES
from tests.support.pkce import CHALLENGE
from tests.support.removals import template_trigger
from tests.support.transformed import FUNCTIONS

EVENTS = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parents[2] / "events").glob("*.json")}
HTTP_EVENTS = sorted(name for name, event in EVENTS.items() if "routeKey" in event)
# RFC 7636 appendix B.


def form(name: str) -> dict[str, str]:
    assert EVENTS[name]["isBase64Encoded"] is True
    return dict(parse_qsl(b64decode(EVENTS[name]["body"]).decode(), strict_parsing=True))


def test_every_function_has_one() -> None:
    assert {name.partition("_")[0] for name in EVENTS} == {name.lower() for name in FUNCTIONS}


@pytest.mark.parametrize("name", HTTP_EVENTS)
def test_each_is_of_a_route_of_the_function_it_is_named_for(name: str) -> None:
    event: dict[str, Any] = EVENTS[name]
    http = event["requestContext"]["http"]
    assert ROUTES[event["routeKey"]].lower() == name.partition("_")[0]
    route = http["path"]
    for parameter, value in event.get("pathParameters", {}).items():
        route = route.replace(f"/{value}/", f"/{{{parameter}}}/")
    assert event["routeKey"] in (f"{http['method']} {route}", f"ANY {route}")
    assert event["requestContext"]["routeKey"] == event["routeKey"]
    assert event["rawPath"] == http["path"]
    assert event["headers"]["host"] == event["requestContext"]["domainName"]
    assert event["headers"]["user-agent"] == http["userAgent"]


@pytest.mark.parametrize("name", HTTP_EVENTS)
def test_each_is_as_api_gateway_sends_it(name: str) -> None:
    event: dict[str, Any] = EVENTS[name]
    assert event["version"] == "2.0"
    assert all(header == header.lower() for header in event["headers"])
    assert dict(parse_qsl(event["rawQueryString"])) == event.get("queryStringParameters", {})
    if "body" in event:
        body = b64decode(event["body"]) if event["isBase64Encoded"] else event["body"].encode()
        assert event["headers"]["content-length"] == str(len(body))
        is_form = event["headers"]["content-type"] == "application/x-www-form-urlencoded"
        assert event["isBase64Encoded"] is is_form


def test_they_tell_one_sign_in_from_its_beginning_to_its_end() -> None:
    asked = EVENTS["authorize_ok"]["queryStringParameters"]
    came_back = EVENTS["callback_ok"]["queryStringParameters"]
    session_id = session_id_of(came_back["state"])
    (cookie,) = EVENTS["callback_ok"]["cookies"]
    redeemed, refreshed = form("token_code"), form("token_refresh")
    token = RefreshToken.parse(Secret(refreshed["refresh_token"]))
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", session_id)
    assert asked["code_challenge"] == challenge_of(Secret(redeemed["code_verifier"])) == CHALLENGE
    assert cookie.startswith(f"__Host-signin-{session_id[:16]}=")
    assert session_id_of_code(Secret(redeemed["code"])) == session_id
    assert redeemed["redirect_uri"] == asked["redirect_uri"]
    assert token is not None
    assert token.session_id == session_id
    assert json.loads(EVENTS["refresh_json"]["body"]) == form("refresh_form")
    assert form("revoke")["token"] == form("refresh_form")["refresh_token"] == refreshed["refresh_token"]
    assert form("sessions_list")["token"] == form("sessions_revoke")["token"] == form("revoke")["token"]
    (removed,) = EVENTS["cleanup_removed"]["Records"]
    assert removed["eventName"] == "REMOVE"
    assert removed["dynamodb"]["Keys"] == {"session_id": {"S": session_id}}
    # The record holds the whole row, expired while the session was active.
    image = removed["dynamodb"]["OldImage"]
    assert template_trigger().wants(removed)
    held = from_item(image)
    assert (held.session_id, held.status, held.client_id) == (session_id, "active", redeemed["client_id"])
    assert held.expires_at < removed["dynamodb"]["ApproximateCreationDateTime"]
    assert held.code_hash == digest(redeemed["code"])
    assert held.reference == session_reference(session_id)
    assert image.keys() <= SignIn.__dataclass_fields__.keys()
