"""The dashboard and the saved queries of the template, checked against the emitted logs and metrics."""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from collections.abc import Iterator
from inspect import signature
from itertools import combinations
from typing import Any

import pytest

from oauth_broker.runtime.invocation import Invocation, OperatorAction
from oauth_broker.runtime.telemetry import PowertoolsTelemetry
from tests.support import emitted
from tests.support.lambda_context import Context
from tests.support.operations import (
    NAMESPACE,
    STACK,
    Metric,
    access_log,
    assert_exists,
    custom_metrics,
    saved_queries,
    widgets,
)
from tests.support.transformed import OF_SESSIONS, deployed, of_type, plain, properties, references


def graphs() -> list[dict[str, Any]]:
    return [widget["properties"] for widget in widgets() if widget["type"] == "metric"]


class TestTheDashboard:
    def test_it_refers_to_what_exists(self) -> None:
        pseudo = {STACK, "AWS::Region"}
        assert references(properties("Dashboard")) - pseudo <= deployed()["Resources"].keys()

    def test_nothing_lies_over_anything_else_and_nothing_sticks_out(self) -> None:
        for one, other in combinations(widgets(), 2):
            assert (
                one["x"] + one["width"] <= other["x"]
                or other["x"] + other["width"] <= one["x"]
                or one["y"] + one["height"] <= other["y"]
                or other["y"] + other["height"] <= one["y"]
            ), (one, other)
        assert all(it["x"] >= 0 and it["x"] + it["width"] <= 24 for it in widgets())

    def test_it_reads_from_top_to_bottom(self) -> None:
        headings = [
            (widget["y"], widget["properties"]["markdown"].removeprefix("## "))
            for widget in widgets()
            if widget["type"] == "text" and widget["properties"]["markdown"].startswith("## ")
        ]
        assert headings == sorted(headings)
        assert [heading for _, heading in headings] == [
            "1. Are users served?",
            "2. Aries",
            "3. Limits of AWS",
            "4. Security",
            "5. Housekeeping",
            "6. API",
            "7. Functions",
        ]
        assert [widget["y"] for widget in widgets()] == sorted(widget["y"] for widget in widgets())

    def test_every_alarm_is_on_it(self) -> None:
        (shown,) = (widget["properties"]["alarms"] for widget in widgets() if widget["type"] == "alarm")
        assert sorted(shown) == sorted(
            f"{name}.Arn" for name in of_type("AWS::CloudWatch::Alarm").keys() - {"DeploymentErrorsAlarm"}
        )

    def test_every_graph_shows_metrics_that_exist(self) -> None:
        for metric in drawn():
            assert_exists(metric)

    def test_every_metric_of_the_code_is_on_it(self) -> None:
        names = {name for namespace, name, _ in drawn() if namespace == NAMESPACE}
        assert names == custom_metrics().keys()

    def test_every_graph_has_a_title_of_its_own_a_region_and_a_period(self) -> None:
        assert len({graph["title"] for graph in graphs()}) == len(graphs())
        assert {(graph["region"], graph["period"]) for graph in graphs()} == {("AWS::Region", 300)}

    def test_what_graphs_calculate_with_is_there(self) -> None:
        for graph in graphs():
            options = [line[-1] for line in graph["metrics"] if isinstance(line[-1], dict)]
            defined = {it["id"] for it in options if "id" in it}
            calculated = [it["expression"] for it in options if "expression" in it]
            used = {name for it in calculated if "SEARCH" not in it for name in re.findall(r"\b[a-z]\w*", it)}
            assert used == defined


SEARCH = re.compile(
    r"""SEARCH\('\{(?P<namespace>\w+),service,(?P<dimension>\w+)\} MetricName="(?P<name>\w+)" """
    r"""service="AWS::StackName"', 'Sum', 300\)"""
)


def drawn() -> Iterator[Metric]:
    for graph in graphs():
        for line in graph["metrics"]:
            options = line[-1] if isinstance(line[-1], dict) else {}
            if "SEARCH" in options.get("expression", ""):
                search = SEARCH.fullmatch(options["expression"])
                assert search, options["expression"]
                assert options["label"] == f"${{PROP('Dim.{search['dimension']}')}}"
                yield search["namespace"], search["name"], {"service": STACK, search["dimension"]: "*"}
            elif "expression" not in options:
                namespace, name, *pairs = [it for it in line if isinstance(it, str)]
                yield namespace, name, dict(zip(pairs[::2], pairs[1::2], strict=True))


