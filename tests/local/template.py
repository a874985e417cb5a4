"""The project's template, read by SAM CLI's own reader: parameters filled in, functions resolved, Globals merged."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.provider import Api, Stack
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class StreamTrigger:
    """A function's event source mapping: which records of the table's stream it gets, and how many at once."""

    function: str
    batch_size: int
    patterns: tuple[Mapping[str, Any], ...]

    def wants(self, record: Mapping[str, Any]) -> bool:
        """Tell whether one of the filter patterns lets ``record`` through, by the values of its top-level members."""
        return any(all(record.get(name) in allowed for name, allowed in pattern.items()) for pattern in self.patterns)


class Template:
    """``template.yaml`` as it would be deployed with these parameters."""

    def __init__(self, parameters: Mapping[str, str], created: Mapping[str, Mapping[str, str]]) -> None:
        """Read it.

        ``created`` gives the attributes of resources that exist already, by logical id: SAM CLI's resolver looks
        logical ids up in the same table as parameters, and makes up the attributes that it does not find there.
        """
        # SAM CLI uses what its own libraries deprecate.
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            stacks, _ = SamLocalStackProvider.get_stacks(
                str(ROOT / "template.yaml"), parameter_overrides={**parameters, **created}
            )
            self._stack: Stack = stacks[0]
            self.functions = SamFunctionProvider(stacks)
            self.api: Api = ApiProvider(stacks, cwd=str(ROOT)).api

    def properties(self, logical_id: str) -> dict[str, Any]:
        """Return a resource's properties."""
        properties: dict[str, Any] = self._stack.resources[logical_id]["Properties"]
        return properties

    def stream_trigger(self) -> StreamTrigger:
        """Return the one event source mapping that reads a DynamoDB stream."""
        (trigger,) = (
            StreamTrigger(logical_id, int(mapping.get("BatchSize", 100)), _patterns(mapping))
            for logical_id, resource in self._stack.resources.items()
            for event in resource.get("Properties", {}).get("Events", {}).values()
            if event["Type"] == "DynamoDB"
            for mapping in [event["Properties"]]
        )
        return trigger


def _patterns(mapping: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    return tuple(json.loads(entry["Pattern"]) for entry in mapping["FilterCriteria"]["Filters"])
