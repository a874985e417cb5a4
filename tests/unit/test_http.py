"""Requests and responses in the form of API Gateway."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from hashlib import sha256
from html.parser import HTMLParser
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.errors import InvalidRequest, PageError
from oauth_broker.web import pages
from oauth_broker.web.http import HttpRequest, HttpResponse, json_response, redirect
from oauth_broker.web.pages import page
from tests.support.functions import http_event
from tests.unit.fakes import failure_of, http_request


class ParsedPage(HTMLParser):
    """The elements and texts of a page."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.texts: dict[str, str] = {}
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(response.body)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts[self.elements[-1]] = self.texts.get(self.elements[-1], "") + data


def test_a_request_is_read_from_a_gateways_event() -> None:
    event = http_event(
        "POST",
        "/oauth2/token",
        query="a=1&a=2",
        headers={"Content-Type": "text/plain", "X-Forwarded-For": "192.0.2.1"},
        cookies=["a=b", "c=d"],
        body=b"\x00\xff",
        domain_name="host.example.com",
    )
    request = HttpRequest.from_event(event)
    assert (request.method, request.path, request.raw_query) == ("POST", "/oauth2/token", "a=1&a=2")
    assert request.headers["content-type"] == "text/plain"
    assert request.cookies == ("a=b", "c=d")
    assert request.body_bytes() == b"\x00\xff"
    assert request.domain_name == "host.example.com"


@pytest.mark.parametrize("missing", [(), (None,)])
def test_a_request_without_query_headers_cookies_and_body_is_empty(missing: tuple[None, ...]) -> None:
    event: dict[str, Any] = {
        "rawPath": "/x",
        "requestContext": {"domainName": "host.example.com", "http": {"method": "GET"}},
        **{
            name: value
            for value in missing
            for name in ("rawQueryString", "headers", "cookies", "body", "isBase64Encoded")
        },
    }
    request = HttpRequest.from_event(event)
    assert (request.raw_query, dict(request.headers), request.cookies, request.body_bytes()) == ("", {}, (), b"")


def test_the_host_is_the_gateways_and_never_a_header() -> None:
    event = http_event("GET", "/", headers={"host": "evil.example", "x-forwarded-host": "evil.example"})
    assert HttpRequest.from_event(event).domain_name == "broker.example.com"


@given(st.binary(max_size=200))
def test_a_base64_body_is_the_bytes_that_were_sent(data: bytes) -> None:
    request = http_request("POST", body=base64.b64encode(data).decode(), body_is_base64=True)
    assert request.body_bytes() == data


@given(st.text(max_size=200))
def test_a_plain_body_is_its_utf_8(text: str) -> None:
    assert http_request("POST", body=text).body_bytes() == text.encode()


@given(st.text(max_size=50))
def test_a_body_that_claims_to_be_base64_is_bytes_or_an_invalid_request(text: str) -> None:
    request = http_request("POST", body=text, body_is_base64=True)
    failure = failure_of(InvalidRequest, request.body_bytes)
    if failure is None:
        assert base64.b64encode(request.body_bytes()).decode() == text
    else:
        assert failure.reason == "malformed_body"


@pytest.mark.parametrize(
    ("headers", "is_prefetch"),
    [
        ({}, False),
        ({"sec-purpose": "prefetch"}, True),
        ({"sec-purpose": "prefetch;prerender"}, True),
        ({"sec-purpose": "prefetch;anonymous-client-ip"}, True),
        ({"sec-purpose": "PREFETCH"}, True),
        ({"sec-purpose": "Prefetch;Prerender"}, True),
        ({"purpose": "prefetch"}, True),
        ({"purpose": "Prefetch"}, True),
        ({"x-moz": "prefetch"}, True),
        ({"x-moz": "PREFETCH"}, True),
        ({"sec-purpose": "", "purpose": "prefetch"}, True),
        ({"sec-purpose": "x", "x-moz": "prefetch"}, True),
        ({"x-moz": "x"}, False),
        ({"purpose": "x"}, False),
        ({"sec-purpose": ""}, False),
        ({"sec-fetch-mode": "navigate"}, False),
    ],
)
def test_a_prefetch_is_told_from_a_click(headers: dict[str, str], is_prefetch: bool) -> None:
    assert http_request(headers=headers).is_prefetch is is_prefetch


CHROMIUM = {"sec-ch-ua": '"Chromium";v="142"', "sec-fetch-mode": "navigate"}


@pytest.mark.parametrize(
    ("headers", "opens_apps"),
    [
        ({}, True),
        (CHROMIUM, False),
        (CHROMIUM | {"sec-fetch-user": "?1"}, True),
        (CHROMIUM | {"sec-fetch-user": "?0"}, False),
        # Safari reports navigations but never taps.
        ({"sec-fetch-mode": "navigate"}, True),
        (CHROMIUM | {"sec-fetch-mode": "cors"}, True),
    ],
)
def test_a_browser_that_would_not_open_an_app_is_told_from_others(headers: dict[str, str], opens_apps: bool) -> None:
    assert http_request(headers=headers).opens_apps is opens_apps


