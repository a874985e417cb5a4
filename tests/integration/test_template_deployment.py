"""How a change reaches the functions: versions behind an alias, published for every change, gradually if asked for."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest import mock

import pytest
from cfnlint.api import lint_all

from tests.local.template import Template
from tests.support.long import long_but
from tests.support.transformed import (
    FUNCTIONS,
    SERVING,
    VARIABLE,
    deployed,
    handed_over,
    listed,
    of_type,
    plain,
    properties,
    references,
    source,
    transform,
)

# Another value for each parameter.
CHANGES = {
    "AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:on-call",
    "Apps": '{"app": {"redirect_uris": ["https://app.example.com/cb"], "scopes": ["read"]}}',
    "Architecture": "x86_64",
    "AriesAuthorizeUrl": "https://aries.example/authorize",
    "AriesClientId": "another",
    "AriesClientSecretArn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aries-AbCdEf",
    "AriesIssuer": "https://aries.example/realms/x",
    "AriesTokenUrl": "https://aries.example/token",
    "AriesUserUrl": "https://aries.example/user",
    "AriesUserIdMember": "user_id",
    "AwsEndpointUrl": "http://127.0.0.1:4566",
    "BackendAccess": "true",
    "CertificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/2",
    "DeletionProtection": "false",
    "DeploymentType": "Linear10PercentEvery1Minute",
    "DomainName": "b.example",
    "GradualDeployment": "true",
    "Issuer": "https://b.example",
    "LateRetry": "revoke",
    "LogLevel": "ERROR",
    "LogRetentionDays": "90",
    "ManySignIns": "500",
    "PassOn": "prompt",
    "ProviderDialect": "standard",
    "RefreshGraceSeconds": "90",
    "SessionDays": "7",
    "SessionLimit": "5",
    "SignInLimit": "20",
    "SnapStart": "true",
    "SourceLimit": "20",
    "TokenStore": "row",
    "EventBus": "sessions",
    "WarmThroughput": "12000",
}
DOMAIN = {"DomainName": "a.example", "CertificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/1"}
ROLLBACK_ALARMS = ["InternalErrorsAlarm", "RefreshesFailAlarm"]
GRADUAL = pytest.mark.parametrize("gradual", ["false", "true"])


@pytest.mark.long
@GRADUAL
def test_what_sam_makes_of_the_template_is_clean(gradual: str) -> None:
    found = [match for match in lint_all(json.dumps(decided(gradual))) if not match.rule.id.startswith("I")]
    # SAM's transform uses them up.
    used_up = {"Parameter GradualDeployment not used.", "Parameter DeploymentType not used."}
    # SAM asks for the condition of a route again in each part of the route.
    nested = (
        "['Fn::If', 2] is not reachable. When setting condition 'HasBackendAccess' to False from current status True"
    )
    assert {match.message for match in found} == {*used_up, nested}


def decided(gradual: str) -> dict[str, Any]:
    """Return the deployed template without SAM's decided condition, because cfn-lint would try it both ways."""
    condition = "DeploysGradually"

    def chosen(value: Any) -> Any:
        match value:
            case {"Fn::If": [str(name), then, otherwise]} if name == condition:
                return chosen(then if gradual == "true" else otherwise)
            case dict():
                return {key: chosen(item) for key, item in value.items() if (key, item) != ("Condition", condition)}
            case list():
                return [chosen(item) for item in value]
            case _:
                return value

    template = handed_over(gradual)
    there = {
        key: resource
        for key, resource in template["Resources"].items()
        if gradual == "true" or resource.get("Condition") != condition
    }
    conditions = {key: value for key, value in template["Conditions"].items() if key != condition}
    result: dict[str, Any] = chosen(template | {"Resources": there, "Conditions": conditions})
    return result


@GRADUAL
def test_no_resource_needs_itself(gradual: str) -> None:
    resources = deployed(gradual)["Resources"]
    needs = {key: references(resource) & resources.keys() for key, resource in resources.items()}
    while needs:
        free = {key for key, needed in needs.items() if not needed & needs.keys()}
        assert free, f"these need one another: {sorted(needs)}"
        needs = {key: needed for key, needed in needs.items() if key not in free}