QUERIES = (
    "what Aries answers",
    "what backends did",
    "what happened to this request",
    "what operators did",
    "why was this user signed out",
    "sessions that ended",
    "sessions that people ended",
    "sign-ins that failed",
    "refreshes that failed",
    "requests by route and status",
)
# Fields added by CloudWatch Logs Insights, and the words of its language.
INSIGHTS = {"@timestamp", "fields", "filter", "sort", "stats", "limit", "by", "as", "in", "or", "and", "asc", "desc"}
INSIGHTS_FUNCTIONS = {"count", "count_distinct", "pct", "bin", "ispresent"}


class TestTheSavedQueries:
    def test_they_are_these_in_a_folder_of_the_stack(self) -> None:
        assert saved_queries().keys() == set(QUERIES)
        for query in of_type("AWS::Logs::QueryDefinition").values():
            assert plain(query["Properties"]["Name"]).startswith(f"${{{STACK}}}/")

    @pytest.mark.parametrize("name", QUERIES)
    def test_each_uses_fields_that_are_logged_where_it_looks(
        self, name: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        groups = set(saved_queries()[name]["LogGroupNames"])
        assert groups <= {*(f"{function}LogGroup" for function in OF_SESSIONS), "AccessLogGroup"}
        logged = set(access_log()) if "AccessLogGroup" in groups else set()
        logged |= function_fields(capsys) if groups - {"AccessLogGroup"} else set()
        assert fields_of(saved_queries()[name]["QueryString"]) <= logged

    @pytest.mark.parametrize("name", QUERIES)
    def test_each_asks_for_events_that_are_logged(self, name: str) -> None:
        for asked in re.findall(r"filter message (?:= (\S+)|in \[([^]]+)\])", saved_queries()[name]["QueryString"]):
            names = set(re.findall(r'"(\w+)"', "".join(asked)))
            assert names
            assert names <= emitted.events()

    def test_a_users_story_is_found_in_the_log_of_every_function(self) -> None:
        story = saved_queries()["why was this user signed out"]
        assert story["LogGroupNames"] == [f"{name}LogGroup" for name in OF_SESSIONS]
        assert 'filter session = "REFERENCE"' in story["QueryString"]
        request = saved_queries()["what happened to this request"]
        assert request["LogGroupNames"] == ["AccessLogGroup", *story["LogGroupNames"]]

    def test_of_what_operators_did_all_that_is_logged_of_it_is_shown(self) -> None:
        logged = {it.name for it in dataclasses.fields(OperatorAction)}
        logged |= signature(Invocation.audit).parameters.keys() - {"self", "asked", "level"}
        (shown,) = re.findall(r"^fields (.+)$", saved_queries()["what operators did"]["QueryString"], re.MULTILINE)
        assert set(shown.split(", ")) == {"@timestamp", "request_id", *logged}


def function_fields(capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Return all possible members of a function's log lines."""
    # Powertools keeps one logger a service, bound to the standard output of its first use.
    service = str(uuid.uuid4())
    telemetry = PowertoolsTelemetry(
        {"POWERTOOLS_SERVICE_NAME": service, "POWERTOOLS_METRICS_NAMESPACE": NAMESPACE, "LOG_LEVEL": "INFO"}
    )
    invocation = Invocation(Context(), telemetry, "request")
    invocation.about_session("session", "client")
    invocation.about_caller("caller")
    invocation.log("event", reason="reason", status=400, error="error")
    invocation.audit(OperatorAction("action", "operator", "session", "client"), reason="r", error="e", count=1)
    return {name for line in capsys.readouterr().out.splitlines() for name in json.loads(line)}


def fields_of(query: str) -> set[str]:
    """Return the fields read by a query: its words, less the language, the texts and the query's own names."""
    bare = re.sub(r'"[^"]*"|\d+m?', " ", query)
    named = set(re.findall(r"\bas (\w+)", bare))
    return set(re.findall(r"@?[A-Za-z_]\w*", bare)) - INSIGHTS - INSIGHTS_FUNCTIONS - named
