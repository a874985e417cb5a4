"""The template as SAM's own transform leaves it: what is deployed, and who may do what."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from samcli.lib.translate.sam_template_validator import SamTemplateValidator
from samcli.yamlhelper import yaml_parse
from samtranslator.translator.managed_policy_translator import ManagedPolicyLoader

from oauth_broker.dialect import Outcome
from oauth_broker.escrow import Escrow
from oauth_broker.secret import Secret
from oauth_broker.session_secret import SessionSecret

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
FUNCTIONS = ("Authorize", "Callback", "Token", "Refresh", "Revoke", "Metadata", "Cleanup")
METADATA_PATHS = (
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/oauth2/jwks.json",
    "/.well-known/apple-app-site-association",
    "/.well-known/assetlinks.json",
)
ROUTES = {
    "GET /oauth2/authorize": "Authorize",
    "GET /oauth2/callback": "Callback",
    "ANY /oauth2/token": "Token",
    "ANY /oauth2/refresh": "Refresh",
    "ANY /oauth2/revoke": "Revoke",
    **{f"{method} {path}": "Metadata" for method in ("GET", "OPTIONS") for path in METADATA_PATHS},
}

# What a condition must hold, by the name the permissions below use for it. "-" is none.
SESSION_SECRETS = (
    "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:${AWS::StackName}/session/*"
)
VIA_DYNAMODB = {"kms:ViaService": "dynamodb.${AWS::Region}.amazonaws.com"}
VIA_SECRETS_MANAGER = {"kms:ViaService": "secretsmanager.${AWS::Region}.amazonaws.com"}
CONDITIONS: dict[str, dict[str, Any]] = {
    "-": {},
    "table": {"StringEquals": {**VIA_DYNAMODB, "kms:EncryptionContext:aws:dynamodb:tableName": "SignInsTable"}},
    "stream": {"StringEquals": VIA_DYNAMODB},
    "secret, written": {
        "StringEquals": VIA_SECRETS_MANAGER,
        "StringLike": {"kms:EncryptionContext:SecretARN": [SESSION_SECRETS, "RequestToValidateKeyAccess"]},
    },
    "secret, read": {
        "StringEquals": VIA_SECRETS_MANAGER,
        "StringLike": {"kms:EncryptionContext:SecretARN": SESSION_SECRETS},
    },
    "escrow": {
        "StringEquals": {"kms:EncryptionContext:purpose": "escrow"},
        "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["part", "purpose", "session_id"]},
        "Null": {"kms:EncryptionContext:session_id": "false"},
    },
    "with a client secret": {"if": "HasClientSecret"},
    "standard dialect": {"if": "CodeGrantSendsSecret"},
}
# (action, resource, condition) beyond logs and X-Ray, which every role has.
RENEW = {
    ("dynamodb:GetItem", "SignInsTable.Arn", "-"),
    ("dynamodb:UpdateItem", "SignInsTable.Arn", "-"),
    ("kms:Decrypt", "Key.Arn", "table"),
    ("secretsmanager:DeleteSecret", SESSION_SECRETS, "-"),
    ("secretsmanager:GetSecretValue", SESSION_SECRETS, "-"),
    ("secretsmanager:PutSecretValue", SESSION_SECRETS, "-"),
    ("secretsmanager:GetSecretValue", "AriesClientSecretArn", "with a client secret"),
    ("kms:Decrypt", "Key.Arn", "secret, written"),
    ("kms:GenerateDataKey", "Key.Arn", "secret, written"),
    ("kms:Decrypt", "Key.Arn", "escrow"),
    ("kms:Encrypt", "Key.Arn", "escrow"),
}
PERMISSIONS = {
    "Authorize": {
        ("dynamodb:PutItem", "SignInsTable.Arn", "-"),
        ("kms:Decrypt", "Key.Arn", "table"),
    },
    "Callback": {
        ("dynamodb:GetItem", "SignInsTable.Arn", "-"),
        ("dynamodb:UpdateItem", "SignInsTable.Arn", "-"),
        ("kms:Decrypt", "Key.Arn", "table"),
        ("secretsmanager:CreateSecret", SESSION_SECRETS, "-"),
        ("secretsmanager:GetSecretValue", "AriesClientSecretArn", "standard dialect"),
        ("kms:Decrypt", "Key.Arn", "secret, written"),
        ("kms:GenerateDataKey", "Key.Arn", "secret, written"),
    },
    "Token": RENEW,
    "Refresh": RENEW,
    "Revoke": {
        ("dynamodb:GetItem", "SignInsTable.Arn", "-"),
        ("dynamodb:UpdateItem", "SignInsTable.Arn", "-"),
        ("kms:Decrypt", "Key.Arn", "table"),
        ("secretsmanager:DeleteSecret", SESSION_SECRETS, "-"),
        ("secretsmanager:GetSecretValue", SESSION_SECRETS, "-"),
        ("kms:Decrypt", "Key.Arn", "secret, read"),
        ("kms:Decrypt", "Key.Arn", "escrow"),
    },
    "Metadata": set(),
    "Cleanup": {
        ("dynamodb:DescribeStream", "SignInsTable.StreamArn", "-"),
        ("dynamodb:GetRecords", "SignInsTable.StreamArn", "-"),
        ("dynamodb:GetShardIterator", "SignInsTable.StreamArn", "-"),
        ("dynamodb:ListStreams", "${SignInsTable.Arn}/stream/*", "-"),
        ("kms:Decrypt", "Key.Arn", "stream"),
        ("secretsmanager:DeleteSecret", SESSION_SECRETS, "-"),
        ("sqs:SendMessage", "CleanupDeadLetterQueue.Arn", "-"),
    },
}
ENVIRONMENT = {
    "ISSUER": {"Fn::If": ["HasDomainName", "https://${DomainName}", "Issuer"]},
    "DOMAIN_NAME": "DomainName",
    "ARIES_CLIENT_ID": "AriesClientId",
    "ARIES_CLIENT_SECRET_ARN": "AriesClientSecretArn",
    "ARIES_AUTHORIZE_URL": "AriesAuthorizeUrl",
    "ARIES_TOKEN_URL": "AriesTokenUrl",
    "PROVIDER_DIALECT": "ProviderDialect",
    "APPS": "Apps",
    "SESSION_DAYS": "SessionDays",
    "REFRESH_GRACE_SECONDS": "RefreshGraceSeconds",
    "LATE_RETRY": "LateRetry",
    "TABLE_NAME": "SignInsTable",
    "SECRET_PREFIX": "${AWS::StackName}/session/",
    "KEY_ID": "Key.Arn",
    "AWS_ENDPOINT_URL": "AwsEndpointUrl",
    "POWERTOOLS_SERVICE_NAME": "aries-token-broker",
    "POWERTOOLS_METRICS_NAMESPACE": "AriesTokenBroker",
    "POWERTOOLS_LOG_LEVEL": "LogLevel",
}


@cache
def source() -> dict[str, Any]:
    """The template as it is written."""
    template: dict[str, Any] = yaml_parse(TEMPLATE.read_text())
    return template


@cache
def deployed() -> dict[str, Any]:
    """The template as CloudFormation gets it from SAM's transform."""
    validator = SamTemplateValidator(yaml_parse(TEMPLATE.read_text()), ManagedPolicyLoader(None), region="eu-west-1")
    template: dict[str, Any] = yaml_parse(validator.get_translated_template_if_valid())
    return template