class TestTheAlias:
    @pytest.mark.parametrize("name", SERVING)
    def test_it_is_what_the_api_calls(self, name: str) -> None:
        alias = plain(properties(f"{name}FunctionAliaslive"))
        (version,) = versions(deployed(), name)
        assert alias == {"Name": "live", "FunctionName": f"{name}Function", "FunctionVersion": f"{version}.Version"}
        called = re.findall(r"\$\{(\w+)\}/invocations", json.dumps(properties("Api")["Body"]["paths"]))
        assert set(called) == {f"{name}FunctionAliaslive" for name in SERVING}
        may_be_called = {plain(it["Properties"]["FunctionName"]) for it in of_type("AWS::Lambda::Permission").values()}
        assert may_be_called == set(called)

    def test_what_no_request_reaches_has_none(self) -> None:
        assert of_type("AWS::Lambda::Alias").keys() == {f"{name}FunctionAliaslive" for name in SERVING}

    def test_a_version_goes_when_another_has_taken_its_place(self) -> None:
        assert {version["DeletionPolicy"] for version in of_type("AWS::Lambda::Version").values()} == {"Delete"}


@dataclass(frozen=True)
class Configured:
    """The texts that AppConfig and Lambda get for some parameters."""

    text: str
    function: str


@cache
def _configured(parameters: frozenset[tuple[str, str]]) -> Configured:
    # SAM CLI does not substitute a number's default in a text, so these numbers are given.
    numbers = {"SourceLimit": "300", "SignInLimit": "600"}
    # SAM CLI would parse the file each time, which takes most of the time.
    with mock.patch("samcli.lib.providers.sam_stack_provider.get_template_data", return_value=deepcopy(source())):
        template = Template({"AriesClientId": "aries"} | numbers | dict(parameters), {"Key": {"Arn": "arn"}})
    function = template.properties("TokenFunction")
    assert isinstance(template.properties("Configuration")["Content"], str)
    own = {name: function[name] for name in ("Environment", "Architectures", "SnapStart")}
    return Configured(template.properties("Configuration")["Content"], json.dumps(own, sort_keys=True))


def configured(parameters: dict[str, str]) -> Configured:
    return _configured(frozenset(parameters.items()))


def versions(template: dict[str, Any], name: str) -> list[str]:
    return [key for key in template["Resources"] if re.fullmatch(rf"{name}FunctionVersion[0-9a-f]{{10}}", key)]


def after(*logical_ids: str, **changed: Any) -> dict[str, Any]:
    """Return the deployed template after a change to some properties of these resources."""
    template = deepcopy(source())
    for logical_id in logical_ids:
        template["Resources"][logical_id]["Properties"] |= changed
    return transform(template)


