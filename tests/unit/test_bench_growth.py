"""The base of the measurement of growth: its table keeps DynamoDB's conditions, and its bars can be missed."""

from __future__ import annotations

import json
from collections import defaultdict

import pytest

from tests.bench.budget import SIGN_IN, aws_calls
from tests.bench.figures import Section
from tests.bench.growth import AT_ONCE_BAR, BAR, Grid, Measured, Size, section
from tests.bench.growth_aws import SUBJECT_KEY_ARN, Aws
from tests.bench.growth_serving import Request
from tests.bench.growth_table import ConditionFailed, Row, Table, Typed

KEY = "k"


@pytest.fixture
def table() -> Table:
    table = Table()
    table.put({"session_id": {"S": KEY}, "status": {"S": "active"}, "fence": {"N": "4"}, "log": {"L": [{"S": "a"}]}})
    return table


def update(table: Table, update: str, condition: str = "fence = :four", /, **values: str | int) -> Row:
    typed: dict[str, Typed] = {":none": {"L": []}, ":entry": {"L": [{"S": "b"}]}, ":four": {"N": "4"}}
    for name, value in values.items():
        typed[f":{name}"] = {"S" if isinstance(value, str) else "N": str(value)}
    return table.update(KEY, condition, update, (("#status", "status"),), typed)


@pytest.mark.parametrize(
    "condition",
    [
        "#status = :active AND fence >= :four",
        "fence <> :four OR #status = :active",
        "(fence < :four OR fence <= :four) AND attribute_not_exists(lease_until)",
        "fence = :other OR fence = :other OR fence = :four",
    ],
)
def test_a_true_condition_lets_the_update_through(table: Table, condition: str) -> None:
    assert update(table, "SET x = :active", condition, active="active", other=9)["x"] == {"S": "active"}


@pytest.mark.parametrize(
    "condition",
    [
        "#status = :active AND fence > :four",
        "missing < :four",
        "missing <> :four",
        "attribute_not_exists(fence)",
        # AND binds closer than OR.
        "fence = :other AND fence = :other OR fence = :other",
        "(fence = :four OR fence = :four) AND fence = :other",
    ],
)
def test_a_false_condition_changes_nothing_and_gives_the_row_back(table: Table, condition: str) -> None:
    before = table.get(KEY)
    with pytest.raises(ConditionFailed) as refused:
        update(table, "SET x = :active REMOVE log", condition, active="active", other=9)
    assert refused.value.row == before
    assert table.get(KEY) == before


def test_numbers_are_compared_as_numbers(table: Table) -> None:
    table.put({"session_id": {"S": KEY}, "until": {"N": "9.500"}})
    assert update(table, "ADD fence :one", "until < :ten AND attribute_not_exists(fence)", ten=10, one=1)["fence"] == {
        "N": "1"
    }


def test_one_update_sets_adds_and_removes(table: Table) -> None:
    log = "log = list_append(if_not_exists(log, :none), :entry), again = list_append(if_not_exists(no, :none), :entry)"
    row = update(table, f"SET {log}, #status = :dead REMOVE x, y ADD fence :one", dead="dead", one=1)
    assert row["log"] == {"L": [{"S": "a"}, {"S": "b"}]}
    assert row["again"] == {"L": [{"S": "b"}]}
    assert (row["status"], row["fence"]) == ({"S": "dead"}, {"N": "5"})


def test_a_set_takes_in_what_it_does_not_have_if_the_attribute_is_a_set() -> None:
    table = Table()

    def join(*ids: str) -> Row:
        numbers = {f":{name}": {"N": str(number)} for name, number in (("one", 1), ("first", 41), ("most", 2))}
        values: dict[str, Typed] = {":ids": {"SS": list(ids)}, ":set": {"S": "SS"}, **numbers}
        condition = "attribute_not_exists(#ids) OR (attribute_type(#ids, :set) AND size(#ids) < :most)"
        update = "SET joins = if_not_exists(joins, :first) + :one ADD #ids :ids"
        return table.update(KEY, condition, update, (("#ids", "sessions a"),), values)

    assert join("b")["joins"] == {"N": "42"}
    before = table.get(KEY)
    joined = join("a", "b")
    assert (joined["sessions a"], joined["joins"]) == ({"SS": ["a", "b"]}, {"N": "43"})
    with pytest.raises(ConditionFailed):
        join("c")
    assert before is not None
    assert before["sessions a"] == {"SS": ["b"]}
    table.put({"session_id": {"S": KEY}, "sessions a": {"S": "text"}})
    with pytest.raises(ConditionFailed):
        join("c")


def test_an_update_leaves_rows_that_were_given_out_as_they_were(table: Table) -> None:
    before = table.get(KEY)
    assert before is not None
    kept = dict(before)
    update(table, "SET #status = :dead REMOVE log", dead="dead")
    assert before == kept


