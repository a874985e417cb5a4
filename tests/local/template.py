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
    """A function's event source mapping: the choice of records from the table's stream, and the rules for failures.

    ``patterns`` are the filter's patterns; an empty filter lets all records through. ``reports_items`` is true if
    Lambda reads the function's report of failed items, and ``bisects`` if it splits a failed batch. Lambda gives a
    batch up after ``most_retries`` or ``most_age`` (seconds), -1 for no limit. Then it tells the queue with the ARN
    ``on_failure``, '' for no queue.
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
        """Read it, or the result of `sam build` at ``path``.

        ``created`` gives the attributes of existing resources, by logical id. SAM CLI's resolver looks logical ids up
        in the same table as parameters. If an attribute is not there, the resolver makes it up.
        """
        # SAM CLI uses deprecated parts of its own libraries.
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            stacks, _ = SamLocalStackProvider.get_stacks(str(path), parameter_overrides={**parameters, **created})
            self._stack: Stack = stacks[0]
            self.functions = SamFunctionProvider(stacks)
            self.api: Api = ApiProvider(stacks, cwd=str(path.parent)).api

    def properties(self, logical_id: str) -> dict[str, Any]:
        """Return a resource's properties."""
        properties: dict[str, Any] = self._stack.resources[logical_id]["Properties"]
        return properties

    def signed_paths(self) -> frozenset[str]:
        """Return the paths of the API's routes that ask IAM."""
        return frozenset(
            event["Properties"]["Path"]
            for resource in self._stack.resources.values()
            for event in resource.get("Properties", {}).get("Events", {}).values()
            if event["Properties"].get("Auth", {}).get("Authorizer") == "AWS_IAM"
        )

    def stream_trigger(self) -> StreamTrigger:
        """Return the only event source mapping for a DynamoDB stream."""
        (trigger,) = (
            StreamTrigger.from_properties(logical_id, event["Properties"])
            for logical_id, resource in self._stack.resources.items()
            for event in resource.get("Properties", {}).get("Events", {}).values()
            if event["Type"] == "DynamoDB"
        )
        return trigger
