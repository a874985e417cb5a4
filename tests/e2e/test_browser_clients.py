"""Single-page apps in Chromium, from an origin of their own: oidc-client-ts, and the example on Aries' page."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser.journey import REACT, WEB, WebBroker, press
from tests.e2e.browser.site import PAGES, Site, bundle, site
from tests.e2e.stock_clients import ACCOUNT, SCOPE

pytestmark = pytest.mark.clients

# A copy of the "Complete SPA example (React)" on Aries' page.
EXAMPLE = PAGES / "react/aries.js"
EXAMPLE_DIGEST = "339ecb5cc2a7dd7031ab1b4e049d3f21853c1e42f7a72e8ea77448b5e20a8747"
TOKEN_OF_THE_PAGE = "sessionStorage.getItem('access_token')"


@pytest.fixture(scope="module")
def react_app() -> Iterator[Site]:
    with site() as app:
        yield app


@pytest.fixture(scope="module")
def stranger() -> Iterator[Site]:
    """A page on an unregistered origin."""
    with site() as stranger:
        stranger.serve(PAGES / "plain")
        yield stranger


@pytest.fixture(scope="module")
def broker(app: Site, react_app: Site) -> Iterator[WebBroker]:
    with WebBroker(app.origin, react_app.origin) as broker:
        yield broker


@pytest.fixture(scope="module")
def oidc_client(broker: WebBroker, app: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    built = tmp_path_factory.mktemp("oidc_client")
    bundle(PAGES / "oidc_client/app.js", built / "app.js")
    config = {"issuer": broker.issuer, "client_id": WEB, "scope": SCOPE, "account": broker.aries + ACCOUNT}
    app.serve(built, PAGES / "oidc_client", config=config)
    return app


def takes(page: Page, step: str) -> Any:
    return page.evaluate(f"steps.{step}()")


def sign_in(page: Page, app: Site, decision: str = "Approve") -> None:
    page.goto(app.origin)
    page.get_by_role("button", name="Sign in").click()
    press(page, decision)
    page.wait_for_url(f"{app.origin}/callback?**")


def test_oidc_client_ts_signs_in_refreshes_refreshes_again_and_signs_out(
    broker: WebBroker, oidc_client: Site, page: Page
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    sign_in(page, oidc_client)
    first = takes(page, "callback")
    assert f"{broker.issuer}/.well-known/openid-configuration" in asked
    assert (first["type"], set(first["scope"])) == ("Bearer", set(SCOPE.split()))
    assert 3500 < first["seconds"] <= 3600
    assert takes(page, "account") == 200
    broker.wait_out_the_grace()
    with broker.refreshes_at_aries(1):
        second = takes(page, "refresh")
    assert first["access"] != second["access"]
    assert first["refresh"] != second["refresh"]
    with broker.refreshes_at_aries(0):
        repeated = takes(page, "refreshAgain")
    assert (repeated["access"], repeated["refresh"]) == (second["access"], second["refresh"])
    assert takes(page, "account") == 200
    takes(page, "revoke")
    with broker.refreshes_at_aries(0):
        assert takes(page, "refreshRevoked") == {"name": "ErrorResponse", "error": "invalid_grant"}


def test_oidc_client_ts_is_told_that_the_person_declined(oidc_client: Site, page: Page) -> None:
    sign_in(page, oidc_client, "Deny")
    with pytest.raises(Exception, match="The sign-in was declined"):
        takes(page, "callback")
    assert takes(page, "user") is None


READ = """async ([url, options]) => {
  try { const answer = await fetch(url, options); return [answer.status, (await answer.text()).length > 1]; }
  catch (error) { return error.name; }
}"""
FORM = {"method": "POST", "body": "grant_type=refresh_token&client_id=x&refresh_token=x"}
# A form cannot send these headers, so the browser asks beforehand (preflight).
FORM_WITH_PREFLIGHT = {
    **FORM,
    "headers": {"Content-Type": "application/x-www-form-urlencoded", "Authorization": "Basic eDo="},
}
TO_READ = [
    ("/.well-known/openid-configuration", {}, 200),
    ("/.well-known/oauth-authorization-server", {}, 200),
    ("/oauth2/jwks.json", {}, 200),
    ("/oauth2/token", {**FORM, "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 401),
    ("/oauth2/token", FORM_WITH_PREFLIGHT, 401),
    ("/oauth2/refresh", FORM_WITH_PREFLIGHT, 401),
    ("/oauth2/revoke", FORM_WITH_PREFLIGHT, 401),
    ("/v1/oauth2/token", {"method": "POST", "body": "{}", "headers": {"Content-Type": "application/json"}}, 400),
]


@pytest.mark.parametrize(("path", "options", "status"), TO_READ)
def test_a_registered_origin_reads_what_a_foreign_one_cannot(
    broker: WebBroker, oidc_client: Site, stranger: Site, page: Page, path: str, options: dict[str, Any], status: int
) -> None:
    wanted = [broker.issuer + path, options]
    page.goto(oidc_client.origin)
    assert page.evaluate(READ, wanted) == [status, True]
    page.goto(stranger.origin)
    assert page.evaluate(READ, wanted) == "TypeError"


@pytest.mark.parametrize("path", ["/oauth2/authorize", "/oauth2/callback"])
def test_no_origin_reads_the_browser_legs(broker: WebBroker, oidc_client: Site, page: Page, path: str) -> None:
    page.goto(oidc_client.origin)
    assert page.evaluate(READ, [broker.issuer + path, {}]) == "TypeError"


def pointed_at(issuer: str) -> str:
    """Return the example with its reader's values filled in: two URLs and the client id."""
    example = EXAMPLE.read_text()
    for theirs, ours, times in (
        ("https://app.aries.com/oauth2/authorize", f"{issuer}/oauth2/authorize", 1),
        ("https://api.aries.com/v1/oauth2/token", f"{issuer}/v1/oauth2/token", 1),
        ("YOUR_CLIENT_ID", REACT, 2),
    ):
        assert example.count(theirs) == times
        example = example.replace(theirs, ours)
    return example