@pytest.mark.parametrize("strange", ["SET fence = fence + :one", "DELETE log :one", "SET x = size(log)"])
def test_an_expression_that_the_broker_does_not_use_is_no_silent_success(table: Table, strange: str) -> None:
    with pytest.raises((KeyError, ValueError, IndexError, AssertionError)):
        update(table, strange, one=1)


def call(aws: Aws, target: str, **asked: object) -> tuple[int, dict[str, object]]:
    status, body = aws.answer(Request("/", {"X-Amz-Target": target}, json.dumps(asked).encode()))
    return status, json.loads(body)


def test_a_refused_update_is_answered_as_dynamodb_does() -> None:
    aws = Aws("secret")
    call(aws, "DynamoDB_20120810.PutItem", Item={"session_id": {"S": KEY}, "n": {"N": "1"}})
    status, answer = call(
        aws,
        "DynamoDB_20120810.UpdateItem",
        Key={"session_id": {"S": KEY}},
        UpdateExpression="SET n = :two",
        ConditionExpression="n = :two",
        ExpressionAttributeValues={":two": {"N": "2"}},
    )
    assert status == 400
    assert str(answer["__type"]).endswith("#ConditionalCheckFailedException")
    assert answer["Item"] == {"session_id": {"S": KEY}, "n": {"N": "1"}}


def test_calls_are_counted_and_what_every_process_reads_by_itself_apart() -> None:
    aws = Aws("secret")
    call(aws, "DynamoDB_20120810.GetItem", Key={"session_id": {"S": "cut-offs"}})
    call(aws, "DynamoDB_20120810.GetItem", Key={"session_id": {"S": KEY}})
    call(aws, "secretsmanager.GetSecretValue", SecretId="x", VersionId="y")
    assert len(str(call(aws, "secretsmanager.GetSecretValue", SecretId=SUBJECT_KEY_ARN)[1]["SecretString"])) >= 32
    told = aws.asked_for()
    assert told["made"] == {"dynamodb:GetItem": 1, "secretsmanager:GetSecretValue": 1}
    assert told["routine"] == 2
    assert aws.asked_for()["made"] == {}


def test_the_table_has_as_many_rows_as_wanted_whatever_was_signed_in_since() -> None:
    aws = Aws("secret")
    aws.table.put({"session_id": {"S": KEY}, "status": {"S": "active"}})
    aws.have_rows(50)
    assert len(aws.table.rows) == 50
    assert all(row["session_id"]["S"] == key for key, row in aws.table.rows.items())
    aws.table.put({"session_id": {"S": KEY}, "status": {"S": "active"}})
    aws.have_rows(3)
    assert len(aws.table.rows) == 3
    aws.have_rows(50)
    assert len(aws.table.rows) == 50
    assert KEY not in aws.table.rows


LEAST, ROWS, TURN, MOST = Size(1, 10), Size(1, 1_000), Size(8, 1_000, in_turn=True), Size(8, 1_000)


def grid(**slower: float) -> Section:
    measured: Grid = defaultdict(Measured)
    for what, operations in {"sign_in": SIGN_IN, "refresh": ("refresh",)}.items():
        calls: dict[str, float] = {call: float(times) for call, times in aws_calls(*operations).items()}
        for name, size in {"least": LEAST, "rows": ROWS, "turn": TURN, "most": MOST}.items():
            cpu = [0.01 * slower.get(name, 1.0)] * 3
            measured[what, size] = Measured(cpu, cpu, [100.0] * 3, [0.001] * 3, [calls] * 3)
    return section(measured)


def test_flat_cost_meets_every_bar() -> None:
    measured = grid(rows=1.2, turn=1.2, most=1.5)
    assert all(comparison.is_met for comparison in measured.comparisons), measured.to_markdown()
    assert all(limit.is_met for limit in measured.limits)
    assert {comparison.bar for comparison in measured.comparisons} == {BAR, AT_ONCE_BAR}


@pytest.mark.parametrize(("where", "ratio"), [("rows", 1.3), ("turn", 1.3), ("most", 1.7)])
def test_cost_that_grows_misses_its_bar(where: str, ratio: float) -> None:
    missed = [comparison for comparison in grid(**{where: ratio}).comparisons if not comparison.is_met]
    assert len(missed) == 2
    assert "**missed**" in grid(**{where: ratio}).to_markdown()


@pytest.mark.parametrize(
    "changed",
    [{"dynamodb:GetItem": 1.01}, {"dynamodb:Query": 1.0}, {"dynamodb:UpdateItem": 3.0, "dynamodb:GetItem": 0.0}],
)
def test_a_call_more_or_another_one_misses_the_budget(changed: dict[str, float]) -> None:
    calls = {call: float(times) for call, times in aws_calls("refresh").items()}
    measured: Grid = defaultdict(Measured)
    for what in ("sign_in", "refresh"):
        measured[what, LEAST] = measured[what, MOST] = Measured([1.0], [1.0], [1.0], [1.0], [calls | changed])
    assert any(not limit.is_met for limit in section(measured).limits if " a refresh" in limit.name)
