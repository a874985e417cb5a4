"""The real auditors fail for a known hole and for every error, but not because no service can be asked."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.audit.audit import Report, npm_finding, python_findings
from tests.audit.findings import Accepted, Audited, Failed, NotAudited
from tests.audit.locks import NPM, ROOT, SHIPPED, read
from tests.audit.made_up import JINJA2, LODASH, Service, npm, osv

pytestmark = pytest.mark.audit

TODAY = date(2026, 1, 15)
PINS = {pin.name: pin.version for pin in read(SHIPPED)}
URLLIB3 = PINS["urllib3"]
HOLE = {
    "id": "GHSA-made-upup-hole",
    "aliases": ["CVE-2026-99999"],
    "summary": "made up",
    "versions": [URLLIB3],
    "affected": [
        {
            "package": {"name": "urllib3", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "999.1"}]}],
        }
    ],
}


def knowing(**holes: list[dict[str, Any]]) -> Service:
    return Service({"jinja2": [{**JINJA2, "versions": ["2.4.1"]}], **holes})


@pytest.fixture
def closed() -> Iterator[str]:
    """The address of a port without a listener."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


def shipped(service: Service, *accepted: Accepted) -> Report:
    return Report(python_findings([SHIPPED], service.url), [], accepted, TODAY)


def test_every_package_that_ships_is_asked_for_and_without_a_hole_all_is_well() -> None:
    with osv(knowing()) as service:
        report = shipped(service)
    assert report.shipped == [Audited("layers/dependencies/requirements.txt", len(PINS), ())]
    assert not report.has_failed
    assert set(service.asked) == {"jinja2==2.4.1", *(f"{name}=={version}" for name, version in PINS.items())}
    assert "AUDITED" not in "\n".join(report.lines())


def test_a_known_hole_fails_and_is_reported_with_its_package_version_name_and_cure() -> None:
    with osv(knowing(urllib3=[HOLE])) as service:
        report = shipped(service)
    assert report.has_failed
    lines = list(report.lines())
    assert lines[0] == "What ships:"
    (line,) = (line for line in lines if "FAILED" in line)
    assert f"urllib3 {URLLIB3}: CVE-2026-99999, fixed in 999.1" in line


@pytest.mark.parametrize("name", ["GHSA-made-upup-hole", "CVE-2026-99999"])
def test_an_accepted_hole_passes_until_its_day_and_fails_after_it(name: str) -> None:
    with osv(knowing(urllib3=[HOLE])) as service:
        findings = python_findings([SHIPPED], service.url)
    accepted = [Accepted(name, "urllib3", "it is made up for this test", TODAY)]
    assert not Report(findings, [], accepted, TODAY).has_failed
    expired = Report(findings, [], accepted, date(2026, 1, 16))
    assert expired.has_failed
    assert f"    FAILED: urllib3 {URLLIB3}: CVE-2026-99999, fixed in 999.1" in expired.lines()


def test_an_accepted_hole_covers_no_other_package_and_no_other_name() -> None:
    with osv(knowing(urllib3=[HOLE])) as service:
        findings = python_findings([SHIPPED], service.url)
    for name, package in (("CVE-2026-99999", "requests"), ("CVE-2026-99998", "urllib3")):
        assert Report(findings, [], [Accepted(name, package, "it is made up", TODAY)], TODAY).has_failed


def test_an_accepted_hole_that_is_gone_fails() -> None:
    with osv(knowing()) as service:
        report = shipped(service, Accepted("CVE-2026-99999", "urllib3", "it is made up for this test", TODAY))
    assert report.has_failed
    assert "no longer there" in "\n".join(report.lines())


