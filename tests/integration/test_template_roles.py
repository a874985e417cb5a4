"""The permissions of every role and policy of the template match the table of docs/security.md."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

from oauth_broker.operator.account_limits import KMS_QUOTA
from oauth_broker.secret import Secret
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.seal import Purpose, Seal
from oauth_broker.sessions.session_secret import SessionSecret
from tests.support.functions import ROOT
from tests.support.row_attributes import WRITTEN
from tests.support.transformed import FUNCTIONS, SERVING, listed, of_type, plain, properties

PAGE = (ROOT / "docs" / "security.md").read_text()
SECTION = "What each function may do"
PERSON = "a person with `OperatorPolicy`"
CODE_DEPLOY = "CodeDeploy, with `GradualDeployment`"
SESSION_SECRETS = (
    "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:${AWS::StackName}/session/*"
)
# The table's words for resources. {name} stands for the name of the function.
RESOURCES: dict[str, list[str]] = {
    "its log group": ["{name}LogGroup.Arn"],
    "all resources": ["*"],
    "the table": ["SignInsTable.Arn"],
    "the table's index `by_reference`": ["${SignInsTable.Arn}/index/by_reference"],
    "the table's streams": ["${SignInsTable.Arn}/stream/*"],
    "the key": ["Key.Arn"],
    "the session secrets": [SESSION_SECRETS],
    "the Aries client secret": ["AriesClientSecretArn"],
    "the key of the subjects": ["SubjectKey.Id"],
    "the dead letter queue": ["CleanupDeadLetterQueue.Arn"],
    "the event bus": ["the bus of EventBus"],
    "the operator function": ["OperatorFunction.Arn"],
    "the stack": ["arn:${AWS::Partition}:cloudformation:${AWS::Region}:${AWS::AccountId}:stack/${AWS::StackName}/*"],
    "the functions of the API and their alias": [
        *(f"{name}Function.Arn" for name in SERVING),
        *(f"${{{name}Function.Arn}}:live" for name in SERVING),
    ],
    "KMS' quota of requests": [
        f"arn:${{AWS::Partition}}:servicequotas:${{AWS::Region}}:${{AWS::AccountId}}:kms/{KMS_QUOTA}"
    ],
    "the account's alarms in the region": ["arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:*"],
}
# China has another suffix.
VIA_DYNAMODB = {"kms:ViaService": "dynamodb.${AWS::Region}.${AWS::URLSuffix}"}
VIA_SECRETS_MANAGER = {"kms:ViaService": "secretsmanager.${AWS::Region}.${AWS::URLSuffix}"}
# The parameter gives the name of a bus in the account and the region of the stack.
BUS = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/EventBus"
# These have no resource (Service Authorization Reference).
NAMES_NO_RESOURCE = {"xray:PutTelemetryRecords", "xray:PutTraceSegments", "lambda:GetAccountSettings"}
# The keys of a seal's encryption context. A seal opens for its session, app and fence alone.
SEAL_KEYS = ["client_id", "fence", "part", "purpose", "session"]
SEALED = {
    "for a session in the row": "row",
    "for a session in the row or an escrow": ["escrow", "row"],
}
# DynamoDB lets a request name these attributes and no others.
ATTRIBUTES = {
    "attributes of a begun sign-in; rows of sign-ins": "Authorize",
    "attributes of a finished sign-in; rows of sign-ins": "Callback",
    "attributes of an ended session; rows of sign-ins": "Revoke",
}
# The names of the attributes of a person's item end with the id of an app.
PERSONS_ATTRIBUTES = "attributes of an ended session and of a person; rows of sign-ins and of people"
# The table's words for conditions, of a statement or of the stack.
CONDITIONS: dict[str, dict[str, Any]] = {
    "": {},
    "through DynamoDB, for the table": {
        "StringEquals": {**VIA_DYNAMODB, "kms:EncryptionContext:aws:dynamodb:tableName": "SignInsTable"}
    },
    "through DynamoDB": {"StringEquals": VIA_DYNAMODB},
    "through Secrets Manager, for a session secret or the trial before its creation": {
        "StringEquals": VIA_SECRETS_MANAGER,
        "StringLike": {"kms:EncryptionContext:SecretARN": [SESSION_SECRETS, "RequestToValidateKeyAccess"]},
    },
    "through Secrets Manager, for a session secret": {
        "StringEquals": VIA_SECRETS_MANAGER,
        "StringLike": {"kms:EncryptionContext:SecretARN": SESSION_SECRETS},
    },
    "items of people": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["person#*"]}},
    "all items but the operator's": {"ForAllValues:StringNotLike": {"dynamodb:LeadingKeys": ["sweep:*"]}},
    "all items but the operator's and people's": {
        "ForAllValues:StringNotLike": {"dynamodb:LeadingKeys": ["sweep:*", "person#*"]}
    },
    "through Secrets Manager, for the key of the subjects": {
        "StringEquals": {**VIA_SECRETS_MANAGER, "kms:EncryptionContext:SecretARN": "SubjectKey.Id"}
    },
    **{
        words: {
            "ForAllValues:StringNotLike": {"dynamodb:LeadingKeys": ["cut-offs", "sweep:*", "person#*"]},
            "ForAllValues:StringEquals": {"dynamodb:Attributes": WRITTEN[name]},
        }
        for words, name in ATTRIBUTES.items()
    },
    PERSONS_ATTRIBUTES: {
        "ForAllValues:StringNotLike": {"dynamodb:LeadingKeys": ["cut-offs", "sweep:*"]},
        "ForAllValues:StringLike": {"dynamodb:Attributes": WRITTEN["Sessions"]},
    },
    **{
        words: {
            "StringEquals": {"kms:EncryptionContext:purpose": purposes},
            "ForAllValues:StringEquals": {"kms:EncryptionContextKeys": SEAL_KEYS},
            "Null": {"kms:EncryptionContext:session": "false", "kms:EncryptionContext:fence": "false"},
        }
        for words, purposes in SEALED.items()
    },
    "if it exists": {"if": "HasClientSecret"},
    "if `EventBus` is given": {"if": "HasEventBus"},
    "if it exists and the dialect is `standard` or `standard-basic`": {"if": "CodeGrantSendsSecret"},
}
# (action, resource, condition in the table's words)
Permission = tuple[str, str, str]


def rows() -> list[list[str]]:
    """Return the table's rows, a list of cells each."""
    section = PAGE.split(f"\n## {SECTION}\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert cells[0] == ["role", "may", "on", "condition"]
    return cells[2:]


def promised() -> dict[str, list[Permission]]:
    """Return the permissions on the page, by role."""
    found: dict[str, list[Permission]] = defaultdict(list)
    for who, may, on, only in rows():
        assert only in CONDITIONS, only
        for name in named(who):
            for action in re.findall(r"`([^`]+)`", may):
                found[name] += [(action, resource.replace("{name}", name), only) for resource in RESOURCES[on]]
    return found


def named(who: str) -> Iterable[str]:
    if who in (PERSON, CODE_DEPLOY):
        return [who]
    return FUNCTIONS if who == "every function" else [name.title() for name in re.findall(r"`(\w+)`", who)]


def permissions(statement: dict[str, Any]) -> list[Permission]:
    condition = statement.get("Condition", {})
    if "Fn::If" in statement:
        name, statement, otherwise = statement["Fn::If"]
        assert otherwise == "AWS::NoValue"
        condition = {"if": name}
    assert set(statement) - {"Condition", "Sid"} == {"Effect", "Action", "Resource"}
    assert statement["Effect"] == "Allow"
    (words,) = (words for words, known in CONDITIONS.items() if known == condition)
    resource = "the bus of EventBus" if statement["Resource"] == BUS else statement["Resource"]
    return [(action, named, words) for action in listed(statement["Action"]) for named in listed(resource)]


def allowed() -> dict[str, list[Permission]]:
    """Return the permissions in the template, by role. CodeDeploy's role exists in a gradual deployment alone."""
    documents = {name: role_document(f"{name}Role") for name in FUNCTIONS}
    documents |= {
        PERSON: properties("OperatorPolicy")["PolicyDocument"],
        CODE_DEPLOY: role_document("DeploymentRole"),
    }
    return {
        who: [permission for statement in plain(document["Statement"]) for permission in permissions(statement)]
        for who, document in documents.items()
    }


def role_document(logical_id: str) -> dict[str, Any]:
    (policy,) = properties(logical_id)["Policies"]
    document: dict[str, Any] = policy["PolicyDocument"]
    return document


def everybody() -> list[str]:
    return [*FUNCTIONS, PERSON, CODE_DEPLOY]


@pytest.mark.parametrize("gradual", ["false", "true"])
def test_there_is_a_role_for_each_function_and_one_for_code_deploy_and_none_has_a_managed_policy(gradual: str) -> None:
    roles = of_type("AWS::IAM::Role", gradual)
    assert roles.keys() == {*(f"{name}Role" for name in FUNCTIONS), "DeploymentRole"}
    assert of_type("AWS::IAM::ManagedPolicy", gradual).keys() == {"OperatorPolicy"}
    assert not of_type("AWS::IAM::Policy", gradual)
    for name, role in roles.items():
        assert "ManagedPolicyArns" not in role["Properties"]
        service = "codedeploy" if name == "DeploymentRole" else "lambda"
        (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert statement == {
            "Effect": "Allow",
            "Principal": {"Service": f"{service}.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    assert roles["DeploymentRole"]["Condition"] == "DeploysGradually"
    assert roles["BackendRole"]["Condition"] == "HasBackendAccess"
    # The policy starts without any person.
    assert not properties("OperatorPolicy").keys() & {"Groups", "Roles", "Users"}


def test_the_page_names_everybody_and_nobody_else() -> None:
    assert promised().keys() == allowed().keys() == set(everybody())


@pytest.mark.parametrize("who", everybody())
def test_each_is_allowed_exactly_what_the_readme_says(who: str) -> None:
    assert len(allowed()[who]) == len(set(allowed()[who]))
    assert len(promised()[who]) == len(set(promised()[who]))
    assert sorted(allowed()[who]) == sorted(promised()[who])


@pytest.mark.parametrize("who", everybody())
def test_what_has_resources_to_name_is_not_allowed_on_everything_and_no_action_is_a_pattern(who: str) -> None:
    for action, resource, _ in allowed()[who]:
        assert "*" not in action
        assert resource != "*" or action in NAMES_NO_RESOURCE


def test_nobody_may_list_secrets_or_read_many_at_once_and_only_who_renews_tokens_reads_and_writes_them() -> None:
    actions = {who: {action for action, _, _ in found} for who, found in allowed().items()}
    for found in actions.values():
        assert not found & {"secretsmanager:ListSecrets", "secretsmanager:BatchGetSecretValue"}
    for who in ("Authorize", "Metadata", PERSON, CODE_DEPLOY):
        assert not any(action.startswith("secretsmanager:") for action in actions[who])
    reads = {who for who, found in allowed().items() if ("secretsmanager:GetSecretValue", SESSION_SECRETS, "") in found}
    assert reads == {"Token", "Refresh", "Revoke", "Sessions", "Backend"}


def test_whoever_is_on_call_needs_no_right_on_the_table_the_secrets_or_the_key() -> None:
    services = {action.partition(":")[0] for action, _, _ in allowed()[PERSON]}
    assert services == {"cloudformation", "lambda"}
    assert not any(action == "dynamodb:PutItem" for action, _, _ in allowed()["Operator"])


def test_callback_seals_and_opens_nothing_and_revoke_opens_and_seals_nothing() -> None:
    may = {
        who: {(action, words) for action, resource, words in found if resource == "Key.Arn" and words in SEALED}
        for who, found in allowed().items()
    }
    in_row, either = SEALED
    both = {("kms:Decrypt", either), ("kms:Encrypt", either)}
    assert {who: found for who, found in may.items() if found} == {
        "Callback": {("kms:Encrypt", in_row)},
        "Token": both,
        "Refresh": both,
        "Backend": both,
        "Revoke": {("kms:Decrypt", either)},
        "Sessions": {("kms:Decrypt", either)},
    }


@pytest.mark.parametrize("purpose", ["escrow", "row"])
def test_tokens_are_sealed_under_a_context_that_the_roles_allow(purpose: Purpose) -> None:
    contexts: list[dict[str, str]] = []

    class Kms:
        def encrypt(self, **parameters: Any) -> dict[str, bytes]:
            contexts.append(parameters["EncryptionContext"])
            return {"CiphertextBlob": b"sealed"}

        def decrypt(self, **_: Any) -> dict[str, bytes]:
            raise AssertionError("nothing is opened here")

    row = SignIn("session", "active", 0, client_id="app", fence=3)
    secret = SessionSecret(Secret("k"), "holder", Secret("a" * 9000), None, 0, "scope")
    Seal(Kms, "key").sealing(row, secret, purpose).sealed()
    assert contexts
    for context in contexts:
        assert context["purpose"] == purpose
        assert context.keys() == set(SEAL_KEYS)
