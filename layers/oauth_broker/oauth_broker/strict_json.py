"""JSON objects from outside: no duplicate names, no NaN, no surprise that is not a ValueError."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def parse_object(text: bytes | str) -> dict[str, Any]:
    """Parse one JSON object (RFC 8259) strictly.

    Raises ValueError for anything else: another type, duplicate names (RFC 8259 section 4 leaves their meaning open,
    so two readers may differ), NaN and Infinity, numbers beyond the interpreter's digit limit, text that is not UTF-8,
    and nesting deeper than the interpreter's stack.
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
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("JSON has a duplicate name")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError("JSON has a constant that the standard does not know")
