"""The meaning of an answer without success."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.config.dialect import ARIES, DIALECTS, STANDARD, STANDARD_BASIC, Outcome, ProviderDialect

every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
errors = st.sampled_from(["invalid_grant", "invalid_client", "invalid_request", "unauthorized_client", "INVALID_GRANT"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_the_dialects_are_found_by_name() -> None:
    assert dict(DIALECTS) == {"aries": ARIES, "standard": STANDARD, "standard-basic": STANDARD_BASIC}


def test_aries_dialect_is_the_documented_one() -> None:
    assert ARIES.json_body
    assert ARIES.code_grant_type == "code"
    assert not ARIES.code_sends_secret
    assert ARIES.refresh_sends_redirect_uri


def test_the_standard_dialect_is_rfc_6749s() -> None:
    assert not STANDARD.json_body
    assert STANDARD.code_grant_type == "authorization_code"
    assert STANDARD.code_sends_secret
    assert not STANDARD.refresh_sends_redirect_uri


def test_the_one_with_basic_differs_in_the_place_of_the_secret_alone() -> None:
    assert not STANDARD.secret_by_basic
    assert replace(STANDARD, name="standard-basic", secret_by_basic=True) == STANDARD_BASIC


@every_dialect
@pytest.mark.parametrize(
    ("status", "error", "outcome"),
    [
        (400, "invalid_grant", Outcome.DEAD),
        (401, "invalid_grant", Outcome.DEAD),
        (403, "invalid_grant", Outcome.DEAD),
        (400, "invalid_client", Outcome.MISCONFIGURED),
        (401, "invalid_client", Outcome.MISCONFIGURED),
        (403, "invalid_client", Outcome.MISCONFIGURED),
        (401, "unauthorized", Outcome.MISCONFIGURED),
        (401, None, Outcome.MISCONFIGURED),
        (429, "rate_limited", Outcome.REFUSED),
        (429, "invalid_grant", Outcome.REFUSED),
        (429, None, Outcome.REFUSED),
        (400, None, Outcome.UNKNOWN_ERROR),
        (400, "invalid_request", Outcome.UNKNOWN_ERROR),
        (400, "Invalid_Grant", Outcome.UNKNOWN_ERROR),
        (400, "invalid_grant ", Outcome.UNKNOWN_ERROR),
        (403, None, Outcome.UNKNOWN_ERROR),
        (404, "invalid_grant", Outcome.UNKNOWN_ERROR),
        (408, None, Outcome.UNKNOWN_ERROR),
        (422, "invalid_grant", Outcome.UNKNOWN_ERROR),
        (499, None, Outcome.UNKNOWN_ERROR),
        (500, "invalid_grant", Outcome.AMBIGUOUS),
        (502, None, Outcome.AMBIGUOUS),
        (503, "temporarily_unavailable", Outcome.AMBIGUOUS),
        (504, "invalid_client", Outcome.AMBIGUOUS),
        (100, None, Outcome.AMBIGUOUS),
        (201, None, Outcome.AMBIGUOUS),
        (204, "invalid_grant", Outcome.AMBIGUOUS),
        (302, "invalid_grant", Outcome.AMBIGUOUS),
        (307, None, Outcome.AMBIGUOUS),
        (600, None, Outcome.AMBIGUOUS),
        (999, "invalid_grant", Outcome.AMBIGUOUS),
    ],
)
def test_the_outcome_follows_from_status_and_error(
    dialect: ProviderDialect, status: int, error: str | None, outcome: Outcome
) -> None:
    assert dialect.outcome(status, error) is outcome


@every_dialect
@pytest.mark.parametrize("error", [["invalid_grant"], {"invalid_grant": 1}, True, 0, 1.5, "", {}, []])
def test_an_error_of_another_type_is_no_error_that_is_known(dialect: ProviderDialect, error: object) -> None:
    assert dialect.outcome(400, error) is Outcome.UNKNOWN_ERROR
    assert dialect.outcome(401, error) is Outcome.MISCONFIGURED
    assert dialect.outcome(503, error) is Outcome.AMBIGUOUS


@given(st.sampled_from(list(DIALECTS.values())), st.integers(100, 999), errors | json_values)
def test_only_invalid_grant_from_a_server_that_answers_properly_ends_a_session(
    dialect: ProviderDialect, status: int, error: object
) -> None:
    outcome = dialect.outcome(status, error)
    if outcome is Outcome.DEAD:
        assert error == "invalid_grant"
        assert status in (400, 401, 403)
    if not 400 <= status < 500:
        # Aries may have processed the request. The body of the answer does not matter.
        assert outcome is Outcome.AMBIGUOUS


def test_the_outcomes_are_named_for_metrics_in_few_plain_words() -> None:
    names = [outcome.value for outcome in Outcome]
    assert len(set(names)) == 5
    assert json.loads(json.dumps(names)) == ["dead", "misconfigured", "refused", "unknown_error", "ambiguous"]


def test_the_table_of_a_dialect_cannot_be_changed_by_a_request() -> None:
    with pytest.raises(TypeError):
        ARIES.outcomes[(400, "x")] = Outcome.DEAD  # type: ignore[index]
    with pytest.raises(TypeError):
        DIALECTS["x"] = ARIES  # type: ignore[index]
