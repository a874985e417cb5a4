"""Lambda's filter patterns, as far as the template uses them.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html has the rules. It says little about absent
fields. The rules come from EventBridge, and EventBridge tests paths to leaves: if the parent of a field is absent, then
the field is absent (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ABSENT = object()


def lets_through(pattern: Mapping[str, Any], record: object) -> bool:
    """Tell whether ``record`` fits ``pattern``.

    Raises NotImplementedError at a rule other than a plain value, ``exists`` and ``anything-but`` some texts.
    """
    for name, wanted in pattern.items():
        value = record.get(name, _ABSENT) if isinstance(record, Mapping) else _ABSENT
        if isinstance(wanted, Mapping):
            if not lets_through(wanted, value):
                return False
            continue
        # Every rule is read, even after a match, so that an unknown rule raises.
        held = [_holds(rule, value) for rule in wanted]
        if not any(held):
            return False
    return True


def _holds(rule: object, value: object) -> bool:
    """Tell whether one rule holds for a leaf. For an object, ``"exists": false`` alone holds, as it is no leaf."""
    is_leaf = value is not _ABSENT and not isinstance(value, Mapping)
    match rule:
        case {"exists": bool(wanted), **rest} if not rest:
            return is_leaf is wanted
        case {"anything-but": [*texts], **rest} if not rest and all(isinstance(text, str) for text in texts):
            return is_leaf and value not in texts
        case Mapping():
            raise NotImplementedError(f"a filter by more than equality, exists and anything-but: {rule}")
        case _:
            return is_leaf and value == rule