def properties(logical_id: str) -> dict[str, Any]:
    found: dict[str, Any] = deployed()["Resources"][logical_id]["Properties"]
    return found


def of_type(name: str) -> dict[str, dict[str, Any]]:
    return {key: value for key, value in deployed()["Resources"].items() if value["Type"] == name}


def plain(value: Any) -> Any:
    """References as the names they refer to: {"Ref": "X"} as "X", {"Fn::GetAtt": ["X", "Arn"]} as "X.Arn"."""
    match value:
        case {"Ref": name}:
            return name
        case {"Fn::GetAtt": [name, attribute]}:
            return f"{name}.{attribute}"
        case {"Fn::Sub": str(text)}:
            return text
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case _:
            return value


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def permissions(statement: dict[str, Any]) -> set[tuple[str, str, str]]:
    condition = statement.get("Condition", {})
    if "Fn::If" in statement:
        name, statement, otherwise = statement["Fn::If"]
        assert otherwise == "AWS::NoValue"
        condition = {"if": name}
    assert set(statement) - {"Condition", "Sid"} == {"Effect", "Action", "Resource"}
    assert statement["Effect"] == "Allow"
    (label,) = (label for label, known in CONDITIONS.items() if known == condition)
    return {(action, statement["Resource"], label) for action in listed(statement["Action"])}


