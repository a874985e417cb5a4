"""The README tells of everything that there is to set, to watch and to call."""

from __future__ import annotations

import json
import re
from textwrap import dedent

import pytest

from oauth_broker.config.clients import Registry
from tests.local.apps import local_apps
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


def test_the_range_of_every_number_is_told() -> None:
    ranges = {name: (p["MinValue"], p["MaxValue"]) for name, p in source()["Parameters"].items() if "MinValue" in p}
    assert ranges
    rows = {name: re.search(rf"^\| `{name}` .*$", README, flags=re.MULTILINE) for name in ranges}
    told = {name: re.findall(r"\b\d+(?:,\d{3})*\b", row[0]) if row else [] for name, row in rows.items()}
    assert [name for name, (low, high) in ranges.items() if not {str(low), f"{high:,}"} <= set(told[name])] == []


def test_the_example_of_apps_is_accepted_and_claims_its_redirects_on_the_issuers_host() -> None:
    example = README.split("`Apps` is JSON:\n\n```json\n")[1].split("```")[0]
    fingerprint = ":".join(["AB"] * 32)
    apps = json.loads(re.sub('"AB:CD[^"]*"', f'"{fingerprint}"', example.replace("//ISSUER/", "//auth.example.com/")))
    Registry.parse(json.dumps(apps))
    claiming = [app for app in apps.values() if {"apple_app_ids", "android_packages"} & app.keys()]
    assert len(claiming) == 2
    assert all("https://auth.example.com/app/callback" in app["redirect_uris"] for app in claiming)


@pytest.mark.parametrize("reason", ["provider", "dynamodb", "secretsmanager", "kms", "client_secret", "vault"])
def test_the_reasons_of_a_failing_refresh_are_told_by_the_runbook_the_alarm_and_the_dashboard(reason: str) -> None:
    (row,) = re.findall(r"^\| `RefreshesFailAlarm`.*$", README, flags=re.MULTILINE)
    assert f"`{reason}`" in row
    resources = source()["Resources"]
    alarm = resources["RefreshesFailAlarm"]["Properties"]["AlarmDescription"]
    assert re.search(rf"\b{reason}\b", alarm.split('"refreshes that failed".)')[1])
    assert f"`{reason}`" in resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"].split("**4. Security**")[0]


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


def test_the_local_apps_are_told_with_their_redirect_uris() -> None:
    section = README.split("### Your own app against it")[1].split("\n## ")[0]
    for client_id, app in local_apps("http://127.0.0.1:8083").items():
        (row,) = re.findall(rf"^\| `{client_id}` \|.*$", section, flags=re.MULTILINE)
        assert [uri for uri in app["redirect_uris"] if f"`{uri}`" not in row] == []
    example = section.split("```json\n")[1].split("```")[0]
    assert Registry.parse(example).find("my-app")


def test_the_local_operators_actions_are_those_of_production() -> None:
    section = README.split("### The operator function")[1].split("\n### ")[0]
    local = re.findall(r"^make operate ACTION=(\w+)", section, flags=re.MULTILINE)
    assert set(local) == set(re.findall(r'^operate \'{"action": "(\w+)"', section, flags=re.MULTILINE))
