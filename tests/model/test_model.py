"""The refresh protocol, checked in every reachable state; and the breach of each near miss of it.

`state` defines a state. `work`, `work_in_row`, `worker` and `table` are the protocol. `world` is everything around it
and states the premises. `guarantees` defines the guarantees. An app may send any number of refreshes: states are
relative to the last commit, and the faults alone are counted.

The scenarios are exhaustive, with every fault of their budgets at every step that can fail:

* one app, one request at a time: two deaths of workers, together with two late landings, or with a late landing and an
  error. If Aries has no families, a look-up in Secrets Manager may also miss its newest version;
* one app that gives up on requests in progress, two or four at once: two deaths and a late landing (or, for four under
  an Aries that kills families, two deaths and an error), and a death, a late landing and an error;
* an app and a thief, two workers: a death, or a late landing, or an error; four workers: lost answers alone;
* in all of them an app that signs out at any moment and, save with a thief, stored answers that grow stale;
* a session in the row, whose answers KMS seals and the commit stores: the same with one or two workers, and with a
  second error for one worker;
* a backend, or two, that renew without a token beside one app or an app and a thief, for both stores: a death and a
  late landing, a late landing and an error, or a death.

An error is a call to Aries, Secrets Manager, KMS or the table that fails, applied or not. Any answer to the app may be
lost.

`test_people` has the scenarios of a person with several sessions.

The model leaves out: sign-in, `LateRetry=revoke`, other clients and scopes, forged tokens, clocks that differ by more
than the lease's margin, an Aries that sends no refresh token, the time of waits, and access tokens that live shorter
than the grace.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.model.conftest import VisitedStates
from tests.model.moves import breaks
from tests.model.search import Search
from tests.model.state import Budget, Step
from tests.model.variant import Rotation, Scenario, Store, Variant
from tests.support.long import long_but

STORES: tuple[Store, ...] = ("secrets", "row")
ROTATIONS: tuple[Rotation, ...] = ("strict", "grace", "family")


def app(rotation: Rotation, workers: int, budget: Budget) -> Scenario:
    return Scenario(rotation, workers, budget, revoke=True, access_tokens_expire=True)


def with_thief(rotation: Rotation, workers: int, budget: Budget) -> Scenario:
    return Scenario(rotation, workers, budget, revoke=True, thief=True)


def in_row(scenario: Scenario) -> Scenario:
    return replace(scenario, store="row")


SECRETS = {
    # An Aries that kills families forgives no missed version: see the premises below.
    "one worker, strict": app("strict", 1, Budget(crashes=2, lates=2, lags=1)),
    "one worker, grace": app("grace", 1, Budget(crashes=2, lates=2, lags=1)),
    "one worker, family": app("family", 1, Budget(crashes=2, lates=2)),
    "one worker with errors, strict": app("strict", 1, Budget(crashes=2, lates=1, errors=1, lags=1)),
    "one worker with errors, grace": app("grace", 1, Budget(crashes=2, lates=1, errors=1, lags=1)),
    "one worker with errors, family": app("family", 1, Budget(crashes=2, lates=1, errors=1)),
    "two workers, strict": app("strict", 2, Budget(crashes=2, lates=1, lags=1)),
    "two workers, grace": app("grace", 2, Budget(crashes=2, lates=1)),
    "two workers, family": app("family", 2, Budget(crashes=2, lates=1)),
    "two workers with errors, strict": app("strict", 2, Budget(crashes=1, lates=1, errors=1)),
    "two workers with errors, family": app("family", 2, Budget(crashes=1, lates=1, errors=1)),
    "four workers, strict": app("strict", 4, Budget(crashes=2, lates=1)),
    "four workers with errors, strict": app("strict", 4, Budget(crashes=1, lates=1, errors=1)),
    "four workers, family": app("family", 4, Budget(crashes=2, errors=1)),
    "a thief, a death, strict": with_thief("strict", 2, Budget(crashes=1)),
    "a thief, a death, family": with_thief("family", 2, Budget(crashes=1)),
    "a thief, a late landing": with_thief("strict", 2, Budget(lates=1)),
    "a thief, an error": with_thief("strict", 2, Budget(errors=1)),
    "a thief, four workers": with_thief("strict", 4, Budget()),
}

# A session in the row has no version that a look-up could miss.
ROW = {
    "one worker, strict": app("strict", 1, Budget(crashes=2, lates=2)),
    "one worker, grace": app("grace", 1, Budget(crashes=2, lates=2)),
    "one worker, family": app("family", 1, Budget(crashes=2, lates=2)),
    "one worker with errors, strict": app("strict", 1, Budget(crashes=2, lates=1, errors=2)),
    "one worker with errors, grace": app("grace", 1, Budget(crashes=2, lates=1, errors=2)),
    "one worker with errors, family": app("family", 1, Budget(crashes=2, lates=1, errors=2)),
    "two workers, strict": app("strict", 2, Budget(crashes=2, lates=1)),
    "two workers, grace": app("grace", 2, Budget(crashes=2, lates=1)),
    "two workers, family": app("family", 2, Budget(crashes=2, lates=1)),
    "two workers with errors, strict": app("strict", 2, Budget(crashes=1, lates=1, errors=1)),
    "two workers with errors, grace": app("grace", 2, Budget(crashes=1, lates=1, errors=1)),
    "two workers with errors, family": app("family", 2, Budget(crashes=1, lates=1, errors=1)),
    "a thief, a death, strict": with_thief("strict", 2, Budget(crashes=1)),
    "a thief, a death, grace": with_thief("grace", 2, Budget(crashes=1)),
    "a thief, a death, family": with_thief("family", 2, Budget(crashes=1)),
    "a thief, a late landing": with_thief("strict", 2, Budget(lates=1)),
    "a thief, an error": with_thief("strict", 2, Budget(errors=1)),
}


def with_backend(scenario: Scenario, backends: int = 1) -> Scenario:
    return replace(scenario, backends=backends)


# A backend renews beside the app's requests.
BACKENDS = {
    f"{kind}, {rotation}{', in the row' if store == 'row' else ''}": replace(
        with_backend(app(rotation, 1, budget), backends), store=store
    )
    for store in STORES
    for rotation in ROTATIONS
    for kind, budget, backends in (
        ("a backend, a death and a late landing", Budget(crashes=1, lates=1), 1),
        ("a backend, an error", Budget(lates=1, errors=1), 1),
        ("two backends, a death", Budget(crashes=1), 2),
    )
}
BACKENDS |= {
    "a backend, two workers, a death": with_backend(app("strict", 2, Budget(crashes=1))),
    "a backend, a thief": with_backend(with_thief("strict", 2, Budget())),
    "a backend, a thief, in the row": in_row(with_backend(with_thief("strict", 2, Budget()))),
}

SCENARIOS = {**SECRETS, **{f"in the row, {name}": in_row(scenario) for name, scenario in ROW.items()}, **BACKENDS}

MUTANTS = [
    ("lease_shorter_than_the_work", "G1", app("strict", 2, Budget())),
    ("lease_shorter_than_the_work", "G4", app("strict", 2, Budget())),
    ("no_roll_forward", "G4", app("strict", 1, Budget(crashes=1))),
    ("looks_back_one_fence_only", "G4", app("strict", 1, Budget(crashes=2))),
    ("does_not_look_again_after_a_refusal", "G4", app("strict", 1, Budget(crashes=1, lags=1))),
    ("reads_the_current_version", "G4", app("strict", 1, Budget(errors=1))),
    ("commits_without_storing", "G2", app("strict", 1, Budget())),
    ("commits_without_the_fence", "G4", app("strict", 1, Budget(lates=1))),
    ("commits_without_the_status", "G3", app("strict", 1, Budget())),
    ("commit_adds", "G5", app("strict", 1, Budget(errors=1))),
    ("commit_adds", "G6", app("strict", 1, Budget(errors=1))),
    ("late_retry_does_not_supersede", "G7", with_thief("strict", 2, Budget())),
    ("waits_before_classifying", "G7", with_thief("strict", 2, Budget())),
    ("releases_after_an_ambiguous_outcome", "G1", app("family", 1, Budget(lates=1))),
    ("releases_after_an_ambiguous_outcome", "G4", app("family", 1, Budget(lates=1))),
    ("gives_the_fence_back_after_an_unknown_put", "G4", app("strict", 1, Budget(errors=2))),
    ("no_escrow", "G4", app("strict", 1, Budget(errors=1))),
    ("sits_out_with_the_same_lease", "G4", app("strict", 1, Budget(lates=1, errors=1))),
    ("lease_never_lapses", "G5", app("strict", 1, Budget(crashes=1))),
    ("seals_under_the_old_fence", "G5", in_row(app("strict", 1, Budget()))),
    ("answers_before_the_commit", "G2", in_row(app("strict", 1, Budget()))),
    ("answers_before_the_commit", "G5", in_row(app("strict", 1, Budget(crashes=1)))),
    ("stores_anew_at_a_refresh", "G4", in_row(app("strict", 1, Budget(crashes=1)))),
    ("seals_once", "G4", in_row(app("strict", 1, Budget(errors=1)))),
    ("commits_without_storing", "G2", in_row(app("strict", 1, Budget()))),
    ("commits_without_the_fence", "G4", in_row(app("strict", 1, Budget(lates=1)))),
    ("commits_without_the_status", "G3", in_row(app("strict", 1, Budget()))),
    *(
        (mutant, guarantee, replace(with_backend(scenario), store=store))
        for store in STORES
        for mutant, guarantee, scenario in (
            ("renewal_begins_a_grace", "G8", with_thief("strict", 2, Budget())),
            ("renewal_moves_a_hash", "G6", app("strict", 1, Budget())),
            ("renewal_moves_a_hash", "G9", app("strict", 1, Budget())),
            ("renewal_ignores_the_lease", "G1", app("strict", 1, Budget())),
            ("renewals_lease_is_not_bound", "G5", app("strict", 1, Budget(lates=1))),
        )
    ),
    ("renewal_does_not_roll_forward", "G4", with_backend(app("family", 1, Budget(crashes=1)))),
]


# The quick run has the scenarios with one and two workers, no errors, and an Aries without a grace. It has two small
# ones of the row.
QUICK = [name for name in SECRETS if name.startswith(("one worker,", "two workers,")) and "grace" not in name]
QUICK += ["in the row, one worker, strict", "in the row, two workers with errors, strict"]


@pytest.mark.parametrize("name", long_but(QUICK, SCENARIOS))
def test_every_guarantee_holds_in_every_state(name: str, visited: VisitedStates) -> None:
    result = Search(SCENARIOS[name]).run()
    visited.add(result.states, result)
    assert not result.broken, str(result)


@pytest.mark.parametrize("store", ["secrets", "row"])
def test_every_step_of_the_protocol_is_reached(store: Store, visited: VisitedStates) -> None:
    result = Search(replace(with_thief("strict", 2, Budget(errors=1)), store=store)).run()
    visited.add(result.states, result)
    assert result.steps == set(Step) - {Step.WAITING_BLINDLY, Step.SIGNING_OUT_OTHERS}


def test_a_session_in_the_row_is_lost_in_the_window_of_g4_alone(visited: VisitedStates) -> None:
    result = Search(in_row(app("strict", 1, Budget(crashes=1, lates=1, errors=1)))).run()
    visited.add(result.states, result)
    assert result.losses == {
        "Aries' answer is lost",
        "late: Aries accepts the request",
        "the worker dies while ACCEPTED",
        "the worker dies while STORING",
        "the worker dies while COMMITTING",
        "KMS fails to the end: 503",
        "cannot commit, to the end: 503",
    }


def named(mutant: str, guarantee: str, scenario: Scenario) -> Any:
    """Return a parameter of a test. A thief beside a backend has the most states."""
    name = "-".join([mutant, guarantee, *(["row"] if scenario.store == "row" else [])])
    marks = [pytest.mark.long] if scenario.thief and scenario.backends else []
    return pytest.param(mutant, guarantee, scenario, id=name, marks=marks)


@pytest.mark.parametrize(("mutant", "guarantee", "scenario"), [named(*row) for row in MUTANTS])
def test_a_mutant_breaks_the_guarantee(mutant: str, guarantee: str, scenario: Scenario, visited: VisitedStates) -> None:
    assert not Search(scenario).run(guarantee).broken
    result = Search(scenario, Variant(**{mutant: True})).run(guarantee)
    visited.add(result.states, result)
    assert breaks(result.broken, guarantee)


# The premises of the guarantees: each breach shows that the premise is needed.


def test_a_request_that_lands_after_the_grace_of_the_commit_before_it_signs_the_app_out(visited: VisitedStates) -> None:
    # The app sends a request within the grace and gives it up. A replay answers its next request. Then the first one
    # lands as a late retry, and supersedes the token that the app has just got. It may land within the grace after its
    # sending, so G6 does not hold to the letter.
    result = Search(Scenario("strict", 2, Budget(), grace_may_end_early=True)).run("G6")
    visited.add(result.states, result)
    assert result.broken.startswith("G6")


def test_a_replay_that_prolonged_the_grace_would_keep_that_app_signed_in(visited: VisitedStates) -> None:
    scenario = Scenario("strict", 4, Budget(crashes=1), revoke=True, grace_may_end_early=True)
    result = Search(scenario, Variant(replay_prolongs_the_grace=True)).run()
    visited.add(result.states, result)
    assert not result.broken, str(result)


def test_an_aries_that_kills_families_forgives_no_look_up_that_misses_a_version(visited: VisitedStates) -> None:
    result = Search(app("family", 1, Budget(crashes=1, lags=1))).run("G4")
    visited.add(result.states, result)
    assert result.broken.startswith("G4")
