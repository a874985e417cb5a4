"""The watch over all tests (tests/support/leaks.py) bites: it finds a planted secret in any channel."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import requests

from oauth_broker.aries.transport import NoReply, RequestsTransport
from oauth_broker.errors import InvalidGrant, InvalidRequest
from oauth_broker.events.bus import EventBus
from oauth_broker.oauth.pkce import challenge_of
from oauth_broker.operations import endpoint as answers
from oauth_broker.runtime.invocation import Event
from oauth_broker.runtime.telemetry import PowertoolsTelemetry
from oauth_broker.secret import Secret
from oauth_broker.web.http import HttpResponse, json_response, redirect
from oauth_broker.web.pages import page
from tests import conftest
from tests.local.aries import AriesCore
from tests.local.function_log import output_to, restore_stdout
from tests.support.deployment import APP_URI, ARIES_CLIENT_ID, ARIES_CLIENT_SECRET, CALLBACK_URI, SCOPES
from tests.support.lambda_context import Context
from tests.support.leaks import WATCH, watching_requests
from tests.support.pkce import VERIFIER
from tests.support.streams import stream_record
from tests.support.telemetry import Recorded
from tests.support.world import Answer, World
from tests.unit.peer import Peer, answer, answering_once

NO_BUS = EventBus(SimpleNamespace(), "sessions")
CANARY = "canary-of-the-watch/5f1c"


@contextmanager
def planting() -> Iterator[None]:
    """Keep a planted secret from failing the test that planted it."""
    WATCH.begin()
    try:
        yield
    finally:
        WATCH.begin()


def a_page(text: str, link: tuple[str, str] | None = None) -> HttpResponse:
    return page("One more step", text, "request-id", HTTPStatus.OK, link)


def print_in_a_function(text: str) -> None:
    with output_to(sys.stderr):
        print(text)
    restore_stdout()


def error_redirect(**parameters: str) -> dict[str, Any]:
    return redirect(f"{APP_URI}?{urlencode(parameters)}&state=app-state").to_event()


PLANTED: dict[str, tuple[str, Callable[[str], Any]]] = {
    "a field of a log line": ("log line", lambda text: Recorded().log("info", "event", {"reason": text})),
    "the name of a log line": ("log line", lambda text: Recorded().log("info", text, {})),
    "a dimension of a count": ("metric", lambda text: Recorded().count("Metric", {"reason": text})),
    "a dimension of a duration": ("metric", lambda text: Recorded().measure("Metric", 1, {"reason": text})),
    "a member of an event": ("event", lambda text: NO_BUS._entry(Event.ended("s" * 43, text, 0, "signed_out", ""))),
    "the reason of a failure": ("failure", InvalidGrant),
    "the description of a failure": ("failure", InvalidRequest),
    "the body of an error": (
        "error answer",
        lambda text: json_response({"error": text}, HTTPStatus.BAD_REQUEST).to_event(),
    ),
    "the body of a temporary failure": (
        "error answer",
        lambda text: HttpResponse(HTTPStatus.SERVICE_UNAVAILABLE, text, {"content-type": "text/plain"}).to_event(),
    ),
    "a header of an error": (
        "header",
        lambda text: HttpResponse(HTTPStatus.NOT_FOUND, headers={"x-odd": text}).to_event(),
    ),
    "a header of a success": ("header", lambda text: json_response({}, headers={"x-odd": text}).to_event()),
    "the error of a redirect": ("redirect", lambda text: error_redirect(error=text)),
    "the description of a redirect": ("redirect", lambda text: error_redirect(error_description=text)),
    "the error page of a redirect": ("redirect", lambda text: error_redirect(error_uri=text)),
    "the words of a page": ("page", lambda text: a_page(text).to_event()),
    "the words of a page's link": ("page", lambda text: a_page("Tap", (APP_URI, text)).to_event()),
    "an error in a page's link": (
        "redirect",
        lambda text: a_page("Tap", (f"{APP_URI}?state=s&error={quote(text, safe='')}", "Go")).to_event(),
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


def test_a_code_and_a_state_on_their_way_back_to_the_app_are_secrets_and_no_leak() -> None:
    location = f"{APP_URI}?code=canary-of-the-code&iss=https%3A%2F%2Fbroker.example.com&state=canary-of-the-state"
    for response in (redirect(location), a_page("Tap", (location, "Return to the app"))):
        with planting():
            response.to_event()
            assert {"canary-of-the-code", "canary-of-the-state"} <= WATCH.secrets
            assert WATCH.leaks() == []


def test_only_the_one_link_of_a_page_may_hold_a_code() -> None:
    shown = a_page("Tap", (f"{APP_URI}?code={quote(CANARY)}", "Go"))
    second = HttpResponse(HTTPStatus.OK, shown.body.replace("<p>", f'<a href="/?code={CANARY}">'), shown.headers)
    with planting():
        second.to_event()
        Secret(CANARY)
        assert WATCH.leaks() == ["page"]


def test_a_secret_lives_as_long_as_the_fixtures_of_its_module_and_what_was_written_as_long_as_a_test() -> None:
    with planting():
        WATCH.begin("one module")
        Secret(CANARY)
        WATCH.wrote("log line", CANARY)
        WATCH.begin("one module")
        assert WATCH.leaks() == []
        WATCH.wrote("log line", CANARY)
        assert WATCH.leaks() == ["log line"]
        WATCH.begin("another module")
        WATCH.wrote("log line", CANARY)
        assert WATCH.leaks() == []


def test_all_tokens_of_aries_are_secret_even_if_the_broker_never_reads_them() -> None:
    with planting():
        core = AriesCore(ARIES_CLIENT_ID, ARIES_CLIENT_SECRET, [CALLBACK_URI], scopes=SCOPES)
        request = core.authorize(
            urlencode(
                {
                    "response_type": "code",
                    "client_id": ARIES_CLIENT_ID,
                    "redirect_uri": CALLBACK_URI,
                    "scope": SCOPES[0],
                    "state": "state-at-aries",
                    "code_challenge": challenge_of(Secret(VERIFIER)),
                    "code_challenge_method": "S256",
                }
            )
        )
        code = core.approve(request)
        sent = {"grant_type": "code", "client_id": ARIES_CLIENT_ID, "redirect_uri": CALLBACK_URI}
        status, tokens = core.token({**sent, "code": code, "code_verifier": VERIFIER})
        assert status == 200
        assert {ARIES_CLIENT_SECRET, code, tokens["access_token"], tokens["refresh_token"]} <= WATCH.secrets


def test_what_the_row_of_a_removed_session_held_is_searched_for() -> None:
    with planting():
        removed = stream_record("the-id-of-a-session", 1, code_hash=CANARY, reference="0123456789abcdef")
        removed["dynamodb"]["OldImage"]["escrow"] = {"L": [{"B": "c2VhbGVkIHRva2Vucw=="}]}
        WATCH.removed([removed, {"dynamodb": {"Keys": {}}}, None])
        assert WATCH.secrets == {"the-id-of-a-session", CANARY, "c2VhbGVkIHRva2Vucw=="}


def test_cleanups_event_is_watched(world: World) -> None:
    phone = world.signed_in()
    with planting():
        record = stream_record(phone.session_id, 1, browser_hash=CANARY)
        record["dynamodb"]["ApproximateCreationDateTime"] = 0
        assert world.handler("cleanup")({"Records": [record]}, Context(now=world.clock.now)) == {
            "batchItemFailures": []
        }
        assert CANARY in WATCH.secrets


@pytest.mark.parametrize(
    "body",
    [
        f'{{"access_token": "{CANARY}", "expires_in": 1}}',
        urlencode({"grant_type": "refresh_token", "refresh_token": CANARY}),
        urlencode({"code_verifier": CANARY}),
    ],
)
def test_what_went_to_another_process_and_came_back_is_searched_for_in_its_log(body: str) -> None:
    with planting():
        WATCH.answer(
            Answer(302, {"location": f"{APP_URI}?code=canary-of-the-code"}, ["c=canary-of-a-cookie; Path=/"], "")
        )
        WATCH.body(body)
        assert WATCH.secrets == {CANARY, "canary-of-the-code", "canary-of-a-cookie"}
        assert WATCH.leaks() == []
        WATCH.wrote("log of the functions", f"refused {CANARY}")
        assert WATCH.leaks() == ["log of the functions"]


def test_the_watch_meets_the_secrets_of_requests_and_answers_between_processes() -> None:
    told = answer(b'{"access_token": "canary-of-a-token"}', "200 OK", "Set-Cookie: c=canary-of-a-cookie; Secure")
    with planting(), watching_requests(), Peer(answering_once(told)) as peer:
        sent = {"refresh_token": CANARY, "client_id": "not-a-secret"}
        requests.post(f"{peer.url}?state=canary-of-the-state", data=sent, timeout=5)
        assert WATCH.secrets == {CANARY, "canary-of-the-state", "canary-of-a-token", "canary-of-a-cookie"}


def test_what_a_test_reads_of_standard_output_is_searched_too(capsys: pytest.CaptureFixture[str]) -> None:
    with planting():
        Secret(CANARY)
        print(CANARY)
        capsys.readouterr()
        assert WATCH.leaks() == ["output"]


def report_of(sections: list[tuple[str, str]], when: str = "call") -> Any:
    """Hand a report of a passed test to the hook of the whole suite."""
    report: Any = SimpleNamespace(when=when, sections=sections, passed=True, outcome="passed", longrepr=None)
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


def test_what_is_written_while_a_test_is_torn_down_fails_it_too_and_is_told_once() -> None:
    sections = [("Captured stdout call", CANARY)]
    with planting():
        Secret(CANARY)
        assert report_of(sections).outcome == "failed"
        assert report_of(sections, "teardown").outcome == "passed"
        late = report_of([*sections, ("Captured stderr teardown", CANARY)], "teardown")
        assert (late.outcome, "captured output" in late.longrepr) == ("failed", True)
        WATCH.wrote("log of the workers", CANARY)
        assert "log of the workers" in report_of(sections, "teardown").longrepr


UNREADABLE = {
    "no line between head and body": b'Content-Type: application/json\r\n{ "access_token": "%s" }',
    "a header without a colon": b"Content-Length: 2\r\nodd\r\nSet-Cookie: aries_session=%s\r\n\r\n{}",
}


@pytest.fixture
def lambdas_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Collect the words of every library in a handler of the root logger, like the one of Lambda's runtime."""
    written = io.StringIO()
    handler, root = logging.StreamHandler(written), logging.getLogger()
    for logger in (root, *map(logging.getLogger, ("boto3", "botocore", "urllib3"))):
        monkeypatch.setattr(logger, "level", logger.level)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(handler)


@pytest.mark.parametrize("head", UNREADABLE)
def test_what_a_library_cannot_read_of_an_answer_of_aries_is_not_logged(
    head: str, lambdas_log: io.StringIO, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    names = {
        "POWERTOOLS_SERVICE_NAME": "unreadable-heads",
        "POWERTOOLS_METRICS_NAMESPACE": "AriesTokenBroker",
        "LOG_LEVEL": "INFO",
    }
    PowertoolsTelemetry(names)
    transport, canary = RequestsTransport(), CANARY.encode()
    with Peer(answering_once(b"HTTP/1.1 200 OK\r\n" + UNREADABLE[head] % canary)) as peer, suppress(NoReply):
        transport.post(peer.url, b"{}", {}, 5)
    transport.close()
    assert len(peer.requests) == 1
    assert CANARY not in lambdas_log.getvalue() + caplog.text + "".join(capsys.readouterr())


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
