"""Structured log lines and metrics through Powertools for AWS Lambda."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from threading import Lock
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from oauth_broker.errors import ConfigurationError
from oauth_broker.runtime.invocation import Level

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# The values of the template's parameter LogLevel.
_LEAST = {"INFO": logging.INFO, "WARN": logging.WARNING, "ERROR": logging.ERROR}
# The actions of operators and the reasons for ended sessions must be known later, at every LOG_LEVEL.
_WRITTEN_AT_EVERY_LEVEL = frozenset({"operator_action", "session_ended", "signed_out"})


class PowertoolsTelemetry:
    """One JSON line an event; metrics in CloudWatch's embedded metric format.

    This class leaves out lines below LOG_LEVEL. Powertools' Logger would follow AWS_LAMBDA_LOG_LEVEL instead, set by
    Lambda from ApplicationLogLevel.

    Every line and every metric stands alone: the logger keeps no appended key, and a metric does not wait for a flush.
    Data cannot cross over from one request to the next, and a dying process loses no data.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read the variables now, not at the first metric. Raises ConfigurationError naming a wrong variable."""
        for name in ("POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE"):
            if not environment.get(name):
                raise ConfigurationError(f"{name} must not be empty")
        if environment.get("LOG_LEVEL") not in _LEAST:
            raise ConfigurationError(f"LOG_LEVEL must be one of {', '.join(_LEAST)}")
        self._least = _LEAST[environment["LOG_LEVEL"]]
        self._service = environment["POWERTOOLS_SERVICE_NAME"]
        # At DEBUG these libraries log whole requests and answers, with tokens. At WARNING they log the unparsable parts
        # of an answer.
        for library in ("boto3", "botocore", "urllib3"):
            logging.getLogger(library).setLevel(logging.CRITICAL)
        # The logged place in the code would always be this module.
        logger = Logger(service=self._service, level=logging.INFO, location=None)
        self._write = {"info": logger.info, "warning": logger.warning, "error": logger.error}
        self._record = AmazonCloudWatchEMFProvider(
            namespace=environment["POWERTOOLS_METRICS_NAMESPACE"], service=self._service
        )
        self._one_at_a_time = Lock()

    def log(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        """Write one line at ``level``, unless ``level`` is below LOG_LEVEL and the event may be left out."""
        if _LEVELS[level] >= self._least or event in _WRITTEN_AT_EVERY_LEVEL:
            self._write[level](event, extra=fields)

    def count(self, metric: str, dimensions: dict[str, str]) -> None:
        """Emit one count of ``metric`` by service alone and, if there are ``dimensions``, by these too."""
        self._emit(metric, MetricUnit.Count, 1, dimensions)

    def measure(self, metric: str, milliseconds: float, dimensions: dict[str, str]) -> None:
        """Emit one duration, like ``count``."""
        self._emit(metric, MetricUnit.Milliseconds, round(milliseconds), dimensions)

    def _emit(self, metric: str, unit: MetricUnit, value: float, dimensions: dict[str, str]) -> None:
        with self._one_at_a_time:
            try:
                self._record.add_metric(name=metric, unit=unit, value=value)
                # CloudWatch does not sum over dimensions. Alarms need the metric without dimensions.
                if dimensions:
                    self._record.add_dimensions(service=self._service, **dimensions)
                self._record.flush_metrics()
            finally:
                self._record.clear_metrics()
