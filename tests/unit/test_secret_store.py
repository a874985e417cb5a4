"""Session secrets in Secrets Manager."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from moto import mock_aws

from oauth_broker.errors import ServiceUnavailable
from oauth_broker.oauth.tokens import secret_name, secret_version
from oauth_broker.secret import Secret
from oauth_broker.sessions.secret_store import SecretsManagerStore
from tests.support.client_error import client_error
from tests.unit.fakes import failure_of
from tests.unit.session_secrets import SECRET, of_size

SESSION = "S" * 43
PREFIX = "stack/session/"
KEY_ID = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def secrets_manager() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("secretsmanager", region_name="eu-west-1")


@pytest.fixture
def client(secrets_manager: Any) -> Iterator[Any]:
    """Yield Secrets Manager with nothing in it."""
    yield secrets_manager
    for listed in secrets_manager.list_secrets()["SecretList"]:
        secrets_manager.delete_secret(SecretId=listed["ARN"], ForceDeleteWithoutRecovery=True)


@pytest.fixture
def secret_store(client: Any) -> SecretsManagerStore:
    return SecretsManagerStore(client, PREFIX, KEY_ID)


class Failing:
    """A Secrets Manager that fails every call in the same way."""

    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    def create_secret(self, **parameters: Any) -> Any:
        raise self._failure

    get_secret_value = put_secret_value = delete_secret = create_secret


def versions(client: Any) -> set[str]:
    listed = client.list_secret_version_ids(SecretId=secret_name(PREFIX, SESSION), IncludeDeprecated=True)
    return {version["VersionId"] for version in listed["Versions"]}


def test_a_created_secret_is_read_by_its_version(secret_store: SecretsManagerStore) -> None:
    version = secret_store.create(SESSION, SECRET)
    assert version == secret_version(SESSION, 0)
    assert secret_store.read(SESSION, version) == SECRET


def test_a_secret_is_named_by_the_session_and_encrypted_with_the_stacks_key(
    secret_store: SecretsManagerStore, client: Any
) -> None:
    secret_store.create(SESSION, SECRET)
    (listed,) = client.list_secrets()["SecretList"]
    assert listed["Name"] == secret_name(PREFIX, SESSION)
    assert SESSION not in listed["Name"]
    assert client.describe_secret(SecretId=listed["Name"])["KmsKeyId"] == KEY_ID


def test_creating_twice_is_creating_once(secret_store: SecretsManagerStore, client: Any) -> None:
    assert secret_store.create(SESSION, SECRET) == secret_store.create(SESSION, SECRET)
    assert versions(client) == {secret_version(SESSION, 0)}


def test_creating_over_another_secret_is_a_refusal_that_stays_one(secret_store: SecretsManagerStore) -> None:
    secret_store.create(SESSION, SECRET)
    with pytest.raises(ServiceUnavailable) as raised:
        secret_store.create(SESSION, replace(SECRET, access_token=Secret("canary-2")))
    assert not raised.value.retriable
    assert secret_store.read(SESSION, secret_version(SESSION, 0)) == SECRET


def test_each_fence_stores_a_version_that_stays_readable_when_later_ones_follow(
    secret_store: SecretsManagerStore,
) -> None:
    stored = {secret_store.create(SESSION, SECRET): SECRET}
    for fence in range(1, 5):
        secret = replace(SECRET, access_token=Secret(f"canary-{fence}"))
        version = secret_store.store(SESSION, fence, secret)
        assert version == secret_version(SESSION, fence)
        stored[version] = secret
    assert len(stored) == 5
    for version, secret in stored.items():
        assert secret_store.read(SESSION, version) == secret


def test_storing_twice_is_storing_once(secret_store: SecretsManagerStore, client: Any) -> None:
    secret_store.create(SESSION, SECRET)
    assert secret_store.store(SESSION, 3, SECRET) == secret_store.store(SESSION, 3, SECRET)
    assert versions(client) == {secret_version(SESSION, 0), secret_version(SESSION, 3)}


def test_storing_another_answer_under_the_same_fence_is_a_refusal_that_stays_one(
    secret_store: SecretsManagerStore,
) -> None:
    secret_store.create(SESSION, SECRET)
    version = secret_store.store(SESSION, 1, SECRET)
    with pytest.raises(ServiceUnavailable) as raised:
        secret_store.store(SESSION, 1, replace(SECRET, access_token=Secret("canary-2")))
    assert not raised.value.retriable
    assert secret_store.read(SESSION, version) == SECRET


def test_storing_for_a_session_without_a_secret_is_a_refusal_that_stays_one(secret_store: SecretsManagerStore) -> None:
    with pytest.raises(ServiceUnavailable) as raised:
        secret_store.store(SESSION, 1, SECRET)
    assert not raised.value.retriable


def test_a_secret_or_a_version_that_does_not_exist_is_none(secret_store: SecretsManagerStore) -> None:
    assert secret_store.read(SESSION, secret_version(SESSION, 0)) is None
    secret_store.create(SESSION, SECRET)
    assert secret_store.read(SESSION, secret_version(SESSION, 1)) is None
    assert secret_store.read("T" * 43, secret_version("T" * 43, 0)) is None


def test_deleting_leaves_nothing_and_may_be_repeated(secret_store: SecretsManagerStore, client: Any) -> None:
    secret_store.delete(SESSION)
    version = secret_store.create(SESSION, SECRET)
    secret_store.store(SESSION, 1, SECRET)
    secret_store.delete(SESSION)
    secret_store.delete(SESSION)
    assert secret_store.read(SESSION, version) is None
    assert client.list_secrets(IncludePlannedDeletion=True)["SecretList"] == []


def test_deleting_one_session_leaves_the_others(secret_store: SecretsManagerStore) -> None:
    version = secret_store.create("T" * 43, SECRET)
    secret_store.create(SESSION, SECRET)
    secret_store.delete(SESSION)
    assert secret_store.read("T" * 43, version) == SECRET


def test_a_value_of_64_kib_is_stored_and_a_larger_one_refused_for_good(
    secret_store: SecretsManagerStore, client: Any
) -> None:
    largest = of_size(64 * 1024)
    assert secret_store.read(SESSION, secret_store.create(SESSION, largest)) == largest
    assert secret_store.read(SESSION, secret_store.store(SESSION, 1, largest)) == largest
    larger = of_size(64 * 1024 + 1)
    for failure in (
        failure_of(ServiceUnavailable, lambda: secret_store.create("T" * 43, larger)),
        failure_of(ServiceUnavailable, lambda: secret_store.store(SESSION, 2, larger)),
    ):
        assert failure is not None
        assert not failure.retriable
        assert failure.reason == "vault:too_large"
    assert len(client.list_secrets()["SecretList"]) == 1
    assert secret_version(SESSION, 2) not in versions(client)


def test_a_secret_that_somebody_else_wrote_is_busy_and_never_the_end_of_a_session(
    secret_store: SecretsManagerStore, client: Any
) -> None:
    version = secret_version(SESSION, 0)
    client.create_secret(Name=secret_name(PREFIX, SESSION), ClientRequestToken=version, SecretString="canary")
    with pytest.raises(ServiceUnavailable) as raised:
        secret_store.read(SESSION, version)
    assert "canary" not in str(raised.value)


PASSING: list[Exception] = [
    client_error("ThrottlingException"),
    client_error("InternalServiceError"),
    client_error("ServiceUnavailable"),
    client_error("SomethingNew"),
    ConnectTimeoutError(endpoint_url="https://aws.example"),
    ReadTimeoutError(endpoint_url="https://aws.example"),
    EndpointConnectionError(endpoint_url="https://aws.example"),
]
LASTING: list[Exception] = [
    client_error(code)
    for code in (
        "AccessDeniedException",
        "DecryptionFailure",
        "EncryptionFailure",
        "InvalidParameterException",
        "LimitExceededException",
        "ResourceExistsException",
        "ValidationException",
    )
]


@pytest.mark.parametrize("failure", PASSING + LASTING, ids=repr)
def test_every_failure_of_a_call_is_busy_and_tells_whether_a_write_may_be_repeated(failure: Exception) -> None:
    secret_store = SecretsManagerStore(Failing(failure), PREFIX, KEY_ID)
    for not_stored in (
        failure_of(ServiceUnavailable, lambda: secret_store.create(SESSION, SECRET)),
        failure_of(ServiceUnavailable, lambda: secret_store.store(SESSION, 1, SECRET)),
    ):
        assert not_stored is not None
        assert not_stored.retriable is (failure in PASSING)
        assert re.fullmatch("secretsmanager:[A-Z][A-Za-z]+", not_stored.reason)
    for unavailable in (
        failure_of(ServiceUnavailable, lambda: secret_store.read(SESSION, "version")),
        failure_of(ServiceUnavailable, lambda: secret_store.delete(SESSION)),
    ):
        assert unavailable is not None
        assert unavailable.reason.startswith("secretsmanager:")


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "InvalidRequestException"])
def test_a_secret_that_is_gone_or_just_being_deleted_is_none(code: str) -> None:
    assert SecretsManagerStore(Failing(client_error(code)), PREFIX, KEY_ID).read(SESSION, "version") is None


def test_deleting_a_secret_that_is_gone_is_success() -> None:
    SecretsManagerStore(Failing(client_error("ResourceNotFoundException")), PREFIX, KEY_ID).delete(SESSION)


def test_a_failure_that_is_not_of_aws_is_not_hidden() -> None:
    secret_store = SecretsManagerStore(Failing(ZeroDivisionError()), PREFIX, KEY_ID)
    with pytest.raises(ZeroDivisionError):
        secret_store.create(SESSION, SECRET)
    with pytest.raises(ZeroDivisionError):
        secret_store.read(SESSION, "version")
