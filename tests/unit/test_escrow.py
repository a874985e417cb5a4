"""Answers sealed by KMS."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from oauth_broker.errors import ServiceUnavailable
from oauth_broker.secret import Secret, session_reference
from oauth_broker.sessions.escrow import Escrow
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.session_secret import SessionSecret
from tests.support.client_error import client_error
from tests.support.drawn import secret_texts
from tests.unit.session_secrets import SECRET, of_size

# A row with a held lease. A commit of fence 7 makes the answers sealed for it valid.
ROW = SignIn("S" * 43, "active", 1_900_000_000, client_id="trader-ios", fence=7, committed_fence=6)
SESSION_DIGEST = hashlib.sha256(b"log" + b"S" * 43).hexdigest()
COMMITTED = replace(ROW, committed_fence=7)
LARGE = replace(SECRET, access_token=Secret("canary" * 2000))


class Kms:
    """KMS with a record of its calls."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def encrypt(self, **parameters: Any) -> Any:
        self.calls.append(("encrypt", parameters))
        return self._client.encrypt(**parameters)

    def decrypt(self, **parameters: Any) -> Any:
        self.calls.append(("decrypt", parameters))
        return self._client.decrypt(**parameters)


class Failing:
    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    def encrypt(self, **parameters: Any) -> Any:
        raise self._failure

    decrypt = encrypt


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("kms", region_name="eu-west-1")


@pytest.fixture(scope="module")
def key_id(client: Any) -> str:
    arn: str = client.create_key()["KeyMetadata"]["Arn"]
    return arn


@pytest.fixture
def kms(client: Any) -> Kms:
    return Kms(client)


@pytest.fixture
def escrow(kms: Kms, key_id: str) -> Escrow:
    return Escrow(lambda: kms, key_id)


def opened(escrow: Escrow, sealed: tuple[bytes, ...]) -> SessionSecret:
    """Open the sealed parts in the row after the commit."""
    return escrow.open(replace(COMMITTED, escrow=sealed))


def test_a_sealed_secret_is_opened_again(escrow: Escrow) -> None:
    sealed = escrow.seal(ROW, SECRET)
    assert len(sealed) == 1
    assert opened(escrow, sealed) == SECRET


@pytest.mark.parametrize(("size", "parts"), [(4095, 1), (4096, 1), (4097, 2), (8192, 2), (8193, 3), (64 * 1024, 16)])
def test_a_secret_is_sealed_in_parts_that_kms_takes(escrow: Escrow, kms: Kms, size: int, parts: int) -> None:
    secret = of_size(size)
    sealed = escrow.seal(ROW, secret)
    assert len(sealed) == parts
    assert all(len(parameters["Plaintext"]) <= 4096 for _, parameters in kms.calls)
    assert opened(escrow, sealed) == secret


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    secret_texts(max_size=40),
    secret_texts(max_size=6000),
    st.none() | secret_texts(max_size=40),
    secret_texts(max_size=20),
)
def test_any_secret_comes_back(escrow: Escrow, key: str, access: str, refresh: str | None, scope: str) -> None:
    refresh_token = None if refresh is None else Secret(refresh)
    secret = SessionSecret(Secret(key), "holder", Secret(access), refresh_token, 1_800_000_000, scope)
    assert opened(escrow, escrow.seal(ROW, secret)) == secret


def test_the_sealed_parts_show_nothing(escrow: Escrow) -> None:
    assert not any(b"canary" in part for part in escrow.seal(ROW, LARGE))


def test_it_is_sealed_with_the_stacks_key_for_the_session_its_app_its_fence_and_its_place(
    escrow: Escrow, kms: Kms, key_id: str
) -> None:
    opened(escrow, escrow.seal(ROW, of_size(5000)))
    assert [name for name, _ in kms.calls] == ["encrypt", "encrypt", "decrypt", "decrypt"]
    assert all(parameters["KeyId"] == key_id for _, parameters in kms.calls)
    # This is a stored form: the next release must open it. CloudTrail shows it, so it leaves out the session id.
    bound = {"purpose": "escrow", "session": SESSION_DIGEST, "client_id": "trader-ios", "fence": "7"}
    contexts = [bound | {"part": part} for part in ("1/2", "2/2")]
    assert [parameters["EncryptionContext"] for _, parameters in kms.calls] == contexts * 2


@pytest.mark.parametrize(
    "other",
    [
        replace(COMMITTED, session_id="T" * 43),
        replace(COMMITTED, client_id="trader-web"),
        replace(COMMITTED, committed_fence=6),
        replace(COMMITTED, committed_fence=8),
    ],
    ids=["another session", "another app", "an earlier fence", "a later fence"],
)
def test_a_secret_sealed_for_one_row_does_not_open_in_another(escrow: Escrow, other: SignIn) -> None:
    sealed = escrow.seal(ROW, SECRET)
    with pytest.raises(ServiceUnavailable):
        escrow.open(replace(other, escrow=sealed))


def test_a_session_is_found_in_cloudtrail_by_what_log_lines_call_it() -> None:
    assert SESSION_DIGEST.startswith(session_reference(ROW.session_id))
    assert ROW.session_id not in SESSION_DIGEST


def test_parts_open_only_together_and_in_their_order(escrow: Escrow) -> None:
    sealed = escrow.seal(ROW, of_size(3 * 4096))
    assert len(sealed) == 3
    first, second, third = sealed
    for other in (
        (second, first, third),
        (first, third, second),
        (first, second),
        (first,),
        (*sealed, third),
        (first,) * 3,
    ):
        with pytest.raises(ServiceUnavailable):
            opened(escrow, other)


@pytest.mark.parametrize(
    "spoil", [lambda part: part[:-1], lambda part: part[:-1] + bytes([part[-1] ^ 1]), lambda part: b"x"]
)
def test_a_spoilt_part_is_busy(escrow: Escrow, spoil: Any) -> None:
    (part,) = escrow.seal(ROW, SECRET)
    with pytest.raises(ServiceUnavailable):
        opened(escrow, (spoil(part),))


def test_nothing_at_all_is_busy(escrow: Escrow) -> None:
    with pytest.raises(ServiceUnavailable):
        opened(escrow, ())


def test_a_client_is_made_when_it_is_needed_and_then_once(kms: Kms, key_id: str) -> None:
    made: list[Kms] = []

    def make() -> Kms:
        made.append(kms)
        return kms

    escrow = Escrow(make, key_id)
    assert made == []
    for _ in range(3):
        opened(escrow, escrow.seal(ROW, SECRET))
    assert len(made) == 1


@pytest.mark.parametrize(
    "failure",
    [
        client_error("ThrottlingException"),
        client_error("AccessDeniedException"),
        ReadTimeoutError(endpoint_url="https://x"),
    ],
    ids=repr,
)
def test_every_failure_of_kms_is_busy(failure: Exception) -> None:
    escrow = Escrow(lambda: Failing(failure), "key")
    for call in (lambda: escrow.seal(ROW, SECRET), lambda: opened(escrow, (b"x",))):
        with pytest.raises(ServiceUnavailable) as raised:
            call()
        assert raised.value.reason.startswith("kms:")
        assert "canary" not in str(raised.value)
