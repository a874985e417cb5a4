"""The cookies that bind a sign-in to one browser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.secret import Secret
from oauth_broker.web.cookies import BrowserCookies
from tests.support.drawn import secret_texts

SESSION = "abcdefghijklmnop" + "Q" * 27
OTHER = "ABCDEFGHIJKLMNOP" + "Q" * 27
NAME = "__Host-signin-abcdefghijklmnop"
SECURE = BrowserCookies(secure=True)
PLAIN = BrowserCookies(secure=False)
VALUE = Secret("v" * 43)


def name_of(set_cookie: str) -> str:
    return set_cookie.partition("=")[0]


@pytest.mark.parametrize(
    ("issuer", "secure"),
    [
        ("https://broker.example.com", True),
        ("https://localhost", True),
        ("http://127.0.0.1:8080", False),
        ("http://[::1]:8080", False),
    ],
)
def test_cookies_are_secure_save_where_the_issuer_is_plain_http(issuer: str, secure: bool) -> None:
    assert BrowserCookies.for_issuer(issuer).secure is secure


def test_a_sign_in_sets_one_cookie_for_the_host_alone_out_of_reach_of_scripts() -> None:
    (cookie,) = SECURE.bind(SESSION, VALUE, [], 600)
    pair, *attributes = cookie.split("; ")
    assert pair == f"{NAME}={'v' * 43}"
    assert sorted(attributes) == ["HttpOnly", "Max-Age=600", "Path=/", "SameSite=Lax", "Secure"]


def test_over_plain_http_the_cookie_is_neither_secure_nor_named_as_if_it_were() -> None:
    (cookie,) = PLAIN.bind(SESSION, VALUE, [], 600)
    pair, *attributes = cookie.split("; ")
    assert pair == f"signin-abcdefghijklmnop={'v' * 43}"
    assert sorted(attributes) == ["HttpOnly", "Max-Age=600", "Path=/", "SameSite=Lax"]


@pytest.mark.parametrize("cookies", [SECURE, PLAIN])
def test_a_bound_cookie_is_found_among_other_cookies(cookies: BrowserCookies) -> None:
    (first,) = cookies.bind(SESSION, VALUE, [], 600)
    (second,) = cookies.bind(OTHER, Secret("w" * 43), [], 600)
    present = ["theme=dark", second.partition(";")[0], first.partition(";")[0], "a=b=c"]
    assert cookies.find(SESSION, present) == VALUE
    assert cookies.find(OTHER, present) == Secret("w" * 43)


@pytest.mark.parametrize(
    "present",
    [
        [],
        [""],
        ["theme=dark"],
        [NAME.replace("abc", "abd") + "=v"],
        [NAME[:-1] + "=v"],
        [NAME + "q=v"],
        [NAME.lower() + "=v"],
        [NAME.replace("__Host-", "") + "=v"],
        [NAME.replace("__Host-", "__Secure-") + "=v"],
        [" " + NAME + "=v"],
        [NAME + " =v"],
        ["=" + NAME],
        ["x=" + NAME + "=v"],
    ],
)
def test_another_cookie_is_not_taken_for_it(present: list[str]) -> None:
    assert SECURE.find(SESSION, present) is None


def test_two_cookies_of_one_name_are_as_good_as_none() -> None:
    assert SECURE.find(SESSION, [f"{NAME}=v", f"{NAME}=w"]) is None
    assert SECURE.find(SESSION, [f"{NAME}=v", f"{NAME}=v"]) is None


def test_a_value_beyond_ascii_is_as_good_as_none() -> None:
    assert SECURE.find(SESSION, [f"{NAME}=v\u00e9"]) is None


def test_a_plain_cookie_does_not_pass_where_secure_ones_are_set() -> None:
    (plain,) = PLAIN.bind(SESSION, VALUE, [], 600)
    assert SECURE.find(SESSION, [plain.partition(";")[0]]) is None


@pytest.mark.parametrize("cookies", [SECURE, PLAIN])
@pytest.mark.parametrize("earlier", range(9))
def test_a_browser_keeps_at_most_five_sign_ins_and_loses_the_oldest(cookies: BrowserCookies, earlier: int) -> None:
    bound = [cookies.bind(f"{index:016}{'Q' * 27}", VALUE, [], 600)[0].partition(";")[0] for index in range(earlier)]
    own, *removed = cookies.bind(SESSION, VALUE, ["theme=dark", *bound, "a=b"], 600)
    assert "Max-Age=600" in own
    assert [name_of(cookie) for cookie in removed] == [name_of(cookie) for cookie in bound[: max(0, earlier - 4)]]
    for cookie in removed:
        # A browser takes a __Host- cookie, and so its removal, only with these attributes.
        attributes = own.partition("; ")[2].replace("Max-Age=600", "Max-Age=0")
        assert cookie.partition("; ")[2] == attributes
        assert cookie.partition("; ")[0] == f"{name_of(cookie)}="


def test_five_sign_ins_fit_into_the_headers_that_the_gateway_takes() -> None:
    name_and_value = SECURE.bind(SESSION, VALUE, [], 600)[0].partition(";")[0]
    assert 5 * (len(name_and_value) + 2) < 1000


@given(st.lists(secret_texts(max_size=30) | st.text(max_size=10).map(lambda text: NAME + text), max_size=12))
def test_any_cookies_are_looked_through(present: list[str]) -> None:
    found = SECURE.find(SESSION, present)
    assert found is None or [value for name, _, value in (c.partition("=") for c in present) if name == NAME] == [
        found.reveal()
    ]
    own, *removed = SECURE.bind(SESSION, VALUE, present, 600)
    assert name_of(own) == NAME
    assert all(name_of(cookie).startswith("__Host-signin-") for cookie in removed)
