"""Telemetry for tests to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from oauth_broker.runtime.invocation import Level


@dataclass
class Recorded:
    """Keeps the log lines, the counts (``metrics``) and the durations."""

    lines: list[tuple[Level, str, dict[str, Any]]] = field(default_factory=list)
    metrics: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    durations: list[tuple[str, float, dict[str, str]]] = field(default_factory=list)

    def log(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        self.lines.append((level, event, fields))

    def measure(self, metric: str, milliseconds: float, dimensions: dict[str, str]) -> None:
        self.durations.append((metric, milliseconds, dimensions))

    def count(self, metric: str, dimensions: dict[str, str]) -> None:
        self.metrics.append((metric, dimensions))

    def counted(self, metric: str) -> int:
        return sum(name == metric for name, _ in self.metrics)
