"""The alarms of the template: their metrics, their delays and their words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from oauth_broker.config.dialect import Outcome
from oauth_broker.sessions import seal
from tests.bench.cost_prices import PriceList
from tests.support.functions import ROOT
from tests.support.operations import NAMESPACE, STACK, Metric, access_log, assert_exists, saved_queries, widgets
from tests.support.transformed import SERVING, deployed, of_type, plain, properties, source

# Some alarms need a person after a single event.
ONCE_IS_ENOUGH = {
    "CleanupDeadLetterAlarm",
    "InternalErrorsAlarm",
    "ProviderMisconfiguredAlarm",
    "ProviderUnknownErrorAlarm",
    "RestoredFromBackupAlarm",
    "ReuseDetectedAlarm",
    "RowsAlteredAlarm",
    # A cause of this kind does not pass by itself.
    "SealsNotOpenedAlarm",
    # This event has no other sign, and does not recur.
    "SecretAccessDeniedAlarm",
}
ALARMS = ONCE_IS_ENOUGH | {
    "DeploymentErrorsAlarm",
    "ApiServerErrorsAlarm",
    "ApiThrottledAlarm",
    "AwsThrottledAlarm",
    "CleanupBehindAlarm",
    "CleanupStoppedAlarm",
    "EscrowedAlarm",
    "EventsNotSentAlarm",
    "FunctionErrorsAlarm",
    "FunctionThrottlesAlarm",
    "ManyEndedByPeopleAlarm",
    "ManyBackendCallsAlarm",
    "ManyRefreshesFailAlarm",
    "ManySecretsAlarm",
    "ManySignInsAlarm",
    "RefreshesFailAlarm",
    "RefreshesFailForAnHourAlarm",
    "SessionsEndAlarm",
    "SignInsFailAlarm",
    "SignInsFailForAnHourAlarm",
}


def alarm(name: str) -> dict[str, Any]:
    found: dict[str, Any] = plain(properties(name))
    return found


def metrics_of(watched: dict[str, Any]) -> Iterator[Metric]:
    for it in [watched] if "MetricName" in watched else [it["MetricStat"]["Metric"] for it in inputs(watched)]:
        yield it["Namespace"], it["MetricName"], {pair["Name"]: pair["Value"] for pair in it["Dimensions"]}


def inputs(watched: dict[str, Any]) -> list[dict[str, Any]]:
    return [it for it in watched["Metrics"] if "MetricStat" in it]


def expression(watched: dict[str, Any]) -> str:
    return next((it["Expression"] for it in watched.get("Metrics", []) if "Expression" in it), "")


class TestTheAlarms:
    def test_they_are_these(self) -> None:
        assert of_type("AWS::CloudWatch::Alarm").keys() == ALARMS

    @pytest.mark.parametrize("name", sorted(ALARMS))
    def test_each_watches_metrics_that_exist_of_this_stack_alone_save_for_the_secrets_of_the_account(
        self, name: str
    ) -> None:
        for metric in metrics_of(alarm(name)):
            assert_exists(metric)

    @pytest.mark.parametrize("name", sorted(ALARMS))
    def test_each_says_what_it_means_and_what_to_do_first(self, name: str) -> None:
        description = alarm(name)["AlarmDescription"]
        assert "First: " in description or name == "DeploymentErrorsAlarm"
        assert len(description) <= 1024
        assert set(re.findall(r"\w+Alarm\b", description)) <= ALARMS
        for query in re.findall(r'[Ss]aved query "([^"]+)"', description):
            assert query in saved_queries()
        for title in re.findall(r'[Dd]ashboard(?: shows)?,? \(?"([^"]+)"', description):
            assert title in {widget["properties"].get("title") for widget in widgets()}
        for page, section in re.findall(r'docs/(\w+)\.md, "([^"]+)"', description):
            assert f"\n## {section}\n" in (ROOT / "docs" / f"{page}.md").read_text()

    @pytest.mark.parametrize("name", sorted(ALARMS - {"DeploymentErrorsAlarm"}))
    def test_each_tells_the_topic_if_there_is_one(self, name: str) -> None:
        told = {"Fn::If": ["HasAlarmTopic", ["AlarmTopicArn"], "AWS::NoValue"]}
        assert alarm(name)["AlarmActions"] == alarm(name)["OKActions"] == told

    def test_the_one_that_takes_deployments_back_is_there_for_these_alone_and_wakes_nobody(self) -> None:
        assert deployed()["Resources"]["DeploymentErrorsAlarm"]["Condition"] == "DeploysGradually"
        assert not alarm("DeploymentErrorsAlarm").keys() & {"AlarmActions", "OKActions"}

    @pytest.mark.parametrize("name", sorted(ALARMS))
    def test_no_traffic_is_no_trouble(self, name: str) -> None:
        assert alarm(name)["TreatMissingData"] == "notBreaching"

    @pytest.mark.parametrize("name", sorted(ALARMS))
    def test_an_alarm_that_fills_gaps_has_a_spare_period_for_late_metrics(self, name: str) -> None:
        watched = alarm(name)
        if "FILL(" in expression(watched):
            assert watched["DatapointsToAlarm"] < watched["EvaluationPeriods"]

    def test_one_crash_in_any_of_five_minutes_takes_a_deployment_back(self) -> None:
        watched = alarm("DeploymentErrorsAlarm")
        assert (watched["DatapointsToAlarm"], watched["EvaluationPeriods"], watched["Threshold"]) == (1, 5, 1)

    @pytest.mark.parametrize("name", sorted(ALARMS - ONCE_IS_ENOUGH - {"DeploymentErrorsAlarm"}))
    def test_one_failure_at_night_alarms_nobody(self, name: str) -> None:
        watched = alarm(name)
        needed = watched.get("DatapointsToAlarm", watched["EvaluationPeriods"])
        share = re.match(r"IF\((\w+) < (\d+), 0, 100 \* \1 /", expression(watched))
        assert needed > 1 or (share and int(share[2]) > 1)
        if expression(watched).startswith("IF"):
            assert share
            assert int(share[2]) > 1

    @pytest.mark.parametrize("name", sorted(ONCE_IS_ENOUGH))
    def test_once_is_enough_for_these(self, name: str) -> None:
        assert (alarm(name)["Threshold"], alarm(name)["EvaluationPeriods"]) == (1, 1)
        assert "DatapointsToAlarm" not in alarm(name)

    @pytest.mark.parametrize("name", sorted(ALARMS))
    def test_each_is_one_that_cloudwatch_accepts(self, name: str) -> None:
        watched = alarm(name)
        periods = {watched["Period"]} if "Period" in watched else {it["MetricStat"]["Period"] for it in inputs(watched)}
        (period,) = periods
        assert period in (60, 300, 3600)
        assert period * watched["EvaluationPeriods"] <= 86_400
        assert watched.get("DatapointsToAlarm", 1) <= watched["EvaluationPeriods"]
        if "Metrics" in watched:
            assert len(inputs(watched)) <= 10
            (returned,) = (it for it in watched["Metrics"] if it.get("ReturnData", True))
            assert returned["Id"] == "watched"
            assert "SEARCH" not in returned["Expression"]
            ids = {it["Id"] for it in inputs(watched)}
            assert all(re.fullmatch(r"[a-z][A-Za-z0-9_]*", it) for it in ids)
            used = set(re.findall(r"\b[a-z]\w*", returned["Expression"]))
            assert used == (set() if "METRICS()" in returned["Expression"] else ids)

    @pytest.mark.parametrize(
        ("name", "metric"),
        [("FunctionErrorsAlarm", "Errors"), ("FunctionThrottlesAlarm", "Throttles")],
    )
    def test_all_functions_that_nobody_stands_beside_are_watched(self, name: str, metric: str) -> None:
        assert list(metrics_of(alarm(name))) == [
            ("AWS/Lambda", metric, {"FunctionName": f"{function}Function"})
            for function in [*sorted(SERVING), "Cleanup"]
        ]

    def test_an_answer_of_aries_that_the_dialect_does_not_know_is_watched_by_its_kind(self) -> None:
        (metric,) = metrics_of(alarm("ProviderUnknownErrorAlarm"))
        assert metric == (NAMESPACE, "ProviderErrors", {"service": STACK, "kind": Outcome.UNKNOWN_ERROR.value})

    def test_sign_ins_alarm_days_before_the_secrets_of_a_region_are_used_up(self) -> None:
        """Each finished sign-in makes one secret. The alarm asks for an hour's worth in two hours of three."""
        quota = PriceList.load().quotas["secrets"].limit
        watched = alarm("ManySignInsAlarm")
        assert watched["Threshold"] == "ManySignIns"
        assert (watched["DatapointsToAlarm"], watched["EvaluationPeriods"], watched["Period"]) == (2, 3, 3600)
        parameters = source()["Parameters"]
        assert quota / parameters["ManySignIns"]["Default"] > 10 * 24
        # One address and one process can make fewer secrets in the life of a session than the quota.
        days = parameters["SessionDays"]["Default"]
        assert parameters["SignInLimit"]["Default"] * 24 * days < quota

    def test_secrets_alarm_at_four_fifths_of_what_a_region_holds(self) -> None:
        watched = alarm("ManySecretsAlarm")
        assert watched["Threshold"] == 0.8 * PriceList.load().quotas["secrets"].limit
        # The metric has one value an hour, and the alarm asks for two of six.
        assert (watched["DatapointsToAlarm"], watched["EvaluationPeriods"], watched["Period"]) == (2, 6, 3600)
        assert watched["Statistic"] == "Maximum"

    def test_tokens_that_do_not_open_alarm_within_a_minute_and_their_reasons_are_told(self) -> None:
        watched = alarm("SealsNotOpenedAlarm")
        assert list(metrics_of(watched)) == [(NAMESPACE, "SealsNotOpened", {"service": STACK})]
        assert watched["Period"] == 60
        told = set(re.findall(r"kms:(\w+)", watched["AlarmDescription"]))
        # The function names the stack's key and no other, and the key's use never changes.
        assert told == seal.FINAL - {"InvalidKeyUsageException"}

    def test_cleanup_alarms_long_before_its_records_are_given_up(self) -> None:
        (mapping,) = of_type("AWS::Lambda::EventSourceMapping").values()
        given_up = mapping["Properties"]["MaximumRecordAgeInSeconds"]
        assert alarm("CleanupBehindAlarm")["Threshold"] / 1000 <= given_up / 4

    def test_requests_beyond_the_apis_limits_are_counted_in_its_access_log(self) -> None:
        counted = plain(properties("ApiThrottledMetric"))
        assert counted["LogGroupName"] == "AccessLogGroup"
        # API Gateway writes the status as a text.
        assert counted["FilterPattern"] == '{ $.status = "429" }'
        (transformation,) = counted["MetricTransformations"]
        assert transformation["Dimensions"] == [{"Key": "service", "Value": "$.service"}]
        assert access_log()["service"] == f"${{{STACK}}}"
        assert access_log()["status"] == "$context.status"