def role_permissions(name: str) -> list[tuple[str, str, str]]:
    (policy,) = properties(f"{name}Role")["Policies"]
    statements = plain(policy["PolicyDocument"]["Statement"])
    return [permission for statement in statements for permission in permissions(statement)]


class TestTheApi:
    def test_its_routes_are_these_and_each_has_throttling_of_its_own(self) -> None:
        routes = {
            ("ANY" if method == "x-amazon-apigateway-any-method" else method.upper()) + f" {path}": re.findall(
                r"\$\{(\w+)Function\.Arn\}", json.dumps(operation)
            )
            for path, operations in properties("Api")["Body"]["paths"].items()
            for method, operation in operations.items()
        }
        assert routes == {route: [function] for route, function in ROUTES.items()}
        settings = properties("ApiApiGatewayDefaultStage")["RouteSettings"]
        assert settings.keys() == ROUTES.keys()
        for throttling in (*settings.values(), properties("ApiApiGatewayDefaultStage")["DefaultRouteSettings"]):
            assert 0 < throttling["ThrottlingRateLimit"] <= throttling["ThrottlingBurstLimit"]

    def test_its_stage_has_no_path_so_that_the_issuer_is_a_bare_origin(self) -> None:
        assert properties("ApiApiGatewayDefaultStage")["StageName"] == "$default"

    def test_its_access_log_is_one_json_line_without_query_path_or_header(self) -> None:
        settings = properties("ApiApiGatewayDefaultStage")["AccessLogSettings"]
        assert plain(settings["DestinationArn"]) == "AccessLogGroup.Arn"
        logged = json.loads(settings["Format"])
        assert "\n" not in settings["Format"]
        assert set(logged.values()) <= {
            "$context.error.responseType",
            "$context.identity.sourceIp",
            "$context.integration.error",
            "$context.integration.latency",
            "$context.integration.requestId",
            "$context.integration.status",
            "$context.protocol",
            "$context.requestId",
            "$context.requestTimeEpoch",
            "$context.responseLatency",
            "$context.responseLength",
            "$context.routeKey",
            "$context.status",
        }

    def test_cors_is_left_to_the_functions(self) -> None:
        assert "CorsConfiguration" not in properties("Api")
        assert "x-amazon-apigateway-cors" not in properties("Api")["Body"]

    def test_with_a_domain_name_it_answers_under_no_other(self) -> None:
        (server,) = properties("Api")["Body"]["servers"]
        assert server["x-amazon-apigateway-endpoint-configuration"] == {
            "disableExecuteApiEndpoint": {"Fn::If": ["HasDomainName", True, False]}
        }
        for logical_id in ("ApiDomainName", "ApiMapping"):
            assert deployed()["Resources"][logical_id]["Condition"] == "HasDomainNameAndCertificate"
        assert plain(properties("ApiMapping")) == {
            "ApiId": "Api",
            "DomainName": "ApiDomainName",
            "Stage": "ApiApiGatewayDefaultStage",
        }

    def test_the_transformed_template_has_no_cycle(self) -> None:
        resources = deployed()["Resources"]
        needs = {
            key: {name for name in references(resource) if name in resources} for key, resource in resources.items()
        }
        while needs:
            free = {key for key, needed in needs.items() if not needed & needs.keys()}
            assert free, f"these need one another: {sorted(needs)}"
            needs = {key: needed for key, needed in needs.items() if key not in free}


def references(value: Any) -> set[str]:
    match value:
        case {"Ref": name}:
            return {name}
        case {"Fn::GetAtt": [name, *_]}:
            return {name}
        case {"Fn::Sub": str(text)}:
            return set(re.findall(r"\$\{(\w+)", text))
        case dict():
            return {name for item in value.values() for name in references(item)} | set(
                listed(value.get("DependsOn", []))
            )
        case list():
            return {name for item in value for name in references(item)}
        case _:
            return set()


