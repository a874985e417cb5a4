"""Structured log lines and metrics through Powertools for AWS Lambda."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from oauth_broker.invocation import Level


class PowertoolsTelemetry:
    """One JSON line an event; metrics in CloudWatch's embedded metric format.

    Every line and every metric stands alone: no key is appended to the logger and no metric waits for a flush, so that
    nothing crosses over from one request to the next and a process that dies has lost nothing.
    """

    def __init__(self) -> None:
        logger = Logger()
        self._write = {"info": logger.info, "warning": logger.warning, "error": logger.error}

    def log(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        """Write one line at ``level`` (``info``, ``warning`` or ``error``)."""
        self._write[level](event, extra=fields)

    def count(self, metric: str, dimensions: dict[str, str]) -> None:
        """Emit one count of ``metric``; the namespace and the service come from the environment."""
        with single_metric(name=metric, unit=MetricUnit.Count, value=1) as record:
            for name, value in dimensions.items():
                record.add_dimension(name=name, value=value)
