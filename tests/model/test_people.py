"""A person with several sessions, checked in every reachable state; and the breach of each near miss.

`person` defines a person's part of a state, `people` is the protocol of the person's item, and `guarantees` defines
G10 to G13. The app may ask any number of times to sign out the others, and the person may sign in any number of times.

The scenarios are exhaustive, with every fault of their budgets at every write:

* a sign-in, and a sign-out of the others beside a refresh of the session that signs out: without a fault, also beside a
  refresh that the app gave up; a death, a late landing, or an error, for both stores;
* a sign-in and a sign-out of the others, without a refresh: a death, together with a late landing and an error, or with
  two late landings;
* two sign-ins and a sign-out: a death, a late landing, or an error;
* two sign-outs and a sign-in: a death and a late landing, or an error; and two of each without a fault.

Here an error is a write that is applied unknown to its job, or an Aries that does not say whose session it is. Without
a refresh nothing touches tokens, so there is no difference between the stores.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.model.conftest import VisitedStates
from tests.model.moves import breaks
from tests.model.person import Task
from tests.model.search import Search
from tests.model.state import Budget
from tests.model.variant import Rotation, Scenario, Store, Variant
from tests.support.long import long_but

STORES: tuple[Store, ...] = ("secrets", "row")


def person(budget: Budget, sign_outs: int = 1, sign_ins: int = 1) -> Scenario:
    return Scenario("strict", 0, budget, revoke=True, sign_outs=sign_outs, sign_ins=sign_ins)


def beside_a_refresh(
    budget: Budget, store: Store = "secrets", rotation: Rotation = "strict", workers: int = 1
) -> Scenario:
    return replace(person(budget), workers=workers, store=store, rotation=rotation)


SCENARIOS = {
    f"beside a refresh, {kind}{', in the row' if store == 'row' else ''}": beside_a_refresh(budget, store)
    for store in STORES
    for kind, budget in (
        ("no fault", Budget()),
        ("a death", Budget(crashes=1)),
        ("a late landing", Budget(lates=1)),
        ("an error", Budget(errors=1)),
    )
}
SCENARIOS |= {
    "beside a refresh, a death, family": beside_a_refresh(Budget(crashes=1), rotation="family"),
    "beside two refreshes, no fault": beside_a_refresh(Budget(), workers=2),
    "one of each, a death and a late landing": person(Budget(crashes=1, lates=1)),
    "one of each, a death, a late landing and an error": person(Budget(crashes=1, lates=1, errors=1)),
    "one of each, a death and two late landings": person(Budget(crashes=1, lates=2)),
    "two sign-ins, no fault": person(Budget(), sign_ins=2),
    "two sign-ins, a death": person(Budget(crashes=1), sign_ins=2),
    "two sign-ins, a late landing": person(Budget(lates=1), sign_ins=2),
    "two sign-ins, an error": person(Budget(errors=1), sign_ins=2),
    "two sign-outs, a death and a late landing": person(Budget(crashes=1, lates=1), sign_outs=2),
    "two sign-outs, an error": person(Budget(errors=1), sign_outs=2),
    "two of each, no fault": person(Budget(), sign_outs=2, sign_ins=2),
}
QUICK = ["beside a refresh, no fault", "one of each, a death and a late landing", "two sign-ins, no fault"]

MUTANTS = [
    ("row_before_item", "G13", person(Budget())),
    ("row_before_item", "G10", person(Budget())),
    ("reads_the_item_before_the_cut_off", "G10", person(Budget())),
    ("cut_off_moves_back", "G12", person(Budget(lates=1))),
    ("cut_off_moves_back", "G10", person(Budget(lates=1))),
    ("redemption_ignores_the_cut_off", "G10", person(Budget())),
    ("later_try_ignores_the_cut_off", "G10", person(Budget(errors=1))),
    ("ends_active_sessions_only", "G10", person(Budget())),
    ("sign_out_ends_its_own_session", "G11", person(Budget())),
    *(("sign_out_knows_no_previous_token", "G11", beside_a_refresh(Budget(), store)) for store in STORES),
]


@pytest.mark.parametrize("name", long_but(QUICK, SCENARIOS))
def test_every_guarantee_holds_in_every_state_of_a_person(name: str, visited: VisitedStates) -> None:
    result = Search(SCENARIOS[name]).run()
    visited.add(result.states, result)
    assert not result.broken, str(result)


def test_every_task_of_a_person_is_reached(visited: VisitedStates) -> None:
    result = Search(person(Budget(errors=1))).run()
    visited.add(result.states, result)
    assert result.tasks == set(Task) - {Task.LISTING}


def named(mutant: str, guarantee: str, scenario: Scenario) -> Any:
    """Return a parameter of a test. The quick run has one store."""
    in_row = scenario.store == "row"
    name = "-".join([mutant, guarantee, *(["row"] if in_row else [])])
    return pytest.param(mutant, guarantee, scenario, id=name, marks=[pytest.mark.long] if in_row else [])


@pytest.mark.parametrize(("mutant", "guarantee", "scenario"), [named(*row) for row in MUTANTS])
def test_a_mutant_breaks_the_guarantee_of_a_person(
    mutant: str, guarantee: str, scenario: Scenario, visited: VisitedStates
) -> None:
    assert not Search(scenario).run(guarantee).broken
    result = Search(scenario, Variant(**{mutant: True})).run(guarantee)
    visited.add(result.states, result)
    assert breaks(result.broken, guarantee)


# The premises of G11: each breach shows that the premise is needed. Two refreshes overtake the request, and the token
# that it carries is a superseded one when it lands.


@pytest.mark.parametrize("dropped", ["asks_beside_a_refresh", "grace_may_end_early"])
def test_two_refreshes_that_overtake_a_sign_out_of_the_others_sign_its_app_out(
    dropped: str, visited: VisitedStates
) -> None:
    result = Search(replace(beside_a_refresh(Budget()), **{dropped: True})).run("G11")  # type: ignore[arg-type]
    visited.add(result.states, result)
    assert breaks(result.broken, "G11")