class TestTheFunctions:
    def test_they_are_seven(self) -> None:
        assert of_type("AWS::Lambda::Function").keys() == {f"{name}Function" for name in FUNCTIONS}

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_each_has_its_own_role_its_own_log_group_tracing_and_both_layers(self, name: str) -> None:
        function = plain(properties(f"{name}Function"))
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == ["Architecture"]
        assert function["Role"] == f"{name}Role.Arn"
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert function["LoggingConfig"]["LogGroup"] == f"{name}LogGroup"
        assert [re.sub(r"[0-9a-f]{10}$", "", layer) for layer in function["Layers"]] == [
            "OauthBrokerLayer",
            "DependenciesLayer",
        ]

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_each_gets_every_variable_and_no_other(self, name: str) -> None:
        assert plain(properties(f"{name}Function")["Environment"]["Variables"]) == ENVIRONMENT

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_each_answers_before_its_caller_gives_up(self, name: str) -> None:
        timeout = properties(f"{name}Function")["Timeout"]
        assert timeout == 60 if name == "Cleanup" else timeout < 30

    def test_every_log_group_is_kept_for_the_time_asked(self) -> None:
        groups = of_type("AWS::Logs::LogGroup")
        assert groups.keys() == {*(f"{name}LogGroup" for name in FUNCTIONS), "AccessLogGroup"}
        assert {plain(group["Properties"]["RetentionInDays"]) for group in groups.values()} == {"LogRetentionDays"}

    def test_both_layers_serve_both_architectures(self) -> None:
        layers = of_type("AWS::Lambda::LayerVersion").values()
        assert len(layers) == 2
        for layer in layers:
            assert layer["Properties"]["CompatibleRuntimes"] == ["python3.13"]
            assert layer["Properties"]["CompatibleArchitectures"] == ["arm64", "x86_64"]

    def test_removed_rows_reach_cleanup_are_retried_one_by_one_and_end_in_the_queue(self) -> None:
        (mapping,) = of_type("AWS::Lambda::EventSourceMapping").values()
        trigger = plain(mapping["Properties"])
        assert trigger["FunctionName"] == "CleanupFunction"
        assert trigger["EventSourceArn"] == "SignInsTable.StreamArn"
        assert trigger["StartingPosition"] == "TRIM_HORIZON"
        assert [json.loads(entry["Pattern"]) for entry in trigger["FilterCriteria"]["Filters"]] == [
            {"eventName": ["REMOVE"]}
        ]
        assert trigger["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert trigger["DestinationConfig"] == {"OnFailure": {"Destination": "CleanupDeadLetterQueue.Arn"}}
        assert 0 < trigger["MaximumRetryAttempts"] <= 10_000
        # The stream keeps a record for a day.
        assert 0 < trigger["MaximumRecordAgeInSeconds"] < 86_400
        assert properties("CleanupDeadLetterQueue")["SqsManagedSseEnabled"] is True


class TestTheRoles:
    def test_there_is_one_a_function_and_no_managed_policy(self) -> None:
        roles = of_type("AWS::IAM::Role")
        assert roles.keys() == {f"{name}Role" for name in FUNCTIONS}
        for role in roles.values():
            assert "ManagedPolicyArns" not in role["Properties"]
            (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            assert statement == {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_each_allows_exactly_what_its_function_calls(self, name: str) -> None:
        common = {
            ("logs:CreateLogStream", f"{name}LogGroup.Arn", "-"),
            ("logs:PutLogEvents", f"{name}LogGroup.Arn", "-"),
            ("xray:PutTelemetryRecords", "*", "-"),
            ("xray:PutTraceSegments", "*", "-"),
        }
        allowed = role_permissions(name)
        assert len(allowed) == len(set(allowed))
        assert set(allowed) == PERMISSIONS[name] | common

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_only_x_ray_is_allowed_on_everything_and_no_action_is_a_pattern(self, name: str) -> None:
        for action, resource, _ in role_permissions(name):
            assert "*" not in action
            assert resource != "*" or action.startswith("xray:")

    def test_the_escrow_is_sealed_under_a_context_that_the_roles_allow(self) -> None:
        contexts: list[dict[str, str]] = []

        class Kms:
            def encrypt(self, **parameters: Any) -> dict[str, bytes]:
                contexts.append(parameters["EncryptionContext"])
                return {"CiphertextBlob": b"sealed"}

            def decrypt(self, **_: Any) -> dict[str, bytes]:
                raise AssertionError("nothing is opened here")

        Escrow(Kms, "key").seal("session", SessionSecret(Secret("k"), Secret("a" * 9000), None, 0, "scope"))
        allowed = CONDITIONS["escrow"]["ForAllValues:StringEquals"]["kms:EncryptionContextKeys"]
        assert contexts
        for context in contexts:
            assert context["purpose"] == "escrow"
            assert context["session_id"] == "session"
            assert context.keys() <= set(allowed)


class TestWhatIsKept:
    def test_the_table_is_as_designed(self) -> None:
        assert plain(properties("SignInsTable")) == {
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "session_id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "session_id", "KeyType": "HASH"}],
            "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
            "StreamSpecification": {"StreamViewType": "OLD_IMAGE"},
            "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": "Key.Arn"},
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            "DeletionProtectionEnabled": "DeletionProtection",
        }

    @pytest.mark.parametrize("logical_id", ["SignInsTable", "Key"])
    def test_the_table_and_its_key_outlive_the_stack(self, logical_id: str) -> None:
        resource = deployed()["Resources"][logical_id]
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"

    def test_the_key_rotates_and_leaves_the_decision_to_this_accounts_policies(self) -> None:
        key = plain(properties("Key"))
        assert key["EnableKeyRotation"] is True
        assert key["KeyPolicy"]["Statement"] == [
            {
                "Sid": "IamPoliciesOfThisAccountDecide",
                "Effect": "Allow",
                "Principal": {"AWS": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ]


class TestTheAlarms:
    def test_they_watch_what_needs_a_person_and_tell_the_topic_if_there_is_one(self) -> None:
        alarms = {key: plain(alarm["Properties"]) for key, alarm in of_type("AWS::CloudWatch::Alarm").items()}
        told = {"Fn::If": ["HasAlarmTopic", ["AlarmTopicArn"], "AWS::NoValue"]}
        assert {alarm["MetricName"] for alarm in alarms.values()} == {
            "ApproximateNumberOfMessagesVisible",
            "ReuseDetected",
            "ProviderMisconfigured",
            "RestoredFromBackup",
            "ProviderErrors",
        }
        for alarm in alarms.values():
            assert alarm["AlarmActions"] == told
            assert alarm["TreatMissingData"] == "notBreaching"
            if alarm["Namespace"] != "AWS/SQS":
                # As the functions emit them.
                assert alarm["Namespace"] == ENVIRONMENT["POWERTOOLS_METRICS_NAMESPACE"]
                service, *more = alarm["Dimensions"]
                assert service == {"Name": "service", "Value": ENVIRONMENT["POWERTOOLS_SERVICE_NAME"]}
                kinds = [{"Name": "kind", "Value": Outcome.UNKNOWN_ERROR.value}]
                assert more == (kinds if alarm["MetricName"] == "ProviderErrors" else [])


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


def test_the_stack_tells_the_issuer_the_redirect_uri_and_the_table() -> None:
    outputs = {name: plain(output["Value"]) for name, output in deployed()["Outputs"].items()}
    api = "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}"
    assert outputs == {
        "Issuer": {
            "Fn::If": ["HasDomainName", "https://${DomainName}", {"Fn::If": ["HasIssuer", "Issuer", api]}],
        },
        "RedirectUri": {
            "Fn::If": [
                "HasDomainName",
                "https://${DomainName}/oauth2/callback",
                {"Fn::If": ["HasIssuer", "${Issuer}/oauth2/callback", f"{api}/oauth2/callback"]},
            ],
        },
        "TableName": "SignInsTable",
        "DomainTarget": "ApiDomainName.RegionalDomainName",
    }
