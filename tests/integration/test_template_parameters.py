"""The parameters of the template: accepted values, combinations, and their look in the console."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oauth_broker.config.dialect import ARIES, DIALECTS, ProviderDialect
from tests.support.long import examples
from tests.support.parameters import broken_rules, evaluate, is_accepted
from tests.support.transformed import FUNCTIONS, plain, properties, source
from tests.unit.fakes import settings_with

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
        [
            "",
            "http://app.aries.com/oauth2/authorize",
            "https://app.aries.com",
            "https://app.aries.com/a?b=c",
            # Aries' answers must name this origin as their issuer, and no origin has the default port.
            "https://app.aries.com:443/authorize",
            "https://app.aries.com:0/authorize",
            "https://app.aries.com:65536/authorize",
        ],
    ),
    "AriesTokenUrl": (
        ["https://api.aries.com/v1/oauth2/token", "http://localhost:8081/v1/oauth2/token"],
        ["", "http://api.aries.com/v1/oauth2/token", "http://127.0.0.1.evil.example/token", "ftp://api.aries.com/"],
    ),
    "AriesUserUrl": (
        ["", "https://api.aries.com/v1/users/me", "http://localhost:8081/v1/users/me"],
        ["http://api.aries.com/v1/users/me", "https://api.aries.com/v1/users/me?x=1", "https://api.aries.com", "me"],
    ),
    "AriesUserIdMember": (["id", "user_id", "x.y-z", "x" * 64], ["", "a b", "x" * 65, "a/b"]),
    "AriesIssuer": (
        [
            "",
            "https://app.aries.com",
            "https://kc.example/realms/x",
            "https://kc.example:8443/realms/my%20realm",
            "https://tenant.eu.auth0.com/",
            "https://x.okta.com/oauth2/default",
            "http://127.0.0.1:8081/realms/x",
        ],
        [
            "http://kc.example/realms/x",
            "https://kc.example/realms/x?y",
            "https://kc.example/realms/x#y",
            "https://kc.example?y",
            "https://kc.example:443/realms/x",
            "https://KC.example/realms/x",
            'https://kc.example/"',
            "kc.example",
            f"https://kc.example/{'x' * 128}",
        ],
    ),
    "ProviderDialect": (["aries", "standard", "standard-basic"], ["", "Aries", "other"]),
    "PassOn": (
        ["", "prompt", "login_hint,max_age", "max_age,login_hint,prompt"],
        ["none", "prompt,", ",prompt", "prompt, max_age", "prompt max_age", "Prompt", "prompt,prompt,prompt,prompt"],
    ),
    "Apps": (
        [
            '{"trader-ios": {"redirect_uris": ["https://app.example.com/callback"], "scopes": ["a"]}}',
            '{"a":{"redirect_uris":[]}} ',
            # Empty means that the apps are in a file.
            "",
        ],
        ["{", "{}", "[]", "{trader-ios:{redirect_uris:[]}}", '{"a": ["redirect_uris"]', "x" * 941],
    ),
    "SessionDays": (["1", "30", "365"], ["0", "366", "many"]),
    "RefreshGraceSeconds": (["40", "60", "300"], ["39", "301", "-1"]),
    "LateRetry": (["allow", "revoke"], ["", "deny"]),
    "SourceLimit": (["0", "1", "300", "6000"], ["", "-1", "6001", "1.5"]),
    "SignInLimit": (["0", "1", "600", "6000"], ["", "-1", "6001", "1.5"]),
    "TokenStore": (["secrets", "row"], ["", "secret", "Row", "table"]),
    "EventBus": (
        ["", "default", "sessions", "a.b/c_d-e"],
        ["two words", "arn:aws:events:eu-west-1:123456789012:event-bus/sessions", "b" * 101],
    ),
    "BackendAccess": (["true", "false"], ["", "yes", "True"]),
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
            "https://auth.example.com:4430",
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
            "https://auth.example.com:443",
            "http://localhost:80",
            "https://auth.example.com:08443",
        ],
    ),
    "AlarmTopicArn": (
        ["", "arn:aws:sns:eu-west-1:123456789012:on-call"],
        ["on-call", "arn:aws:sqs:eu-west-1:123456789012:on-call", "arn:aws:sns:eu-west-1:123456789012:on-call.fifo"],
    ),
    "ManySignIns": (["1", "2000", "200000"], ["", "0", "-1", "200001", "many"]),
    "SessionLimit": (["1", "20", "100"], ["", "0", "-1", "101", "many"]),
    "LogRetentionDays": (["30", "365"], ["0", "2", "31"]),
    "LogLevel": (["INFO", "WARN", "ERROR"], ["", "info", "DEBUG", "TRACE"]),
    "DeletionProtection": (["true", "false"], ["", "yes"]),
    "WarmThroughput": (
        ["", "0", "4000", "9999", "40000", "999999"],
        ["1", "3999", "1000000", "04000", "00", "4,000", "-4000", "many"],
    ),
    "Architecture": (["arm64", "x86_64"], ["", "amd64"]),
    "GradualDeployment": (["true", "false"], ["", "yes"]),
    "DeploymentType": (["Canary10Percent5Minutes", "Linear10PercentEvery1Minute"], ["", "AllAtOnce", "Canary"]),
    "SnapStart": (["true", "false"], ["", "PublishedVersions"]),
    "AwsEndpointUrl": (
        ["", "http://127.0.0.1:8082", "http://host.docker.internal:5000"],
        ["http://example.com", "https://dynamodb.eu-west-1.amazonaws.com", "http://127.0.0.1:8082/"],
    ),
}


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
        assert {name for name, parameter in parameters.items() if "Default" not in parameter} == {"AriesClientId"}
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
        ("name", "variable"),
        [
            ("AriesAuthorizeUrl", "ARIES_AUTHORIZE_URL"),
            ("AriesTokenUrl", "ARIES_TOKEN_URL"),
            ("AriesUserUrl", "ARIES_USER_URL"),
            ("AriesUserIdMember", "ARIES_USER_ID_MEMBER"),
            ("AriesIssuer", "ARIES_ISSUER"),
            ("AriesClientId", "ARIES_CLIENT_ID"),
            ("AriesClientSecretArn", "ARIES_CLIENT_SECRET_ARN"),
            ("Issuer", "ISSUER"),
            ("DomainName", "DOMAIN_NAME"),
        ],
    )
    @given(data=st.data())
    @settings(max_examples=examples(200), deadline=None)
    def test_what_a_pattern_accepts_no_function_refuses(self, name: str, variable: str, data: st.DataObject) -> None:
        parameter = source()["Parameters"][name]
        value = data.draw(st.from_regex(parameter["AllowedPattern"], fullmatch=True))
        if is_accepted(parameter, value):
            settings_with(**{variable: value})

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
            ({"ProviderDialect": "standard-basic"}, False),
            ({"ProviderDialect": "standard-basic", "AriesClientSecretArn": "arn"}, True),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, given: dict[str, str], accepted: bool) -> None:
        defaults = {name: str(parameter.get("Default", "")) for name, parameter in source()["Parameters"].items()}
        values = defaults | given
        assert (not broken_rules(source(), values)) is accepted


# Lambda's limit for all variables of a function, counted on their JSON. There each quotation mark takes two bytes.
MOST_VARIABLES_BYTES = 4096
# The longest values of everything except parameters.
LONGEST = {
    "AWS::StackName": "s" * 128,
    # CloudFormation builds this name: stack, logical id, 13 characters.
    "SignInsTable": f"{'s' * 128}-SignInsTable-{'x' * 13}",
    # CloudFormation builds the name: logical id, 12 characters, and Secrets Manager's six.
    "SubjectKey.Id": f"arn:aws-us-gov:secretsmanager:ap-southeast-1:123456789012:secret:SubjectKey-{18 * 'x'}-",
    "Key.Arn": f"arn:aws-us-gov:kms:ap-southeast-1:123456789012:key/{'x' * 36}",
    # The name after the last slash has at most 80 characters.
    "CleanupDeadLetterQueue": f"https://sqs.ap-southeast-1.amazonaws.com.cn/123456789012/{'q' * 80}",
}


def longest(parameter: dict[str, Any]) -> str:
    if "AllowedValues" in parameter:
        return max(map(str, parameter["AllowedValues"]), key=len)
    if parameter["Type"] == "Number":
        return str(parameter["MaxValue"])
    return "x" * int(parameter["MaxLength"])


class TestTheVariables:
    @pytest.mark.parametrize("name", FUNCTIONS)
    @pytest.mark.parametrize("with_domain", [True, False])
    def test_lambda_takes_them_where_every_parameter_and_every_name_is_as_long_as_it_may_be(
        self, name: str, with_domain: bool
    ) -> None:
        given = {key: longest(parameter) for key, parameter in source()["Parameters"].items()}
        # Quotation marks and line breaks take two bytes each.
        given |= {"Apps": '"' * int(source()["Parameters"]["Apps"]["MaxLength"])}
        given |= {"Issuer": ""} if with_domain else {"DomainName": "", "CertificateArn": ""}
        values = {
            variable: resolved(value, LONGEST | given)
            for variable, value in plain(properties(f"{name}Function")["Environment"]["Variables"]).items()
        }
        assert len(json.dumps(values)) <= MOST_VARIABLES_BYTES


def resolved(value: Any, given: Mapping[str, str]) -> str:
    match value:
        case {"Fn::If": ["HasDomainName", then, otherwise]}:
            return resolved(then if given["DomainName"] else otherwise, given)
        case {"Fn::If": ["HasIssuer", then, otherwise]}:
            return resolved(then if given["Issuer"] else otherwise, given)
        case str() if value in given:
            return given[value]
        case str():
            return re.sub(r"\$\{([^}]+)\}", lambda match: given[match[1]], value)
    raise AssertionError(value)


def lacking(dialects: Mapping[str, ProviderDialect]) -> list[str]:
    """Return the differences between the template's dialects and the code's."""
    template = source()
    mapped = template["Mappings"]["ProviderDialects"]
    (rule,) = (rule for rule in template["Rules"].values() if "ProviderDialect" in str(rule.get("RuleCondition")))
    found = []
    if template["Parameters"]["ProviderDialect"]["AllowedValues"] != list(dialects):
        found.append("AllowedValues")
    if mapped.keys() != dialects.keys():
        found.append("Mappings")
    for name, dialect in dialects.items():
        sends = dialect.code_sends_secret
        if mapped.get(name) != {"CodeGrantSendsSecret": str(sends).lower()}:
            found.append(f"CodeGrantSendsSecret of {name}")
        if evaluate(rule["RuleCondition"], {"ProviderDialect": name}) is not sends:
            found.append(f"the rule of {name}")
    return found


class TestTheDialects:
    def test_the_template_says_of_each_dialect_what_the_code_does(self) -> None:
        assert lacking(DIALECTS) == []

    @pytest.mark.parametrize("sends", [True, False])
    def test_a_dialect_that_is_added_to_the_code_is_missed_in_the_template(self, sends: bool) -> None:
        another = replace(ARIES, name="another", code_sends_secret=sends)
        missed = lacking({**DIALECTS, "another": another})
        assert missed == [
            "AllowedValues",
            "Mappings",
            "CodeGrantSendsSecret of another",
            *(["the rule of another"] if sends else []),
        ]

    def test_a_dialect_that_begins_to_send_the_secret_is_missed_too(self) -> None:
        changed = {**DIALECTS, "aries": replace(ARIES, code_sends_secret=True)}
        assert lacking(changed) == ["CodeGrantSendsSecret of aries", "the rule of aries"]

    def test_no_condition_names_a_dialect(self) -> None:
        conditions = json.dumps(source()["Conditions"])
        assert not any(f'"{name}"' in conditions for name in DIALECTS)
