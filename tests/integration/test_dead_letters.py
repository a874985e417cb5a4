"""A redrive with the broker's own clients, against moto."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from oauth_broker.oauth.tokens import secret_name
from oauth_broker.operations.cleanup import Cleanup
from oauth_broker.operator.dead_letters import DeadLetters, Redriven
from oauth_broker.runtime import aws
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.secret_store import SecretsManagerStore
from tests.support.clock import VirtualClock
from tests.support.lambda_context import Context
from tests.support.telemetry import Recorded

PREFIX = "stack/session/"
TABLE = "sign-ins"


class Account:
    """A table with a stream, the secrets of its rows, and the queue of dead letters."""

    def __init__(self) -> None:
        self.dynamodb: Any = boto3.client("dynamodb")
        self.secretsmanager: Any = boto3.client("secretsmanager")
        self.sqs: Any = boto3.client("sqs")
        key: dict[str, Any] = {"AttributeName": "session_id"}
        self.dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[key | {"KeyType": "HASH"}],
            AttributeDefinitions=[key | {"AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "OLD_IMAGE"},
        )
        self.queue_url = self.sqs.create_queue(QueueName="dead-letters")["QueueUrl"]
        secret_store = SecretsManagerStore(aws.secretsmanager(), PREFIX, "key")
        cleanup = Cleanup(secret_store, VirtualClock(), os.urandom)
        self.letters = DeadLetters(aws.sqs(), self.queue_url, aws.dynamodbstreams(), cleanup)

    def sign_in(self, session_id: str) -> None:
        self.dynamodb.put_item(TableName=TABLE, Item={"session_id": {"S": session_id}, "status": {"S": "active"}})
        self.secretsmanager.create_secret(Name=secret_name(PREFIX, session_id), SecretString="canary")

    def refresh(self, session_id: str) -> None:
        self.dynamodb.update_item(
            TableName=TABLE,
            Key={"session_id": {"S": session_id}},
            UpdateExpression="SET fence = :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    def expire(self, session_id: str) -> None:
        self.dynamodb.delete_item(TableName=TABLE, Key={"session_id": {"S": session_id}})

    def secrets(self) -> set[str]:
        return {listed["Name"] for listed in self.secretsmanager.list_secrets()["SecretList"]}

    def give_up_all(self) -> None:
        """Put a letter about all records of the stream into the queue."""
        streams: Any = boto3.client("dynamodbstreams")
        arn = streams.list_streams(TableName=TABLE)["Streams"][0]["StreamArn"]
        (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        records = streams.get_records(ShardIterator=iterator)["Records"]
        first, last = (records[index]["dynamodb"]["SequenceNumber"] for index in (0, -1))
        place = {
            "streamArn": arn,
            "shardId": shard["ShardId"],
            "startSequenceNumber": first,
            "endSequenceNumber": last,
        }
        self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=json.dumps({"DDBStreamBatchInfo": place}))

    def redrive(self, limit: int) -> Redriven:
        return self.letters.redrive(limit, Invocation(Context(900), Recorded()))


@pytest.fixture
def account() -> Iterator[Account]:
    with mock_aws():
        yield Account()


def test_the_secrets_of_removed_rows_are_deleted_and_those_of_rows_that_only_changed_are_not(account: Account) -> None:
    for session_id in ("first", "lives", "last"):
        account.sign_in(session_id)
    account.refresh("lives")
    account.expire("first")
    account.refresh("lives")
    account.expire("last")
    account.give_up_all()
    assert account.letters.count() == 1
    # A second receive finds the queue empty.
    assert account.redrive(2) == Redriven(redriven=1, secrets_deleted=2)
    assert account.secrets() == {secret_name(PREFIX, "lives")}
    assert account.letters.count() == 0


def test_a_letter_that_is_not_done_is_counted_while_it_is_hidden(account: Account) -> None:
    account.sign_in("poisoned")
    account.secretsmanager.replicate_secret_to_regions(
        SecretId=secret_name(PREFIX, "poisoned"), AddReplicaRegions=[{"Region": "eu-central-1"}]
    )
    account.expire("poisoned")
    account.give_up_all()
    assert account.redrive(1) == Redriven(kept=1, secrets_not_deleted=1)
    assert account.letters.count() == 1


def test_a_redrive_waits_for_a_queue_longer_than_for_other_services() -> None:
    with mock_aws():
        client: Any = aws.sqs()
        other: Any = aws.dynamodbstreams()
    assert client.meta.config.read_timeout > other.meta.config.read_timeout + 0.9
    assert client.meta.config.connect_timeout == other.meta.config.connect_timeout
    assert client.meta.config.retries == other.meta.config.retries
