"""docs/deploy.md names what there is: resources, metrics, limits, sections, and ten commands for the first day."""

from __future__ import annotations

import json
import re

import pytest

from oauth_broker import configuration_checks
from tests.support.functions import ROOT
from tests.support.operations import custom_metrics
from tests.support.transformed import TEMPLATE, source

PAGE = (ROOT / "docs" / "deploy.md").read_text()
README = (ROOT / "README.md").read_text()
FIRST_DAY = PAGE.split("\n## First day\n")[1].split("\n## ")[0]


def anchors(text: str) -> set[str]:
    """The headings as GitHub makes links to them."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_the_first_day_has_ten_commands_and_each_says_what_it_must_answer() -> None:
    steps = re.split(r"^\d+\. ", FIRST_DAY, flags=re.MULTILINE)[1:]
    assert len(steps) == 10
    assert re.findall(r"^(\d+)\. ", FIRST_DAY, flags=re.MULTILINE) == [str(number) for number in range(1, 11)]
    for step in steps:
        assert "`" in step or "README.md" in step
        assert re.search(r"\b(answers?|shows?|prints)\b", step), step


def test_every_resource_that_it_names_exists() -> None:
    resources = source()["Resources"]
    named = set(re.findall(r"--logical-resource-id (\w+)", PAGE)) | set(re.findall(r"`(\w+Alarm|\w+Function)`", PAGE))
    assert len(named) >= 4
    assert named <= resources.keys()
    assert "CheckedConfiguration" in resources
    for group in re.findall(r"/aws/lambda/STACK-(\w+)", PAGE):
        assert f"/aws/lambda/${{AWS::StackName}}-{group}" in TEMPLATE.read_text()
    # The name that CloudFormation gives the table begins so.
    assert "'STACK-SignInsTable'" in PAGE


def test_every_metric_that_it_names_exists() -> None:
    named = set(re.findall(r"--metric-name (\w+)", PAGE)) | set(re.findall(r"metric `(\w+)`", PAGE))
    assert named == {"SecretAccessDenied", "SecretsDeleted"}
    assert named <= custom_metrics().keys()


def test_its_limits_are_those_of_the_template_and_the_code() -> None:
    assert f"takes {source()['Parameters']['Apps']['MaxLength']:,} characters" in PAGE
    assert f"not `ok` below {configuration_checks._LEAST_CONCURRENCY}." in PAGE
    assert "L-B99A9384" in PAGE


@pytest.mark.parametrize("page", ["docs/deploy.md", "docs/CHANGELOG.md", "README.md"])
def test_every_link_to_a_file_or_a_section_of_the_project_leads_somewhere(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\(((?!https?:)[^)#]*)(?:#([^)]*))?\)", path.read_text())
    for file, anchor in links:
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), file
        if anchor:
            assert anchor in anchors(target.read_text()), anchor


def test_the_events_that_it_sends_are_those_that_are_shipped() -> None:
    (event,) = re.findall(r"--event '(\{[^']*\})'", FIRST_DAY)
    shipped = json.loads((ROOT / "events" / "operator_check.json").read_text())
    assert json.loads(event).keys() == shipped.keys()
    assert json.loads(event)["action"] == shipped["action"]