def test_if_no_service_can_be_asked_the_audit_says_so_loudly_and_does_not_fail(closed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.audit", "--osv-url", closed + "v1/query", "--registry", closed],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "*** NOTHING AUDITED. This says nothing about holes. ***" in done.stdout
    assert "Connection refused" in done.stdout
    assert "no known hole" not in done.stdout


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_a_service_that_is_not_at_work_counts_as_not_asked(status: int) -> None:
    with osv(Service(status=status)) as service:
        report = shipped(service)
    assert isinstance(report.shipped[0], NotAudited)
    assert not report.has_failed
    assert "NOTHING AUDITED" in "\n".join(report.lines())


def test_a_service_that_goes_away_in_the_middle_counts_as_not_asked() -> None:
    with osv(Service(knowing().holes, status=503, well_for=4)) as service:
        report = shipped(service)
    assert isinstance(report.shipped[0], NotAudited)
    assert not report.has_failed


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"{}"), (200, b'{"vulns": []}'), (200, b"[]"), (200, b"<html>"), (200, b""), (400, b"{}"), (401, b"")],
)
def test_a_service_that_lies_or_is_not_understood_fails(status: int, body: bytes) -> None:
    with osv(Service(status=status, body=body)) as service:
        report = shipped(service)
    assert isinstance(report.shipped[0], Failed)
    assert report.has_failed


def test_an_auditor_that_fails_while_the_service_is_there_fails() -> None:
    # The entry has no id, and pip-audit does not understand it.
    with osv(knowing(urllib3=[{"versions": [URLLIB3]}])) as service:
        report = shipped(service)
    assert report.has_failed
    assert "KeyError" in "\n".join(report.lines())


@pytest.mark.parametrize(
    "content", ["urllib3>=2 --hash=sha256:" + "0" * 64 + "\n", "urllib3==2.0.0\n", "-r other.txt\n"]
)
def test_a_lock_that_pins_less_than_everything_fails(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock.txt").write_text(content)
    with osv(knowing()) as service:
        (finding,) = python_findings([tmp_path / "lock.txt"], service.url)
    assert isinstance(finding, Failed)


def packages_of_npm() -> dict[str, str]:
    packages = json.loads(NPM.read_text())["packages"]
    return {path.rpartition("node_modules/")[2]: it["version"] for path, it in packages.items() if path}


def test_npm_is_asked_for_every_package_of_its_lock() -> None:
    packages = packages_of_npm()
    with npm(Service({"lodash": [LODASH]}), packages) as service:
        finding = npm_finding(NPM, service.url)
    assert isinstance(finding, Audited)
    assert finding.holes == ()
    assert packages.keys() <= set(service.asked)


def test_a_known_hole_in_an_npm_package_fails() -> None:
    packages = packages_of_npm()
    hole = {
        "id": 1,
        "url": "https://github.com/advisories/GHSA-made-upup-hole",
        "title": "made up",
        "severity": "high",
        "vulnerable_versions": "<999.0.0",
    }
    with npm(Service({"lodash": [LODASH], "oidc-client-ts": [hole]}), packages) as service:
        report = Report([], [npm_finding(NPM, service.url)], [], TODAY)
    assert report.has_failed
    (line,) = (line for line in report.lines() if "FAILED" in line)
    assert f"oidc-client-ts {packages['oidc-client-ts']}: GHSA-made-upup-hole, all of <999.0.0 have it" in line


def test_an_npm_registry_without_advisories_counts_as_not_asked_and_one_that_knows_no_hole_fails() -> None:
    with npm(Service(status=405), {}) as service:
        assert isinstance(npm_finding(NPM, service.url), NotAudited)
    with npm(Service(), {}) as service:
        assert isinstance(npm_finding(NPM, service.url), Failed)


@pytest.mark.parametrize("status", [405, 503])
def test_an_npm_registry_that_goes_away_in_the_middle_counts_as_not_asked(status: int) -> None:
    with npm(Service({"lodash": [LODASH]}, status=status, well_for=1), packages_of_npm()) as service:
        assert isinstance(npm_finding(NPM, service.url), NotAudited)


def test_an_npm_report_that_is_not_understood_fails() -> None:
    nameless = {"vulnerable_versions": "<999.0.0", "severity": "high"}
    with npm(Service({"lodash": [LODASH], "react": [nameless]}), packages_of_npm()) as service:
        assert isinstance(npm_finding(NPM, service.url), Failed)


def test_an_npm_lock_that_is_not_understood_fails(tmp_path: Path) -> None:
    (tmp_path / "package-lock.json").write_text("{}")
    assert isinstance(npm_finding(tmp_path / "package-lock.json", "http://127.0.0.1:9/"), Failed)
