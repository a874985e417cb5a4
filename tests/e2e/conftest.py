"""A browser and an app's web site. Each starts with the first test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.e2e.browser.chromium import running_chromium
from tests.e2e.browser.journey import WebBroker
from tests.e2e.browser.site import PAGES, Site, site


@pytest.fixture(scope="module")
def website() -> Iterator[Site]:
    """An app's plain pages."""
    with site() as website:
        website.serve(PAGES / "plain")
        yield website


@pytest.fixture(scope="module")
def app() -> Iterator[Site]:
    """The site of a single-page app. Each test decides its files."""
    with site() as app:
        yield app


@pytest.fixture(scope="module")
def broker(app: Site) -> Iterator[WebBroker]:
    """A broker with this app registered. A module with other apps has a broker of its own."""
    with WebBroker(app.origin) as broker:
        yield broker


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        yield context


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()
