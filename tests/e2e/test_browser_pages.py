"""The pages as people see them: on a phone, light and dark, small and with large text.

Every run leaves pictures of them in ``.screenshots``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, Response, expect

from tests.e2e.browser.chromium import running_chromium
from tests.e2e.browser.journey import MOBILE, MOBILE_URI, WEB, SignIn, WebBroker, approved_elsewhere
from tests.e2e.browser.reading import Complaints, assert_protected, contrast, outside, sideways
from tests.e2e.browser.site import Site
from tests.local.template import ROOT

pytestmark = pytest.mark.clients

PICTURES = ROOT / ".screenshots"
# WCAG 2.2: the contrast of level AA, and the size of a tap target (level AAA; Apple and Google ask for as much).
LEAST_CONTRAST = 4.5
LEAST_TARGET_PIXELS = 44
# A phone, and the narrowest screen (WCAG 2.2, 1.4.10) with the browser's text set to twice the usual size.
PHONE = {"width": 390, "height": 844}
NARROW = {"width": 320, "height": 640}
TWICE_THE_USUAL_SIZE = "--blink-settings=defaultFontSize=32"
VIEWS: Mapping[str, tuple[Mapping[str, int], str]] = {
    "usual": (PHONE, ""),
    "large": (NARROW, TWICE_THE_USUAL_SIZE),
}


@pytest.fixture(scope="module")
def broker(website: Site) -> Iterator[WebBroker]:
    with WebBroker(website.origin) as broker:
        yield broker


@pytest.fixture(scope="module", params=VIEWS)
def view(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def browser(view: str) -> Iterator[Browser]:
    option = VIEWS[view][1]
    with running_chromium(*([option] if option else [])) as browser:
        yield browser


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> Literal["light", "dark"]:
    chosen: Literal["light", "dark"] = request.param
    return chosen


@pytest.fixture
def page(browser: Browser, view: str, scheme: Literal["light", "dark"]) -> Iterator[Page]:
    width, height = VIEWS[view][0].values()
    with browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme) as context:
        yield context.new_page()


@dataclass(frozen=True)
class Shown:
    """A page and its expected words."""

    name: str
    status: int
    title: str
    reason: str
    link: str | None = None


Way = Callable[[Page, WebBroker, Site], Response]


def bad_link(page: Page, broker: WebBroker, website: Site) -> Response:
    return visit(page, SignIn(broker, "nobody", f"{website.origin}/callback").url)


def ended(page: Page, broker: WebBroker, website: Site) -> Response:
    return visit(page, f"{broker.issuer}/oauth2/callback?code=x&state={'x' * 43}")


def one_more_step(page: Page, broker: WebBroker, website: Site) -> Response:
    callback = at_aries(page, SignIn(broker, MOBILE, MOBILE_URI))
    with page.expect_response(callback) as answer:
        page.goto(f"{website.origin}/by-timer.html?{urlencode({'to': callback})}")
    return answer.value


def finished(page: Page, broker: WebBroker, website: Site) -> Response:
    sign_in = SignIn(broker, WEB, f"{website.origin}/callback")
    callback = at_aries(page, sign_in)
    page.goto(callback)
    sign_in.redeem(sign_in.code_in(page.url))
    return visit(page, callback)


def one_moment(page: Page, broker: WebBroker, website: Site) -> Response:
    callback = at_aries(page, SignIn(broker, WEB, f"{website.origin}/callback"))
    with broker.table_failing():
        return visit(page, callback)


PAGES_TO_SEE: list[tuple[Way, Shown]] = [
    (bad_link, Shown("bad-link", 400, "This sign-in link does not work", "not registered")),
    (ended, Shown("ended", 400, "This sign-in has ended", "took too long, was already used")),
    (
        one_more_step,
        Shown("one-more-step", 200, "One more step", "only after a tap", link="Return to the app"),
    ),
    (finished, Shown("finished", 200, "Return to the app", "This sign-in is over")),
    (one_moment, Shown("one-moment", 503, "One moment, please", "Nothing is lost")),
]


def at_aries(page: Page, sign_in: SignIn) -> str:
    """Go to Aries, and return its redirect after an approval."""
    page.goto(sign_in.url)
    return approved_elsewhere(page)


def visit(page: Page, url: str) -> Response:
    answer = page.goto(url)
    assert answer is not None
    return answer


@pytest.mark.parametrize(("way", "shown"), PAGES_TO_SEE, ids=[shown.name for _, shown in PAGES_TO_SEE])
def test_a_page_is_readable_and_says_what_happened_and_what_to_do(
    broker: WebBroker, website: Site, page: Page, view: str, scheme: str, way: Way, shown: Shown
) -> None:
    complaints = Complaints.about(page)
    answer = way(page, broker, website)
    expect(page.get_by_role("heading")).to_have_text(shown.title)
    page.screenshot(path=PICTURES / f"{shown.name}-{view}-{scheme}.png", full_page=True)
    assert answer.status == shown.status
    assert complaints.all() == []
    assert_says(page, shown)
    assert_legible(page)
    assert_protected(answer)
    assert page.locator("script").count() == 0
    if shown.link is not None:
        assert_link_works_by_keyboard(page, shown.link)
    else:
        assert page.get_by_role("link").count() == 0


def assert_says(page: Page, shown: Shown) -> None:
    assert page.title() == shown.title
    assert page.locator("html").get_attribute("lang") == "en"
    expect(page.locator("h1")).to_have_count(1)
    expect(page.get_by_text(shown.reason)).to_be_visible()
    request_id = page.get_by_text("Request id for support: ")
    expect(request_id).to_be_visible()
    assert request_id.inner_text().removeprefix("Request id for support:").strip()


def assert_legible(page: Page) -> None:
    assert sideways(page) <= 0
    assert outside(page) == []
    for selector in ("h1", "p", "small"):
        assert contrast(page, selector) >= LEAST_CONTRAST


def assert_link_works_by_keyboard(page: Page, name: str) -> None:
    link = page.get_by_role("link", name=name)
    page.keyboard.press("Tab")
    expect(link).to_be_focused()
    assert link.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
    assert contrast(page, "a") >= LEAST_CONTRAST
    box = link.bounding_box()
    assert box is not None
    assert box["height"] >= LEAST_TARGET_PIXELS
    with page.expect_request(lambda request: request.url == link.get_attribute("href")):
        page.keyboard.press("Enter")
