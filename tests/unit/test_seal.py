"""Tokens sealed by KMS, for a session in the row and for an escrow."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from string import ascii_letters, digits
from typing import Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from oauth_broker.errors import SealNotOpened, ServiceUnavailable
from oauth_broker.secret import Secret, session_reference
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.seal import _COMPRESSED, FINAL, Purpose, Seal
from oauth_broker.sessions.session_secret import SessionSecret
from tests.support.client_error import client_error
from tests.support.drawn import secret_texts
from tests.unit.session_secrets import SECRET

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
def seal(kms: Kms, key_id: str) -> Seal:
    return Seal(lambda: kms, key_id)


@pytest.fixture(params=["escrow", "row"])
def purpose(request: pytest.FixtureRequest) -> Purpose:
    chosen: Purpose = request.param
    return chosen


def holding(row: SignIn, sealed: tuple[bytes, ...], purpose: Purpose) -> SignIn:
    """The row with the sealed parts in the attribute of their purpose."""
    return replace(row, sealed=sealed) if purpose == "row" else replace(row, escrow=sealed)


def opened(seal: Seal, sealed: tuple[bytes, ...], purpose: Purpose) -> SessionSecret:
    """Open the sealed parts in the row after the commit."""
    return seal.open(holding(COMMITTED, sealed, purpose), purpose)


def incompressible(size: int) -> SessionSecret:
    """A secret with a plaintext of at least ``size`` bytes and at most 4 more, in the sealed form."""
    token, random = "", Random(1)
    secret = replace(SECRET, access_token=Secret(token))
    while len(_COMPRESSED + zlib.compress(secret.to_json().encode(), 6)) < size:
        token += "".join(random.choices(ascii_letters + digits, k=3))
        secret = replace(SECRET, access_token=Secret(token))
    return secret


def test_a_sealed_secret_is_opened_again(seal: Seal, purpose: Purpose) -> None:
    sealed = seal.sealing(ROW, SECRET, purpose).sealed()
    assert len(sealed) == 1
    assert opened(seal, sealed, purpose) == SECRET


@pytest.mark.parametrize(("size", "parts"), [(4090, 1), (4097, 2), (8180, 2), (8193, 3)])
def test_a_secret_is_sealed_in_parts_that_kms_takes(
    seal: Seal, purpose: Purpose, kms: Kms, size: int, parts: int
) -> None:
    secret = incompressible(size)
    sealed = seal.sealing(ROW, secret, purpose).sealed()
    assert len(sealed) == parts
    assert all(len(parameters["Plaintext"]) <= 4096 for _, parameters in kms.calls)
    assert opened(seal, sealed, purpose) == secret


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    secret_texts(max_size=40),
    secret_texts(max_size=6000),
    st.none() | secret_texts(max_size=40),
    secret_texts(max_size=20),
)
def test_any_secret_comes_back(
    seal: Seal, purpose: Purpose, key: str, access: str, refresh: str | None, scope: str
) -> None:
    refresh_token = None if refresh is None else Secret(refresh)
    secret = SessionSecret(Secret(key), "holder", Secret(access), refresh_token, 1_800_000_000, scope)
    assert opened(seal, seal.sealing(ROW, secret, purpose).sealed(), purpose) == secret


def test_the_sealed_parts_show_nothing(seal: Seal, purpose: Purpose) -> None:
    assert not any(b"canary" in part for part in seal.sealing(ROW, LARGE, purpose).sealed())


def test_it_is_sealed_with_the_stacks_key_for_the_session_its_app_its_fence_and_its_place(
    seal: Seal, purpose: Purpose, kms: Kms, key_id: str
) -> None:
    opened(seal, seal.sealing(ROW, incompressible(5000), purpose).sealed(), purpose)
    assert [name for name, _ in kms.calls] == ["encrypt", "encrypt", "decrypt", "decrypt"]
    assert all(parameters["KeyId"] == key_id for _, parameters in kms.calls)
    # This is a stored form: the next release must open it. CloudTrail shows it, so it leaves out the session id.
    bound = {"purpose": purpose, "session": SESSION_DIGEST, "client_id": "trader-ios", "fence": "7"}
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
def test_a_secret_sealed_for_one_row_does_not_open_in_another(seal: Seal, purpose: Purpose, other: SignIn) -> None:
    sealed = seal.sealing(ROW, SECRET, purpose).sealed()
    with pytest.raises(ServiceUnavailable):
        seal.open(holding(other, sealed, purpose), purpose)


def test_a_session_is_found_in_cloudtrail_by_what_log_lines_call_it() -> None:
    assert SESSION_DIGEST.startswith(session_reference(ROW.session_id))
    assert ROW.session_id not in SESSION_DIGEST


def test_parts_open_only_together_and_in_their_order(seal: Seal, purpose: Purpose) -> None:
    sealed = seal.sealing(ROW, incompressible(2 * 4096 + 1), purpose).sealed()
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
            opened(seal, other, purpose)


@pytest.mark.parametrize(
    "spoil", [lambda part: part[:-1], lambda part: part[:-1] + bytes([part[-1] ^ 1]), lambda part: b"x"]
)
def test_a_spoilt_part_is_busy(seal: Seal, purpose: Purpose, spoil: Any) -> None:
    (part,) = seal.sealing(ROW, SECRET, purpose).sealed()
    with pytest.raises(ServiceUnavailable):
        opened(seal, (spoil(part),), purpose)


def test_a_sealing_goes_on_with_the_part_that_failed(seal: Seal, kms: Kms, purpose: Purpose) -> None:
    secret = incompressible(8193)
    sealing = seal.sealing(ROW, secret, purpose)
    fails = iter([False, True, False, True, True, False])
    encrypt = kms.encrypt

    def sometimes(**parameters: Any) -> Any:
        if next(fails):
            raise client_error("ThrottlingException")
        return encrypt(**parameters)

    kms.encrypt = sometimes  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(ServiceUnavailable):
            sealing.sealed()
    parts = sealing.sealed()
    assert [name for name, _ in kms.calls] == ["encrypt"] * 3
    assert opened(seal, parts, purpose) == secret


def test_nothing_at_all_is_busy(seal: Seal, purpose: Purpose) -> None:
    with pytest.raises(ServiceUnavailable):
        opened(seal, (), purpose)


def test_a_client_is_made_when_it_is_needed_and_then_once(kms: Kms, key_id: str, purpose: Purpose) -> None:
    made: list[Kms] = []

    def make() -> Kms:
        made.append(kms)
        return kms

    seal = Seal(make, key_id)
    assert made == []
    for _ in range(3):
        opened(seal, seal.sealing(ROW, SECRET, purpose).sealed(), purpose)
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
def test_every_failure_of_kms_is_busy(failure: Exception, purpose: Purpose) -> None:
    seal = Seal(lambda: Failing(failure), "key")
    for call in (lambda: seal.sealing(ROW, SECRET, purpose).sealed(), lambda: opened(seal, (b"x",), purpose)):
        with pytest.raises(ServiceUnavailable) as raised:
            call()
        assert raised.value.reason.startswith("kms:")
        assert "canary" not in str(raised.value)


@pytest.mark.parametrize("code", sorted(FINAL))
def test_an_answer_that_no_repetition_changes_is_told_apart(code: str, purpose: Purpose) -> None:
    seal = Seal(lambda: Failing(client_error(code)), "key")
    with pytest.raises(SealNotOpened, match=f"kms:{code}") as raised:
        opened(seal, (b"x",), purpose)
    assert not raised.value.retriable


@pytest.mark.parametrize("code", ["ThrottlingException", "KMSInternalException", "DependencyTimeoutException"])
def test_a_failure_that_passes_is_no_seal_that_does_not_open(code: str, purpose: Purpose) -> None:
    seal = Seal(lambda: Failing(client_error(code)), "key")
    with pytest.raises(ServiceUnavailable) as raised:
        opened(seal, (b"x",), purpose)
    assert raised.value.retriable
    assert not isinstance(raised.value, SealNotOpened)


def test_a_seal_of_one_purpose_does_not_open_for_the_other(seal: Seal) -> None:
    pairs: list[tuple[Purpose, Purpose]] = [("escrow", "row"), ("row", "escrow")]
    for sealed_for, opened_for in pairs:
        parts = seal.sealing(ROW, SECRET, sealed_for).sealed()
        with pytest.raises(ServiceUnavailable, match="kms:InvalidCiphertextException"):
            seal.open(replace(COMMITTED, escrow=parts, sealed=parts), opened_for)


def test_an_escrow_of_the_release_before_still_opens(seal: Seal, kms: Kms, key_id: str) -> None:
    context = {"purpose": "escrow", "session": SESSION_DIGEST, "client_id": "trader-ios", "fence": "7", "part": "1/1"}
    plain = SECRET.to_json().encode()
    part = kms.encrypt(KeyId=key_id, Plaintext=plain, EncryptionContext=context)["CiphertextBlob"]
    assert opened(seal, (part,), "escrow") == SECRET


def test_repetitive_tokens_are_compressed(seal: Seal, purpose: Purpose) -> None:
    assert len(seal.sealing(ROW, LARGE, purpose).sealed()) == 1


@pytest.mark.parametrize(
    ("plaintext", "reason"),
    [
        (b"\x02" + zlib.compress(b"{}"), "seal:unknown_form"),
        (b"\x01not zlib", "seal:malformed"),
        (b"\x01" + zlib.compress(b"{}")[:-1], "seal:malformed"),
        (b"\x01" + zlib.compress(b" " * 64 * 1024 + b"{}"), "seal:malformed"),
        (b"\x01" + zlib.compress(b"{}"), "seal:malformed"),
    ],
    ids=["another form", "no zlib", "cut off", "too long", "no secret"],
)
def test_a_plaintext_that_is_none_ends_nothing(
    seal: Seal, kms: Kms, key_id: str, plaintext: bytes, reason: str
) -> None:
    context = {"purpose": "row", "session": SESSION_DIGEST, "client_id": "trader-ios", "fence": "7", "part": "1/1"}
    part = kms.encrypt(KeyId=key_id, Plaintext=plaintext, EncryptionContext=context)["CiphertextBlob"]
    with pytest.raises(SealNotOpened, match=reason):
        opened(seal, (part,), "row")
