"""A small measurement of warm functions works, and notices extra work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import warm
from tests.bench.budget import BUDGET
from tests.bench.figures import Section
from tests.built.artifacts import BUILT

pytestmark = pytest.mark.bench

# Code to append to the built functions. Each adds enough work to break a bar.
_SAVES_TWICE = """
from oauth_broker.sessions.table import SignIns

save = SignIns.save
SignIns.save = lambda self, row: [save(self, row), save(self, row)]
"""
_BURNS_TIME = """
from oauth_broker.sessions.table import SignIns

issue = SignIns.issue
SignIns.issue = lambda self, row, now: [sum(range(1_000_000)), issue(self, row, now)][1]
"""
_SEALS_SLOWLY = """
from oauth_broker.sessions.seal import Sealing

sealed = Sealing.sealed
Sealing.sealed = lambda self, *of: [sum(range(1_000_000)), sealed(self, *of)][1]
"""
_OPENS_TWICE = """
from oauth_broker.sessions.seal import Seal

open_seal = Seal.open
Seal.open = lambda self, *of: [open_seal(self, *of), open_seal(self, *of)][1]
"""
_CONNECTS_ANEW = """
from oauth_broker.runtime import aws
from oauth_broker.sessions.table import SignIns

find = SignIns.find
SignIns.find = lambda self, session_id: find(SignIns(aws.dynamodb(), self._table_name), session_id)
"""


def test_each_operation_makes_the_calls_of_its_budget_on_connections_that_are_there() -> None:
    section = warm.measure(1, times=3)
    assert [comparison.name for comparison in section.comparisons] == list(BUDGET)
    assert all(comparison.other.median > 0 for comparison in section.comparisons)
    assert len(section.limits) == len(BUDGET) + 3
    assert not _missed(section)


def test_each_operation_with_tokens_in_the_row_makes_its_calls_and_is_beside_a_secret() -> None:
    section = warm.measure_row(1, times=3)
    names = [comparison.name for comparison in section.comparisons]
    assert names[: len(BUDGET)] == [f"{what}, and its bare calls" for what in BUDGET]
    assert names[len(BUDGET) :] == [f"{what}, and with a secret" for what in BUDGET if what != "authorize"]
    assert all(comparison.other.median > 0 for comparison in section.comparisons)
    assert "calls of refresh: 2 UpdateItem, 1 Decrypt, 1 Encrypt, 1 Aries" in [limit.name for limit in section.limits]
    assert not _missed(section)


def test_a_slow_seal_and_a_call_too_many_are_noticed(tmp_path: Path) -> None:
    functions = {
        "callback": _changed("CallbackFunction", _SEALS_SLOWLY, tmp_path),
        "token": _changed("TokenFunction", _OPENS_TWICE, tmp_path),
    }
    section = warm.measure_row(1, times=3, functions=functions)
    slow = {comparison.name for comparison in section.comparisons if not comparison.is_met}
    assert slow >= {"callback, and its bare calls", "callback, and with a secret"}
    assert _missed(section) == [
        "calls of redeem: 1 GetItem, 1 UpdateItem, 1 Decrypt",
        "calls of refresh: 2 UpdateItem, 1 Decrypt, 1 Encrypt, 1 Aries",
        "calls of replay: 1 UpdateItem, 1 Decrypt",
        "calls of redeem with its person: 1 GetItem, 2 UpdateItem, 1 Decrypt, 1 Aries (user)",
        # The functions share one process here, and so the seal.
        "calls of list sessions: 2 GetItem, 1 Decrypt",
        "calls of backend: 1 GetItem, 1 Decrypt",
        "other or missing calls",
        "other or missing calls of the bare side",
    ]


def test_a_call_too_many_a_new_connection_and_wasted_time_are_noticed(tmp_path: Path) -> None:
    functions = {
        "authorize": _changed("AuthorizeFunction", _SAVES_TWICE, tmp_path),
        "callback": _changed("CallbackFunction", _BURNS_TIME, tmp_path),
        "token": _changed("TokenFunction", _CONNECTS_ANEW, tmp_path),
    }
    section = warm.measure(1, times=3, functions=functions)
    slow = {comparison.name for comparison in section.comparisons if not comparison.is_met}
    assert "callback" in slow
    assert _missed(section) == [
        "calls of authorize: 1 PutItem",
        "other or missing calls",
        "other or missing calls of the bare side",
        "TLS handshakes of all warm operations",
    ]


def _missed(section: Section) -> list[str]:
    return [limit.name for limit in section.limits if not limit.is_met]


def _changed(function: str, change: str, into: Path) -> Path:
    folder = into / function
    folder.mkdir()
    (folder / "app.py").write_text((BUILT / function / "app.py").read_text() + change)
    return folder
