"""Log lines and metrics by the documentation of Powertools: all metrics of a request in one line."""

from __future__ import annotations

from aws_lambda_powertools import Logger, Metrics

logger = Logger()
metrics = Metrics()