@pytest.fixture(scope="module")
def react(broker: WebBroker, react_app: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    built = tmp_path_factory.mktemp("react")
    bundle(PAGES / "react/app.jsx", built / "app.js")
    Path(built / "aries.js").write_text(pointed_at(broker.issuer))
    react_app.serve(built, PAGES / "react", config={"api": broker.aries})
    return react_app


def test_the_tests_change_two_urls_and_the_client_id_of_aries_example(broker: WebBroker) -> None:
    theirs = EXAMPLE.read_text()
    assert sha256(theirs.encode()).hexdigest() == EXAMPLE_DIGEST
    changes = [
        line
        for line in unified_diff(theirs.splitlines(), pointed_at(broker.issuer).splitlines(), n=0, lineterm="")
        if line.startswith("+") and not line.startswith("+++")
    ]
    assert changes == [
        f"+client_id: '{REACT}',",
        f"+window.location.href = `{broker.issuer}/oauth2/authorize?${{params}}`;",
        f"+const res = await fetch('{broker.issuer}/v1/oauth2/token', {{",
        f"+client_id: '{REACT}',",
    ]


def test_the_react_example_of_aries_page_signs_in(broker: WebBroker, react: Site, page: Page) -> None:
    page.goto(react.origin)
    page.get_by_role("button", name="Sign in with Aries").click()
    press(page, "Approve")
    page.wait_for_url(f"{react.origin}/dashboard")
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
    user = broker.aries_simulator.core.user(page.evaluate(TOKEN_OF_THE_PAGE))
    expect(page.get_by_role("heading")).to_have_text(f"Welcome, {user.name}")
    assert page.evaluate("Object.keys(sessionStorage)") == ["access_token"]
    answer = page.request.get(
        broker.aries + ACCOUNT, headers={"Authorization": f"Bearer {page.evaluate(TOKEN_OF_THE_PAGE)}"}
    )
    assert answer.status == 200
