"""The README tells of everything that there is to set, to watch and to call."""

from __future__ import annotations

import re
from textwrap import dedent

import pytest

from tests.support.functions import ROOT
from tests.support.operations import saved_queries
from tests.support.transformed import source

README = (ROOT / "README.md").read_text()


def logical_ids(kind: str) -> list[str]:
    return [name for name, resource in source()["Resources"].items() if resource["Type"] == kind]


@pytest.mark.parametrize("kind", ["Parameters", "Outputs"])
def test_every_parameter_and_output_is_named(kind: str) -> None:
    # The first three outputs are told in words.
    in_words = {"Issuer", "RedirectUri", "TableName", "DashboardName"}
    assert [name for name in source()[kind] if name not in in_words and f"`{name}`" not in README] == []


def test_every_alarm_has_a_row_in_the_runbook() -> None:
    runbook = README.split("## On call")[1].split("## ")[0]
    alarms = logical_ids("AWS::CloudWatch::Alarm")
    assert len(alarms) > 10
    assert [name for name in alarms if f"`{name}`" not in runbook] == []
    assert set(re.findall(r"`(\w+Alarm)`", README)) <= set(alarms)


def test_every_saved_query_that_it_names_exists() -> None:
    names = {
        source()["Resources"][name]["Properties"]["Name"]["Fn::Sub"].split("/", 1)[1]
        for name in logical_ids("AWS::Logs::QueryDefinition")
    }
    runbook = README.split("## On call")[1].split("\n## ")[0]
    named = set(re.findall(r'quer(?:y|ies) "([^"]+)"', runbook))
    assert named
    assert named <= names


def test_every_query_that_it_prints_is_the_saved_one_that_it_names() -> None:
    section = README.split("### Why was this user signed out?")[1].split("\n### ")[0]
    before, *blocks = re.split(r"^ *```\n", section, flags=re.MULTILINE)
    printed = {}
    for query, after in zip(blocks[::2], blocks[1::2], strict=True):
        printed[re.findall(r'query "([^"]+)"', before)[-1]] = dedent(query)
        before = after
    assert len(printed) == 2
    assert printed == {name: saved_queries()[name]["QueryString"] for name in printed}
