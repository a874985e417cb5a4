"""The watch over all tests (tests/support/leaks.py) bites: a secret that is planted in any channel is found."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest

from oauth_broker import answers
from oauth_broker.errors import InvalidGrant, InvalidRequest
from oauth_broker.messages import HttpResponse, json_response
from oauth_broker.secret import Secret
from tests import conftest
from tests.local.function_log import output_to, restore_stdout
from tests.support.leaks import WATCH
from tests.support.world import ARIES_CLIENT_SECRET, VERIFIER, Recorded, World

CANARY = "canary-of-the-watch/5f1c"


@contextmanager
def planting() -> Iterator[None]:
    """What is planted within is not to fail the test that planted it."""
    WATCH.begin()
    try:
        yield
    finally:
        WATCH.begin()


def print_in_a_function(text: str) -> None:
    with output_to(sys.stderr):
        print(text)
    restore_stdout()


PLANTED: dict[str, tuple[str, Callable[[str], Any]]] = {
    "a field of a log line": ("log line", lambda text: Recorded().log("info", "event", {"reason": text})),
    "the name of a log line": ("log line", lambda text: Recorded().log("info", text, {})),
    "a dimension of a count": ("metric", lambda text: Recorded().count("Metric", {"reason": text})),
    "a dimension of a duration": ("metric", lambda text: Recorded().measure("Metric", 1, {"reason": text})),
    "the reason of a failure": ("failure", InvalidGrant),
    "the description of a failure": ("failure", InvalidRequest),
    "the body of an error": (
        "error answer",
        lambda text: json_response({"error": text}, HTTPStatus.BAD_REQUEST).to_event(),
    ),
    "the body of a temporary failure": (
        "error answer",
        lambda text: json_response({"message": text}, HTTPStatus.SERVICE_UNAVAILABLE).to_event(),
    ),
    "a header of an error": (
        "error answer",
        lambda text: HttpResponse(HTTPStatus.NOT_FOUND, headers={"x-odd": text}).to_event(),
    ),
    "what a function prints": ("output of a function", print_in_a_function),
}


@pytest.mark.parametrize("plant", PLANTED)
@pytest.mark.parametrize("form", [CANARY, f"the token {CANARY} is bad", CANARY.replace("/", "%2F")])
def test_a_secret_that_is_planted_in_a_channel_is_found_in_it(plant: str, form: str) -> None:
    channel, write = PLANTED[plant]
    with planting():
        write(form)
        assert WATCH.leaks() == []
        Secret(CANARY)
        assert WATCH.leaks() == [channel]


def test_what_a_test_reads_of_standard_output_is_searched_too(capsys: pytest.CaptureFixture[str]) -> None:
    with planting():
        Secret(CANARY)
        print(CANARY)
        capsys.readouterr()
        assert WATCH.leaks() == ["output"]


def report_of(sections: list[tuple[str, str]]) -> Any:
    """Hand a report of a test that passed to the hook of the whole suite."""
    report: Any = SimpleNamespace(when="call", sections=sections, passed=True, outcome="passed", longrepr=None)
    hook = conftest.pytest_runtest_makereport(None)  # type: ignore[arg-type]
    next(hook)
    with pytest.raises(StopIteration):
        hook.send(report)
    return report


def test_a_test_with_a_secret_in_its_captured_output_fails_and_the_report_does_not_tell_the_secret() -> None:
    with planting():
        Secret(CANARY)
        assert report_of([("Captured stdout call", "nothing of it")]).outcome == "passed"
        report = report_of([("Captured log call", f"DEBUG: {CANARY}")])
    assert report.outcome == "failed"
    assert "captured output" in report.longrepr
    assert CANARY not in report.longrepr


def test_every_kind_of_secret_of_a_sign_in_and_a_refresh_is_watched(world: World) -> None:
    phone = world.phone()
    authorized = phone.authorize()
    (cookie,) = phone.cookies.values()
    callback = phone.approve(authorized)
    code = phone.callback(callback).query["code"]
    first = phone.redeem(code).json
    world.clock.time += 61
    second = phone.refresh().json
    (name,) = world.session_secrets()
    stored = world.secretsmanager.get_secret_value(SecretId=name)["SecretString"]
    sent, renewed = world.token_requests()
    handled = {
        "the state sent to Aries": authorized.query["state"],
        "the cookie": cookie,
        "Aries' code": sent["code"],
        "the broker's verifier": sent["code_verifier"],
        "the one-time code": code,
        "the app's verifier": VERIFIER,
        "the client secret": ARIES_CLIENT_SECRET,
        "Aries' refresh token": renewed["refresh_token"],
        **{f"the first {name}": first[name] for name in ("access_token", "refresh_token")},
        **{f"the second {name}": second[name] for name in ("access_token", "refresh_token")},
        "the session key": stored.partition('"session_key":"')[2].partition('"')[0],
    }
    assert [name for name, value in handled.items() if value not in WATCH.secrets] == []
    assert WATCH.leaks() == []


def test_a_description_that_repeats_a_token_would_be_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    phone = world.signed_in()
    assert WATCH.leaks() == []
    monkeypatch.setattr(
        answers, "json_response", lambda members, *rest: json_response({**members, "hint": phone.refresh_token}, *rest)
    )
    with planting():
        assert phone.refresh(client_id="nobody").status == 401
        Secret(phone.refresh_token)
        assert WATCH.leaks() == ["error answer"]
