"""Fixtures that several folders of tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from moto.kms.utils import generate_private_key
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from tests.local.environment import ProcessEnvironment, apart_from_the_callers_aws
from tests.support.leaks import WATCH, watching
from tests.support.long import Run
from tests.support.world import World, running_world


def pytest_xdist_auto_num_workers() -> int:
    """Start one process more than the machine has processors, because some tests wait as long as they work."""
    return (os.cpu_count() or 1) + 1


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out long tests, and try fewer examples")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if Run.is_quick:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture(scope="session", autouse=True)
def _watched_for_leaks() -> Iterator[None]:
    """Watch every test: no secret of the product may stand in its output."""
    with watching():
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    WATCH.begin(item.path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test if the product wrote a secret. The report names the channel and not the secret."""
    report = yield
    if report.when != "setup":
        # The report of the teardown still has the sections of the setup and the test. The last section alone is new.
        for heading, text in report.sections:
            if heading.endswith("teardown") == (report.when == "teardown"):
                WATCH.wrote("captured output", text)
        leaks = WATCH.leaks()
        WATCH.written.clear()
        if leaks and report.passed:
            report.outcome = "failed"
            report.longrepr = f"A secret that this test has handled stands in: {', '.join(leaks)}"
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep the developer's own AWS settings away from tests, their shared fixtures and their imports."""
    ProcessEnvironment().set(apart_from_the_callers_aws(os.environ, "eu-west-1"))
    Run.is_quick = config.getoption("--quick")


@pytest.fixture(autouse=True)
def _no_apps_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the developer's own file of apps away from every test."""
    monkeypatch.setattr("oauth_broker.config.settings.APPS_FILE", tmp_path / "apps.json")


@pytest.fixture(scope="session", autouse=True)
def _one_private_key() -> Iterator[None]:
    """Let moto make one RSA key for all KMS keys. Nobody uses these keys, and making them takes the longest."""
    with mock.patch("moto.kms.models.generate_private_key", cache(generate_private_key)):
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_certificate_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A client of Aries reads one certificate instead of all public ones: that saves 20 ms in thousands of clients."""
    end = "-----END CERTIFICATE-----"
    one = tmp_path_factory.mktemp("authority") / "one.pem"
    one.write_text(Path(DEFAULT_CA_BUNDLE_PATH).read_text(encoding="utf-8").split(end)[0] + end, encoding="utf-8")
    with mock.patch("oauth_broker.aries.connections.DEFAULT_CA_BUNDLE_PATH", str(one)):
        yield


@pytest.fixture
def world() -> Iterator[World]:
    """A broker with strict rotation at Aries."""
    with running_world() as running:
        yield running


@pytest.fixture
def numbers(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Print the counts of a test. The counts of all tests stand together at the end of the run."""
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
