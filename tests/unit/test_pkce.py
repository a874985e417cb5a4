"""Proof Key for Code Exchange."""

from __future__ import annotations

import base64
import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.oauth.pkce import challenge_of, is_challenge, verifies
from oauth_broker.secret import Secret, base64url
from tests.support.drawn import secret_texts
from tests.support.pkce import CHALLENGE, VERIFIER

UNRESERVED = string.ascii_letters + string.digits + "-._~"

verifiers = secret_texts(UNRESERVED, min_size=43, max_size=128)


def test_the_example_of_rfc_7636_appendix_a_is_encoded_so() -> None:
    assert base64url(bytes([3, 236, 255, 224, 193])) == "A-z_4ME"


def test_the_vector_of_rfc_7636_appendix_b_passes() -> None:
    assert challenge_of(Secret(VERIFIER)) == CHALLENGE
    assert is_challenge(CHALLENGE)
    assert verifies(Secret(VERIFIER), CHALLENGE)


@given(st.binary(max_size=100))
def test_base64url_is_the_standard_librarys_without_padding(data: bytes) -> None:
    text = base64url(data)
    assert "=" not in text
    assert base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) == data


@given(verifiers)
def test_every_well_formed_verifier_belongs_to_its_own_challenge(verifier: str) -> None:
    challenge = challenge_of(Secret(verifier))
    assert is_challenge(challenge)
    assert verifies(Secret(verifier), challenge)


@given(verifiers, verifiers)
def test_a_verifier_belongs_to_no_other_ones_challenge(verifier: str, other: str) -> None:
    assert verifies(Secret(verifier), challenge_of(Secret(other))) is (verifier == other)


@pytest.mark.parametrize("length", [43, 44, 127, 128])
def test_a_verifier_may_have_43_to_128_characters(length: int) -> None:
    verifier = Secret("~" * length)
    assert verifies(verifier, challenge_of(verifier))


@pytest.mark.parametrize(
    "verifier",
    [
        "",
        "a" * 42,
        "a" * 129,
        "a" * 42 + " ",
        "a" * 43 + "\n",
        "\n" + "a" * 43,
        "a" * 42 + "=",
        "a" * 42 + "+",
        "a" * 42 + "/",
        "a" * 42 + "%",
        "a" * 42 + "\u00e9",
        "a" * 42 + "\uff11",
        "a" * 42 + "\u0661",
        "a" * 42 + "\0",
    ],
)
def test_a_malformed_verifier_is_refused_even_with_its_own_hash(verifier: str) -> None:
    own_hash = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert not verifies(Secret(verifier), own_hash)


@pytest.mark.parametrize(
    "challenge", ["", CHALLENGE[:-1], CHALLENGE + "A", CHALLENGE + "=", VERIFIER, CHALLENGE.lower()]
)
def test_a_verifier_is_refused_with_anything_but_its_challenge(challenge: str) -> None:
    assert not verifies(Secret(VERIFIER), challenge)


def test_the_plain_method_does_not_pass() -> None:
    assert not verifies(Secret(VERIFIER), VERIFIER)


@pytest.mark.parametrize(
    "text",
    [
        "",
        CHALLENGE[:42],
        CHALLENGE + "A",
        CHALLENGE + "=",
        CHALLENGE[:42] + "=",
        CHALLENGE[:42] + "+",
        CHALLENGE[:42] + "/",
        CHALLENGE[:42] + ".",
        CHALLENGE[:42] + "~",
        CHALLENGE[:42] + " ",
        CHALLENGE + "\n",
        CHALLENGE[:42] + "\n",
        CHALLENGE[:42] + "\uff11",
        CHALLENGE[:42] + "\u0661",
        CHALLENGE[:42] + "\u212a",
        CHALLENGE[:42] + "\0",
    ],
)
def test_a_text_of_another_form_is_no_challenge(text: str) -> None:
    assert not is_challenge(text)


@given(secret_texts(max_size=60))
def test_only_43_characters_of_base64url_are_a_challenge(text: str) -> None:
    alphabet = string.ascii_letters + string.digits + "-_"
    assert is_challenge(text) is (len(text) == 43 and all(character in alphabet for character in text))
