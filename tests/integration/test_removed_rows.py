"""The end of a row is followed by the end of its secret: the real handler behind the template's event source mapping.

The rows expire in moto. The test reads moto's stream as Lambda does, with the batches, retries and limits of the
template.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oauth_broker.oauth.tokens import secret_name
from oauth_broker.operator.dead_letters import Redriven
from oauth_broker.sessions.table import ENDED_ROW_SECONDS, SIGN_IN_SECONDS
from tests.support.aws_calls import FAILURES
from tests.support.deployment import PREFIX
from tests.support.lambda_context import Context
from tests.support.long import long_but
from tests.support.operator import EVERYONE, operate
from tests.support.removals import Removals, add_stream, template_trigger
from tests.support.stages import is_signed_out
from tests.support.world import Phone, World, own_client, running_world

DAY = 24 * 60 * 60
SESSION = 30 * DAY


@pytest.fixture
def removals(world: World) -> Removals:
    return Removals(world)


def never_comes_back(world: World) -> Phone:
    phone = world.phone()
    phone.authorize()
    return phone


def is_not_redeemed(world: World) -> Phone:
    phone = world.phone()
    phone.code()
    return phone


def is_declined(world: World) -> Phone:
    phone = world.phone()
    state = phone.authorize().query["state"]
    phone.callback(f"error=access_denied&state={state}")
    return phone


def brings_a_code_that_aries_does_not_know(world: World) -> Phone:
    phone = world.phone()
    state = phone.authorize().query["state"]
    assert phone.callback(f"code=made-up&state={state}").query["error"]
    return phone


def dies(operation: str) -> Callable[[World], Phone]:
    def dies_in_the_callback(world: World) -> Phone:
        phone = world.phone()
        returning = phone.approve(phone.authorize())
        with world.aws.dying_after(operation):
            phone.callback(returning)
        return phone

    return dies_in_the_callback


def cannot_be_recorded(world: World) -> Phone:
    phone = world.phone()
    returning = phone.approve(phone.authorize())
    with world.aws.failing_from("CreateSecret", "UpdateItem", "server_error"):
        phone.callback(returning)
    return phone


def dies_when_redeemed(world: World) -> Phone:
    phone = world.phone()
    code = phone.code()
    with world.aws.dying_after("UpdateItem"):
        phone.redeem(code)
    return phone


def is_left_alone(world: World) -> Phone:
    return world.signed_in()


def is_refreshed(world: World) -> Phone:
    phone = world.signed_in()
    for _ in range(3):
        world.clock.sleep(2000)
        assert phone.refresh().status == 200
    return phone


def dies_when_refreshed(world: World) -> Phone:
    phone = world.signed_in()
    world.clock.sleep(2000)
    with world.aws.dying_after("PutSecretValue"):
        phone.refresh()
    return phone


def is_signed_out_while_secrets_cannot_be_deleted(world: World) -> Phone:
    phone = world.signed_in()
    with world.aws.failing("DeleteSecret", "server_error"):
        phone.revoke()
    assert phone.row()["status"] == "revoked"
    return phone


def is_ended_for_reuse_while_secrets_cannot_be_deleted(world: World) -> Phone:
    phone = world.phone()
    code = phone.code()
    phone.redeem(code)
    with world.aws.failing("DeleteSecret", "throttled"):
        phone.redeem(code)
    assert phone.row()["status"] == "dead"
    return phone


# Each end of a sign-in or a session, the number of secrets left, and the seconds until its row is gone.
ENDS: list[tuple[Callable[[World], Phone], int, int]] = [
    (never_comes_back, 0, SIGN_IN_SECONDS),
    (is_declined, 0, DAY),
    (brings_a_code_that_aries_does_not_know, 0, SIGN_IN_SECONDS),
    (is_not_redeemed, 1, SIGN_IN_SECONDS),
    (dies("CreateSecret"), 1, SIGN_IN_SECONDS),
    (dies("UpdateItem"), 0, SIGN_IN_SECONDS),
    (cannot_be_recorded, 1, SIGN_IN_SECONDS),
    (dies_when_redeemed, 1, SESSION),
    (is_left_alone, 1, SESSION),
    (is_refreshed, 1, SESSION),
    (dies_when_refreshed, 1, SESSION),
    (is_signed_out, 0, ENDED_ROW_SECONDS),
    (is_signed_out_while_secrets_cannot_be_deleted, 1, ENDED_ROW_SECONDS),
    (is_ended_for_reuse_while_secrets_cannot_be_deleted, 1, ENDED_ROW_SECONDS),
]
# These never call cleanup, because anybody can make as many of them as they like.
WITHOUT_A_SECRET = [never_comes_back, is_declined, brings_a_code_that_aries_does_not_know]


@pytest.mark.parametrize(("ends", "secrets", "seconds"), ENDS, ids=lambda value: getattr(value, "__name__", None))
def test_no_end_of_a_sign_in_or_a_session_leaves_a_secret_behind(
    world: World, removals: Removals, ends: Callable[[World], Phone], secrets: int, seconds: int
) -> None:
    phone = ends(world)
    assert len(world.session_secrets()) == secrets
    removals.deliver()
    assert removals.calls == []
    removals.expire(seconds + 60)
    assert world.row(phone.session_id) is None
    removals.deliver()
    assert removals.calls == ([] if ends in WITHOUT_A_SECRET else [[phone.session_id]])
    assert world.session_secrets() == []
    assert removals.letters() == []


def dies_when_refreshed_in_the_row(world: World) -> Phone:
    phone = world.signed_in()
    world.clock.sleep(2000)
    with world.aws.dying_after("Encrypt"):
        phone.refresh()
    return phone


def is_ended_for_reuse(world: World) -> Phone:
    phone = world.phone()
    code = phone.code()
    phone.redeem(code)
    phone.redeem(code)
    assert phone.row()["status"] == "dead"
    return phone


def is_ended_by_a_mass_sign_out(world: World) -> Phone:
    phone = world.signed_in()
    assert operate(world, **EVERYONE)["finished"] is True
    assert phone.row()["status"] == "revoked"
    return phone


# The ends of a session that keeps its tokens in the row.
ENDS_IN_ROW: list[tuple[Callable[[World], Phone], int]] = [
    (never_comes_back, SIGN_IN_SECONDS),
    (is_declined, DAY),
    (brings_a_code_that_aries_does_not_know, SIGN_IN_SECONDS),
    (is_not_redeemed, SIGN_IN_SECONDS),
    (dies_when_redeemed, SESSION),
    (is_left_alone, SESSION),
    (is_refreshed, SESSION),
    (dies_when_refreshed_in_the_row, SESSION),
    (is_signed_out, ENDED_ROW_SECONDS),
    (is_ended_for_reuse, ENDED_ROW_SECONDS),
    (is_ended_by_a_mass_sign_out, ENDED_ROW_SECONDS),
]


@pytest.mark.parametrize(("ends", "seconds"), ENDS_IN_ROW, ids=lambda value: getattr(value, "__name__", None))
def test_no_end_of_a_session_in_the_row_calls_cleanup_or_deletes_a_secret(
    ends: Callable[[World], Phone], seconds: int
) -> None:
    with running_world(TOKEN_STORE="row") as world:
        removals = Removals(world)
        phone = ends(world)
        removals.expire(seconds + 60)
        assert world.row(phone.session_id) is None
        removals.deliver()
        assert removals.calls == []
        assert "secrets-manager:DeleteSecret" not in world.aws.made


def test_without_old_images_cleanup_is_called_for_a_session_in_the_row_and_finds_nothing_to_delete(
    world: World,
) -> None:
    """A restored table may get such a stream by mistake, and a record then tells the key alone."""
    world.environment |= {"TOKEN_STORE": "row"}
    phone = is_signed_out(world)
    keys = {"session_id": {"S": phone.session_id}}
    record = {"eventName": "REMOVE", "dynamodb": {"Keys": keys, "SequenceNumber": "1"}}
    answer = world.handler("cleanup")({"Records": [record]}, Context(now=world.clock.now))
    assert answer == {"batchItemFailures": []}
    assert world.aws.made[-1] == "secrets-manager:DeleteSecret"


@pytest.mark.parametrize("begins", long_but(WITHOUT_A_SECRET[:1], WITHOUT_A_SECRET), ids=lambda value: value.__name__)
def test_a_flood_of_sign_ins_that_come_to_nothing_never_calls_cleanup_and_holds_up_no_deletion(
    world: World, removals: Removals, begins: Callable[[World], Phone]
) -> None:
    phone = is_signed_out_while_secrets_cannot_be_deleted(world)
    for _ in range(150):
        begins(world)
    world.aws.made.clear()
    removals.expire(DAY + 60)
    assert world.rows() == []
    removals.deliver()
    assert removals.calls == [[phone.session_id]]
    assert world.aws.made == ["secrets-manager:DeleteSecret"]


def test_a_sign_in_that_failed_after_its_secret_was_asked_for_counts_as_one_that_has_it(
    world: World, removals: Removals
) -> None:
    phone = world.phone()
    returning = phone.approve(phone.authorize())
    with world.aws.failing("CreateSecret", "timed_out_though_applied"):
        phone.callback(returning)
    assert phone.row()["status"] == "failed"
    assert len(world.session_secrets()) == 1
    removals.expire(SIGN_IN_SECONDS + 60)
    removals.deliver()
    assert removals.calls == [[phone.session_id]]
    assert world.session_secrets() == []


def test_a_row_that_failed_under_the_release_before_counts_as_one_that_may_have_a_secret(
    world: World, removals: Removals
) -> None:
    phone = is_declined(world)
    world.dynamodb.update_item(
        TableName="sign-ins",
        Key={"session_id": {"S": phone.session_id}},
        UpdateExpression="REMOVE token_store",
    )
    removals.expire(SIGN_IN_SECONDS + 60)
    removals.deliver()
    assert removals.calls == [[phone.session_id]]


def test_a_session_that_lives_keeps_its_secret_whatever_ends_beside_it(world: World, removals: Removals) -> None:
    living = world.signed_in()
    is_not_redeemed(world)
    removals.expire(SIGN_IN_SECONDS + 60)
    removals.deliver()
    assert world.session_secrets() == [secret_name(PREFIX, living.session_id)]
    world.clock.sleep(2000)
    assert living.refresh().status == 200


def expired(world: World, removals: Removals, count: int) -> list[str]:
    """Sign in ``count`` times, and remove the rows. Return the sessions in the order of the stream."""
    sessions = [world.signed_in().session_id for _ in range(count)]
    living = {row["session_id"]["S"] for row in world.rows()} - set(sessions)
    assert not living
    for session_id in sessions:
        world.dynamodb.delete_item(TableName="sign-ins", Key={"session_id": {"S": session_id}})
    return sessions


def poison(world: World, session_id: str) -> None:
    """Give a secret a replica: Secrets Manager then refuses to delete the secret."""
    world.secretsmanager.replicate_secret_to_regions(
        SecretId=secret_name(PREFIX, session_id), AddReplicaRegions=[{"Region": "eu-central-1"}]
    )


def cure(world: World, session_id: str) -> None:
    world.secretsmanager.remove_regions_from_replication(
        SecretId=secret_name(PREFIX, session_id), RemoveReplicaRegions=["eu-central-1"]
    )


@pytest.mark.parametrize("poisoned", [0, 1, 4])
def test_a_secret_that_cannot_be_deleted_ends_among_the_dead_letters_and_holds_up_no_other(
    world: World, poisoned: int
) -> None:
    removals = Removals(world, batch_size=3, most_retries=2)
    sessions = expired(world, removals, 5)
    poison(world, sessions[poisoned])
    removals.deliver(10)
    assert world.session_secrets() == [secret_name(PREFIX, sessions[poisoned])]
    # Alone in its batch it has its first try and its two retries.
    assert removals.calls.count([sessions[poisoned]]) == 3
    (letter,) = removals.letters()
    assert letter["DDBStreamBatchInfo"]["batchSize"] == 1
    assert letter["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert letter["requestContext"]["approximateInvokeCount"] == 3


def test_those_behind_it_in_its_batch_are_deleted_at_its_first_try(world: World) -> None:
    removals = Removals(world)
    sessions = expired(world, removals, 5)
    poison(world, sessions[0])
    removals.deliver()
    assert removals.calls == [sessions]
    assert world.session_secrets() == [secret_name(PREFIX, sessions[0])]


def test_without_bisecting_a_dead_letter_is_about_more_and_a_redrive_does_all_of_it(world: World) -> None:
    removals = Removals(world, bisects=False, most_retries=1)
    sessions = expired(world, removals, 4)
    poison(world, sessions[1])
    removals.deliver(5)
    (letter,) = removals.letters()
    assert letter["DDBStreamBatchInfo"]["batchSize"] == 3
    assert world.session_secrets() == [secret_name(PREFIX, sessions[1])]
    cure(world, sessions[1])
    assert removals.redrive(1) == Redriven(redriven=1, secrets_deleted=3)
    assert world.session_secrets() == []
    assert removals.letters() == []


class TwoShards:
    """Two tables' streams as two shards of one stream, because moto's streams have one shard each."""

    def __init__(self, *stream_arns: str) -> None:
        self._client: Any = own_client("dynamodbstreams")
        self._arns = {f"shard-{number}": arn for number, arn in enumerate(stream_arns)}

    def describe_stream(self, **_: Any) -> dict[str, Any]:
        return {"StreamDescription": {"Shards": [{"ShardId": shard_id} for shard_id in self._arns]}}

    def get_shard_iterator(self, **parameters: Any) -> Any:
        arn = self._arns[parameters["ShardId"]]
        (shard,) = self._client.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        return self._client.get_shard_iterator(**parameters | {"StreamArn": arn, "ShardId": shard["ShardId"]})

    def get_records(self, **parameters: Any) -> Any:
        return self._client.get_records(**parameters)


def test_a_shard_that_is_held_up_holds_up_no_other(world: World) -> None:
    key: dict[str, Any] = {"AttributeName": "session_id"}
    world.dynamodb.create_table(
        TableName="second",
        KeySchema=[key | {"KeyType": "HASH"}],
        AttributeDefinitions=[key | {"AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    streams = TwoShards(add_stream(world.dynamodb, "sign-ins"), add_stream(world.dynamodb, "second"))
    removals = Removals(world, streams, batch_size=1)
    held_up, behind = expired(world, removals, 2)
    elsewhere = world.signed_in().session_id
    poison(world, held_up)
    row = {"session_id": {"S": elsewhere}}
    world.dynamodb.put_item(TableName="second", Item=row | {"status": {"S": "active"}})
    world.dynamodb.delete_item(TableName="second", Key=row)
    removals.deliver()
    assert sorted(world.session_secrets()) == sorted(secret_name(PREFIX, name) for name in (held_up, behind))


def test_a_right_that_is_missing_holds_up_no_row_and_is_counted(world: World, removals: Removals) -> None:
    """Secrets Manager may give this answer for an absent name, and every row without a secret has one."""
    expired(world, removals, 4)
    with world.aws.failing("DeleteSecret", "access_denied"):
        removals.deliver()
    assert removals.letters() == []
    assert world.telemetry.metrics.count(("SecretAccessDenied", {})) == 4
    made = len(world.aws.made)
    removals.deliver(5)
    assert len(world.aws.made) == made


@pytest.mark.parametrize(
    "kind", long_but(["throttled", "unreachable"], [kind for kind in FAILURES if kind != "access_denied"])
)
def test_an_outage_of_secrets_manager_is_waited_out_and_nothing_is_lost(
    world: World, removals: Removals, kind: str
) -> None:
    expired(world, removals, 4)
    with world.aws.failing("DeleteSecret", kind):
        removals.deliver(20)
        # The last kind takes effect without an answer.
        assert len(world.session_secrets()) == (0 if kind == "timed_out_though_applied" else 4)
    # The rate stays low: less than a call in 1.3 seconds, for about 20 minutes.
    assert len(removals.calls) == 20
    assert world.aws.made.count("secrets-manager:DeleteSecret") < 20 * 60 / 1.3
    removals.deliver(20)
    assert world.session_secrets() == []
    assert removals.letters() == []


def test_the_retries_of_the_template_last_for_the_six_hours_that_it_gives_them(
    world: World, removals: Removals
) -> None:
    expired(world, removals, 1)
    before, rounds = world.clock.now(), 20
    with world.aws.failing("DeleteSecret", "server_error"):
        removals.deliver(rounds)
    assert len(removals.calls) == rounds
    one = (world.clock.now() - before) / rounds
    assert 0.95 < one * template_trigger().most_retries / template_trigger().most_age < 1.1
    assert removals.letters() == []
    removals.deliver()
    assert world.session_secrets() == []


def test_the_dead_letters_of_an_outage_are_redriven(world: World) -> None:
    removals = Removals(world, batch_size=2, most_retries=1)
    sessions = expired(world, removals, 5)
    living = world.signed_in()
    world.clock.sleep(2000)
    living.refresh()
    with world.aws.failing("DeleteSecret", "unreachable"):
        removals.deliver(20)
    assert len(removals.letters()) == 5
    redriven = removals.redrive(5)
    assert (redriven.redriven, redriven.secrets_deleted, redriven.secrets_not_deleted) == (5, 5, 0)
    assert removals.letters() == []
    assert world.session_secrets() == [secret_name(PREFIX, living.session_id)]
    assert living.session_id not in sessions


@pytest.mark.long
def test_a_redrive_during_the_outage_keeps_the_letters(world: World) -> None:
    removals = Removals(world, most_retries=0)
    expired(world, removals, 2)
    with world.aws.failing("DeleteSecret", "throttled"):
        removals.deliver(5)
        redriven = removals.redrive(2)
    assert (redriven.kept, redriven.secrets_not_deleted) == (2, 2)
    assert removals.redrive(2).redriven == 0, "hidden for a minute"


@pytest.mark.parametrize("crashing", [0, 3, 6])
def test_a_crash_bisects_its_batch_and_sends_its_record_to_the_dead_letters(world: World, crashing: int) -> None:
    removals = Removals(world, most_retries=1)
    sessions = expired(world, removals, 7)
    removals.crashing_on.add(sessions[crashing])
    removals.deliver(10)
    assert world.session_secrets() == [secret_name(PREFIX, sessions[crashing])]
    sizes = [len(call) for call in removals.calls if sessions[crashing] in call]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-2:] == [1, 1]
    (letter,) = removals.letters()
    assert letter["responseContext"]["functionError"] == "Unhandled"
    assert letter["DDBStreamBatchInfo"]["batchSize"] == 1
    removals.crashing_on.clear()
    assert removals.redrive(1).redriven == 1
    assert world.session_secrets() == []


def test_records_that_grew_too_old_are_given_up_and_younger_ones_are_not(world: World) -> None:
    removals = Removals(world, most_retries=-1)
    limit = template_trigger().most_age
    old = expired(world, removals, 2)
    with world.aws.failing("DeleteSecret", "server_error"):
        removals.deliver(3)
        removals.age(limit + 1)
        removals.deliver()
    letters = removals.letters()
    assert {letter["requestContext"]["condition"] for letter in letters} == {"RecordAgeExceeded"}
    assert sum(letter["DDBStreamBatchInfo"]["batchSize"] for letter in letters) == 2
    assert len(world.session_secrets()) == len(old)
    # The stream keeps these records for the rest of the day.
    assert 24 * 3600 - limit > 12 * 3600
    assert removals.redrive(len(letters)).kept == 0
    assert world.session_secrets() == []


def test_the_control_items_of_the_table_may_be_removed_and_call_nothing(world: World, removals: Removals) -> None:
    living = world.signed_in()
    for key in ("cut-offs", "sweep:everyone", "sweep:client:trader-ios", "sweep:count"):
        item = {"session_id": {"S": key}}
        world.dynamodb.put_item(TableName="sign-ins", Item=item)
        world.dynamodb.delete_item(TableName="sign-ins", Key=item)
    removals.deliver(3)
    assert removals.calls == []
    assert removals.letters() == []
    assert world.session_secrets() == [secret_name(PREFIX, living.session_id)]
