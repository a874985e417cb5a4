"""The handler of the operator function around its actions: its time and its audit lines. It never raises."""

from __future__ import annotations

from typing import Any

import pytest

from oauth_broker.errors import ServiceUnavailable, Throttled
from oauth_broker.operator.commands import Command
from oauth_broker.operator.endpoint import OperatorEndpoint
from oauth_broker.operator.errors import NothingFound, TemporaryFailure
from oauth_broker.runtime.invocation import Invocation
from tests.support.lambda_context import Context
from tests.support.telemetry import Recorded

REFERENCE = "8bdb688cd18aebcd"
SESSION = {"action": "session", "operator": "ann", "session": REFERENCE}


@pytest.fixture
def telemetry() -> Recorded:
    return Recorded()


def handled(telemetry: Recorded, result: Any, event: Any = None, seconds: float = 900) -> dict[str, Any]:
    """Return the answer of a handler. Its action answers ``result``, or fails with it."""

    def act(command: Command, invocation: Invocation) -> dict[str, Any]:
        # The audit line must be about the command, and not about an action's last session.
        invocation.about_session("another-session", "another-app")
        if isinstance(result, Exception):
            raise result
        answer: dict[str, Any] = result(invocation) if callable(result) else result
        return answer

    return OperatorEndpoint(telemetry, act)(event or SESSION, Context(seconds, request_id="request-1"))


def audit_lines(telemetry: Recorded) -> list[tuple[str, dict[str, Any]]]:
    return [(level, fields) for level, event, fields in telemetry.lines if event == "operator_action"]


def test_the_operator_and_the_command_are_noted_before_the_action_and_the_result_after_it(telemetry: Recorded) -> None:
    def look(invocation: Invocation) -> dict[str, Any]:
        assert len(audit_lines(telemetry)) == 1
        return {"client_id": "app", "status": "active"}

    assert handled(telemetry, look) == {"client_id": "app", "status": "active"}
    asked = {"request_id": "request-1", "action": "session", "operator": "ann", "session": REFERENCE}
    assert audit_lines(telemetry) == [
        ("info", {**asked, "reason": "asked"}),
        ("info", {**asked, "client_id": "app", "reason": "done"}),
    ]
    assert telemetry.metrics == [("OperatorActions", {"action": "session"})]


@pytest.mark.parametrize(
    ("step", "reason"),
    [({}, "asked:start"), ({"continue": True}, "asked:continue"), ({"status": True}, "asked:status")],
)
def test_the_audit_line_of_a_mass_sign_out_has_the_step_and_the_app(
    telemetry: Recorded, step: dict[str, bool], reason: str
) -> None:
    event = {"action": "revoke_all", "operator": "ann", "client_id": "app", **step}
    handled(telemetry, {"finished": True, "ended": 7}, event)
    (_, asked), (_, done) = audit_lines(telemetry)
    assert (asked["reason"], asked["client_id"]) == (reason, "app")
    assert (done["reason"], done["client_id"], done["count"]) == ("done", "app", 7)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"ok": False}, "not_ok"),
        ({"ok": True}, "done"),
        ({"finished": False, "ended": 3}, "unfinished"),
        ({"ended_now": False}, "ended_before"),
        ({"ended_now": True}, "done"),
    ],
)
def test_the_result_of_an_action_is_one_word(telemetry: Recorded, answer: dict[str, Any], reason: str) -> None:
    handled(telemetry, answer)
    assert audit_lines(telemetry)[-1][1]["reason"] == reason


def test_how_many_letters_were_redriven_is_counted(telemetry: Recorded) -> None:
    handled(telemetry, {"redriven": 2, "kept": 1}, {"action": "redrive", "operator": "ann"})
    assert audit_lines(telemetry)[-1][1]["count"] == 2


def test_a_failure_is_an_answer_and_a_line(telemetry: Recorded) -> None:
    answer = handled(telemetry, NothingFound("No such session.", "unknown_session"))
    assert answer == {"error": "not_found", "message": "No such session."}
    level, fields = audit_lines(telemetry)[-1]
    assert (level, fields["error"], fields["reason"]) == ("warning", "not_found", "unknown_session")
    assert fields["session"] == REFERENCE


def test_a_failure_of_aws_says_so_and_that_the_command_may_be_repeated(telemetry: Recorded) -> None:
    answer = handled(telemetry, ServiceUnavailable("dynamodb:AccessDeniedException"))
    assert answer["error"] == "temporary_failure"
    assert "dynamodb:AccessDeniedException" in answer["message"]
    assert "repeat the same command" in answer["message"]
    assert audit_lines(telemetry)[-1][1]["reason"] == "dynamodb:AccessDeniedException"
    assert [name for name, _ in telemetry.metrics] == ["OperatorActions"]


def test_throttling_is_counted_whoever_tells_of_it(telemetry: Recorded) -> None:
    throttled = Throttled("secretsmanager:ThrottlingException")
    handled(telemetry, throttled)
    told = TemporaryFailure("Go on later.", throttled.reason)
    told.__cause__ = throttled
    assert handled(telemetry, told)["message"] == "Go on later."
    assert telemetry.metrics.count(("AwsThrottled", {"aws_service": "secretsmanager"})) == 2


def test_a_bug_is_told_without_its_words(telemetry: Recorded) -> None:
    answer = handled(telemetry, KeyError("canary"))
    assert (answer["error"], answer["request_id"]) == ("internal_error", "request-1")
    assert "canary" not in str((answer, telemetry.lines))
    assert ("InternalErrors", {}) in telemetry.metrics
    (bug,) = [fields for level, event, fields in telemetry.lines if (level, event) == ("error", "internal_error")]
    assert bug["reason"].startswith("KeyError at act:")
    assert audit_lines(telemetry)[-1][1]["error"] == "internal_error"


def test_an_event_that_is_no_command_is_refused_counted_and_noted(telemetry: Recorded) -> None:
    answer = handled(telemetry, {}, {**SESSION, "sesion": "canary"})
    assert answer["error"] == "invalid_request"
    assert audit_lines(telemetry) == [
        (
            "warning",
            {"request_id": "request-1", "action": "invalid", "error": "invalid_request", "reason": "unknown_member"},
        )
    ]
    assert telemetry.metrics == [("OperatorActions", {"action": "invalid"})]
    assert "canary" not in str((answer, telemetry.lines))


@pytest.mark.parametrize(
    ("event", "lambdas", "expected"),
    [(SESSION, 900, 55), ({**SESSION, "seconds": 840}, 900, 840), ({**SESSION, "seconds": 840}, 29, 29)],
)
def test_an_action_has_the_time_in_which_its_caller_wants_an_answer(
    telemetry: Recorded, event: dict[str, Any], lambdas: float, expected: float
) -> None:
    answer = handled(telemetry, lambda invocation: {"remaining": invocation.remaining()}, event, lambdas)
    assert answer["remaining"] == expected
