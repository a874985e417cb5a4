"""The callback in the wild: people and their browsers between Aries and the app."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from oauth_broker.operations.exchange import CODE_SECONDS
from oauth_broker.sessions.table import SIGN_IN_SECONDS
from tests.e2e.browser.journey import WEB, SignIn, WebBroker, approved_elsewhere, press
from tests.e2e.browser.site import Site
from tests.e2e.stock_clients import parameters_of, same_tokens
from tests.local.aries import Fault

pytestmark = pytest.mark.clients

START_AGAIN = "Go back to the app and sign in again."


@pytest.fixture(scope="module")
def broker(website: Site) -> Iterator[WebBroker]:
    with WebBroker(website.origin) as broker:
        yield broker


@pytest.fixture
def sign_in(broker: WebBroker, website: Site) -> SignIn:
    return SignIn(broker, WEB, f"{website.origin}/callback")


def at_the_app(page: Page, sign_in: SignIn) -> str:
    """Wait until the browser is at the app, and return the code from its URL."""
    page.wait_for_url(f"{sign_in.redirect_uri}?**")
    return sign_in.code_in(page.url)


def assert_ended(page: Page) -> None:
    expect(page.get_by_role("heading")).to_have_text("This sign-in has ended")
    expect(page.get_by_text(START_AGAIN)).to_be_visible()


def test_the_same_browser_loads_the_callback_twice_at_once(
    broker: WebBroker, website: Site, sign_in: SignIn, context: BrowserContext
) -> None:
    tabs = [context.new_page(), context.new_page()]
    tabs[0].goto(sign_in.url)
    callback = approved_elsewhere(tabs[0])
    happened: list[str] = []
    for tab in tabs:
        tab.goto(website.origin)
        # If the cache is on, then the second tab waits until the first tab fills it.
        context.new_cdp_session(tab).send("Network.setCacheDisabled", {"cacheDisabled": True})
        tab.on("request", lambda request: happened.append("request") if request.url == callback else None)
        tab.on("response", lambda answer: happened.append("response") if answer.url == callback else None)
    broker.aries_simulator.faults.append(Fault("late", grant_type="code", seconds=2))
    exchanges = broker.aries_simulator.code_calls
    for tab in tabs:
        tab.evaluate("callback => { window.location.href = callback }", callback)
    codes = {at_the_app(tab, sign_in) for tab in tabs}
    assert happened == ["request", "request", "response", "response"]
    assert broker.aries_simulator.code_calls == exchanges + 1
    assert len(codes) == 1
    sign_in.redeem(codes.pop())


@pytest.mark.parametrize("by", ["link", "prefetch", "prerender"])
def test_a_prefetch_gets_an_empty_answer_and_uses_nothing_up(
    broker: WebBroker, website: Site, sign_in: SignIn, page: Page, by: str
) -> None:
    page.goto(sign_in.url)
    callback = approved_elsewhere(page)
    exchanges = broker.aries_simulator.code_calls
    # The page uses the broker's own host, so the browser sends the cookie. A page of Aries or of the app may do the
    # same.
    page.goto(website.same_site)
    with page.expect_event("response", lambda answer: answer.url == callback) as prefetched:
        page.goto(f"{website.same_site}/prefetch.html?{urlencode({'by': by, 'to': callback})}")
    headers = prefetched.value.request.all_headers()
    assert headers["sec-purpose"].startswith("prefetch")
    # A link's prefetch to another origin carries no cookies, even within the same site.
    assert by == "link" or "signin-" in headers["cookie"]
    assert prefetched.value.headers.get("content-length", "0") == "0"
    assert broker.aries_simulator.code_calls == exchanges
    page.evaluate("callback => { window.location.href = callback }", callback)
    sign_in.redeem(at_the_app(page, sign_in))
    assert broker.aries_simulator.code_calls == exchanges + 1


def test_going_back_and_approving_again_within_the_codes_life_gives_the_same_code(
    broker: WebBroker, sign_in: SignIn, page: Page
) -> None:
    page.goto(sign_in.url)
    press(page, "Approve")
    code = at_the_app(page, sign_in)
    exchanges = broker.aries_simulator.code_calls
    page.go_back()
    press(page, "Approve")
    assert at_the_app(page, sign_in) == code
    assert broker.aries_simulator.code_calls == exchanges
    sign_in.redeem(code)


def test_going_back_after_the_sign_in_ends_at_a_page_and_the_session_lives(
    broker: WebBroker, sign_in: SignIn, page: Page
) -> None:
    page.goto(sign_in.url)
    press(page, "Approve")
    tokens = sign_in.redeem(at_the_app(page, sign_in))
    page.go_back()
    press(page, "Approve")
    expect(page.get_by_role("heading")).to_have_text("Return to the app")
    assert page.url.startswith(f"{broker.issuer}/oauth2/callback?")
    assert same_tokens(sign_in.refresh(tokens), tokens)
    broker.wait_out_the_grace()
    assert sign_in.refresh(tokens)["access_token"] != tokens["access_token"]


def test_a_reload_of_the_callback_after_the_codes_life_ends_at_a_page(
    broker: WebBroker, sign_in: SignIn, page: Page
) -> None:
    page.goto(sign_in.url)
    callback = approved_elsewhere(page)
    page.goto(callback)
    at_the_app(page, sign_in)
    broker.wait(CODE_SECONDS + 1)
    answer = page.goto(callback)
    assert answer is not None
    assert (answer.status, answer.url) == (200, callback)
    expect(page.get_by_role("heading")).to_have_text("Return to the app")


def test_two_tabs_sign_in_at_once(broker: WebBroker, website: Site, context: BrowserContext) -> None:
    tabs = [context.new_page(), context.new_page()]
    sign_ins = [SignIn(broker, WEB, f"{website.origin}/callback") for _ in tabs]
    for tab, sign_in in zip(tabs, sign_ins, strict=True):
        tab.goto(sign_in.url)
    for tab in tabs:
        press(tab, "Approve")
    sessions = [sign_in.redeem(at_the_app(tab, sign_in)) for tab, sign_in in zip(tabs, sign_ins, strict=True)]
    assert len({session["access_token"] for session in sessions}) == 2


def test_a_person_who_took_too_long_learns_so_and_how_to_go_on(broker: WebBroker, sign_in: SignIn, page: Page) -> None:
    page.goto(sign_in.url)
    broker.wait(SIGN_IN_SECONDS + 1)
    # The wait outlives Aries' own form too, hence a fresh one.
    page.reload()
    exchanges = broker.aries_simulator.code_calls
    with page.expect_response(f"{broker.issuer}/oauth2/callback?**") as answer:
        press(page, "Approve")
    assert answer.value.status == 400
    assert_ended(page)
    expect(page.get_by_text("The sign-in took too long")).to_be_visible()
    assert broker.aries_simulator.code_calls == exchanges


def test_after_a_passing_failure_the_page_is_loaded_again_and_goes_on(
    broker: WebBroker, sign_in: SignIn, page: Page
) -> None:
    page.goto(sign_in.url)
    with broker.table_failing(), page.expect_response(f"{broker.issuer}/oauth2/callback?**") as answer:
        press(page, "Approve")
    assert answer.value.status == 503
    expect(page.get_by_role("heading")).to_have_text("One moment, please")
    page.reload()
    sign_in.redeem(at_the_app(page, sign_in))


def test_another_browser_gets_a_page_and_the_first_one_can_still_finish(
    broker: WebBroker, browser: Browser, sign_in: SignIn, page: Page
) -> None:
    page.goto(sign_in.url)
    callback = approved_elsewhere(page)
    exchanges = broker.aries_simulator.code_calls
    with browser.new_context() as other:
        elsewhere = other.new_page()
        answer = elsewhere.goto(callback)
        assert answer is not None
        assert answer.status == 400
        assert_ended(elsewhere)
    assert broker.aries_simulator.code_calls == exchanges
    page.goto(callback)
    sign_in.redeem(at_the_app(page, sign_in))


def test_a_person_who_declines_at_aries_is_back_at_the_app(broker: WebBroker, sign_in: SignIn, page: Page) -> None:
    page.goto(sign_in.url)
    press(page, "Deny")
    page.wait_for_url(f"{sign_in.redirect_uri}?**")
    answer = parameters_of(page.url)
    assert answer.pop("error_description")
    assert answer == {"error": "access_denied", "state": sign_in.state, "iss": broker.issuer}
