"""The registered apps, and above all their redirect URIs."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.config.clients import Client, Registry
from oauth_broker.errors import ConfigurationError
from tests.unit.fakes import failure_of

HTTPS = "https://app.example.com/callback"
HTTPS_WITH_QUERY = "https://app.example.com:8443/a/b?brand=x&y=%2F"
CUSTOM = "com.example.app:/callback"
LOOPBACKS = ("http://127.0.0.1/callback", "http://[::1]/callback", "http://localhost/callback")
BARE_LOOPBACK = "http://127.0.0.1"
REGISTERED = (HTTPS, HTTPS_WITH_QUERY, CUSTOM, *LOOPBACKS, BARE_LOOPBACK)
CLIENT = Client("app", REGISTERED, frozenset({"read"}))

APP: dict[str, Any] = {"redirect_uris": [HTTPS], "scopes": ["read"]}


def parsed(**changes: Any) -> Client:
    """Return the app ``app`` with changed members."""
    client = Registry.parse(json.dumps({"app": {**APP, **changes}})).find("app")
    assert client is not None
    return client


def refusal(apps: Any) -> str:
    with pytest.raises(ConfigurationError) as raised:
        Registry.parse(apps if isinstance(apps, str) else json.dumps(apps))
    return raised.value.reason


@pytest.mark.parametrize("uri", REGISTERED)
def test_a_registered_redirect_uri_passes(uri: str) -> None:
    assert CLIENT.allows_redirect(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        " ",
        "/",
        "callback",
        "/callback",
        "//app.example.com/callback",
        "app.example.com/callback",
        "null",
        "*",
        # Case.
        "HTTPS://app.example.com/callback",
        "https://APP.example.com/callback",
        "https://app.example.com/Callback",
        # Scheme.
        "http://app.example.com/callback",
        "httpss://app.example.com/callback",
        "https:app.example.com/callback",
        "https:/app.example.com/callback",
        "https:///app.example.com/callback",
        "https:\\\\app.example.com\\callback",
        "javascript:alert(1)",
        "javascript://app.example.com/callback",
        "javascript://app.example.com/%0aalert(1)",
        "JaVaScRiPt:alert(1)",
        "\tjavascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///callback",
        "blob:https://app.example.com/callback",
        "view-source:https://app.example.com/callback",
        "feed:https://app.example.com/callback",
        "intent://app.example.com/callback#Intent;scheme=https;end",
        "com.example.app:/callback?code=1",
        "com.example.app://callback",
        "com.example.app:callback",
        "com.example.app:/callback/",
        "com.example.App:/callback",
        "com.example.app2:/callback",
        "com.example.ap:/callback",
        "com.example.app.evil:/callback",
        "evil.com.example.app:/callback",
        # Port.
        "https://app.example.com:443/callback",
        "https://app.example.com:/callback",
        "https://app.example.com:8443/callback",
        "https://app.example.com:0443/callback",
        "https://app.example.com/a/b?brand=x&y=%2F",
        "https://app.example.com:8444/a/b?brand=x&y=%2F",
        "https://app.example.com:84430/a/b?brand=x&y=%2F",
        # Slash, path and traversal.
        "https://app.example.com",
        "https://app.example.com/",
        "https://app.example.com/callback/",
        "https://app.example.com//callback",
        "https://app.example.com/./callback",
        "https://app.example.com/x/../callback",
        "https://app.example.com/callback/..",
        "https://app.example.com/callback/../evil",
        "https://app.example.com/callback/%2e%2e/evil",
        "https://app.example.com/callback/%2E%2E/evil",
        "https://app.example.com/callback/..%2fevil",
        "https://app.example.com/callback;/../evil",
        "https://app.example.com/callback\\..\\evil",
        "https://app.example.com/callbackevil",
        "https://app.example.com/callbac",
        "https://app.example.com/callback.evil",
        "https://app.example.com/callback;x=1",
        # Encodings.
        "https://app.example.com/%63allback",
        "https://app.example.com/callbac%6b",
        "https://app.example.com/callback%00",
        "https://app.example.com/callback%20",
        "https://app.example.com/callback%2f",
        "https://app.example.com%2fcallback",
        "https://app%2eexample.com/callback",
        "https%3A%2F%2Fapp.example.com%2Fcallback",
        "https://app.example.com:8443/a/b?brand=x&y=%2f",
        "https://app.example.com:8443/a/b?brand=x&y=/",
        # Query and fragment.
        "https://app.example.com/callback?",
        "https://app.example.com/callback?x=1",
        "https://app.example.com/callback#",
        "https://app.example.com/callback#x",
        "https://app.example.com/callback?#",
        "https://app.example.com:8443/a/b",
        "https://app.example.com:8443/a/b?brand=x",
        "https://app.example.com:8443/a/b?y=%2F&brand=x",
        "https://app.example.com:8443/a/b?brand=x&y=%2F&z=1",
        # User information.
        "https://user@app.example.com/callback",
        "https://user:password@app.example.com/callback",
        "https://@app.example.com/callback",
        "https://app.example.com@evil.example/callback",
        "https://app.example.com%40evil.example/callback",
        "https://app.example.com:443@evil.example/callback",
        "https://evil.example#@app.example.com/callback",
        "https://evil.example?@app.example.com/callback",
        # Backslashes, white space and controls.
        "https://app.example.com\\callback",
        "https:\\/\\/app.example.com/callback",
        "https://evil.example\\@app.example.com/callback",
        "https://app.example.com\\@evil.example/callback",
        "\thttps://app.example.com/callback",
        "https://app.example.com/callback\t",
        "https://app.\texample.com/callback",
        "https://app.example.com/call\tback",
        "ht\ntps://app.example.com/callback",
        " https://app.example.com/callback",
        "https://app.example.com/callback ",
        "https://app.example.com/callback\n",
        "https://app.example.com/callback\r\nset-cookie:a=b",
        "https://app.example.com/callback\0",
        "\ufeffhttps://app.example.com/callback",
        "https://app.example.com/callback\u2028",
        # Hosts that begin, end or look like it.
        "https://app.example.com.evil.example/callback",
        "https://app.example.com./callback",
        "https://evilapp.example.com/callback",
        "https://evil-app.example.com/callback",
        "https://x.app.example.com/callback",
        "https://example.com/callback",
        "https://app.example.co/callback",
        "https://app.example.community/callback",
        "https://appXexample.com/callback",
        "https://app-example.com/callback",
        "https://app.ex\u0430mple.com/callback",
        "https://\uff41pp.example.com/callback",
        "https://app\u3002example.com/callback",
        "https://app.example\u2024com/callback",
        "https://app.exam\u00adple.com/callback",
        "https://app.exam\u200bple.com/callback",
        "https://app.example.com\uff0fcallback",
        "https://app.example.com\u2044callback",
        "https://xn--pp-7ka.example.com/callback",
        "https://app.example.com/\u0441allback",
        "https://app.example.com/callbac\u212a",
        # Two URIs in one.
        HTTPS + " " + CUSTOM,
        HTTPS + "," + HTTPS,
        HTTPS + HTTPS,
    ],
)
def test_a_uri_that_differs_in_one_byte_does_not_pass(uri: str) -> None:
    assert not CLIENT.allows_redirect(uri)


@pytest.mark.parametrize("port", [1, 80, 443, 8080, 49152, 65535])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_a_loopback_uri_passes_with_any_port(host: str, port: int) -> None:
    assert CLIENT.allows_redirect(f"http://{host}:{port}/callback")


def test_a_loopback_uri_that_was_registered_with_a_port_passes_with_another_one_and_with_none() -> None:
    client = Client("app", ("http://127.0.0.1:8080/cb?x=1",), frozenset({"read"}))
    for uri in ("http://127.0.0.1:8080/cb?x=1", "http://127.0.0.1:9/cb?x=1", "http://127.0.0.1/cb?x=1"):
        assert client.allows_redirect(uri)
    assert not client.allows_redirect("http://127.0.0.1:8080/cb?x=2")


@pytest.mark.parametrize("registered", ["http://127.0.0.1", "http://127.0.0.1/", "http://127.0.0.1:8080/"])
def test_on_loopback_an_empty_path_and_a_slash_are_the_same_and_no_other_path_is(registered: str) -> None:
    client = Client("app", (registered,), frozenset({"read"}))
    for uri in ("http://127.0.0.1", "http://127.0.0.1/", "http://127.0.0.1:5000", "http://127.0.0.1:5000/"):
        assert client.allows_redirect(uri)
    for rest in (
        "?",
        "?x=1",
        "/?",
        "/?x=1",
        "//",
        "/.",
        "/%2f",
        "/%2F",
        "/x",
        "#",
        "/#",
        "\\",
        "/\n",
        "\n",
        "/ ",
        ";",
        "@x",
    ):
        assert not client.allows_redirect(f"http://127.0.0.1{rest}")
        assert not client.allows_redirect(f"http://127.0.0.1:5000{rest}")


def test_on_loopback_an_empty_path_before_a_query_is_a_slash_too() -> None:
    client = Client("app", ("http://localhost?x=1",), frozenset({"read"}))
    assert client.allows_redirect("http://localhost:5000/?x=1")
    assert client.allows_redirect("http://localhost:5000?x=1")
    for uri in ("http://localhost:5000/?x=2", "http://localhost:5000/", "http://localhost:5000//?x=1"):
        assert not client.allows_redirect(uri)


@pytest.mark.parametrize("origin", ["https://app.example.com", "https://localhost", "https://127.0.0.1:8443"])
def test_anywhere_else_an_empty_path_and_a_slash_are_two(origin: str) -> None:
    assert not Client("app", (origin,), frozenset({"read"})).allows_redirect(f"{origin}/")
    assert not Client("app", (f"{origin}/",), frozenset({"read"})).allows_redirect(origin)
    assert not Client("app", (f"{origin}/cb",), frozenset({"read"})).allows_redirect(f"{origin}/cb/")


def test_each_name_of_the_loopback_interface_is_registered_by_itself() -> None:
    client = Client("app", ("http://127.0.0.1/cb",), frozenset({"read"}))
    assert not client.allows_redirect("http://localhost:5000/cb")
    assert not client.allows_redirect("http://[::1]:5000/cb")


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:00080/callback",
        "http://127.0.0.1:080/callback",
        "http://127.0.0.1:65536/callback",
        "http://127.0.0.1:99999/callback",
        "http://127.0.0.1:123456/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:-1/callback",
        "http://127.0.0.1:+80/callback",
        "http://127.0.0.1: 80/callback",
        "http://127.0.0.1:80 /callback",
        "http://127.0.0.1:8\u0660/callback",
        "http://127.0.0.1:\uff18\uff10/callback",
        "http://127.0.0.1:80:80/callback",
        "http://127.0.0.1:80@evil.example/callback",
        "http://127.0.0.1:80.evil.example/callback",
        "http://127.0.0.1:80#@evil.example/callback",
        "http://127.0.0.1:80/callback#x",
        "http://127.0.0.1:80/callback?x=1",
        "http://127.0.0.1:80/callback/",
        "http://127.0.0.1:80//callback",
        "http://127.0.0.1:80/Callback",
        "http://127.0.0.1:80/%63allback",
        "http://127.0.0.1:80/x/../callback",
        "http://127.0.0.1:80/callback\n",
        "http://127.0.0.1:80\\callback",
        "https://127.0.0.1:80/callback",
        "HTTP://127.0.0.1:80/callback",
        "http:/127.0.0.1:80/callback",
        "http://user@127.0.0.1:80/callback",
        "http://127.0.0.1.evil.example:80/callback",
        "http://127.0.0.1evil.example:80/callback",
        "http://127.0.0.11:80/callback",
        "http://127.0.0.2:80/callback",
        "http://127.1:80/callback",
        "http://127.0.1:80/callback",
        "http://127.00.0.1:80/callback",
        "http://2130706433:80/callback",
        "http://0x7f.0.0.1:80/callback",
        "http://0177.0.0.1:80/callback",
        "http://0.0.0.0:80/callback",
        "http://0:80/callback",
        "http://127x0x0x1:80/callback",
        "http://127\u30020\u30020\u30021:80/callback",
        "http://LOCALHOST:80/callback",
        "http://Localhost:80/callback",
        "http://localhost.:80/callback",
        "http://localhost.evil.example:80/callback",
        "http://evil.localhost:80/callback",
        "http://localhost.localdomain:80/callback",
        "http://[::1].evil.example:80/callback",
        "http://[::01]:80/callback",
        "http://[0:0:0:0:0:0:0:1]:80/callback",
        "http://[::ffff:127.0.0.1]:80/callback",
        "http://[::1%25lo]:80/callback",
        "http://::1:80/callback",
        "http://[::]:80/callback",
    ],
)
def test_only_the_port_of_a_loopback_uri_may_vary(uri: str) -> None:
    assert not CLIENT.allows_redirect(uri)


@pytest.mark.parametrize(
    ("registered", "asked"),
    [
        (HTTPS, "https://app.example.com:5000/callback"),
        (HTTPS_WITH_QUERY, "https://app.example.com/a/b?brand=x&y=%2F"),
        ("https://localhost/callback", "https://localhost:5000/callback"),
        ("https://127.0.0.1/callback", "https://127.0.0.1:5000/callback"),
        (CUSTOM, "com.example.app:5000/callback"),
    ],
)
def test_the_port_of_any_other_uri_may_not_vary(registered: str, asked: str) -> None:
    client = Client("app", (registered,), frozenset({"read"}))
    assert client.allows_redirect(registered)
    assert not client.allows_redirect(asked)


hostile = st.sampled_from(
    [
        *"/\\:@?#%.&=;,[]*0189aAxe \t\r\n\0",
        *("%2e", "%2f", "%00", "..", "//", "evil.example", ":80", "@evil.example", "127.0.0.1", "localhost", "[::1]"),
        *("\u3002", "\uff0f", "\u200b", "\u0430", "javascript:", "https://", "http://"),
    ]
)


@st.composite
def near_misses(draw: st.DrawFn) -> str:
    """Draw a registered URI with a few small changes, or any other text."""
    uri = draw(st.sampled_from(REGISTERED))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(uri)))
        end = min(len(uri), start + draw(st.sampled_from([0, 0, 1, 2, 9])))
        uri = uri[:start] + draw(hostile | st.just("")) + uri[end:]
    return uri


def may_pass(uri: str) -> bool:
    """Tell the rule in another way: a URI without a loopback port and a lone slash is registered as it is.

    No loopback URI in REGISTERED has a slash as its path, or a query.
    """
    for origin in ("http://127.0.0.1", "http://[::1]", "http://localhost"):
        if uri.startswith(origin + ":"):
            port, rest = re.findall(r"^([^/?]*)([\s\S]*)$", uri[len(origin) + 1 :])[0]
            if port in map(str, range(1, 65536)):
                uri = origin + rest
        if uri == f"{origin}/":
            uri = origin
    return uri in REGISTERED


@given(near_misses() | st.text(max_size=40))
def test_only_a_registered_uri_or_a_registered_loopback_uri_with_another_port_or_an_empty_path_passes(uri: str) -> None:
    assert CLIENT.allows_redirect(uri) is may_pass(uri)


@given(st.sampled_from(LOOPBACKS), st.integers(-5, 70_000))
def test_a_loopback_port_passes_exactly_from_1_to_65535(registered: str, port: int) -> None:
    uri = registered.replace("/callback", f":{port}/callback")
    assert CLIENT.allows_redirect(uri) is (1 <= port <= 65535)


# Reading the Apps parameter.


def test_a_complete_app_is_read_with_all_that_it_names() -> None:
    client = parsed(
        redirect_uris=list(REGISTERED),
        scopes=["account:information", "order:execution"],
        origins=["https://app.example.com", "http://localhost:3000"],
        apple_app_ids=["ABCDE12345.com.example.app"],
        android_packages={"com.example.app": [FINGERPRINT, FINGERPRINT.replace("AB", "0F")]},
        session_days=365,
        idle_days=1,
        refresh=False,
        sessions="person",
    )
    assert client.client_id == "app"
    assert client.redirect_uris == REGISTERED
    assert client.scopes == {"account:information", "order:execution"}
    assert client.origins == {"https://app.example.com", "http://localhost:3000"}
    assert client.apple_app_ids == ("ABCDE12345.com.example.app",)
    assert client.android_packages == {"com.example.app": (FINGERPRINT, FINGERPRINT.replace("AB", "0F"))}
    assert (client.session_seconds, client.idle_seconds, client.may_refresh) == (365 * 86_400, 86_400, False)
    assert client.shows_all_apps


def test_the_optional_members_of_an_app_are_empty() -> None:
    client = parsed()
    assert (client.origins, client.apple_app_ids, dict(client.android_packages)) == (frozenset(), (), {})
    assert (client.session_seconds, client.idle_seconds, client.may_refresh) == (0, 0, True)
    assert not client.shows_all_apps


def test_apps_are_found_by_their_exact_id_and_their_origins_together() -> None:
    other = {**APP, "origins": ["https://b.example.com"]}
    registry = Registry.parse(json.dumps({"a": {**APP, "origins": ["https://a.example.com"]}, "b": other}))
    found = registry.find("a")
    assert found is not None
    assert found.client_id == "a"
    assert [registry.find(name) for name in ("A", "a ", "", "c", "a\0")] == [None] * 5
    assert [client.client_id for client in registry.clients] == ["a", "b"]
    assert registry.origins == {"https://a.example.com", "https://b.example.com"}


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example.com/",
        "https://app.example.com",
        "https://a-b.example.com:8443/x%20y?z=1&w=%2F",
        "com.example.app:/",
        "com.example.app://callback?x=1",
        "msauth.com.example-app:/x",
        "http://127.0.0.1",
        "http://[::1]:8080/x?y=1",
        "http://localhost?x",
    ],
)
def test_these_redirect_uris_may_be_registered(uri: str) -> None:
    assert parsed(redirect_uris=[uri]).allows_redirect(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        " ",
        "/callback",
        "app.example.com/callback",
        "//app.example.com/callback",
        "http://app.example.com/callback",
        "http://192.168.0.1/callback",
        "http://127.0.0.2/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://localhost.evil.example/callback",
        "http://localhost:0/callback",
        "http://user@localhost/callback",
        "https://user@app.example.com/callback",
        "https://app.example.com/callback#x",
        "https://app.example.com/callback#",
        "https://APP.example.com/callback",
        "HTTPS://app.example.com/callback",
        "https://app.ex\u00e4mple.com/callback",
        "https:///callback",
        "https://",
        "https:app.example.com",
        "https://app.example.com\\callback",
        "https://app.example.com/call back",
        "https://app.example.com/callback\n",
        "https://app.example.com/\"'",
        "https://app.example.com/<x>",
        "https://app.example.com:/callback",
        "https://app.example.com:123456/callback",
        "https://*.example.com/callback",
        "https://app.example.com/" + "x" * 512,
        "javascript:alert(1)",
        "javascript:/alert.1/",
        "data:/text.html",
        "myapp:/callback",
        "myapp://callback",
        "com.example.app:callback",
        "com.example.app",
        "com.example.app:",
        "Com.example.app:/callback",
        ".example:/callback",
        "com..app:/callback",
        "com.example.:/callback",
        "1com.example:/callback",
        "com.example.app:/call#back",
        "*",
    ],
)
def test_a_redirect_uri_that_browsers_and_servers_might_read_differently_is_refused_by_name(uri: str) -> None:
    reason = refusal({"good": APP, "bad": {**APP, "redirect_uris": [HTTPS, uri]}})
    assert "'bad'" in reason
    assert "redirect_uris" in reason
    assert repr(uri)[:80] in reason


FINGERPRINT = ":".join(["AB"] * 32)
MALFORMED: dict[str, list[Any]] = {
    "redirect_uris": [None, [], {}, "x", HTTPS, [HTTPS, 1], [None], [[HTTPS]], 1, True],
    "scopes": [
        *(None, [], "read", {"read": 1}, [1], [""], ["a b"], ['a"b'], ["a\\b"]),
        *(["a\n"], ["\u00e9"], ["a\tb"], ["x" * 129], [" a"]),
    ],
    "origins": [
        *(None, {}, "https://a.example", [1], [""], ["*"], ["null"], ["a.example"], ["http://a.example"]),
        *(["https://a.example/"], ["https://a.example/x"], ["https://A.example"], ["https://a.example\n"]),
        *(["https://u@a.example"], ["https://a.example:x"], ["https://a.example:123456"], ["http://192.168.0.1"]),
    ],
    "apple_app_ids": [
        *(None, "x", [1], [""], ["com.example.app"], ["abcde12345.com.example"], ["ABCDE1234.com.example"]),
        *(["ABCDE12345."], ["ABCDE12345.a/b"]),
    ],
    "android_packages": [
        *(None, [], "x", {"a.b": []}, {"a.b": "AB"}, {"a.b": [1]}, {"a.b": None}, {"a.b": [FINGERPRINT, "AB"]}),
        *({name: [FINGERPRINT]} for name in ("", "app", "1a.b", "a..b", "a.b\n", "a-b.c")),
        *({"a.b": [value]} for value in ("", FINGERPRINT.lower(), FINGERPRINT[3:], FINGERPRINT + ":AB", "AB" * 32)),
    ],
    "session_days": [None, 0, -1, 366, 1.5, "30", True, [], {}],
    "idle_days": [None, 0, -1, 366, 1.5, "30", True, [], {}],
    "refresh": [None, 0, 1, "true", [], {}],
    "backend": [None, 0, 1, "true", "handle", "", [], {}],
    "sessions": [None, True, "", "own", "Person", [], ["person"], {}],
}


@pytest.mark.parametrize(("member", "value"), [(name, value) for name, values in MALFORMED.items() for value in values])
def test_a_malformed_member_is_refused_naming_the_app_and_the_member(member: str, value: Any) -> None:
    reason = refusal({"good": APP, "bad": {**APP, member: value}})
    assert reason.startswith("APPS")
    assert "'bad'" in reason
    assert "good" not in reason
    assert member in reason


BROKEN_RULES = [
    ("redirect_uris", "myapp:/callback", "a custom scheme needs a dot"),
    ("redirect_uris", "com.example.app:callback", "a colon and a slash"),
    ("redirect_uris", "com..app:/callback", "on both sides of each dot"),
    ("redirect_uris", "http://app.example.com/callback", "http is allowed only on loopback"),
    ("redirect_uris", "https://App.example.com/callback", "a host name in lower case"),
    ("redirect_uris", "https://app.example.com/callback#x", "no fragment"),
    ("redirect_uris", "app.example.com", "begins with https://"),
    ("scopes", "read write", "no space"),
    ("origins", "https://web.example.com:443", "browsers leave out the default port: write 'https://web.example.com'"),
    ("origins", "http://localhost:80", "browsers leave out the default port: write 'http://localhost'"),
    ("origins", "https://web.example.com/", "no path"),
    ("apple_app_ids", "com.example.app", "the team id, a dot and the bundle id"),
]


@pytest.mark.parametrize(("member", "value", "rule"), BROKEN_RULES, ids=[value for _, value, _ in BROKEN_RULES])
def test_the_rule_that_a_value_breaks_is_told(member: str, value: str, rule: str) -> None:
    reason = refusal({"bad": {**APP, member: [value]}})
    assert reason.startswith(f"APPS: app 'bad': {member} has {value!r}, which is not allowed: ")
    assert rule in reason


def test_a_long_value_is_shown_as_far_as_it_is_needed_to_find_it_and_the_rule_in_full() -> None:
    reason = refusal({"bad": {**APP, "redirect_uris": ["myapp:/" + "a" * 480]}})
    assert "redirect_uris has 'myapp:/aaaa" in reason
    assert reason.endswith("a custom scheme needs a dot, as in com.example.app:/callback (RFC 8252 section 7.1)")
    assert len(reason) < 300


@pytest.mark.parametrize(
    ("packages", "rule"),
    [
        ({"app": [FINGERPRINT]}, "a name is like com.example.app"),
        ({"a.b": []}, "'a.b' must have a list of fingerprints"),
        ({"a.b": ["AB:CD"]}, "SHA-256 of the signing certificate"),
        ([], "package names to lists of fingerprints"),
    ],
    ids=str,
)
def test_the_rule_that_an_android_package_breaks_is_told(packages: Any, rule: str) -> None:
    reason = refusal({"bad": {**APP, "android_packages": packages}})
    assert reason.startswith("APPS: app 'bad': android_packages")
    assert rule in reason


def test_an_app_has_no_backend_unless_it_says_so() -> None:
    values: dict[str, dict[str, Any]] = {
        "a": {},
        "b": {"backend": True},
        "c": {"backend": False},
        "d": {"backend": "by_user"},
    }
    registry = Registry.parse(json.dumps({name: {**APP, **members} for name, members in values.items()}))
    assert {client.client_id: client.backend for client in registry.clients} == {
        "a": "",
        "b": "handle",
        "c": "",
        "d": "by_user",
    }
    assert [client.client_id for client in registry.clients if client.gets_handle] == ["b", "d"]


def test_a_page_gets_no_handle_where_its_backend_names_people() -> None:
    app = {**APP, "backend": "by_user", "origins": ["https://a.example"]}
    (client,) = Registry.parse(json.dumps({"page": app})).clients
    assert (client.backend, client.gets_handle) == ("by_user", False)


@pytest.mark.parametrize("origins", [[], ["https://a.example"]])
def test_an_app_in_a_page_cannot_keep_a_handle_and_has_no_backend(origins: list[str]) -> None:
    app = {**APP, "backend": True, "origins": origins}
    if origins:
        assert "APPS: app 'bad': backend must not be true for an app with origins" in refusal({"bad": app})
        assert Registry.parse(json.dumps({"good": {**app, "backend": False}})).clients
    else:
        assert Registry.parse(json.dumps({"good": app})).clients[0].gets_handle


def test_the_error_for_a_misspelt_member_lists_the_right_ones() -> None:
    misspelt = {"redirect_uris": [HTTPS], "scope": ["read"]}
    assert refusal({"bad": misspelt}).endswith(
        "unknown member 'scope': the members are redirect_uris, scopes, origins, apple_app_ids, android_packages, "
        "session_days, idle_days, refresh, backend, sessions"
    )


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"a": {"redirect_uris": ["https://a.example/cb"], "scopes": ["read"],}}', "line 1 column"),
        ("{", "line 1 column"),
        ('{"a": {}, "a": {}}', "'a' stands twice"),
        ('{"a": {"scopes": [], "scopes": []}}', "'scopes' stands twice"),
    ],
)
def test_the_place_of_malformed_json_is_told(text: str, where: str) -> None:
    failure = failure_of(ConfigurationError, partial(Registry.parse, text))
    assert failure is not None
    assert where in failure.reason


@pytest.mark.parametrize(
    "origin", ["https://a.example", "http://localhost", "https://a.example:4430", "http://[::1]:8080"]
)
def test_an_origin_as_browsers_send_it_is_registered(origin: str) -> None:
    assert Registry.parse(json.dumps({"app": {**APP, "origins": [origin]}})).origins == {origin}


@pytest.mark.parametrize("origin", ["https://app.example.com", "http://localhost"])
@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_a_port_that_does_not_exist_is_refused_by_name(origin: str, port: int) -> None:
    for member, uri in (("redirect_uris", f"{origin}:{port}/x"), ("origins", f"{origin}:{port}")):
        assert repr(uri) in refusal({"app": {**APP, member: [uri]}})


@pytest.mark.parametrize("member", ["redirect_uris", "scopes"])
def test_a_missing_required_member_is_refused_naming_the_app_and_the_member(member: str) -> None:
    reason = refusal({"bad": {name: value for name, value in APP.items() if name != member}})
    assert "'bad'" in reason
    assert member in reason


@pytest.mark.parametrize("member", ["redirect_uri", "Scopes", "secret", ""])
def test_an_unknown_member_is_refused_by_name(member: str) -> None:
    reason = refusal({"bad": {**APP, member: []}})
    assert "'bad'" in reason
    assert repr(member) in reason


@pytest.mark.parametrize("client_id", ["", " ", "a b", "a:b", "a\n", "\u00e9", "x" * 65, "a/b", "a%20b", "a\0"])
def test_a_client_id_that_cannot_stand_anywhere_is_refused_by_name(client_id: str) -> None:
    assert repr(client_id) in refusal({"good": APP, client_id: APP})


@pytest.mark.parametrize("client_id", ["a", "trader-ios", "com.example.app", "A~b_c.d-1", "x" * 64])
def test_a_plain_client_id_is_accepted(client_id: str) -> None:
    assert Registry.parse(json.dumps({client_id: APP})).find(client_id) is not None


@pytest.mark.parametrize("entry", [None, [], "x", 1, True])
def test_an_app_that_is_no_object_is_refused_by_name(entry: Any) -> None:
    assert "'bad'" in refusal({"bad": entry})


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "x", '{"a":', '{"a":{},"a":{}}', '{"a":NaN}', "[" * 100_000])
def test_apps_that_are_no_object_with_an_app_are_refused_naming_the_variable(text: str) -> None:
    assert refusal(text).startswith("APPS")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from([HTTPS, "read", "com.example.app"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.just("a.b"), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(st.text(max_size=4), json_values, max_size=2),
    st.sampled_from([*APP, "origins", "android_packages", "session_days", "refresh", "sessions"]),
)
def test_any_apps_are_read_or_refused(apps: dict[str, Any], member: str) -> None:
    for value in (apps, *({"app": {**APP, member: entry}} for entry in apps.values())):
        failure = failure_of(ConfigurationError, partial(Registry.parse, json.dumps(value)))
        assert failure is None or failure.reason.startswith("APPS")
