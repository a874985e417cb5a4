"""The way from the callback to an app with a scheme of its own. Browsers follow it after a person's tap only."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser.journey import APP_SCHEME, MOBILE, MOBILE_URI, SignIn, WebBroker, approved_elsewhere, press
from tests.e2e.browser.site import Site
from tests.e2e.stock_clients import parameters_of

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def broker(website: Site) -> Iterator[WebBroker]:
    with WebBroker(website.origin) as broker:
        yield broker


@pytest.fixture
def sign_in(broker: WebBroker) -> SignIn:
    return SignIn(broker, MOBILE, MOBILE_URI)


def by_timer(website: Site, url: str) -> str:
    """Return the URL of a page that goes to ``url`` without a tap."""
    return f"{website.origin}/by-timer.html?{urlencode({'to': url})}"


def opened(url: str) -> bool:
    return url.startswith(APP_SCHEME)


def test_after_a_tap_the_browser_is_redirected_to_the_app(broker: WebBroker, sign_in: SignIn, page: Page) -> None:
    page.goto(sign_in.url)
    with (
        page.expect_response(f"{broker.issuer}/oauth2/callback?**") as answer,
        page.expect_request(lambda request: opened(request.url)) as request,
    ):
        press(page, "Approve")
    assert answer.value.status == 302
    assert answer.value.headers["location"] == request.value.url
    sign_in.redeem(sign_in.code_in(request.value.url))


def test_without_a_tap_there_is_one_link_to_the_app(
    broker: WebBroker, website: Site, sign_in: SignIn, page: Page
) -> None:
    page.goto(sign_in.url)
    callback = approved_elsewhere(page)
    with page.expect_response(callback) as answer:
        page.goto(by_timer(website, callback))
    assert answer.value.status == 200
    expect(page.get_by_role("heading")).to_have_text("One more step")
    expect(page.get_by_role("link")).to_have_count(1)
    link = page.get_by_role("link", name="Return to the app")
    href = link.get_attribute("href")
    with page.expect_request(lambda request: opened(request.url)) as request:
        link.click(no_wait_after=True)
    assert request.value.url == href
    sign_in.redeem(sign_in.code_in(request.value.url))


def test_without_a_tap_an_error_is_a_link_to_the_app_too(
    broker: WebBroker, website: Site, sign_in: SignIn, page: Page
) -> None:
    asked = sign_in.url.replace("response_type=code", "response_type=token")
    with page.expect_response(asked) as answer:
        page.goto(by_timer(website, asked))
    assert answer.value.status == 200
    href = page.get_by_role("link", name="Return to the app").get_attribute("href")
    assert href is not None
    parameters = parameters_of(href)
    assert parameters["error"] == "unsupported_response_type"
    assert (parameters["state"], parameters["iss"]) == (sign_in.state, broker.issuer)
