"""The log lines of each level, with the variables of the real Lambda."""

from __future__ import annotations

import json
import uuid
from typing import Any, get_args

import pytest

from oauth_broker.errors import ConfigurationError
from oauth_broker.runtime.invocation import Level
from oauth_broker.runtime.telemetry import PowertoolsTelemetry

# Lambda sets it from ApplicationLogLevel. Powertools' Logger prefers it to its own variable.
LAMBDA_LOG_LEVEL = "AWS_LAMBDA_LOG_LEVEL"


def telemetry(**changes: str) -> PowertoolsTelemetry:
    # A new name, because an existing logger writes to an older standard output.
    names = {"POWERTOOLS_SERVICE_NAME": str(uuid.uuid4()), "POWERTOOLS_METRICS_NAMESPACE": "N", "LOG_LEVEL": "INFO"}
    return PowertoolsTelemetry(names | changes)


def written(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    lines: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [(line["level"], line["message"]) for line in lines]


@pytest.mark.parametrize("of_lambda", [None, "INFO"])
@pytest.mark.parametrize(
    ("level", "expected"),
    [("INFO", ["INFO", "WARNING", "ERROR"]), ("WARN", ["WARNING", "ERROR"]), ("ERROR", ["ERROR"])],
)
def test_the_parameter_decides_what_is_logged_and_not_lambdas_variable(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    of_lambda: str | None,
    level: str,
    expected: list[str],
) -> None:
    monkeypatch.delenv(LAMBDA_LOG_LEVEL, raising=False)
    if of_lambda:
        monkeypatch.setenv(LAMBDA_LOG_LEVEL, of_lambda)
    # Powertools' own variable does not decide either, even if set by hand.
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "CRITICAL")
    logging = telemetry(LOG_LEVEL=level)
    for each in get_args(Level):
        logging.log(each, "event", {})
    assert written(capsys) == [(each, "event") for each in expected]


@pytest.mark.parametrize("event", ["operator_action", "signed_out", "session_ended"])
@pytest.mark.parametrize("level", ["INFO", "WARN", "ERROR"])
def test_audit_lines_and_ends_of_sessions_are_written_at_every_level(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], level: str, event: str
) -> None:
    monkeypatch.setenv(LAMBDA_LOG_LEVEL, "INFO")
    telemetry(LOG_LEVEL=level).log("info", event, {"reason": "why"})
    assert written(capsys) == [("INFO", event)]


def test_metrics_are_written_whatever_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry(LOG_LEVEL="ERROR").count("Metric", {})
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["Metric"] == [1.0]


@pytest.mark.parametrize("level", ["", "DEBUG", "info", "CRITICAL"])
def test_another_level_is_refused_by_the_name_of_its_variable(level: str) -> None:
    with pytest.raises(ConfigurationError, match="LOG_LEVEL must be one of INFO, WARN, ERROR"):
        telemetry(LOG_LEVEL=level)
