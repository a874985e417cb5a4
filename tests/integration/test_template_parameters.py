"""The parameters of the template: what each accepts, what goes together, how the console shows them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.transformed import source

PARAMETERS: dict[str, tuple[list[str], list[str]]] = {
    "AriesClientId": (["aries-client"], ["", "two words", "tab\there"]),
    "AriesClientSecretArn": (
        ["", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aries-AbCdEf"],
        [
            "aries",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aries",
            "arn:aws:ssm:eu-west-1:123456789012:parameter/aries-AbCdEf",
        ],
    ),
    "AriesAuthorizeUrl": (
        ["https://app.aries.com/oauth2/authorize", "http://127.0.0.1:8081/oauth2/authorize"],
        ["", "http://app.aries.com/oauth2/authorize", "https://app.aries.com", "https://app.aries.com/a?b=c"],
    ),
    "AriesTokenUrl": (
        ["https://api.aries.com/v1/oauth2/token", "http://localhost:8081/v1/oauth2/token"],
        ["", "http://api.aries.com/v1/oauth2/token", "http://127.0.0.1.evil.example/token", "ftp://api.aries.com/"],
    ),
    "ProviderDialect": (["aries", "standard"], ["", "Aries", "other"]),
    "Apps": (
        [
            '{"trader-ios": {"redirect_uris": ["https://app.example.com/callback"], "scopes": ["a"]}}',
            '{"a":{"redirect_uris":[]}} ',
        ],
        ["", "{", "{}", "[]", "{trader-ios:{redirect_uris:[]}}", '{"a": ["redirect_uris"]', "x" * 3001],
    ),
    "SessionDays": (["1", "30", "365"], ["0", "366", "many"]),
    "RefreshGraceSeconds": (["30", "60", "300"], ["29", "301", "-1"]),
    "LateRetry": (["allow", "revoke"], ["", "deny"]),
    "SourceLimit": (["0", "1", "300", "6000"], ["", "-1", "6001", "1.5"]),
    "DomainName": (
        ["", "auth.example.com", "a-b.example.co"],
        ["example", "Auth.example.com", "https://auth.example.com", "auth.example.com.", "-a.example.com", "a..b"],
    ),
    "CertificateArn": (
        ["", "arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"],
        ["12345678-1234-1234-1234-123456789012", "arn:aws:iam::123456789012:server-certificate/a"],
    ),
    "Issuer": (
        [
            "",
            "https://auth.example.com",
            "https://auth.example.com:8443",
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://[::1]:8080",
        ],
        [
            "http://auth.example.com",
            "http://127.0.0.1.example.com",
            "https://auth.example.com/",
            "https://auth.example.com/path",
            "https://Auth.example.com",
            "auth.example.com",
            "https://auth.example.com\n",
            "javascript:alert(1)",
        ],
    ),
    "AlarmTopicArn": (
        ["", "arn:aws:sns:eu-west-1:123456789012:on-call"],
        ["on-call", "arn:aws:sqs:eu-west-1:123456789012:on-call", "arn:aws:sns:eu-west-1:123456789012:on-call.fifo"],
    ),
    "LogRetentionDays": (["30", "365"], ["0", "2", "31"]),
    "LogLevel": (["INFO", "WARN", "ERROR"], ["", "info", "DEBUG", "TRACE"]),
    "DeletionProtection": (["true", "false"], ["", "yes"]),
    "Architecture": (["arm64", "x86_64"], ["", "amd64"]),
    "GradualDeployment": (["true", "false"], ["", "yes"]),
    "DeploymentType": (["Canary10Percent5Minutes", "Linear10PercentEvery1Minute"], ["", "AllAtOnce", "Canary"]),
    "SnapStart": (["true", "false"], ["", "PublishedVersions"]),
    "AwsEndpointUrl": (
        ["", "http://127.0.0.1:8082", "http://host.docker.internal:5000"],
        ["http://example.com", "https://dynamodb.eu-west-1.amazonaws.com", "http://127.0.0.1:8082/"],
    ),
}


def is_accepted(parameter: dict[str, Any], value: str) -> bool:
    """Whether CloudFormation takes the value: a pattern must match all of it."""
    if parameter["Type"] == "Number" and not re.fullmatch(r"-?[0-9]+", value):
        return False
    checks: dict[str, Callable[[Any], bool]] = {
        "AllowedValues": lambda allowed: value in map(str, allowed),
        "AllowedPattern": lambda pattern: re.fullmatch(pattern, value) is not None,
        "MinLength": lambda length: len(value) >= length,
        "MaxLength": lambda length: len(value) <= length,
        "MinValue": lambda least: int(value) >= least,
        "MaxValue": lambda most: int(value) <= most,
    }
    return all(check(parameter[name]) for name, check in checks.items() if name in parameter)


class TestTheParameters:
    def test_they_are_these_and_each_is_described_labelled_and_validated(self) -> None:
        parameters = source()["Parameters"]
        assert parameters.keys() == PARAMETERS.keys()
        for name, parameter in parameters.items():
            assert len(parameter["Description"]) > 20, name
            assert parameter.keys() & {"AllowedPattern", "AllowedValues", "MinValue"}, name
            assert "AllowedValues" in parameter or "ConstraintDescription" in parameter, name
            assert parameter["Type"] != "String" or parameter.keys() & {"AllowedPattern", "AllowedValues"}, name

    def test_only_what_no_default_can_know_must_be_given(self) -> None:
        parameters = source()["Parameters"]
        assert {name for name, parameter in parameters.items() if "Default" not in parameter} == {
            "AriesClientId",
            "Apps",
        }
        for parameter in parameters.values():
            assert "Default" not in parameter or is_accepted(parameter, str(parameter["Default"]))

    def test_each_has_a_place_in_the_console(self) -> None:
        interface = source()["Metadata"]["AWS::CloudFormation::Interface"]
        grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
        assert sorted(grouped) == sorted(PARAMETERS)
        assert interface["ParameterLabels"].keys() == PARAMETERS.keys()

    @pytest.mark.parametrize(
        ("name", "value"), [(name, value) for name, (good, _) in PARAMETERS.items() for value in good]
    )
    def test_good_values_are_accepted(self, name: str, value: str) -> None:
        assert is_accepted(source()["Parameters"][name], value)

    @pytest.mark.parametrize(
        ("name", "value"), [(name, value) for name, (_, bad) in PARAMETERS.items() for value in bad]
    )
    def test_bad_values_are_refused(self, name: str, value: str) -> None:
        assert not is_accepted(source()["Parameters"][name], value)

    @pytest.mark.parametrize(
        ("given", "accepted"),
        [
            ({}, True),
            ({"Issuer": "https://a.example"}, True),
            ({"DomainName": "a.example", "CertificateArn": "arn"}, True),
            ({"DomainName": "a.example"}, False),
            ({"CertificateArn": "arn"}, False),
            ({"DomainName": "a.example", "CertificateArn": "arn", "Issuer": "https://a.example"}, False),
            ({"ProviderDialect": "standard"}, False),
            ({"ProviderDialect": "standard", "AriesClientSecretArn": "arn"}, True),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, given: dict[str, str], accepted: bool) -> None:
        defaults = {name: str(parameter.get("Default", "")) for name, parameter in source()["Parameters"].items()}
        values = defaults | given
        holds = all(
            evaluate(assertion["Assert"], values)
            for rule in source()["Rules"].values()
            if evaluate(rule.get("RuleCondition", True), values)
            for assertion in rule["Assertions"]
        )
        assert holds is accepted


def evaluate(expression: Any, values: dict[str, str]) -> Any:
    """A rule's value, by CloudFormation's rule functions."""
    match expression:
        case {"Ref": name}:
            return values[name]
        case {"Fn::Equals": [left, right]}:
            return evaluate(left, values) == evaluate(right, values)
        case {"Fn::Not": [negated]}:
            return not evaluate(negated, values)
        case {"Fn::And": terms}:
            return all(evaluate(term, values) for term in terms)
        case {"Fn::Or": terms}:
            return any(evaluate(term, values) for term in terms)
        case _:
            return expression
