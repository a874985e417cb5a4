"""Whoever is on call signs a person out, or forgets the person, under every single fault.

Whatever fails and whatever lands once more, the same command is finished at last. Then nothing is left of the person's
sessions. If the person comes back, the new session lives and is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from oauth_broker.errors import ServiceUnavailable
from oauth_broker.operator.errors import TemporaryFailure
from oauth_broker.operator.person import PersonActions
from oauth_broker.operator.reports import SessionReports
from oauth_broker.people.person_items import PersonItem, PersonItems
from oauth_broker.secret import Secret
from tests.faults.broker import (
    STORES,
    USER_SCOPE,
    Broker,
    Session,
    Store,
    Violation,
    in_turn,
    observe,
    settings_of,
    signed_in,
)
from tests.faults.seam import faults_at
from tests.faults.test_other_sessions_faults import assert_lives, assert_over
from tests.local.aries.tokens import USERS

ACTIONS = ["revoke", "forget"]
# A late effect lands after so many calls. The last one lands after the person has come back.
DELAYS = [*range(8), 100]
# The calls of each action. A fault befalls each of them.
CALLS = {"subject key get_secret_value", "person get_item", "person update_item", "batch_get_item", "update_item"}


def act(broker: Broker, action: str) -> str:
    """Do the action. Return "200" only if its answer says that it is finished."""
    parts = broker.parts
    reports = SessionReports(broker.settings.registry, broker.clock)
    actions = PersonActions(
        parts.subjects,
        parts.person_items,
        parts.session_rows,
        parts.not_before,
        parts.sign_out,
        reports,
        broker.settings.registry,
        broker.clock,
    )

    def command() -> None:
        try:
            answer = getattr(actions, action)(Secret(USERS[0].id), broker.invocation())
        except TemporaryFailure as failure:
            raise ServiceUnavailable(failure.reason) from failure
        if not answer["finished"]:
            raise ServiceUnavailable("not_finished")

    return observe(command).kind


def act_at_last(broker: Broker, action: str) -> None:
    """Repeat the command until it is finished."""
    for _ in range(3):
        if act(broker.another_process(), action) == "200":
            return
    raise Violation("G5: the command was not finished after all faults")


def schedules(store: Store, action: str) -> Iterator[tuple[Broker, list[Session], str]]:
    """Do the action to a person with two sessions, once under each fault."""
    at, injected = 1, True
    while injected:
        injected = False
        for fault in faults_at(at, DELAYS):
            broker = Broker(settings=settings_of(store))
            sessions = [signed_in(broker, scope=USER_SCOPE) for _ in range(2)]
            broker = broker.another_process()
            broker.warm_up()
            broker.seam.calls.clear()
            broker.seam.faults = in_turn([fault])
            kind = act(broker, action)
            if not broker.seam.injected:
                continue
            injected = True
            broker.seam.faults = {}
            yield broker, sessions, kind
        at += 1


def check(broker: Broker, sessions: list[Session], kind: str, action: str) -> None:
    """Finish the action, let the person come back on as many devices, and let late effects land."""
    if kind == "200":
        assert_over(broker, sessions)
    else:
        act_at_last(broker, action)
    assert_over(broker, sessions)
    if action == "forget" and broker.people_table.items and not broker.seam.late:
        raise Violation("a person was forgotten and has an item")
    broker.clock.time += 1
    later = [signed_in(broker, scope=USER_SCOPE) for _ in sessions]
    broker.seam.land_all()
    assert_over(broker, sessions)
    for session in later:
        assert_lives(broker, session)
        assert session.refresh().kind == "200"
    broker.assert_stores_are_in_order()


def check_all(store: Store, action: str) -> tuple[int, set[str]]:
    """Check every schedule. Return their number, and the calls that a fault befell."""
    names: set[str] = set()
    count = 0
    for broker, sessions, kind in schedules(store, action):
        count += 1
        names |= {name for name, _ in broker.seam.injected}
        check(broker, sessions, kind, action)
    return count, names


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("store", STORES)
def test_a_person_is_signed_out_on_call_under_every_single_fault(
    numbers: Callable[[str], None], store: Store, action: str
) -> None:
    count, names = check_all(store, action)
    either = CALLS | ({"person delete_item"} if action == "forget" else set())
    assert names == either | ({"delete_secret"} if store == "secrets" else set())
    numbers(f"{action} on call, {store}: {count} schedules of one fault")


def joining_from_1(items: PersonItems, subject: str, client_id: str, session_id: str) -> PersonItem:
    """The mutant: the number of each item begins at 1, so that a later item of the person has it once more."""
    values = {":ids": {"SS": [session_id]}, ":one": {"N": "1"}}
    condition = "joins >= :one OR attribute_not_exists(joins)"
    return items._update(
        subject, "ADD #sessions :ids, joins :one", {"#sessions": f"sessions {client_id}"}, values, condition
    )


def test_the_faults_find_a_number_that_comes_once_more() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PersonItems, "join", joining_from_1)
        with pytest.raises(Violation, match="left the person's item"):
            check_all("secrets", "forget")
