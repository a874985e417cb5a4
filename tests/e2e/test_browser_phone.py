"""The page that plays the app: every event leaves a line on it, and the line is true."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser.journey import press
from tests.local.aries import Fault
from tests.local.stack import LocalStack

pytestmark = pytest.mark.clients

# Longer than a sign-in and a click, and short enough to wait for.
GRACE = 4
ID = re.compile(r"apigw-requestid=[A-Za-z0-9+/]{15}=|request_id=[0-9a-f-]{36}")


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with LocalStack(refresh_grace=GRACE) as stack:
        yield stack


Instead = Callable[..., None]


@pytest.fixture
def instead(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> Instead:
    """Make a function answer so from now on, or ``times`` times: JSON, or a plain sentence if no members are given."""
    run = stack.runner.run

    def answer(function: str, status: int, *, times: int = 1000, **members: str) -> None:
        headers = {"retry-after": "1", "access-control-allow-origin": stack.phone}
        headers["access-control-expose-headers"] = "Retry-After, apigw-requestid"
        headers["content-type"] = "application/json" if members else "text/plain; charset=utf-8"
        body = json.dumps(members) if members else "Later (request_id the-id)."
        answered = json.dumps({"statusCode": status, "headers": headers, "body": body})
        left = iter([answered] * times)
        monkeypatch.setattr(
            stack.runner,
            "run",
            lambda name, event: next(left, None) or run(name, event) if name == function else run(name, event),
        )

    return answer


def signed_in(page: Page, stack: LocalStack) -> Page:
    page.goto(f"{stack.phone}/")
    page.get_by_role("button", name="Sign in with Aries").click()
    press(page, "Approve")
    expect(page.get_by_role("status")).to_have_text("You are signed in.")
    return page


def click(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def newest(page: Page, text: str | re.Pattern[str], detail: str | re.Pattern[str] = "") -> None:
    """Expect this line at the top of the log."""
    line = page.locator("#log li").first
    expect(line.locator("span")).to_have_text(text, timeout=20_000)
    if detail:
        expect(line.locator("code")).to_contain_text(detail)


def test_a_refresh_moments_after_the_sign_in_is_told_to_be_none_and_a_later_one_is_one(
    page: Page, stack: LocalStack
) -> None:
    signed_in(page, stack)
    calls = stack.aries_simulator.refresh_calls
    click(page, "Refresh")
    same = f"The same tokens again: the sign-in or the last refresh is under {GRACE} seconds old."
    newest(page, same, ID)
    expect(page.get_by_role("status")).to_have_text(same)
    assert stack.aries_simulator.refresh_calls == calls
    page.wait_for_timeout(GRACE * 1000)
    click(page, "Refresh")
    newest(page, "Refreshed: new tokens", ID)
    assert stack.aries_simulator.refresh_calls == calls + 1


def test_a_denial_leaves_a_line(page: Page, stack: LocalStack) -> None:
    page.goto(f"{stack.phone}/")
    click(page, "Sign in with Aries")
    press(page, "Deny")
    newest(page, "You did not allow access.", "error=access_denied  error_description=The sign-in was declined.")
    expect(page.get_by_role("button", name="Sign in with Aries")).to_be_visible()


def test_an_answer_that_was_not_asked_for_leaves_a_line_and_the_session_as_it_was(
    page: Page, stack: LocalStack
) -> None:
    signed_in(page, stack)
    page.goto(f"{stack.phone}/?state=another&error=access_denied")
    newest(page, "That answer was not asked for.")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_a_code_that_yields_no_tokens_leaves_a_line_that_nobody_is_signed_in(
    page: Page, stack: LocalStack, instead: Instead
) -> None:
    for status, members, said, detail in (
        (400, {"error": "invalid_grant", "request_id": "the-id"}, "Refused: please sign in again.", "invalid_grant"),
        (401, {"error": "invalid_client", "request_id": "the-id"}, "You are not signed in.", "request_id=the-id"),
        (503, {}, "You are not signed in. Try again later.", ""),
    ):
        page.goto(f"{stack.phone}/")
        instead("TokenFunction", status, **members)
        click(page, "Sign in with Aries")
        press(page, "Approve")
        newest(page, re.compile(re.escape(said)), detail)
        expect(page.get_by_role("button", name="Sign in with Aries")).to_be_visible()


def test_a_busy_answer_leaves_a_line_with_its_id_and_the_repetition_another(
    page: Page, stack: LocalStack, instead: Instead
) -> None:
    signed_in(page, stack)
    page.wait_for_timeout(GRACE * 1000)
    instead("TokenFunction", 503, times=1)
    click(page, "Refresh")
    newest(page, "Refreshed: new tokens", ID)
    lines = page.locator("#log li")
    expect(lines.nth(1).locator("span")).to_have_text("The broker is busy for now")
    expect(lines.nth(1).locator("code")).to_contain_text("503  request_id=the-id")


def test_a_success_that_is_cut_off_is_no_answer_and_the_request_is_sent_again(
    page: Page, stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in(page, stack)
    page.wait_for_timeout(GRACE * 1000)
    run = stack.runner.run
    headers = {"access-control-allow-origin": stack.phone, "content-type": "application/json"}
    cut_off = json.dumps({"statusCode": 200, "headers": headers, "body": '{"access_token": "a'})
    left = iter([cut_off])
    monkeypatch.setattr(
        stack.runner,
        "run",
        lambda name, event: (next(left, None) if name == "TokenFunction" else None) or run(name, event),
    )
    click(page, "Refresh")
    newest(page, "Refreshed: new tokens", ID)
    expect(page.locator("#log li").nth(1).locator("span")).to_have_text("The broker does not answer")


def test_a_sign_out_that_fails_leaves_a_line_and_the_session(page: Page, stack: LocalStack, instead: Instead) -> None:
    signed_in(page, stack)
    instead("RevokeFunction", 503)
    click(page, "Sign out")
    newest(page, "The service is busy. You stay signed in. Try again later.")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_a_request_that_is_wrong_leaves_a_line_and_the_session(page: Page, stack: LocalStack, instead: Instead) -> None:
    signed_in(page, stack)
    instead("TokenFunction", 401, error="invalid_client", request_id="the-id")
    click(page, "Refresh")
    newest(
        page, "The broker refuses this request. You stay signed in.", re.compile("invalid_client .* request_id=the-id")
    )
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_a_session_that_is_over_leaves_a_line_and_the_way_to_sign_in(page: Page, stack: LocalStack) -> None:
    signed_in(page, stack)
    page.wait_for_timeout(GRACE * 1000)
    stack.aries_simulator.faults.append(Fault("invalid_grant", grant_type="refresh_token"))
    click(page, "Refresh")
    newest(page, "Refused: please sign in again.", ID)
    expect(page.get_by_role("button", name="Sign in with Aries")).to_be_visible()


def test_a_reload_leaves_what_it_has_done_and_the_session(page: Page, stack: LocalStack) -> None:
    signed_in(page, stack)
    page.reload()
    expect(page.get_by_role("status")).to_have_text("You are signed in.")
    assert page.locator("#log li span").all_text_contents() == ["Asked Aries who I am", "Discovered the broker"]


@pytest.mark.parametrize(
    ("server", "button", "said"),
    [
        ("aries", "Who am I?", "Aries cannot be reached. Try again in a moment."),
        ("issuer", "Sign out", "The service is busy. You stay signed in. Try again later."),
    ],
)
def test_a_server_that_cannot_be_reached_leaves_a_line_and_the_session(
    page: Page, stack: LocalStack, server: str, button: str, said: str
) -> None:
    signed_in(page, stack)
    page.route(f"{getattr(stack, server)}/**", lambda route: route.abort())
    click(page, button)
    newest(page, said)
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_a_page_that_was_loaded_while_the_broker_was_away_works_once_it_is_back(page: Page, stack: LocalStack) -> None:
    signed_in(page, stack)
    page.route(f"{stack.issuer}/**", lambda route: route.abort())
    page.reload()
    newest(page, "The broker cannot be reached. Try again in a moment.")
    page.unroute(f"{stack.issuer}/**")
    click(page, "Sign out")
    newest(page, "Signed out", ID)


def test_a_persons_devices_are_listed_and_the_others_signed_out(page: Page, stack: LocalStack) -> None:
    # Each tab has a session of its own.
    others = [signed_in(page.context.new_page(), stack) for _ in range(2)]
    signed_in(page, stack)
    click(page, "Your devices")
    newest(page, "Asked for your devices", ID)
    rows = page.locator("#device-list li")
    expect(rows.first).to_contain_text("this device")
    before = rows.count()
    assert before >= 3
    expect(page.get_by_role("status")).to_have_text(f"You have {before} sessions.")
    click(page, "Sign out the others")
    expect(page.get_by_role("status")).to_have_text("You have 1 session.")
    expect(page.locator("#log li").nth(1).locator("span")).to_have_text(f"Signed out elsewhere: {before - 1}")
    for other in others:
        other.wait_for_timeout(GRACE * 1000)
        click(other, "Refresh")
        newest(other, "Refused: please sign in again.", ID)


def test_a_second_sign_out_of_devices_within_a_minute_leaves_a_line_and_the_session(
    page: Page, stack: LocalStack, instead: Instead
) -> None:
    signed_in(page, stack)
    click(page, "Your devices")
    newest(page, "Asked for your devices", ID)
    instead("SessionsFunction", 429)
    click(page, "Sign out the others")
    newest(page, "You asked too often. You stay signed in. Try again in 1 s.")
    instead("SessionsFunction", 403, error="sign_in_again", request_id="the-id")
    click(page, "Sign out the others")
    newest(page, "To sign out another device, sign out here, sign in again and come back.")
    expect(page.get_by_role("button", name="Sign out", exact=True)).to_be_visible()


def test_a_sign_out_is_told_with_its_id(page: Page, stack: LocalStack) -> None:
    signed_in(page, stack)
    click(page, "Sign out")
    newest(page, "Signed out", ID)
    expect(page.get_by_role("button", name="Sign in with Aries")).to_be_visible()