class TestPublishing:
    @pytest.mark.parametrize("changed", [{"CodeUri": "s3://bucket/another"}, {"MemorySize": 3008}], ids=str)
    def test_new_code_and_a_new_setting_publish_a_version(self, changed: dict[str, Any]) -> None:
        template = after(*(f"{name}Function" for name in SERVING), **changed)
        for name in SERVING:
            assert versions(template, name) != versions(deployed(), name)

    @pytest.mark.parametrize("layer", ["OauthBrokerLayer", "DependenciesLayer"])
    def test_a_new_layer_publishes_a_version_of_each_function(self, layer: str) -> None:
        changed = after(layer, ContentUri="s3://bucket/another")
        for name in SERVING:
            assert versions(changed, name) != versions(deployed(), name)

    def test_sam_alone_would_publish_none_for_a_new_value_of_a_parameter(self) -> None:
        changed = transform(deepcopy(source()), SessionDays="7", SnapStart="true", Apps='{"a": {}}')
        assert versions(changed, "Token") == versions(deployed(), "Token")

    def test_every_value_of_a_function_is_in_a_text_and_its_number_is_part_of_the_version(self) -> None:
        content = source()["Resources"]["Configuration"]["Properties"]["Content"]
        text, _ = content["Fn::Sub"]
        assert references(content) == given_to_functions()
        # One line each, so a swap of two values shows.
        assert len(VARIABLE.findall(text)) == len(text.splitlines()) == len(set(text.splitlines()))
        described = {plain(it["Properties"]["Description"]) for it in of_type("AWS::Lambda::Version").values()}
        assert described == {"Configuration ${Configuration.VersionNumber}"}

    @pytest.mark.parametrize(
        "base", long_but([{}], [{}, {"Issuer": "https://a.example"}, DOMAIN]), ids=["plain", "issuer", "domain"]
    )
    @pytest.mark.parametrize("changed", CHANGES)
    def test_the_text_changes_exactly_when_the_configuration_of_a_function_does(
        self, base: dict[str, str], changed: str
    ) -> None:
        """Lambda refuses to publish a version of an unchanged function, and the deployment rolls back."""
        before, after = configured(base), configured(base | {changed: CHANGES[changed]})
        assert (before.text != after.text) is (before.function != after.function)

    @pytest.mark.parametrize("limit", ["SourceLimit", "SignInLimit"])
    def test_behind_something_of_the_owners_another_limit_of_a_source_changes_nothing(self, limit: str) -> None:
        base = {"Issuer": "https://a.example"}
        assert configured(base) == configured(base | {limit: "20"})
        assert configured({}).text != configured({limit: "20"}).text

    def test_every_parameter_has_another_value_here(self) -> None:
        assert source()["Parameters"].keys() == CHANGES.keys()

    def test_a_new_text_is_a_new_number(self) -> None:
        # CloudFormation replaces the resource if one of these changes; its schema says so of Content.
        assert properties("Configuration").keys() == {
            "ApplicationId",
            "ConfigurationProfileId",
            "Content",
            "ContentType",
        }


@cache
def given_to_functions() -> set[str]:
    """Return the parameters and the replaceable resources in the configuration of a serving function."""
    conditions = source()["Conditions"]
    found = set()
    for name in SERVING:
        function = {key: value for key, value in properties(f"{name}Function").items() if key not in ("Code", "Layers")}
        found |= references(function) | {
            parameter
            for condition in re.findall(r'"Fn::If": \["(\w+)"', json.dumps(function))
            for parameter in references(conditions[condition])
        }
    own = {f"{name}{kind}" for name in FUNCTIONS for kind in ("Role", "LogGroup")}
    return {name for name in found - own if not name.startswith("AWS::")}


class TestTheCheckOfTheConfiguration:
    """A custom resource: CloudFormation asks a function of the stack. If it says no, the deployment rolls back."""

    @pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "Configuration"])
    def test_no_function_changes_before_it_has_said_yes(self, name: str) -> None:
        assert "CheckedConfiguration" in listed(deployed()["Resources"][f"{name}Function"]["DependsOn"])

    @pytest.mark.parametrize("name", ["SignInsTable", "Key", "SubjectKey"])
    def test_nothing_that_outlives_the_stack_is_made_before_it_has_said_yes(self, name: str) -> None:
        resources = deployed()["Resources"]
        assert "CheckedConfiguration" in listed(resources[name]["DependsOn"])
        needed = references(resources["CheckedConfiguration"])
        while more := {other for name in needed & resources.keys() for other in references(resources[name])} - needed:
            needed |= more
        kept = {key for key, resource in resources.items() if resource.get("DeletionPolicy", "").startswith("Retain")}
        assert kept == {"SignInsTable", "Key", "SubjectKey"}
        assert not needed & kept

    def test_it_is_asked_again_when_a_parameter_of_the_functions_or_their_code_changes(self) -> None:
        asked = properties("CheckedConfiguration")
        assert plain(asked["ServiceToken"]) == "ConfigurationFunction.Arn"
        assert plain(asked["Layers"]) == plain(properties("TokenFunction")["Layers"])

    def test_it_is_sent_what_the_others_get_by_the_same_expressions_and_reads_it_by_the_same_code(self) -> None:
        own, others = (plain(properties(f"{name}Function")) for name in ("Configuration", "Token"))
        sent, got = properties("CheckedConfiguration")["Variables"], properties("TokenFunction")["Environment"]
        of_the_stack = {"TABLE_NAME", "KEY_ID", "SUBJECT_KEY_ARN", "DEAD_LETTER_QUEUE_URL"}
        assert sent == {name: value for name, value in got["Variables"].items() if name not in of_the_stack}
        assert own["Layers"] == others["Layers"]
        assert own["Runtime"] == others["Runtime"]

    def test_cloudformation_does_not_wait_an_hour_where_no_answer_comes(self) -> None:
        # Lambda repeats a failed asynchronous call after one minute, and again after two more.
        timeout = properties("ConfigurationFunction")["Timeout"]
        assert 60 + 2 * timeout < properties("CheckedConfiguration")["ServiceTimeout"] <= 300


