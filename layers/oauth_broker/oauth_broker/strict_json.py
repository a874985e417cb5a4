"""JSON objects from outside: no duplicate names, no NaN, and every refusal is a ValueError."""

from __future__ import annotations

import json
from typing import Any, NoReturn


class DuplicateName(ValueError):
    """An object has the member ``name`` twice. The message does not repeat the name."""

    def __init__(self, name: str) -> None:
        super().__init__("JSON has a duplicate name")
        self.name = name


def parse_object(text: bytes | str) -> dict[str, Any]:
    """Parse one JSON object (RFC 8259) strictly.

    Raises ValueError for anything else: another type, NaN and Infinity, numbers beyond the interpreter's digit limit,
    text in another encoding than UTF-8, and nesting deeper than the interpreter's stack. Raises DuplicateName, a
    ValueError, for duplicate names: RFC 8259 section 4 leaves their meaning open, so two readers may differ.
    """
    try:
        value = json.loads(
            text if isinstance(text, str) else text.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
        )
    except RecursionError as error:
        raise ValueError("JSON is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("JSON is not an object")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise DuplicateName(name)
        members[name] = value
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError("JSON has a constant that the standard does not know")
