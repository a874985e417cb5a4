"""AWS in memory is compared with moto: the same calls get the same answers and leave the same rows and versions."""

from __future__ import annotations

import contextlib
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from oauth_broker.people.person_items import PersonItems
from tests.faults.aws import MemoryDynamoDb, MemoryKms, MemorySecretsManager, plaintext_of
from tests.faults.broker import Broker, Browser, code_in, in_turn, settings_of, signed_in
from tests.faults.seam import Fault, Kind, SeamedClient
from tests.support.client_error import client_error
from tests.support.deployment import GRACE, TABLE


class Both:
    """A client in memory. It also asks moto, and fails if the two differ."""

    def __init__(self, memory: Any, moto: Any, **fixed: Any) -> None:
        self._memory = memory
        self._moto = moto
        self._fixed = fixed
        self.compared = 0

    def __getattr__(self, operation: str) -> Any:
        def call(**parameters: Any) -> Any:
            expected = outcome(getattr(self._moto, operation), parameters | self._fixed_for(parameters))
            found = outcome(getattr(self._memory, operation), parameters)
            assert essence(found) == essence(expected), operation
            self.compared += 1
            if isinstance(found, ClientError):
                raise found
            return found

        return call

    def _fixed_for(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in self._fixed.items() if name in parameters}


class BothKms:
    """KMS in memory. It also asks moto, which opens its own ciphertexts under the same contexts, or refuses alike."""

    def __init__(self, memory: MemoryKms, moto: Any) -> None:
        self._memory = memory
        self._moto = moto
        self._key_id = moto.create_key()["KeyMetadata"]["KeyId"]
        self._motos: dict[bytes, bytes] = {}
        self.compared = 0

    def encrypt(self, **parameters: Any) -> Any:
        answer = self._memory.encrypt(**parameters)
        motos = self._moto.encrypt(**parameters | {"KeyId": self._key_id})
        self._motos[answer["CiphertextBlob"]] = motos["CiphertextBlob"]
        return answer

    def decrypt(self, **parameters: Any) -> Any:
        motos = {"CiphertextBlob": self._motos[parameters["CiphertextBlob"]], "KeyId": self._key_id}
        expected = outcome(self._moto.decrypt, parameters | motos)
        found = outcome(self._memory.decrypt, parameters)
        assert essence(found) == essence(expected)
        self.compared += 1
        if isinstance(found, ClientError):
            raise found
        return found


def outcome(operation: Any, parameters: dict[str, Any]) -> Any:
    try:
        return operation(**parameters)
    except ClientError as error:
        return error


def essence(answer: Any) -> Any:
    """Return the parts of an answer that the broker reads."""
    if isinstance(answer, ClientError):
        response: Any = answer.response
        return response["Error"]["Code"], response.get("Item")
    return {
        name: answer[name]
        for name in ("Item", "Attributes", "SecretString", "VersionId", "Plaintext")
        if name in answer
    }


@pytest.fixture(params=["secrets", "row"])
def broker(request: pytest.FixtureRequest) -> Any:
    """A broker with every AWS call sent to both."""
    with mock_aws():
        dynamodb = boto3.client("dynamodb")
        dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "session_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "session_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        made: Any = Broker(settings=settings_of(request.param))
        made.both = Both(made.dynamodb, dynamodb), Both(made.secrets, boto3.client("secretsmanager"), KmsKeyId="aws/x")
        made.sign_ins._client = SeamedClient(made.seam, made.both[0])
        made.secret_store._client = SeamedClient(made.seam, made.both[1])
        made.both_kms = BothKms(made.kms, boto3.client("kms"))
        made.store._seal._made = SeamedClient(made.seam, made.both_kms)
        yield made


def test_moto_gives_the_same_answer_to_every_call_of_the_broker(broker: Any) -> None:
    session = signed_in(broker)
    first = session.token
    for _ in range(2):
        session.refresh()
        session.refresh()
        broker.let_pass(GRACE + 1)
    session.refresh(first)
    assert session.revoke().kind == "200"
    assert session.refresh().kind == "invalid_grant"
    browser = Browser(broker)
    query = browser.approve(browser.authorize())
    code = code_in(browser.callback(query))
    browser.callback(query)
    browser.redeem(code, "A" * 43)
    assert browser.redeem(code).kind == "200"
    assert browser.redeem(code).kind == "invalid_grant"
    assert broker.both[0].compared > 20
    compared, others = broker.both[1].compared, broker.both_kms.compared
    assert (compared == 0 and others > 3) if broker.settings.tokens_in_row else (compared > 10 and others == 0)


def test_moto_gives_the_same_answer_to_every_call_about_a_person(broker: Any) -> None:
    both = Both(broker.people_table, boto3.client("dynamodb"))
    items, now = PersonItems(both, TABLE, broker.clock), int(broker.clock.now())
    for session_id in ("one", "two"):
        joined = items.join("k1.x", "app", session_id)
    assert joined == items.find("k1.x")
    assert joined.sessions_of("app") == {"one", "two"}
    items.leave("k1.x", "app", ["one", "two"])
    items.leave("k1.x", "app", ["one"])
    signed_out = [items.sign_out("k1.x", "app", second) for second in (now, now - 1)]
    assert [item.not_before["app"] for item in signed_out] == [now, now]
    items.join("k1.x", "app", "three")
    assert not items.forget("k1.x", joined)
    for _ in range(2):
        assert items.forget("k1.x", items.find("k1.x"))
    assert both.compared == 13


@pytest.mark.parametrize("kind", [Kind.DIES_AFTER, Kind.REPEATED, Kind.APPLIED])
@pytest.mark.parametrize("at", range(1, 6))
def test_moto_gives_the_same_answers_under_faults(broker: Any, at: int, kind: Kind) -> None:
    session = signed_in(broker)
    broker.seam.calls.clear()
    broker.seam.faults = in_turn([Fault(at, kind)])
    session.refresh()
    broker.let_pass(GRACE)
    session.refresh()


@pytest.mark.parametrize(
    ("names", "values", "condition"),
    [
        ({}, {":a": {"S": "x"}}, "a = :a"),
        ({"#unused": "x"}, {":a": {"S": "x"}}, "a = :a"),
        ({"#a": "a"}, {":a": {"S": "x"}, ":unused": {"S": "x"}}, "#a = :a"),
    ],
)
def test_the_stand_in_refuses_as_aws_does(names: dict[str, str], values: dict[str, Any], condition: str) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        MemoryDynamoDb().update_item(
            Key={"session_id": {"S": "s"}},
            UpdateExpression="REMOVE b",
            ConditionExpression=condition,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
        )


def test_one_version_id_holds_one_value() -> None:
    secrets = MemorySecretsManager()
    secrets.create_secret(Name="s", ClientRequestToken="1", KmsKeyId="k", SecretString="a")
    secrets.put_secret_value(SecretId="s", ClientRequestToken="1", SecretString="a")
    with pytest.raises(ClientError, match="ResourceExistsException"):
        secrets.put_secret_value(SecretId="s", ClientRequestToken="1", SecretString="b")


@mock_aws
def test_a_sealed_text_opens_under_its_own_context_only() -> None:
    kms = BothKms(MemoryKms(), boto3.client("kms"))
    sealed = kms.encrypt(KeyId="k", Plaintext=b"x", EncryptionContext={"a": "1"})["CiphertextBlob"]
    assert plaintext_of(sealed) == b"x"
    with pytest.raises(ClientError):
        kms.decrypt(KeyId="k", CiphertextBlob=sealed, EncryptionContext={"a": "2"})
    with contextlib.suppress(ClientError):
        raise client_error("x")
