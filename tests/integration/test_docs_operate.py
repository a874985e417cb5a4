"""docs/operate.md describes every alarm, saved query and operator action."""

from __future__ import annotations

import re
from textwrap import dedent

import pytest

from tests.support.functions import ROOT
from tests.support.operations import saved_queries
from tests.support.transformed import source

PAGE = (ROOT / "docs" / "operate.md").read_text()
# The changelog may name an alarm of an older release.
DOCUMENTS = [ROOT / "README.md", *(path for path in (ROOT / "docs").glob("*.md") if path.name != "CHANGELOG.md")]


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def logical_ids(kind: str) -> list[str]:
    return [name for name, resource in source()["Resources"].items() if resource["Type"] == kind]


@pytest.mark.parametrize("reason", ["provider", "dynamodb", "secretsmanager", "kms", "client_secret", "vault"])
def test_the_reasons_of_a_failing_refresh_are_told_by_the_runbook_the_alarm_and_the_dashboard(reason: str) -> None:
    (row,) = re.findall(r"^\| `RefreshesFailAlarm`.*$", PAGE, flags=re.MULTILINE)
    assert f"`{reason}`" in row
    resources = source()["Resources"]
    alarm = resources["RefreshesFailAlarm"]["Properties"]["AlarmDescription"]
    assert re.search(rf"\b{reason}\b", alarm.split('"refreshes that failed".)')[1])
    assert f"`{reason}`" in resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"].split("**4. Security**")[0]


def test_every_alarm_has_a_row_in_the_runbook() -> None:
    rows = "\n".join(re.findall(r"^\| `\w+Alarm`.*$", section("On call"), flags=re.MULTILINE))
    alarms = logical_ids("AWS::CloudWatch::Alarm")
    assert len(alarms) > 10
    assert [name for name in alarms if f"`{name}`" not in rows] == []


def test_every_alarm_that_a_document_names_exists() -> None:
    for path in DOCUMENTS:
        named = set(re.findall(r"`(\w+Alarm)`", path.read_text()))
        assert named <= set(logical_ids("AWS::CloudWatch::Alarm")), path.name


def test_every_saved_query_that_it_names_exists() -> None:
    named = set(re.findall(r'quer(?:y|ies)\s+"([^"]+)"', PAGE))
    assert named
    assert named <= saved_queries().keys()


def test_every_query_that_it_prints_is_the_saved_one_that_it_names() -> None:
    before, *blocks = re.split(r"^ *```\n", section("Why was this user signed out?"), flags=re.MULTILINE)
    printed = {}
    for query, after in zip(blocks[::2], blocks[1::2], strict=True):
        printed[re.findall(r'query\s+"([^"]+)"', before)[-1]] = dedent(query)
        before = after
    assert len(printed) == 2
    assert printed == {name: saved_queries()[name]["QueryString"] for name in printed}


def test_the_local_operators_actions_are_those_of_production() -> None:
    told = section("The operator function")
    local = re.findall(r"^make operate ACTION=(\w+)", told, flags=re.MULTILINE)
    assert local
    assert set(local) == set(re.findall(r'^operate \'{"action": "(\w+)"', told, flags=re.MULTILINE))
