"""The events that the broker puts on its bus, as a rule of EventBridge hands them to its target."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.support.functions import ROOT

SCHEMA: dict[str, Any] = json.loads((ROOT / "docs" / "events.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)


def valid(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event. Raises if the schema refuses it."""
    VALIDATOR.validate(event)
    return event


def announced(body: bytes) -> list[dict[str, Any]]:
    """Return the events in the body of a PutEvents. Raises if the schema refuses one."""
    return [
        valid({"source": entry["Source"], "detail-type": entry["DetailType"], "detail": json.loads(entry["Detail"])})
        for entry in json.loads(body)["Entries"]
    ]