def test_a_page_may_have_one_link_whose_url_is_escaped() -> None:
    shown = page("t", "x", "r", HTTPStatus.OK, link=('com.example:/a?b=1&c="', "Go on"))
    assert shown.body.count("<a ") == 1
    assert '<a href="com.example:/a?b=1&amp;c=&quot;">Go on</a>' in shown.body


RESPONSES: list[Callable[[], HttpResponse]] = [
    lambda: HttpResponse(HTTPStatus.NO_CONTENT),
    lambda: json_response({}),
    lambda: json_response({"error": "x"}, HTTPStatus.BAD_REQUEST, {"www-authenticate": "Basic"}),
    lambda: redirect("https://app.example.com/"),
    lambda: redirect("https://app.example.com/", ("a=b",)),
    lambda: page("t", "x", "r", HTTPStatus.BAD_REQUEST),
    lambda: json_response({}).with_headers({"vary": "Origin"}),
]


@pytest.mark.parametrize("make", RESPONSES)
def test_every_response_carries_the_security_headers(make: Callable[[], HttpResponse]) -> None:
    event = make().to_event()
    headers = event["headers"]
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert int(headers["strict-transport-security"].removeprefix("max-age=").partition(";")[0]) >= 31_536_000
    policy = headers["content-security-policy"].split("; ")
    for directive in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"):
        assert directive in policy
    assert not any("unsafe" in directive or "script" in directive for directive in policy)
    assert event["isBase64Encoded"] is False
    assert isinstance(event["statusCode"], int)
    # Each name has one spelling. If a gateway got two spellings, it would send both.
    assert [name for name in headers if name != name.lower()] == []
    assert json.loads(json.dumps(event)) == event


def test_one_response_does_not_change_the_headers_of_the_next() -> None:
    before = json_response({}).to_event()
    changed = json_response({}).with_headers({"cache-control": "public", "x-test": "1"}).to_event()
    changed["headers"]["x-other"] = "1"
    assert changed["headers"]["cache-control"] == "public"
    assert json_response({}).to_event() == before


def test_a_json_response_is_json_of_the_given_status() -> None:
    response = json_response({"a": ["\u2028", 1, None]}, HTTPStatus.BAD_REQUEST, {"retry-after": "1"})
    event = response.to_event()
    assert event["statusCode"] == 400
    assert event["headers"]["content-type"] == "application/json"
    assert event["headers"]["retry-after"] == "1"
    assert json.loads(event["body"]) == {"a": ["\u2028", 1, None]}


def test_a_redirect_is_a_302_with_its_cookies() -> None:
    event = redirect("https://app.example.com/?a=b", ("c=d", "e=f")).to_event()
    assert event["statusCode"] == 302
    assert event["headers"]["location"] == "https://app.example.com/?a=b"
    assert event["cookies"] == ["c=d", "e=f"]
    assert event["body"] == ""


def test_a_page_has_a_title_a_reason_a_request_id_and_no_script() -> None:
    response = page("A title", "A reason.", "id-1", HTTPStatus.BAD_REQUEST)
    event = response.to_event()
    shown = ParsedPage(response)
    assert event["statusCode"] == 400
    assert event["headers"]["content-type"] == "text/html; charset=utf-8"
    assert "location" not in event["headers"]
    assert response.body.startswith("<!doctype html>")
    assert ("lang", "en") in shown.attributes
    assert shown.texts["title"] == shown.texts["h1"] == "A title"
    assert shown.texts["p"] == "A reason."
    assert "id-1" in shown.texts["small"]
    assert set(shown.elements) <= {"html", "head", "meta", "title", "style", "body", "main", "h1", "p", "small"}
    assert not any(name == "style" or name.startswith("on") for name, _ in shown.attributes)


def test_the_policy_allows_exactly_the_style_that_the_page_has() -> None:
    response = page("t", "x", "r", HTTPStatus.BAD_REQUEST)
    style = response.body.partition("<style>")[2].partition("</style>")[0]
    assert style
    assert response.body.count("<style") == 1
    allowed = base64.b64encode(sha256(style.encode()).digest()).decode()
    policy = response.to_event()["headers"]["content-security-policy"].split("; ")
    assert [directive for directive in policy if directive.startswith("style-src")] == [f"style-src 'sha256-{allowed}'"]
    # The style must not request resources that the policy blocks.
    assert "url(" not in style
    assert "@import" not in style


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_nothing_in_a_page_becomes_markup(title: str, text: str, request_id: str) -> None:
    plain = ParsedPage(page("t", "x", "r", HTTPStatus.BAD_REQUEST))
    hostile = ParsedPage(
        page(f"<script>{title}", f"</p><img src=x onerror='{text}'>", f'"><a {request_id}>', HTTPStatus.OK)
    )
    assert hostile.elements == plain.elements
    assert hostile.attributes == plain.attributes


@pytest.mark.parametrize(
    ("make", "status"),
    [(pages.bad_link, 400), (pages.unknown_sign_in, 400), (pages.finished, 200), (pages.try_again, 503)],
)
def test_a_page_keeps_the_reason_for_the_log_from_the_person(make: Callable[[str], PageError], status: int) -> None:
    failure = make("canary-reason")
    assert failure.reason == "canary-reason"
    assert failure.status == status
    assert "canary-reason" not in failure.title + failure.text
    assert "canary-reason" not in page(failure.title, failure.text, "ref", failure.status).body
