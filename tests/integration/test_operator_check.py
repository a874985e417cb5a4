"""The configuration check against a broker with all parts right, or one part wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from tests.local.aries import Fault
from tests.support.deployment import ARIES_CLIENT_SECRET, BACKEND_CLIENT_ID, CLIENT_ID, ISSUER, OTHER_CLIENT_ID
from tests.support.operator import assert_none_is_seen, audited, operate, secrets_of
from tests.support.world import World, own_client, running_world
from tests.unit.peer import Peer, answer, answering

NAMES = [
    "settings",
    "apps",
    "issuer",
    "table",
    "index",
    "dead_letters",
    "concurrency",
    "kms",
    "event_bus",
    "client_secret",
    "aries_authorize",
    "aries_token",
    "subject_key",
    "aries_user",
]


def check(world: World, **environment: str) -> dict[str, Any]:
    """Run the check in a process of its own. Return its answer with the checks by name."""
    queue: Any = boto3.Session().client("sqs")
    url = queue.create_queue(QueueName="dead-letters")["QueueUrl"]
    defaults = {"ARIES_AUTHORIZE_URL": world.aries.authorize_url, "DEAD_LETTER_QUEUE_URL": url}
    answer = operate(world, action="check", via=world.make_handler("operator", **defaults | environment))
    return answer | {"checks": {found["name"]: found for found in answer["checks"]}}


def wrong(answer: dict[str, Any]) -> list[str]:
    """Return the names of the failed checks."""
    assert list(answer["checks"]) == NAMES
    assert answer["ok"] is all(found["ok"] for found in answer["checks"].values())
    return [name for name, found in answer["checks"].items() if not found["ok"]]


def detail(answer: dict[str, Any], name: str) -> str:
    text: str = answer["checks"][name]["detail"]
    return text


def test_everything_is_looked_at_and_is_right(world: World) -> None:
    answer = check(world)
    assert wrong(answer) == []
    assert detail(answer, "apps") == (
        f"{CLIENT_ID} (5 redirect URIs), {OTHER_CLIENT_ID} (1 redirect URI), {BACKEND_CLIENT_ID} (1 redirect URI)"
    )
    assert detail(answer, "issuer").startswith(f"{ISSUER}; ")
    assert detail(answer, "issuer").endswith(f" {ISSUER}/oauth2/callback")
    assert detail(answer, "aries_authorize").startswith("answers with HTTP status 4")
    assert detail(answer, "aries_token").startswith("Aries answers, and accepts the client id and secret")
    assert detail(answer, "dead_letters") == "the queue is empty"
    assert detail(answer, "subject_key").startswith("can be read")
    assert detail(answer, "aries_user").startswith("answers, and refuses a request without an access token")
    assert [line["reason"] for line in audited(world)] == ["asked", "done"]


def test_it_changes_nothing_raises_no_alarm_and_shows_no_secret(world: World) -> None:
    phone = world.signed_in()
    rows = world.rows()
    world.telemetry.metrics.clear()
    answer = check(world)
    assert world.rows() == rows
    assert world.telemetry.metrics == [("OperatorActions", {"action": "check"})]
    assert_none_is_seen(world, secrets_of(world, [phone]), answer)
    assert phone.refresh().status == 200
    assert len(json.dumps(answer)) < 2500


def test_without_an_issuer_the_check_points_to_the_outputs(world: World) -> None:
    answer = check(world, ISSUER="")
    assert wrong(answer) == []
    assert "outputs" in detail(answer, "issuer")


def test_without_a_client_secret_it_is_said_what_that_means_and_aries_asked_otherwise(world: World) -> None:
    answer = check(world, ARIES_CLIENT_SECRET_ARN="")
    assert wrong(answer) == []
    assert "no app gets a refresh token" in detail(answer, "client_secret")
    assert world.token_requests()[-1]["grant_type"] == "code"
    assert "client_secret" not in world.token_requests()[-1]


def test_the_check_asks_aries_in_the_standard_dialect_too() -> None:
    with running_world(dialect="standard") as world:
        assert wrong(check(world)) == []
        assert world.token_requests()[-1]["grant_type"] == "refresh_token"


def test_an_account_that_may_run_hardly_anything_at_once_is_told_with_the_quota_to_ask_for(world: World) -> None:
    world.aws.concurrent_executions = 10
    answer = check(world)
    assert wrong(answer) == ["concurrency"]
    assert "may run 10 times at once" in detail(answer, "concurrency")
    assert "L-B99A9384" in detail(answer, "concurrency")
    with world.aws.failing("GetAccountSettings", "access_denied"):
        answer = check(world)
    assert wrong(answer) == ["concurrency"]
    assert detail(answer, "concurrency") == "lambda:AccessDeniedException"


def test_the_event_bus_must_exist_if_there_is_to_be_one(world: World) -> None:
    assert detail(check(world), "event_bus").startswith("no event bus is configured")
    answer = check(world, EVENT_BUS="sessions")
    assert wrong(answer) == ["event_bus"]
    assert detail(answer, "event_bus") == "events:ResourceNotFoundException"
    arn = own_client("events").create_event_bus(Name="sessions")["EventBusArn"]
    answer = check(world, EVENT_BUS="sessions")
    assert wrong(answer) == []
    assert detail(answer, "event_bus") == f"{arn} exists"
    with world.aws.failing("DescribeEventBus", "access_denied"):
        answer = check(world, EVENT_BUS="sessions")
    assert detail(answer, "event_bus") == "events:AccessDeniedException"
    assert world.aws.events == []


def test_kms_limit_matters_only_to_tokens_in_the_row(world: World) -> None:
    world.aws.kms_requests = 1000
    assert wrong(check(world)) == []
    answer = check(world, TOKEN_STORE="row")
    assert wrong(answer) == ["kms"]
    assert "KMS serves 1,000 operations a second" in detail(answer, "kms")
    assert "L-6E3AF000" in detail(answer, "kms")
    world.aws.kms_requests = 10_000
    answer = check(world, TOKEN_STORE="row")
    assert wrong(answer) == []
    assert "10,000 operations a second" in detail(answer, "kms")
    with world.aws.failing("GetServiceQuota", "access_denied"):
        answer = check(world, TOKEN_STORE="row")
    assert wrong(answer) == ["kms"]
    assert detail(answer, "kms") == "service-quotas:AccessDeniedException"


# One part is wrong, and the check still looks at all the others.


def nothing(world: World) -> None:
    pass


def another_client_secret(world: World) -> None:
    world.aries.core.set_client_secrets("another")


def no_client_secret(world: World) -> None:
    world.secretsmanager.delete_secret(
        SecretId=world.environment["ARIES_CLIENT_SECRET_ARN"], ForceDeleteWithoutRecovery=True
    )


def an_empty_client_secret(world: World) -> None:
    world.secretsmanager.put_secret_value(
        SecretId=world.environment["ARIES_CLIENT_SECRET_ARN"], SecretString='{"secret": "canary"}'
    )


def no_subject_key(world: World) -> None:
    world.secretsmanager.delete_secret(SecretId=world.environment["SUBJECT_KEY_ARN"], ForceDeleteWithoutRecovery=True)


def a_short_subject_key(world: World) -> None:
    world.secretsmanager.put_secret_value(SecretId=world.environment["SUBJECT_KEY_ARN"], SecretString="canary")


def no_table(world: World) -> None:
    world.dynamodb.delete_table(TableName="sign-ins")


@pytest.mark.parametrize(
    ("break_it", "environment", "expected", "words"),
    [
        (another_client_secret, {}, ["aries_token"], "refuses the client id or the client secret"),
        (nothing, {"ARIES_CLIENT_ID": "another"}, ["aries_token"], "invalid_client"),
        (no_client_secret, {}, ["client_secret", "aries_token"], "client_secret:ResourceNotFoundException"),
        (an_empty_client_secret, {}, ["client_secret", "aries_token"], "client_secret:malformed"),
        (no_subject_key, {}, ["subject_key"], "subject_key:ResourceNotFoundException"),
        (a_short_subject_key, {}, ["subject_key"], "subject_key:malformed"),
        (nothing, {"ARIES_USER_URL": "http://127.0.0.1:1/x"}, ["aries_user"], "cannot be reached"),
        (no_table, {}, ["table", "index"], "dynamodb:ResourceNotFoundException"),
        (nothing, {"TABLE_NAME": "another"}, ["table", "index"], "dynamodb:"),
        (nothing, {"DEAD_LETTER_QUEUE_URL": ""}, ["dead_letters"], "DEAD_LETTER_QUEUE_URL"),
        (nothing, {"DEAD_LETTER_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/1/no"}, ["dead_letters"], "sqs:"),
        (nothing, {"ARIES_AUTHORIZE_URL": "http://127.0.0.1:1/x"}, ["aries_authorize"], "cannot be reached"),
        (nothing, {"ARIES_TOKEN_URL": "http://127.0.0.1:1/x"}, ["aries_token"], "not_sent"),
        (nothing, {"PROVIDER_DIALECT": "standard"}, ["aries_token"], "does not know this answer"),
    ],
)
def test_what_is_wrong_is_told_and_the_rest_looked_at(
    world: World, break_it: Callable[[World], None], environment: dict[str, str], expected: list[str], words: str
) -> None:
    break_it(world)
    answer = check(world, **environment)
    assert wrong(answer) == expected
    for name in expected:
        assert detail(answer, name)
    assert words in detail(answer, expected[0])
    assert "canary" not in json.dumps(answer)
    assert audited(world)[-1]["reason"] == "not_ok"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("server_error"), "no readable answer"),
        (Fault("too_many_requests"), "asks for fewer requests"),
    ],
)
def test_an_aries_that_is_not_well_is_told(world: World, fault: Fault, words: str) -> None:
    world.aries.faults.append(fault)
    answer = check(world)
    assert wrong(answer) == ["aries_token"]
    assert words in detail(answer, "aries_token")


def test_an_authorize_url_with_a_mistyped_path_is_told(world: World) -> None:
    found = check(world, ARIES_AUTHORIZE_URL=f"{world.aries.authorize_url}d")
    assert wrong(found) == ["aries_authorize"]
    assert (
        detail(found, "aries_authorize") == "ARIES_AUTHORIZE_URL leads to no page (HTTP status 404): check the address"
    )


@pytest.mark.parametrize(
    ("status", "is_well"),
    [
        ("200 Fine", True),
        ("302 Elsewhere", True),
        ("400 Bad", True),
        ("403 No", True),
        ("404 Nowhere", False),
        ("410 Gone", False),
        ("499 Odd", True),
        ("500 Oh", False),
        ("503 Busy", False),
    ],
)
def test_an_authorize_url_that_fails_or_has_nothing_is_told_and_one_that_refuses_is_well(
    world: World, status: str, is_well: bool
) -> None:
    with Peer(answering(answer(b"", status))) as peer:
        found = check(world, ARIES_AUTHORIZE_URL=peer.url)
    assert wrong(found) == ([] if is_well else ["aries_authorize"])
    assert f"HTTP status {status[:3]}" in detail(found, "aries_authorize")


@pytest.mark.parametrize(
    ("status", "is_well"),
    [
        ("200 Fine", False),
        ("302 Elsewhere", False),
        ("401 Who", True),
        ("403 No", False),
        ("404 Nowhere", False),
        ("500 Oh", False),
        ("503 Busy", False),
    ],
)
def test_a_user_url_that_does_not_refuse_a_request_without_a_token_is_told(
    world: World, status: str, is_well: bool
) -> None:
    with Peer(answering(answer(b"", status))) as peer:
        found = check(world, ARIES_USER_URL=peer.url)
        assert [b"authorization" in request.lower() for request in peer.requests] == [False]
    assert wrong(found) == ([] if is_well else ["aries_user"])
    assert f"HTTP status {status[:3]}" in detail(found, "aries_user")


def test_a_deployment_that_asks_nobody_needs_neither_the_key_nor_the_user_url(world: World) -> None:
    no_subject_key(world)
    answer = check(world, ARIES_USER_URL="")
    assert wrong(answer) == []
    for name in ("subject_key", "aries_user"):
        assert "asks nobody whose session it is" in detail(answer, name)


def test_the_key_of_the_subjects_is_read_anew_and_not_a_kept_one(world: World) -> None:
    handler = world.make_handler("operator", ARIES_AUTHORIZE_URL=world.aries.authorize_url)
    operate(world, action="sessions", user="usr_1001", via=handler)
    no_subject_key(world)
    found = operate(world, action="check", via=handler)["checks"]
    assert [check["ok"] for check in found if check["name"] == "subject_key"] == [False]


def test_the_issuer_that_sign_ins_may_come_back_with_is_told(world: World) -> None:
    found = check(world, ARIES_ISSUER="https://kc.example/realms/x")
    assert detail(found, "aries_authorize").endswith(
        "the iss in the answer to a sign-in must be https://kc.example/realms/x"
    )


def test_after_a_rotation_the_new_secret_is_checked_and_not_a_kept_one(world: World) -> None:
    handler = world.make_handler("operator", ARIES_AUTHORIZE_URL=world.aries.authorize_url)

    def token_is_ok() -> bool:
        answer = operate(world, action="check", via=handler)
        (found,) = [found for found in answer["checks"] if found["name"] == "aries_token"]
        return bool(found["ok"])

    assert token_is_ok()
    world.aries.core.set_client_secrets("new-canary")
    assert not token_is_ok()
    world.secretsmanager.put_secret_value(
        SecretId=world.environment["ARIES_CLIENT_SECRET_ARN"], SecretString="new-canary"
    )
    assert token_is_ok()
    world.aries.core.set_client_secrets(ARIES_CLIENT_SECRET)
    assert not token_is_ok()
