"""The template after SAM's own transform: the API, the functions, the stored data, the outputs."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.parameters import evaluate
from tests.support.transformed import FUNCTIONS, SERVING, deployed, of_type, plain, properties, references, source

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
    "ANY /v1/oauth2/token": "Token",
    "ANY /oauth2/refresh": "Refresh",
    "ANY /oauth2/revoke": "Revoke",
    "ANY /oauth2/sessions": "Sessions",
    "ANY /oauth2/sessions/revoke": "Sessions",
    "POST /backend/{client_id}/token": "Backend",
    **{f"{method} {path}": "Metadata" for method in ("GET", "OPTIONS") for path in METADATA_PATHS},
}

ENVIRONMENT = {
    "ISSUER": {"Fn::If": ["HasDomainName", "https://${DomainName}", "Issuer"]},
    "DOMAIN_NAME": "DomainName",
    "ARIES_CLIENT_ID": "AriesClientId",
    "ARIES_CLIENT_SECRET_ARN": "AriesClientSecretArn",
    "ARIES_AUTHORIZE_URL": "AriesAuthorizeUrl",
    "ARIES_TOKEN_URL": "AriesTokenUrl",
    "ARIES_USER_URL": "AriesUserUrl",
    "ARIES_USER_ID_MEMBER": "AriesUserIdMember",
    "ARIES_ISSUER": "AriesIssuer",
    "PROVIDER_DIALECT": "ProviderDialect",
    "PASS_ON": "PassOn",
    "APPS": "Apps",
    "SESSION_DAYS": "SessionDays",
    "REFRESH_GRACE_SECONDS": "RefreshGraceSeconds",
    "LATE_RETRY": "LateRetry",
    # With a proxy of the owner in front, every request comes from the same few addresses.
    "SOURCE_LIMIT": {"Fn::If": ["HasIssuer", "0", "SourceLimit"]},
    "SIGN_IN_LIMIT": {"Fn::If": ["HasIssuer", "0", "SignInLimit"]},
    "SESSION_LIMIT": "SessionLimit",
    "TOKEN_STORE": "TokenStore",
    "EVENT_BUS": "EventBus",
    "TABLE_NAME": "SignInsTable",
    "SECRET_PREFIX": "${AWS::StackName}/session/",
    "KEY_ID": "Key.Arn",
    "SUBJECT_KEY_ARN": "SubjectKey.Id",
    "AWS_ENDPOINT_URL": "AwsEndpointUrl",
    "RES_OPTIONS": "timeout:1 attempts:2",
    "DEAD_LETTER_QUEUE_URL": "CleanupDeadLetterQueue",
    "POWERTOOLS_SERVICE_NAME": "AWS::StackName",
    "POWERTOOLS_METRICS_NAMESPACE": "AriesTokenBroker",
    "LOG_LEVEL": "LogLevel",
}
# Values of the configuration function in place of resources, because it runs before they exist.
NOT_MADE_YET = {
    "TABLE_NAME": "not-made-yet",
    "KEY_ID": "not-made-yet",
    "SUBJECT_KEY_ARN": "not-made-yet",
    "DEAD_LETTER_QUEUE_URL": "",
}


def in_store(value: object, store: str) -> int:
    """Return a number of the template for a value of TokenStore."""
    match value:
        case {"Fn::If": ["KeepsTokensInRow", int(in_row), int(in_secrets)]}:
            return in_row if store == "row" else in_secrets
    assert isinstance(value, int)
    return value


class TestTheApi:
    def test_its_routes_are_these_and_each_has_throttling_of_its_own(self) -> None:
        routes = {
            ("ANY" if method == "x-amazon-apigateway-any-method" else method.upper()) + f" {path}": re.findall(
                r"\$\{(\w+)FunctionAliaslive\}", json.dumps(operation)
            )
            for path, operations in properties("Api")["Body"]["paths"].items()
            for method, operation in operations.items()
        }
        assert routes == {route: [function] for route, function in ROUTES.items()}
        settings = properties("ApiApiGatewayDefaultStage")["RouteSettings"]
        assert settings.keys() == ROUTES.keys()
        default = properties("ApiApiGatewayDefaultStage")["DefaultRouteSettings"]
        for store in ("secrets", "row"):
            for throttling in (*settings.values(), default):
                rate, burst = (in_store(throttling[f"Throttling{kind}Limit"], store) for kind in ("Rate", "Burst"))
                assert 0 < rate <= burst

    def test_backends_have_a_rate_below_that_of_the_apps(self) -> None:
        settings = properties("ApiApiGatewayDefaultStage")["RouteSettings"]
        rates = settings["POST /backend/{client_id}/token"]["ThrottlingRateLimit"]
        assert [in_store(rates, store) for store in ("secrets", "row")] == [10, 100]
        assert in_store(rates, "row") < settings["ANY /oauth2/token"]["ThrottlingRateLimit"]

    def test_the_route_of_backends_asks_iam_and_no_other_does(self) -> None:
        body = properties("Api")["Body"]
        asks = {
            path: operation["security"]
            for path, operations in body["paths"].items()
            for operation in operations.values()
            if "security" in operation
        }
        assert asks == {"/backend/{client_id}/token": [{"AWS_IAM": []}]}
        (scheme,) = body["components"]["securitySchemes"].values()
        assert scheme["x-amazon-apigateway-authtype"] == "awsSigv4"
        assert "security" not in body

    def test_without_backend_access_nothing_of_it_is_there_but_its_log(self) -> None:
        template = deployed("true", "false")
        assert {name for name in template["Resources"] if "Backend" in name} == {"BackendLogGroup", "BackendsQuery"}
        assert not [name for name in template["Outputs"] if "Backend" in name]
        assert not [path for path in properties("Api", "false", "false")["Body"]["paths"] if "backend" in path]
        assert not [
            route
            for route in properties("ApiApiGatewayDefaultStage", "false", "false")["RouteSettings"]
            if "backend" in route
        ]
        known = {*template["Resources"], *template["Parameters"]}
        named = {name for name in references([template["Resources"], template["Outputs"]]) if "::" not in name}
        assert named <= known

    def test_only_a_deployment_that_says_true_has_backend_access(self) -> None:
        condition = source()["Conditions"]["HasBackendAccess"]
        assert source()["Parameters"]["BackendAccess"]["Default"] == "false"
        assert evaluate(condition, {"BackendAccess": "true"})
        assert not evaluate(condition, {"BackendAccess": "false"})

    def test_its_stage_has_no_path_so_that_the_issuer_is_a_bare_origin(self) -> None:
        assert properties("ApiApiGatewayDefaultStage")["StageName"] == "$default"

    def test_its_access_log_is_one_json_line_without_query_path_or_header(self) -> None:
        settings = properties("ApiApiGatewayDefaultStage")["AccessLogSettings"]
        assert plain(settings["DestinationArn"]) == "AccessLogGroup.Arn"
        logged = json.loads(plain(settings["Format"]))
        assert "\n" not in plain(settings["Format"])
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
            "${AWS::StackName}",
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


class TestTheFunctions:
    def test_they_are_ten(self) -> None:
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
        own = NOT_MADE_YET if name == "Configuration" else {}
        assert plain(properties(f"{name}Function")["Environment"]["Variables"]) == ENVIRONMENT | own

    @pytest.mark.parametrize("name", FUNCTIONS)
    def test_each_answers_before_its_caller_gives_up(self, name: str) -> None:
        timeout = properties(f"{name}Function")["Timeout"]
        assert (
            timeout < 30 if name in SERVING else timeout == {"Cleanup": 60, "Operator": 900, "Configuration": 60}[name]
        )

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
        # tests/integration/test_removed_rows.py says which rows pass.
        patterns = [json.loads(entry["Pattern"]) for entry in trigger["FilterCriteria"]["Filters"]]
        assert {json.dumps(pattern["eventName"]) for pattern in patterns} == {'["REMOVE"]'}
        # Lambda's own limit is 4,096 characters.
        assert all(len(entry["Pattern"]) < 1_000 for entry in trigger["FilterCriteria"]["Filters"])
        assert trigger["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert trigger["DestinationConfig"] == {"OnFailure": {"Destination": "CleanupDeadLetterQueue.Arn"}}
        assert 0 < trigger["MaximumRetryAttempts"] <= 10_000
        # The stream keeps a record for a day.
        assert 0 < trigger["MaximumRecordAgeInSeconds"] < 86_400
        assert properties("CleanupDeadLetterQueue")["SqsManagedSseEnabled"] is True


class TestWhatIsKept:
    def test_the_table_is_as_designed(self) -> None:
        assert plain(properties("SignInsTable")) == {
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                {"AttributeName": "session_id", "AttributeType": "S"},
                {"AttributeName": "reference", "AttributeType": "S"},
            ],
            "KeySchema": [{"AttributeName": "session_id", "KeyType": "HASH"}],
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": "by_reference",
                    "KeySchema": [{"AttributeName": "reference", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
            "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
            "StreamSpecification": {"StreamViewType": "OLD_IMAGE"},
            "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": "Key.Arn"},
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
            "DeletionProtectionEnabled": "DeletionProtection",
            "WarmThroughput": {"Fn::If": ["PreparesTable", {"WriteUnitsPerSecond": "WarmThroughput"}, "AWS::NoValue"]},
        }

    @pytest.mark.parametrize(("value", "prepares"), [("", False), ("0", False), ("4000", True), ("40000", True)])
    def test_the_table_is_prepared_for_a_peak_only_if_a_value_says_so(self, value: str, prepares: bool) -> None:
        assert evaluate(source()["Conditions"]["PreparesTable"], {"WarmThroughput": value}) is prepares

    def test_there_is_no_other_store_than_the_table_the_queue_and_the_logs_and_the_first_two_are_encrypted(
        self,
    ) -> None:
        stores = {"AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Logs::LogGroup"}
        others = {resource["Type"] for resource in deployed()["Resources"].values()} - stores
        services = {kind.split("::")[1] for kind in others}
        assert not services & {"S3", "SNS", "RDS", "ElastiCache", "EFS", "Kinesis", "KinesisFirehose", "SSM"}
        (table,) = of_type("AWS::DynamoDB::Table").values()
        (queue,) = of_type("AWS::SQS::Queue").values()
        assert table["Properties"]["SSESpecification"]["SSEType"] == "KMS"
        assert queue["Properties"]["SqsManagedSseEnabled"] is True

    @pytest.mark.parametrize("logical_id", ["SignInsTable", "Key"])
    def test_the_table_and_its_key_outlive_the_stack(self, logical_id: str) -> None:
        resource = deployed()["Resources"][logical_id]
        assert resource["DeletionPolicy"].startswith("Retain")
        assert resource["UpdateReplacePolicy"] == "Retain"

    def test_a_stack_that_cannot_be_created_leaves_no_key_and_its_rollback_does_not_fail_at_the_protected_table(
        self,
    ) -> None:
        resources = deployed()["Resources"]
        assert resources["Key"]["DeletionPolicy"] == "RetainExceptOnCreate"
        assert plain(properties("SignInsTable")["DeletionProtectionEnabled"]) == "DeletionProtection"
        assert resources["SignInsTable"]["DeletionPolicy"] == "Retain"

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


def test_no_name_of_a_service_ends_in_the_suffix_of_one_partition_alone() -> None:
    """In China names end in amazonaws.com.cn. The trust policy of a role uses the short form everywhere."""
    named = set(re.findall(r"[\w.${}:]+\.amazonaws\.com[\w.]*", json.dumps(deployed("true"))))
    assert named == {
        "lambda.amazonaws.com",
        "codedeploy.amazonaws.com",
        "cloudwatch.amazonaws.com",
        "apigateway.amazonaws.com",
    }


def test_the_stack_tells_what_apps_aries_and_people_on_call_need_to_know() -> None:
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
        "OperatorPolicyArn": "OperatorPolicy",
        "BackendTokenUrl": {
            "Fn::If": [
                "HasDomainName",
                "https://${DomainName}/backend/CLIENT_ID/token",
                f"{api}/backend/CLIENT_ID/token",
            ],
        },
        "BackendPolicy": (
            '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": '
            '"arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/$default/POST/backend/CLIENT_ID/'
            'token"}]}'
        ),
        "DashboardName": "Dashboard",
        "DomainHostedZoneId": "ApiDomainName.RegionalHostedZoneId",
        "DomainTarget": "ApiDomainName.RegionalDomainName",
    }