class TestAGradualDeployment:
    def test_there_is_none_unless_it_is_asked_for(self) -> None:
        assert not any(resource["Type"].startswith("AWS::CodeDeploy") for resource in deployed()["Resources"].values())
        for alias in of_type("AWS::Lambda::Alias").values():
            assert "UpdatePolicy" not in alias

    def test_shifts_each_functions_requests_and_is_taken_back_when_an_alarm_sounds(self) -> None:
        groups = of_type("AWS::CodeDeploy::DeploymentGroup", "true")
        assert groups.keys() == {f"{name}FunctionDeploymentGroup" for name in SERVING}
        for group in groups.values():
            settings = plain(group["Properties"])
            assert settings["ServiceRoleArn"] == {"Fn::If": ["DeploysGradually", "DeploymentRole.Arn", "AWS::NoValue"]}
            assert settings["AutoRollbackConfiguration"]["Enabled"] is True
            assert "DEPLOYMENT_STOP_ON_ALARM" in settings["AutoRollbackConfiguration"]["Events"]
            crashes = {"Fn::If": ["DeploysGradually", "DeploymentErrorsAlarm", "AWS::NoValue"]}
            assert settings["AlarmConfiguration"] == {
                "Enabled": True,
                "Alarms": [{"Name": name} for name in (crashes, *ROLLBACK_ALARMS)],
            }
        for name in SERVING:
            policy = plain(deployed("true")["Resources"][f"{name}FunctionAliaslive"]["UpdatePolicy"])
            assert policy["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"] == f"{name}FunctionDeploymentGroup"

    def test_brings_no_role_of_sams_own(self) -> None:
        assert "CodeDeployServiceRole" not in deployed("true")["Resources"]

    @pytest.mark.parametrize("pace", source()["Parameters"]["DeploymentType"]["AllowedValues"])
    def test_each_pace_is_one_of_code_deploys_own(self, pace: str) -> None:
        template = transform(deepcopy(source()), GradualDeployment="true", DeploymentType=pace)
        name = template["Resources"]["TokenFunctionDeploymentGroup"]["Properties"]["DeploymentConfigName"]
        assert name == {"Fn::Sub": ["CodeDeployDefault.Lambda${ConfigName}", {"ConfigName": pace}]}

    @pytest.mark.parametrize("alarm", [*ROLLBACK_ALARMS, "DeploymentErrorsAlarm"])
    def test_its_alarms_name_neither_the_api_nor_an_alias_and_see_one_request_in_ten(self, alarm: str) -> None:
        assert references(properties(alarm)) <= {
            *(f"{name}Function" for name in SERVING),
            "AlarmTopicArn",
            "AWS::NoValue",
            "AWS::StackName",
        }
        watched = properties(alarm)
        periods = (
            {watched["Period"]}
            if "Period" in watched
            else {metric["MetricStat"]["Period"] for metric in watched["Metrics"] if "MetricStat" in metric}
        )
        # The shortest pace leaves five minutes.
        assert periods == {60}
        assert watched["EvaluationPeriods"] <= 5
        # The share of failed requests, if all of one tenth of them fail.
        assert watched["Threshold"] <= 10


class TestSnapStart:
    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_it_is_for_the_functions_that_serve_the_api_if_it_is_asked_for(self, name: str) -> None:
        asked = {"ApplyOn": {"Fn::If": ["StartsFromSnapshots", "PublishedVersions", "None"]}}
        assert properties(f"{name}Function").get("SnapStart") == (asked if name in SERVING else None)
        assert source()["Conditions"]["StartsFromSnapshots"] == {"Fn::Equals": [{"Ref": "SnapStart"}, "true"]}
