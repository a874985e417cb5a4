"""A table in memory with the broker's conditional writes alone, because moto needs 5 ms for one write.

The table parses each expression once, into functions of a row and of the request's values. It raises KeyError or
ValueError for every feature of DynamoDB unused by the broker.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

Typed = dict[str, Any]
Row = dict[str, Typed]
Names = tuple[tuple[str, str], ...]
_Operand = Callable[[Row, Mapping[str, Typed]], Typed | None]
_Check = Callable[[Row, Mapping[str, Typed]], bool]
_Change = Callable[[Row, Row, Mapping[str, Typed]], None]

_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class ConditionFailed(Exception):
    """The condition does not hold for ``row``."""

    def __init__(self, row: Row) -> None:
        super().__init__("the condition does not hold")
        self.row = row


class Table:
    """Rows by the value of their key. The caller must hold a lock."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def put(self, row: Row) -> None:
        """Write a row."""
        self.rows[row["session_id"]["S"]] = row

    def get(self, key: str) -> Row | None:
        """Read a row."""
        return self.rows.get(key)

    def update(self, key: str, condition: str, update: str, names: Names, values: Mapping[str, Typed]) -> Row:
        """Change a row if the condition holds, and return the changed row. Raises ConditionFailed."""
        row = self.rows.get(key, {})
        if not _condition(condition, names)(row, values):
            raise ConditionFailed(row)
        changed = row.copy()
        for change in _update(update, names):
            # Every operand of an update comes from the row before the update.
            change(changed, row, values)
        self.rows[key] = changed
        return changed


@cache
def _condition(text: str, names: Names) -> _Check:
    return _Expression(text, names).condition()


@cache
def _update(text: str, names: Names) -> tuple[_Change, ...]:
    return tuple(_Expression(text, names).changes())


class _Expression:
    def __init__(self, text: str, names: Names) -> None:
        self._words = re.findall(r"[#:]?\w+|<=|>=|<>|\S", text)
        self._names = dict(names)

    def condition(self) -> _Check:
        """Parse a condition. AND binds closer than OR."""
        either = [self._all_of()]
        while self._next_is("OR"):
            either.append(self._all_of())
        return lambda row, values: any(check(row, values) for check in either)

    def changes(self) -> list[_Change]:
        changes: list[_Change] = []
        while self._words:
            one = {"SET": self._set, "REMOVE": self._remove, "ADD": self._add}[self._words.pop(0)]
            changes.append(one())
            while self._next_is(","):
                changes.append(one())
        return changes

    def _all_of(self) -> _Check:
        all_of = [self._check()]
        while self._next_is("AND"):
            all_of.append(self._check())
        return lambda row, values: all(check(row, values) for check in all_of)

    def _check(self) -> _Check:
        if self._next_is("("):
            inner = self.condition()
            self._words.pop(0)
            return inner
        if self._next_is("attribute_not_exists"):
            _, word, _ = (self._words.pop(0) for _ in range(3))
            name = self._name(word)
            return lambda row, values: name not in row
        if self._next_is("attribute_type"):
            _, word, _, kind, _ = (self._words.pop(0) for _ in range(5))
            typed = self._name(word)
            return lambda row, values: values[kind]["S"] in row.get(typed, {})
        left, compare, right = self._operand(), _COMPARED[self._words.pop(0)], self._operand()

        def holds(row: Row, values: Mapping[str, Typed]) -> bool:
            one, other = left(row, values), right(row, values)
            return one is not None and other is not None and compare(_plain(one), _plain(other))

        return holds

    def _operand(self) -> _Operand:
        word = self._words.pop(0)
        if word.startswith(":"):
            return lambda row, values: values[word]
        if word in ("list_append", "if_not_exists"):
            self._words.pop(0)
            first, _, second = self._operand(), self._words.pop(0), self._operand()
            self._words.pop(0)
            if word == "list_append":
                return lambda row, values: _appended(first(row, values), second(row, values))
            return lambda row, values: first(row, values) or second(row, values)
        if word == "size":
            _, sized, _ = (self._words.pop(0) for _ in range(3))
            of = self._name(sized)
            return lambda row, values: _size(row.get(of))
        name = self._name(word)
        return lambda row, values: row.get(name)

    def _new_value(self) -> _Operand:
        may_be_sum = self._words[:1] == ["if_not_exists"]
        first = self._operand()
        if not (may_be_sum and self._next_is("+")):
            return first
        second = self._operand()
        return lambda row, values: _added(first(row, values), second(row, values))

    def _set(self) -> _Change:
        name, _, operand = self._name(self._words.pop(0)), self._words.pop(0), self._new_value()

        def change(changed: Row, row: Row, values: Mapping[str, Typed]) -> None:
            value = operand(row, values)
            assert value is not None
            changed[name] = value

        return change

    def _remove(self) -> _Change:
        name = self._name(self._words.pop(0))

        def change(changed: Row, row: Row, values: Mapping[str, Typed]) -> None:
            changed.pop(name, None)

        return change

    def _add(self) -> _Change:
        name, value = self._name(self._words.pop(0)), self._words.pop(0)

        def change(changed: Row, row: Row, values: Mapping[str, Typed]) -> None:
            if "SS" in values[value]:
                changed[name] = {"SS": sorted({*row.get(name, {"SS": []})["SS"], *values[value]["SS"]})}
                return
            before = row.get(name, {"N": "0"})
            changed[name] = {"N": str(int(before["N"]) + int(values[value]["N"]))}

        return change

    def _name(self, word: str) -> str:
        return self._names[word] if word.startswith("#") else word

    def _next_is(self, word: str) -> bool:
        if self._words[:1] == [word]:
            del self._words[0]
            return True
        return False


def _plain(value: Typed) -> str | float:
    return float(value["N"]) if "N" in value else str(value["S"])


def _size(value: Typed | None) -> Typed | None:
    return None if value is None else {"N": str(len(value["SS"]))}


def _added(one: Typed | None, other: Typed | None) -> Typed:
    assert one is not None
    assert other is not None
    return {"N": str(int(one["N"]) + int(other["N"]))}


def _appended(one: Typed | None, other: Typed | None) -> Typed:
    assert one is not None
    assert other is not None
    return {"L": one["L"] + other["L"]}
