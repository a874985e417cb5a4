"""The Aries client secret: the broker reads it rarely, and keeps it if it cannot read it again."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError
from moto import mock_aws

from oauth_broker.aries.client_secret import ClientSecret
from oauth_broker.errors import ServiceUnavailable
from oauth_broker.secret import Secret
from tests.support.client_error import client_error
from tests.support.clock import VirtualClock
from tests.unit.fakes import FakeSecretsManager

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aries-AbCdEf"
CANARY = "canary-secret"


def read(stored: str) -> Secret:
    return ClientSecret(FakeSecretsManager(stored), ARN, VirtualClock()).current()


@pytest.mark.parametrize(
    "stored",
    [
        CANARY,
        f" {CANARY}\n",
        json.dumps({"client_secret": CANARY}),
        json.dumps({"client_id": "x", "client_secret": CANARY}),
        f'\n {{"client_secret": "{CANARY}"}}\n',
    ],
)
def test_the_secret_is_stored_as_plain_text_or_as_a_json_member(stored: str) -> None:
    assert read(stored) == Secret(CANARY)


@pytest.mark.parametrize(
    "stored",
    [
        "{",
        "{}",
        f'{{"secret":"{CANARY}"}}',
        f'{{"client_secret":["{CANARY}"]}}',
        '{"client_secret":null}',
        '{"client_secret":5}',
        '{"client_secret":""}',
        f'{{"client_secret":"{CANARY}","client_secret":"{CANARY}"}}',
        "{" + CANARY + "}",
        "",
        " \n",
    ],
)
def test_a_secret_that_is_no_secret_is_busy_and_names_itself_in_the_log_only(stored: str) -> None:
    with pytest.raises(ServiceUnavailable) as raised:
        read(stored)
    assert raised.value.reason == "client_secret:malformed"
    assert CANARY not in str(raised.value)


def test_a_secret_of_bytes_is_busy() -> None:
    class Binary(FakeSecretsManager):
        def get_secret_value(self, **parameters: object) -> object:
            return {"SecretBinary": CANARY.encode()}

    with pytest.raises(ServiceUnavailable):
        ClientSecret(Binary(CANARY), ARN, VirtualClock()).current()


def test_the_secret_is_read_by_its_arn_from_secrets_manager() -> None:
    with mock_aws():
        client: Any = boto3.client("secretsmanager", region_name="eu-west-1")
        arn = client.create_secret(Name="aries/client-secret", SecretString=CANARY)["ARN"]
        client_secret = ClientSecret(client, arn, VirtualClock())
        assert client_secret.current() == Secret(CANARY)
        client.put_secret_value(SecretId=arn, SecretString="canary-2")
        assert client_secret.current() == Secret(CANARY)
        assert client_secret.reread() == Secret("canary-2")


def test_a_secret_that_does_not_exist_is_busy() -> None:
    with mock_aws():
        client: Any = boto3.client("secretsmanager", region_name="eu-west-1")
        with pytest.raises(ServiceUnavailable) as raised:
            ClientSecret(client, ARN, VirtualClock()).current()
    assert raised.value.reason == "client_secret:ResourceNotFoundException"


def test_the_secret_is_kept_for_five_minutes() -> None:
    clock, stored = VirtualClock(), FakeSecretsManager(CANARY)
    client_secret = ClientSecret(stored, ARN, clock)
    assert stored.reads == 0
    for _ in range(5):
        client_secret.current()
    clock.sleep(299.9)
    stored.value = "canary-2"
    assert client_secret.current() == Secret(CANARY)
    assert stored.reads == 1
    clock.sleep(0.2)
    assert client_secret.current() == Secret("canary-2")
    assert stored.reads == 2
    assert stored.asked == [{"SecretId": ARN}] * 2


def test_a_secret_that_was_read_again_is_cached_for_five_minutes_more() -> None:
    clock, stored = VirtualClock(), FakeSecretsManager(CANARY)
    client_secret = ClientSecret(stored, ARN, clock)
    client_secret.current()
    clock.sleep(200)
    stored.value = "canary-2"
    assert client_secret.reread() == Secret("canary-2")
    clock.sleep(200)
    assert client_secret.current() == Secret("canary-2")
    assert stored.reads == 2


@pytest.mark.parametrize(
    "failure", [client_error("ThrottlingException"), ConnectTimeoutError(endpoint_url="https://aws.example")]
)
def test_a_secret_that_cannot_be_read_is_busy_unless_one_is_kept(failure: Exception) -> None:
    clock, stored = VirtualClock(), FakeSecretsManager(failure)
    client_secret = ClientSecret(stored, ARN, clock)
    with pytest.raises(ServiceUnavailable):
        client_secret.current()
    stored.value = CANARY
    assert client_secret.current() == Secret(CANARY)
    clock.sleep(1000)
    stored.value = failure
    assert client_secret.current() == Secret(CANARY)
    with pytest.raises(ServiceUnavailable):
        client_secret.reread()


def test_a_malformed_secret_does_not_replace_the_one_that_is_kept() -> None:
    clock, stored = VirtualClock(), FakeSecretsManager(CANARY)
    client_secret = ClientSecret(stored, ARN, clock)
    client_secret.current()
    clock.sleep(1000)
    stored.value = "{}"
    assert client_secret.current() == Secret(CANARY)
