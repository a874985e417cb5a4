"""The operators' part of the template, read for the tests: metrics, graphs, queries."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from tests.support import emitted
from tests.support.transformed import of_type, plain, properties

NAMESPACE = "AriesTokenBroker"
STACK = "AWS::StackName"
# The metrics of AWS in use, with their dimension.
AWS_METRICS = {
    "AWS/ApiGateway": ("ApiId", {"4xx", "5xx", "Count", "IntegrationLatency", "Latency"}),
    "AWS/DynamoDB": ("TableName", {"ReadThrottleEvents", "TimeToLiveDeletedItemCount", "WriteThrottleEvents"}),
    "AWS/Lambda": ("FunctionName", {"ConcurrentExecutions", "Duration", "Errors", "IteratorAge", "Throttles"}),
    # MetricsConfig lets the mapping count its events.
    "AWS/Lambda, of an event source mapping": ("EventSourceMappingUUID", {"PolledEventCount"}),
    "AWS/SQS": ("QueueName", {"ApproximateNumberOfMessagesVisible"}),
}
# (namespace, name, dimensions)
Metric = tuple[str, str, dict[str, str]]
# A metric of the account in a region, once an hour (Secrets Manager user guide, "Monitor with CloudWatch").
SECRETS: Metric = (
    "AWS/SecretsManager",
    "ResourceCount",
    {"Class": "None", "Resource": "SecretCount", "Service": "Secrets Manager", "Type": "Resource"},
)


@cache
def custom_metrics() -> dict[str, set[str]]:
    """Return the metrics of our namespace: all metrics of the code, and the count from the access log."""
    filters = [
        transformation
        for it in of_type("AWS::Logs::MetricFilter").values()
        for transformation in it["Properties"]["MetricTransformations"]
    ]
    assert {(it["MetricNamespace"], it["MetricName"]) for it in filters} == {(NAMESPACE, "ApiThrottled")}
    return emitted.metrics() | {"ApiThrottled": set()}


def assert_exists(metric: Metric) -> None:
    namespace, name, dimensions = metric
    if namespace == NAMESPACE:
        assert dimensions.pop("service") == STACK, name
        assert name in custom_metrics(), name
        assert dimensions.keys() <= custom_metrics()[name], name
    elif metric != SECRETS:
        known = [(dimension, names) for key, (dimension, names) in AWS_METRICS.items() if key.startswith(namespace)]
        assert any(list(dimensions) == [dimension] and name in names for dimension, names in known), name


def access_log() -> dict[str, str]:
    logged: dict[str, str] = json.loads(plain(properties("ApiApiGatewayDefaultStage")["AccessLogSettings"]["Format"]))
    return logged


@cache
def widgets() -> list[dict[str, Any]]:
    """Return the widgets of the dashboard, with names in place of references."""
    text, backend = properties("Dashboard")["DashboardBody"]["Fn::Sub"]
    for name, lines in backend.items():
        text = text.replace(f"${{{name}}}", lines["Fn::Sub"])
    resolved = re.sub(r"\$\{([^!}]+)\}", r"\1", text).replace("${!", "${")
    body = json.loads(resolved)
    assert body.keys() == {"periodOverride", "widgets"}
    found: list[dict[str, Any]] = body["widgets"]
    return found


@cache
def saved_queries() -> dict[str, dict[str, Any]]:
    """Return every saved query by its name, without the stack's name."""
    queries = [plain(it["Properties"]) for it in of_type("AWS::Logs::QueryDefinition").values()]
    return {it["Name"].removeprefix(f"${{{STACK}}}/"): it for it in queries}
