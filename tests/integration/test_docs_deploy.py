"""Everything named in docs/deploy.md exists: parameters, resources, metrics, limits, ten commands for the first day."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from textwrap import dedent
from typing import Any

import boto3
from botocore import xform_name

from layers.sam_version import OLDEST
from oauth_broker.config.clients import Registry
from oauth_broker.config.dialect import DIALECTS
from oauth_broker.operator import checks as configuration_checks
from tests.support.functions import ROOT
from tests.support.operations import SECRETS, custom_metrics
from tests.support.transformed import TEMPLATE, source

PAGE = (ROOT / "docs" / "deploy.md").read_text()
PARAMETERS = PAGE.split("\n## The parameters\n")[1].split("\n## ")[0]
FIRST_DAY = PAGE.split("\n## First day\n")[1].split("\n## ")[0]


def test_the_first_day_has_ten_steps_and_each_says_what_it_must_answer() -> None:
    steps = re.split(r"^\d+\. ", FIRST_DAY, flags=re.MULTILINE)[1:]
    assert len(steps) == 10
    assert re.findall(r"^(\d+)\. ", FIRST_DAY, flags=re.MULTILINE) == [str(number) for number in range(1, 11)]
    for step in steps:
        assert "```sh" in step or "by-hand-curl" in step
        assert re.search(r"\b(answers?|shows?|prints)\b", step), step


def test_every_resource_that_it_names_exists() -> None:
    resources = source()["Resources"]
    named = set(re.findall(r"\$\(resource (\w+)\)", PAGE)) | set(re.findall(r"`(\w+Alarm|\w+Function)`", PAGE))
    assert len(named) >= 4
    assert named <= resources.keys()
    assert "CheckedConfiguration" in resources
    for group in re.findall(r"/aws/lambda/STACK-(\w+)", PAGE):
        assert f"/aws/lambda/${{AWS::StackName}}-{group}" in TEMPLATE.read_text()
    # CloudFormation's name for the table has this prefix.
    assert "'STACK-SignInsTable'" in PAGE


def test_every_metric_that_it_names_exists() -> None:
    named = set(re.findall(r"--metric-name (\w+)", PAGE)) | set(re.findall(r"metric `(\w+)`", PAGE))
    _, secrets, dimensions = SECRETS
    assert named == {"EventsSent", "SecretAccessDenied", "SecretsDeleted", "SubjectsNotFound", secrets}
    assert named - {secrets} <= custom_metrics().keys()
    assert all(f"`{name}` (`{value}`)" in PAGE for name, value in dimensions.items())


def test_its_limits_are_those_of_the_template_and_the_code() -> None:
    assert f"takes {source()['Parameters']['Apps']['MaxLength']:,} characters" in PAGE
    assert f"not `ok` below {configuration_checks._LEAST_CONCURRENCY}." in PAGE
    assert "L-B99A9384" in PAGE


def test_every_parameter_is_named() -> None:
    assert [name for name in source()["Parameters"] if f"`{name}`" not in PAGE] == []


def test_the_default_of_every_parameter_is_told() -> None:
    untold = []
    for name, parameter in source()["Parameters"].items():
        (cell,) = re.findall(rf"^\| [^|]*`{name}`[^|]*\|([^|]*)\|", PARAMETERS, flags=re.MULTILINE)
        told = cell.strip().replace("`", "").split(", ")
        match parameter.get("Default"):
            case None:
                wanted = ""
            case int(number):
                wanted = f"{number:,}"
            case text:
                wanted = text or "none"
        if wanted not in told:
            untold.append(name)
    assert untold == []


def test_a_client_secret_is_optional_in_one_dialect_alone() -> None:
    assert {name for name, dialect in DIALECTS.items() if not dialect.code_sends_secret} == {"aries"}
    assert "the broker works with the `ProviderDialect` `aries`" in PAGE


def test_the_upgrade_names_the_tools_and_rights_that_are_new() -> None:
    before = (ROOT / "docs" / "CHANGELOG.md").read_text().split("\n### Before you upgrade\n")[1].split("\n### ")[0]
    assert f"SAM CLI {OLDEST} or newer" in before
    assert "`lambda:InvokeFunction`" in before
    assert f"{OLDEST} or newer" in PAGE


def test_every_output_is_named_here_or_in_the_runbook() -> None:
    # The page describes these outputs in words.
    in_words = {"Issuer", "RedirectUri", "TableName", "DashboardName"}
    told = PAGE + (ROOT / "docs" / "operate.md").read_text()
    assert [name for name in source()["Outputs"] if name not in in_words and f"`{name}`" not in told] == []


def test_the_range_of_every_number_is_told() -> None:
    ranges = {name: (p["MinValue"], p["MaxValue"]) for name, p in source()["Parameters"].items() if "MinValue" in p}
    assert ranges
    rows = {name: re.search(rf"^\| `{name}` .*$", PAGE, flags=re.MULTILINE) for name in ranges}
    told = {name: re.findall(r"\b\d+(?:,\d{3})*\b", row[0]) if row else [] for name, row in rows.items()}
    assert [name for name, (low, high) in ranges.items() if not {str(low), f"{high:,}"} <= set(told[name])] == []


def test_the_example_of_apps_is_accepted_and_claims_its_redirects_on_the_issuers_host() -> None:
    example = PAGE.split("`Apps` is JSON:\n\n```json\n")[1].split("```")[0]
    fingerprint = ":".join(["AB"] * 32)
    apps = json.loads(re.sub('"AB:CD[^"]*"', f'"{fingerprint}"', example.replace("//ISSUER/", "//auth.example.com/")))
    Registry.parse(json.dumps(apps))
    claiming = [app for app in apps.values() if {"apple_app_ids", "android_packages"} & app.keys()]
    assert len(claiming) == 2
    assert all("https://auth.example.com/app/callback" in app["redirect_uris"] for app in claiming)


def commands() -> list[str]:
    return [dedent(block) for block in re.findall(r"^ *```sh\n(.*?)^ *```$", PAGE, flags=re.MULTILINE | re.DOTALL)]


def test_every_command_is_one_that_a_shell_can_read() -> None:
    assert len(commands()) > 12
    bash = shutil.which("bash")
    assert bash
    for command in commands():
        done = subprocess.run([bash, "-n"], input=command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), command


def test_every_call_of_aws_in_it_is_one_that_there_is_with_options_that_it_takes() -> None:
    """The AWS CLI derives its commands from the same descriptions of the services."""
    session: Any = boto3.Session()
    seen = 0
    for line in "\n".join(commands()).replace("\\\n", " ").splitlines():
        for call in re.findall(r"\baws ((?:lambda|dynamodb|kms|cloudformation|cloudwatch|service-quotas) .*)", line):
            service, operation, *words = call.split()
            client = session.client(service, region_name="eu-west-1")
            method = operation.replace("-", "_")
            model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
            members = {xform_name(name).replace("_", "-") for name in model.input_shape.members}
            options = {word.removeprefix("--").partition("=")[0] for word in words if word.startswith("--")}
            plain = {re.sub(r"^no-", "", option) for option in options} - {"query", "output", "logical-resource-id"}
            assert plain <= members, (call, plain - members)
            seen += 1
    assert seen > 12


def test_the_events_that_it_sends_are_those_that_are_shipped() -> None:
    events = [json.loads(event) for event in re.findall(r"--event '(\{[^']*\})'", FIRST_DAY)]
    assert [event["action"] for event in events] == ["check", "sessions", "forget"]
    for event in events:
        shipped = json.loads((ROOT / "events" / f"operator_{event['action']}.json").read_text())
        assert event.keys() == shipped.keys()
