"""Secrets do not show by accident."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import dataclass

import pytest
from hypothesis import given

from oauth_broker.secret import Secret
from tests.support.drawn import secret_texts

CANARY = "canary-5f1c"


@dataclass(frozen=True)
class Holder:
    name: str
    secret: Secret


@pytest.mark.parametrize(
    "shown",
    [
        repr(Secret(CANARY)),
        str(Secret(CANARY)),
        f"{Secret(CANARY)}",
        f"{Secret(CANARY)!r}",
        f"{Secret(CANARY)!s:>40}",
        "{:20}".format(Secret(CANARY)),  # noqa: UP032 - the other way to format
        "%s %r" % (Secret(CANARY), Secret(CANARY)),  # noqa: UP031 - as the logging module does
        repr(Holder("a", Secret(CANARY))),
        repr([Secret(CANARY)]),
        repr(ValueError(Secret(CANARY))),
    ],
)
def test_a_secret_is_masked_however_it_is_shown(shown: str) -> None:
    assert "***" in shown
    assert CANARY not in shown


def test_a_format_specification_does_not_reach_the_value() -> None:
    assert format(Secret(CANARY), ".3") == repr(Secret(CANARY))


@given(secret_texts())
def test_reveal_gives_back_the_very_text(text: str) -> None:
    assert Secret(text).reveal() == text


@given(secret_texts(), secret_texts())
def test_two_secrets_are_equal_exactly_where_their_texts_are(one: str, other: str) -> None:
    assert (Secret(one) == Secret(other)) is (one == other)
    assert (Secret(one) != Secret(other)) is (one != other)
    assert Secret(one) == Secret(str(one))


def test_a_secret_never_equals_a_plain_text() -> None:
    secret: object = Secret(CANARY)
    assert secret != CANARY
    assert secret != CANARY


def test_a_secret_cannot_be_a_dictionary_key() -> None:
    with pytest.raises(TypeError):
        hash(Secret(CANARY))
    with pytest.raises(TypeError):
        {Secret(CANARY): 1}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Holder("a", Secret(CANARY)), protocol)


def test_a_secret_is_neither_copied_nor_written_as_json() -> None:
    for take in (copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as raised:
            take(Secret(CANARY))
        assert CANARY not in str(raised.value)


def test_a_secret_has_no_dictionary_of_attributes_to_dump() -> None:
    with pytest.raises(TypeError):
        vars(Secret(CANARY))
