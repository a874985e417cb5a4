"""Client libraries in Chromium, from an origin of their own: do they still hold their tokens after a 503?"""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, Response, Route

from tests.e2e.browser.journey import WEB, WebBroker, press
from tests.e2e.browser.site import PAGES, Site, bundle
from tests.e2e.stock_clients import ACCOUNT, ARIES_FAILS, PAUSE_SECONDS, SCOPE
from tests.local.aries import Fault

pytestmark = pytest.mark.clients

APPS = PAGES / "keeping"
# A source in browser/keeping, and the library's name for a failed refresh.
TOLD = {
    "oidc_client_ts.js": "Error",
    "react_oidc_context.jsx": "Error",
    "js_pkce.js": "SyntaxError",
    "expo_auth_session.js": "SyntaxError",
    "angular_oauth2_oidc.js": "HttpErrorResponse",
}
# These libraries take any JSON object without `error` for tokens.
CREDULOUS = ["js_pkce.js", "expo_auth_session.js"]
TOKEN_ENDPOINT = "**/oauth2/token"
# expo-auth-session depends on these packages.
NATIVE = [
    "react-native",
    "expo-modules-core",
    "expo-constants",
    "expo-crypto",
    "expo-linking",
    "expo-web-browser",
]


@pytest.fixture(scope="module")
def library(
    request: pytest.FixtureRequest, broker: WebBroker, app: Site, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The name of the library. The site serves the app built on it."""
    source: str = request.param
    built = tmp_path_factory.mktemp("keeping")
    bundle(APPS / source, built / "app.js", aliases=dict.fromkeys(NATIVE, APPS / "native.js"))
    config = {"issuer": broker.issuer, "client_id": WEB, "scope": SCOPE, "account": broker.aries + ACCOUNT}
    app.serve(built, APPS, config=config)
    return source


def takes(page: Page, step: str) -> Any:
    return page.evaluate(f"steps.{step}()")


def signed_in(page: Page, app: Site, broker: WebBroker) -> list[str]:
    """Sign in, wait out the grace, and return the app's tokens."""
    page.goto(app.origin)
    page.get_by_role("button", name="Sign in").click()
    press(page, "Approve")
    page.wait_for_url(f"{app.origin}/callback?**")
    takes(page, "callback")
    broker.wait_out_the_grace()
    held: list[str] = takes(page, "held")
    assert len({token for token in held if token}) == 2
    return held


@pytest.mark.parametrize(("fault", "seconds"), ARIES_FAILS)
@pytest.mark.parametrize("library", TOLD, indirect=True, scope="module")
def test_after_a_503_the_app_holds_its_old_tokens_and_the_next_refresh_works(
    broker: WebBroker, app: Site, library: str, page: Page, fault: Fault, seconds: int
) -> None:
    kept = signed_in(page, app, broker)
    with broker.aries_failing(fault), page.expect_response(TOKEN_ENDPOINT) as answer:
        assert takes(page, "refresh") == TOLD[library]
    assert answer.value.status == 503
    assert takes(page, "held") == kept
    assert takes(page, "account") == 200
    broker.wait(seconds)
    with broker.refreshes_at_aries(1):
        assert takes(page, "refresh") is None
    assert set(takes(page, "held")).isdisjoint(kept)
    assert takes(page, "account") == 200


AXA = pytest.mark.parametrize("library", ["axa_oidc_client.js"], indirect=True, scope="module")


@AXA
def test_axas_library_repeats_the_request_at_once_and_holds_new_tokens(
    broker: WebBroker, app: Site, library: str, page: Page
) -> None:
    kept = signed_in(page, app, broker)
    sent: list[Route] = []

    def wait_before_the_second(route: Route) -> None:
        if sent:
            broker.wait(PAUSE_SECONDS)
        sent.append(route)
        route.continue_()

    page.route(TOKEN_ENDPOINT, wait_before_the_second)
    answers = statuses(page)
    broker.aries_simulator.faults.append(Fault("too_many_requests", seconds=PAUSE_SECONDS))
    assert takes(page, "refresh") is None
    assert answers == [503, 200]
    assert set(takes(page, "held")).isdisjoint(kept)
    assert takes(page, "account") == 200


@AXA
@pytest.mark.parametrize(("step", "repeated"), [("refresh", 2), ("renewed", 5)])
def test_axas_library_drops_its_tokens_at_the_second_503_or_at_the_fifth_of_its_own_timer(
    broker: WebBroker, app: Site, library: str, page: Page, step: str, repeated: int
) -> None:
    signed_in(page, app, broker)
    answers = statuses(page)
    with broker.aries_failing(Fault("too_many_requests", seconds=600)):
        assert takes(page, step) == "OidcError"
    assert answers == [503] * repeated
    assert takes(page, "held") is None


@AXA
def test_axas_library_with_a_fetch_that_waits_holds_its_tokens(
    broker: WebBroker, app: Site, library: str, page: Page
) -> None:
    page.add_init_script("window.patient = true")
    kept = signed_in(page, app, broker)
    answers = statuses(page)
    # Real seconds, a little more than the broker itself waits.
    broker.aries_simulator.faults.append(Fault("too_many_requests", seconds=7))
    with broker.refreshes_at_aries(2):
        assert takes(page, "refresh") is None
    assert answers == [503, 200]
    assert set(takes(page, "held")).isdisjoint(kept)


def statuses(page: Page) -> list[int]:
    """Collect the statuses of the token endpoint's answers to the page from now on."""
    found: list[int] = []

    def note(answer: Response) -> None:
        if answer.request.method == "POST" and answer.url.endswith("/oauth2/token"):
            found.append(answer.status)

    page.on("response", note)
    return found


@pytest.mark.parametrize("library", CREDULOUS, indirect=True, scope="module")
def test_a_503_in_json_without_error_would_take_the_place_of_the_tokens(
    broker: WebBroker, app: Site, library: str, page: Page
) -> None:
    def in_json(route: Route) -> None:
        headers = {"access-control-allow-origin": app.origin}
        route.fulfill(status=503, headers=headers, json={"message": "Service Unavailable"})

    kept = signed_in(page, app, broker)
    page.route(TOKEN_ENDPOINT, in_json)
    assert takes(page, "refresh") is None
    assert set(takes(page, "held")).isdisjoint(kept)
