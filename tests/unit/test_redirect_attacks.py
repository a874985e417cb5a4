"""Open redirects: thousands of URIs that look like a registered one, through the matcher and the whole endpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.config.clients import Client, Registry
from oauth_broker.errors import ConfigurationError
from oauth_broker.operations.authorize import Authorize
from oauth_broker.operations.endpoint import Endpoint
from oauth_broker.sessions.table import SignIns
from tests.support.clock import VirtualClock
from tests.support.functions import http_event
from tests.support.lambda_context import Context
from tests.support.pkce import CHALLENGE
from tests.support.telemetry import Recorded
from tests.unit.fakes import settings_with
from tests.unit.redirect_attacks import APPENDED, BEHIND_HOST, IN_FRONT_OF_HOST, PREPENDED, corpus

PLAIN = (
    "https://app.example.com/callback",
    "https://app.example.com:8443/a/b?brand=x&y=%2F",
    "https://app.example.com",
    "com.example.app:/callback",
    "com.example.app://callback/x",
)
LOOPBACK_ORIGINS = ("http://127.0.0.1", "http://[::1]", "http://localhost")
REGISTERED = (*PLAIN, *(f"{origin}/callback" for origin in LOOPBACK_ORIGINS), "http://127.0.0.1")
# All allowed URIs, written out: the registered strings, and the loopback URIs with each existing port and with none. If
# a loopback URI has an empty path, a slash is allowed too.
ALLOWED = frozenset(REGISTERED).union(
    f"{origin}{port}{path}"
    for origin, path in (
        *((LOOPBACK_ORIGINS[0], path) for path in ("", "/")),
        *((origin, "/callback") for origin in LOOPBACK_ORIGINS),
    )
    for port in ("", *(f":{number}" for number in range(1, 65536)))
)
APPS = {"app": {"redirect_uris": list(REGISTERED), "scopes": ["read"]}}
SETTINGS = settings_with(APPS=json.dumps(APPS), DOMAIN_NAME="", SOURCE_LIMIT="0", SIGN_IN_LIMIT="0")
CLIENT = SETTINGS.registry.clients[0]
CORPUS = corpus(REGISTERED, ALLOWED.__contains__)
REQUEST = {
    "response_type": "code",
    "client_id": "app",
    "scope": "read",
    "state": "s",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


class Table:
    """Keeps the redirect URIs of saved sign-ins."""

    def __init__(self) -> None:
        self.saved: list[str] = []

    def put_item(self, **parameters: Any) -> Any:
        self.saved.append(parameters["Item"]["redirect_uri"]["S"])
        return {}

    def get_item(self, **parameters: Any) -> Any:
        raise AssertionError("nothing is read here")

    update_item = delete_item = batch_get_item = query = scan = get_item


class Browser:
    """Opens the authorization endpoint with any query."""

    def __init__(self) -> None:
        self.table = Table()
        self._telemetry = Recorded()
        authorize = Authorize(SETTINGS, SignIns(self.table, "sign-ins"), VirtualClock(), lambda length: b"r" * length)
        self._endpoint = Endpoint(SETTINGS, self._telemetry, authorize, method="GET", cors=False)

    def open(self, query: str) -> dict[str, Any]:
        return self._endpoint(http_event("GET", "/oauth2/authorize", query=query), Context())

    def assert_stopped(self, query: str) -> None:
        """Check for a page that leads nowhere: no redirect, no link, no cookie, no sign-in."""
        answer = self.open(query)
        assert answer["statusCode"] == 400, query
        assert not {"location", "refresh", "link"} & answer["headers"].keys(), query
        assert "href" not in answer["body"], query
        assert not answer["cookies"], query
        assert not self.table.saved, query


@pytest.fixture
def browser() -> Browser:
    return Browser()


def test_the_corpus_is_large_and_every_kind_of_attack_is_in_it() -> None:
    assert len(CORPUS) == len(set(CORPUS)) > 10_000
    uri = PLAIN[0]
    made = set(CORPUS)
    assert made >= {uri + text for text in APPENDED} | {text + uri for text in PREPENDED}
    for text in IN_FRONT_OF_HOST:
        assert uri.replace("app.", f"{text}app.") in made
    for text in BEHIND_HOST:
        assert uri.replace(".com", f".com{text}") in made


def test_no_uri_of_the_corpus_passes(numbers: Callable[[str], None]) -> None:
    assert [uri for uri in CORPUS if CLIENT.allows_redirect(uri)] == []
    numbers(f"{len(CORPUS):,} redirect URIs made of {len(REGISTERED)} registered ones are refused")


def test_no_uri_of_the_corpus_leads_anywhere_by_the_authorization_endpoint(browser: Browser) -> None:
    for number, uri in enumerate(CORPUS):
        fields = {**REQUEST, "redirect_uri": uri}
        if number % 3 == 0:
            # An error with a redirect leads nowhere, either.
            fields["response_type"] = "token"
        browser.assert_stopped("&".join(f"{name}={_quoted(value)}" for name, value in fields.items()))


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def test_an_unencoded_uri_in_a_link_passes_only_if_it_then_reads_as_a_registered_one(browser: Browser) -> None:
    for uri in CORPUS:
        query = f"{urlencode(REQUEST)}&redirect_uri={uri}"
        read = [value for name, value in parse_qsl(query, keep_blank_values=True) if name == "redirect_uri"]
        if len(read) == 1 and read[0] in ALLOWED:
            answer = browser.open(query)
            assert answer["headers"]["location"].startswith(SETTINGS.aries_authorize_url + "?")
            assert browser.table.saved.pop() == read[0]
        else:
            browser.assert_stopped(query)


@pytest.mark.parametrize("uri", REGISTERED)
def test_a_registered_uri_starts_a_sign_in_that_comes_back_to_it(browser: Browser, uri: str) -> None:
    answer = browser.open(urlencode({**REQUEST, "redirect_uri": uri}))
    assert answer["statusCode"] == 302
    assert answer["headers"]["location"].startswith(SETTINGS.aries_authorize_url + "?")
    assert browser.table.saved == [uri]


@pytest.mark.parametrize(
    "smuggled",
    [
        "redirect_uri={good}&redirect_uri={evil}",
        "redirect_uri={evil}&redirect_uri={good}",
        "redirect_uri={good}&redirect%5Furi={evil}",
        "redirect_uri={good}&%72edirect_uri={evil}",
        "redirect_uri={good}&redirect_uri",
        "redirect_uri={good}&redirect_uri=",
        "redirect_uri={good},{evil}",
        "redirect_uri={good};redirect_uri={evil}",
        "redirect_uri={good}%26redirect_uri%3D{evil}",
        "redirect_uri={good}%00{evil}",
        "redirect_uri={good}%0d%0aLocation:{evil}",
        "redirect_uri[]={good}",
        "redirect_uri[0]={good}",
        "Redirect_URI={good}",
        "redirect-uri={good}",
        "redirect_uri%00={good}",
        " redirect_uri={good}",
        "+redirect_uri={good}",
        "redirect_uri+={good}",
        "redirectUri={good}",
        "redirect_uri=",
        "redirect_uri",
        "",
    ],
)
def test_another_name_or_a_second_value_for_the_parameter_leads_nowhere(browser: Browser, smuggled: str) -> None:
    written = smuggled.format(good=_quoted(PLAIN[0]), evil=_quoted("https://evil.example/"))
    browser.assert_stopped(f"{urlencode(REQUEST)}&{written}")
    browser.assert_stopped(f"{written}&{urlencode(REQUEST)}")


@pytest.mark.parametrize("beside", ["Redirect_URI", "redirect_uri[]", "redirect_uri ", "redirectUri", "target"])
def test_a_stranger_beside_the_registered_uri_is_passed_over(browser: Browser, beside: str) -> None:
    browser.open(urlencode({**REQUEST, "redirect_uri": PLAIN[0], beside: "https://evil.example/"}))
    assert browser.table.saved == [PLAIN[0]]


def test_a_uri_of_one_app_does_not_pass_for_another() -> None:
    clients = [Client(str(number), (uri,), frozenset({"read"})) for number, uri in enumerate(REGISTERED)]
    for client in clients:
        assert [uri for uri in REGISTERED if client.allows_redirect(uri)] == list(client.redirect_uris)


def _registrable() -> Iterator[str]:
    for uri in CORPUS:
        try:
            Registry.parse(json.dumps({"app": {"redirect_uris": [uri], "scopes": ["read"]}}))
        except ConfigurationError:
            continue
        yield uri


def test_every_uri_of_the_corpus_that_an_operator_could_register_reads_one_way_only_and_runs_nothing() -> None:
    registrable = list(_registrable())
    assert registrable
    for uri in registrable:
        assert uri.isascii()
        assert uri.isprintable()
        assert not set(uri) & set('\\"<>^`{}|# ')
        scheme = uri.partition(":")[0]
        if "." in scheme:
            # The app itself reads everything behind its own scheme.
            continue
        parts = urlsplit(uri)
        assert parts.username is None
        assert not set(parts.netloc) & set("%@,;&*")
        assert scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost")


hosts = st.from_regex(r"[a-z]{1,4}(\.[a-z]{1,3}){1,2}", fullmatch=True)
paths = st.sampled_from(["", "/", "/cb", "/a/b", "/cb?x=1", "?x", "/cb/"])
ports = st.sampled_from(["", ":1", ":80", ":443", ":8080", ":65535"])
uris = st.one_of(
    st.builds("https://{}{}{}".format, hosts, ports, paths.filter(lambda path: not path.startswith("?"))),
    st.builds("{}{}{}".format, st.sampled_from(LOOPBACK_ORIGINS), ports, paths),
    st.builds("{}:/{}".format, hosts, st.sampled_from(["cb", "/cb", "a/b?x=1", ""])),
)


def without_loopback_port(uri: str) -> str:
    """Return a loopback URI without port and with a path. Two URIs match if these are equal. Others stay the same."""
    origin = next((origin for origin in LOOPBACK_ORIGINS if uri.startswith(origin)), None)
    if origin is None:
        return uri
    rest = uri.removeprefix(origin)
    digits = len(rest) - len(rest.removeprefix(":").lstrip("0123456789")) if rest.startswith(":") else 0
    return origin + re.sub(r"^(?!/)", "/", rest[digits:])


@given(st.lists(uris, min_size=1, max_size=4), uris)
def test_only_registered_uris_pass_and_loopback_uris_with_any_port_or_an_empty_path(
    registered: list[str], asked: str
) -> None:
    (client,) = Registry.parse(json.dumps({"app": {"redirect_uris": registered, "scopes": ["read"]}})).clients
    expected = without_loopback_port(asked) in map(without_loopback_port, registered)
    assert client.allows_redirect(asked) is expected
    assert all(client.allows_redirect(uri) for uri in registered)


@given(st.sampled_from(CORPUS), st.sampled_from(CORPUS), st.integers(0, 60), st.integers(0, 60))
def test_the_halves_of_two_attacks_make_no_uri_that_passes(one: str, other: str, end: int, start: int) -> None:
    uri = one[:end] + other[start:]
    assert CLIENT.allows_redirect(uri) is (uri in ALLOWED)
