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

from tests.local.event_filter import lets_through

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class StreamTrigger:
    """A function's event source mapping: which records of the table's stream it gets, and what becomes of failures.

    ``patterns`` are those of the filter: none lets all records through. ``reports_items`` tells whether the function's
    report of failed items is read, ``bisects`` whether a batch that fails is split. ``most_retries`` and ``most_age``
    (seconds) are the limits after which a batch is given up, -1 where there is none, and ``on_failure`` is the ARN of
    the queue that is then told, '' where there is none.
    """

    function: str
    batch_size: int
    patterns: tuple[Mapping[str, Any], ...] = ()
    reports_items: bool = False
    bisects: bool = False
    most_retries: int = -1
    most_age: int = -1
    on_failure: str = ""

    @classmethod
    def from_properties(cls, function: str, properties: Mapping[str, Any]) -> StreamTrigger:
        """Read the properties of an event of type ``DynamoDB``, with Lambda's defaults."""
        filters = properties.get("FilterCriteria", {}).get("Filters", [])
        return cls(
            function,
            int(properties.get("BatchSize", 100)),
            tuple(json.loads(entry["Pattern"]) for entry in filters),
            "ReportBatchItemFailures" in properties.get("FunctionResponseTypes", []),
            properties.get("BisectBatchOnFunctionError", False),
            int(properties.get("MaximumRetryAttempts", -1)),
            int(properties.get("MaximumRecordAgeInSeconds", -1)),
            properties.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination", ""),
        )

    def wants(self, record: Mapping[str, Any]) -> bool:
        """Tell whether one of the filter patterns lets ``record`` through."""
        return not self.patterns or any(lets_through(pattern, record) for pattern in self.patterns)


class Template:
    """``template.yaml`` as it would be deployed with these parameters."""

    def __init__(
        self,
        parameters: Mapping[str, str],
        created: Mapping[str, Mapping[str, str]],
        *,
        path: Path = ROOT / "template.yaml",
    ) -> None:
        """Read it, or what `sam build` made of it at ``path``.

        ``created`` gives the attributes of resources that exist already, by logical id: SAM CLI's resolver looks
        logical ids up in the same table as parameters, and makes up the attributes that it does not find there.
        """
        # SAM CLI uses what its own libraries deprecate.
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            stacks, _ = SamLocalStackProvider.get_stacks(str(path), parameter_overrides={**parameters, **created})
            self._stack: Stack = stacks[0]
            self.functions = SamFunctionProvider(stacks)
            self.api: Api = ApiProvider(stacks, cwd=str(path.parent)).api

    def properties(self, logical_id: str) -> dict[str, Any]:
        """Return a resource's properties."""
        properties: dict[str, Any] = self._stack.resources[logical_id]["Properties"]
        return properties

    def stream_trigger(self) -> StreamTrigger:
        """Return the one event source mapping that reads a DynamoDB stream."""
        (trigger,) = (
            StreamTrigger.from_properties(logical_id, event["Properties"])
            for logical_id, resource in self._stack.resources.items()
            for event in resource.get("Properties", {}).get("Events", {}).values()
            if event["Type"] == "DynamoDB"
        )
        return trigger
