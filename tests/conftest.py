"""Fixtures that several folders of tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.world import World, running_world


@pytest.fixture(autouse=True)
def _no_real_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own AWS configuration reaches a test."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def world(_no_real_aws: None) -> Iterator[World]:
    """A broker with strict rotation at Aries."""
    with running_world() as running:
        yield running


@pytest.fixture
def numbers(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say what a test has counted: the lines stand together at the end of the run."""
    return lambda line: record_property("numbers", line)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    lines = [
        f"{report.nodeid.partition('::')[0]}: {line}"
        for report in reports
        for name, line in getattr(report, "user_properties", ())
        if name == "numbers" and report.when == "call"
    ]
    lines += [
        f"{report.nodeid.partition('::')[0]}: {line}"
        for report in reports
        if getattr(report, "when", "") == "call" and report.nodeid.startswith("tests/faults/")
        for line in report.capstdout.splitlines()
        if line and not line.startswith("{")
    ]
    if lines:
        terminalreporter.section("numbers of this run")
        for line in sorted(lines):
            terminalreporter.line(line)
