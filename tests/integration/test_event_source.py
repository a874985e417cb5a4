"""The local stack's stand-in for Lambda's event source mapping follows Lambda's documentation."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from oauth_broker.sessions.row import NO_TOKENS, may_have_a_secret
from tests.local.event_source import EventSourceMapping
from tests.local.template import StreamTrigger
from tests.support.removals import template_trigger
from tests.support.streams import (
    QUEUE_URL,
    STREAM_ARN,
    FakeQueue,
    FakeStreams,
    Shard,
    stream_record,
    without_image,
)

NOW = 1_795_363_393.118
QUEUE_ARN = f"arn:aws:sqs:eu-west-1:123456789012:{QUEUE_URL.rpartition('/')[2]}"
CRASH = {"errorMessage": "boom", "errorType": "RuntimeError"}
Answer = Callable[[list[int]], Any]


def report(*numbers: int) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": str(number)} for number in numbers]}


class Lambda:
    """A mapping, with the numbers of the records in each call of its function."""

    def __init__(self, shards: dict[str, Shard], answer: Answer, **changes: Any) -> None:
        self.answer = answer
        self.calls: list[list[int]] = []
        self.queue = FakeQueue()
        self.now = NOW
        trigger = replace(StreamTrigger("Function", batch_size=4, reports_items=True, on_failure=QUEUE_ARN), **changes)
        streams = FakeStreams(shards, page=3)
        self._mapping = EventSourceMapping(streams, self.queue, STREAM_ARN, trigger, self._invoke, lambda: self.now)

    def _invoke(self, function: str, event: str) -> str:
        assert function == "Function"
        records = json.loads(event)["Records"]
        assert {record["eventSourceARN"] for record in records} == {STREAM_ARN}
        self.calls.append([int(record["dynamodb"]["SequenceNumber"]) for record in records])
        return json.dumps(self.answer(self.calls[-1]))

    def rounds(self, count: int) -> list[list[int]]:
        self.calls.clear()
        for _ in range(count):
            self._mapping.deliver()
        return self.calls

    def letters(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.queue.bodies.values()]

    def given_up(self) -> list[tuple[str, str, str, int]]:
        infos = [(letter["requestContext"]["condition"], letter["DDBStreamBatchInfo"]) for letter in self.letters()]
        return [
            (condition, info["startSequenceNumber"], info["endSequenceNumber"], info["batchSize"])
            for condition, info in infos
        ]


def shard(*numbers: int) -> Shard:
    return Shard([stream_record(f"session-{number}", number, at=NOW - 10) for number in numbers])


def failing(*numbers: int) -> Answer:
    return lambda batch: report(*(number for number in numbers if number in batch))


def test_the_template_asks_for_all_of_it() -> None:
    trigger = template_trigger()
    assert trigger.function == "CleanupFunction"
    assert trigger.reports_items
    assert trigger.bisects
    assert trigger.most_retries > 0
    assert 0 < trigger.most_age < 24 * 3600
    assert trigger.on_failure.endswith(":CleanupDeadLetterQueue")
    assert trigger.wants(stream_record("a", 1))
    assert not trigger.wants(stream_record("a", 1, "MODIFY"))
    assert not trigger.wants(stream_record("a", 1, "INSERT"))


# Every state of a row, and one of a later release.
STATES = ["pending", "claimed", "issued", "active", "failed", "dead", "revoked", "a later release's"]
# The attributes that decide, and one that must not.
ATTRIBUTES: list[dict[str, Any]] = [
    {name: value for name, value in pairs if value}
    for pairs in itertools.product(
        [("token_store", store) for store in ("", NO_TOKENS, "row")],
        [("secret_version", version) for version in ("", "a-version")],
        [("lease_id", lease) for lease in ("", "a-lease")],
    )
]


@pytest.mark.parametrize("status", STATES)
def test_the_templates_filter_says_of_every_row_what_the_code_says(status: str) -> None:
    trigger = template_trigger()
    for attributes in ATTRIBUTES:
        removed = stream_record("a", 1, status=status, **attributes)
        expected = status != "pending" and "token_store" not in attributes
        assert may_have_a_secret(removed["dynamodb"]["OldImage"]) is expected
        assert trigger.wants(removed) is expected
        for view_type in ("KEYS_ONLY", "NEW_IMAGE"):
            assert trigger.wants(without_image(removed, view_type))
    assert may_have_a_secret(None)


def test_the_templates_filter_says_of_the_control_items_what_the_code_says() -> None:
    removed = stream_record("cut-offs", 1)
    del removed["dynamodb"]["OldImage"]["status"]
    assert not may_have_a_secret(removed["dynamodb"]["OldImage"])
    assert not template_trigger().wants(removed)


def test_batches_are_of_the_size_asked_for_and_come_in_order() -> None:
    function = Lambda({"a": shard(*range(1, 11))}, failing())
    assert function.rounds(2) == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


def test_the_filter_keeps_unwanted_records_back() -> None:
    records = shard(1, 2, 3)
    records.records[1]["eventName"] = "MODIFY"
    function = Lambda({"a": records}, failing(), patterns=({"eventName": ["REMOVE"]},))
    assert function.rounds(2) == [[1, 3]]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ({"dynamodb": {"Keys": {"session_id": {"S": ["session-2"]}}}}, [2]),
        ({"eventName": ["REMOVE"], "dynamodb": {"SequenceNumber": ["1", "3"]}}, [1, 3]),
        ({"eventName": ["INSERT"], "dynamodb": {"SequenceNumber": ["1", "3"]}}, []),
        ({"userIdentity": {"type": ["Service"]}}, []),
        ({"userIdentity": {"type": [{"exists": False}]}}, [1, 2, 3]),
        ({"eventName": [{"exists": False}]}, []),
        ({"eventName": [{"exists": True}]}, [1, 2, 3]),
        # An object is no leaf.
        ({"dynamodb": [{"exists": True}]}, []),
        ({"dynamodb": {"SequenceNumber": [{"anything-but": ["1", "3"]}]}}, [2]),
        # An absent member does not count as "anything but".
        ({"dynamodb": {"Absent": [{"anything-but": ["1"]}]}}, []),
        ({"dynamodb": {"SequenceNumber": ["1", {"anything-but": ["1", "2"]}]}}, [1, 3]),
    ],
)
def test_a_filter_looks_into_the_record(pattern: dict[str, Any], wanted: list[int]) -> None:
    function = Lambda({"a": shard(1, 2, 3)}, failing(), patterns=(pattern,))
    assert [number for call in function.rounds(1) for number in call] == wanted


@pytest.mark.parametrize(
    "rule", [{"prefix": "R"}, {"exists": "true"}, {"exists": True, "prefix": "R"}, {"anything-but": {"prefix": "R"}}]
)
def test_a_filter_that_it_does_not_know_is_not_taken_for_one_that_it_does(rule: dict[str, Any]) -> None:
    function = Lambda({"a": shard(1)}, failing(), patterns=({"eventName": ["REMOVE", rule]},))
    with pytest.raises(NotImplementedError, match="more than equality"):
        function.rounds(1)


@pytest.mark.parametrize("bisects", [True, False])
def test_a_batch_is_repeated_from_the_lowest_reported_record_on(bisects: bool) -> None:
    function = Lambda({"a": shard(1, 2, 3, 4)}, failing(4, 2), bisects=bisects)
    assert function.rounds(1) == [[1, 2, 3, 4]]
    function.answer = failing()
    assert function.rounds(2) == [[2, 3, 4]]


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_an_empty_report_is_a_complete_success(answer: Any) -> None:
    function = Lambda({"a": shard(1, 2)}, lambda _: answer)
    assert function.rounds(3) == [[1, 2]]


@pytest.mark.parametrize(
    "item", [{"itemIdentifier": ""}, {"itemIdentifier": None}, {"id": "2"}, {"itemIdentifier": "9"}]
)
def test_a_report_that_names_no_record_of_the_batch_is_a_complete_failure(item: dict[str, Any]) -> None:
    function = Lambda({"a": shard(1, 2)}, lambda _: {"batchItemFailures": [{"itemIdentifier": "2"}, item]})
    assert function.rounds(2) == [[1, 2], [1, 2]]


def test_a_report_that_was_not_asked_for_is_not_read() -> None:
    function = Lambda({"a": shard(1, 2)}, failing(1, 2), reports_items=False)
    assert function.rounds(2) == [[1, 2]]
    assert function.letters() == []


@pytest.mark.parametrize("reports_items", [True, False])
def test_a_function_that_raises_has_its_batch_bisected_down_to_the_record(reports_items: bool) -> None:
    function = Lambda(
        {"a": shard(1, 2, 3, 4)},
        lambda batch: CRASH if 3 in batch else report(),
        bisects=True,
        most_retries=0,
        reports_items=reports_items,
    )
    assert function.rounds(5) == [[1, 2, 3, 4], [1, 2], [3, 4], [3], [4]]
    assert function.given_up() == [("RetryAttemptsExhausted", "3", "3", 1)]


def test_a_batch_that_is_not_bisected_is_given_up_as_a_whole() -> None:
    function = Lambda({"a": shard(1, 2, 3, 4, 5)}, failing(2), most_retries=2)
    assert function.rounds(9) == [[1, 2, 3, 4], [2, 3, 4], [2, 3, 4], [2, 3, 4], [5]]
    assert function.given_up() == [("RetryAttemptsExhausted", "2", "4", 3)]


def test_bisecting_is_no_retry() -> None:
    function = Lambda({"a": shard(1, 2, 3, 4)}, failing(1), bisects=True, most_retries=1)
    assert function.rounds(9) == [[1, 2, 3, 4], [1, 2], [1], [1], [2], [3, 4]]
    assert function.given_up() == [("RetryAttemptsExhausted", "1", "1", 1)]


def test_without_a_limit_a_batch_is_repeated_for_ever_and_holds_up_its_shard_alone() -> None:
    function = Lambda({"a": shard(1, 2, 3, 4, 5), "b": shard(11, 12)}, failing(1))
    calls = function.rounds(50)
    assert calls.count([1, 2, 3, 4]) == 50
    assert [11, 12] in calls
    assert [5] not in calls


def test_records_that_are_too_old_are_given_up_before_the_function_is_called() -> None:
    records = Shard([stream_record("old", 1, at=NOW - 61), stream_record("young", 2, at=NOW - 59)])
    function = Lambda({"a": records}, failing(), most_age=60)
    assert function.rounds(1) == [[2]]
    assert function.given_up() == [("RecordAgeExceeded", "1", "1", 1)]
    assert "responseContext" not in function.letters()[0]
    assert function.letters()[0]["requestContext"]["approximateInvokeCount"] == 0


def test_a_batch_that_grows_too_old_is_given_up() -> None:
    function = Lambda({"a": shard(1, 2)}, failing(1), most_age=60)
    function.rounds(2)
    function.now += 60
    assert function.rounds(1) == []
    assert function.given_up() == [("RecordAgeExceeded", "1", "2", 2)]


def test_without_a_destination_given_up_records_are_gone() -> None:
    function = Lambda({"a": shard(1, 2)}, failing(1), most_retries=0, on_failure="")
    assert function.rounds(3) == [[1, 2]]
    assert function.letters() == []


@pytest.mark.parametrize(
    ("answer", "response"),
    [
        (failing(2), {"statusCode": 200, "executedVersion": "$LATEST"}),
        (lambda _: CRASH, {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}),
    ],
)
def test_a_letter_has_the_documented_form(answer: Answer, response: dict[str, Any]) -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
    records = Shard([stream_record("a", 2, at=NOW - 20), stream_record("b", 3, at=NOW - 10)])
    function = Lambda({"shardId-00000001573689847184-864758bb": records}, answer, most_retries=0)
    function.rounds(2)
    (letter,) = function.letters()
    request_id = letter["requestContext"].pop("requestId")
    assert len(request_id) == 36
    assert letter == {
        "requestContext": {
            "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:Function",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 1,
        },
        "responseContext": response,
        "version": "1.0",
        "timestamp": "2026-11-22T16:03:13.118Z",
        "DDBStreamBatchInfo": {
            "shardId": "shardId-00000001573689847184-864758bb",
            "startSequenceNumber": "2",
            "endSequenceNumber": "3",
            "approximateArrivalOfFirstRecord": "2026-11-22T16:02:53Z",
            "approximateArrivalOfLastRecord": "2026-11-22T16:03:03Z",
            "batchSize": 2,
            "streamArn": STREAM_ARN,
        },
    }
