"""docs/operate.md describes every alarm, saved query and operator action."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest

from oauth_broker.operator.commands import parse_command
from oauth_broker.operator.errors import InvalidCommand
from oauth_broker.sessions import seal
from tests.support import emitted
from tests.support.functions import ROOT
from tests.support.operations import saved_queries
from tests.support.operator import audited, operate
from tests.support.transformed import source
from tests.support.world import World

_PACKAGE = ROOT / "layers" / "oauth_broker" / "oauth_broker"
PEOPLE, ARIES = _PACKAGE / "people", _PACKAGE / "aries"
PAGE = (ROOT / "docs" / "operate.md").read_text()
# The changelog may name an alarm of an older release.
DOCUMENTS = [ROOT / "README.md", *(path for path in (ROOT / "docs").glob("*.md") if path.name != "CHANGELOG.md")]


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def logical_ids(kind: str) -> list[str]:
    return [name for name, resource in source()["Resources"].items() if resource["Type"] == kind]


@pytest.mark.parametrize(
    "reason", ["provider", "dynamodb", "secretsmanager", "kms", "client_secret", "vault", "seal", "row"]
)
def test_the_reasons_of_a_failing_refresh_are_told_by_the_runbook_the_alarm_and_the_dashboard(reason: str) -> None:
    (row,) = re.findall(r"^\| `RefreshesFailAlarm`.*$", PAGE, flags=re.MULTILINE)
    assert f"`{reason}`" in row
    resources = source()["Resources"]
    alarm = resources["RefreshesFailAlarm"]["Properties"]["AlarmDescription"]
    assert re.search(rf"\b{reason}\b", alarm.split('"refreshes that failed".)')[1])
    text, _ = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    assert f"`{reason}`" in text.split("**4. Security**")[0]


def test_every_alarm_has_a_row_in_the_runbook() -> None:
    rows = "\n".join(re.findall(r"^\| `\w+Alarm`.*$", section("On call"), flags=re.MULTILINE))
    alarms = logical_ids("AWS::CloudWatch::Alarm")
    assert len(alarms) > 10
    assert [name for name in alarms if f"`{name}`" not in rows] == []


def test_it_says_which_alarm_notifies_nobody_and_has_no_first_step() -> None:
    alarms = {name: source()["Resources"][name]["Properties"] for name in logical_ids("AWS::CloudWatch::Alarm")}
    silent = [name for name, alarm in alarms.items() if "AlarmActions" not in alarm]
    assert silent == [name for name, alarm in alarms.items() if "First: " not in alarm["AlarmDescription"]]
    (name,) = silent
    assert f"Every alarm but `{name}` goes to `AlarmTopicArn`" in PAGE
    assert re.search(rf"^\| `{name}` \|.* notifies nobody\. \|", PAGE, flags=re.MULTILINE)


def test_every_metric_of_the_code_has_a_row_with_its_dimension() -> None:
    rows = re.findall(r"^\| `([A-Z]\w+)` \| (?:`(\w+)`)? ?\|", section("Metrics"), flags=re.MULTILINE)
    assert len(rows) == len(dict(rows))
    assert {name: {dimension} - {""} for name, dimension in rows} == emitted.metrics()


def test_every_log_line_of_trouble_has_a_row() -> None:
    cells = re.findall(r"^\| (`[a-z][\w`, ]+`) \|", section("Metrics"), flags=re.MULTILINE)
    told = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert len(told) > 10
    assert len(told) == len(set(told))
    assert set(told) == emitted.troubles()


def test_every_reason_for_a_person_who_is_not_known_is_told() -> None:
    told = section("People are not known")
    in_code = set(re.findall(r'(?:reason="|None, f?")(\w+)', (PEOPLE / "identification.py").read_text()))
    in_code |= set(re.findall(r'(?:reason="|None, f?"|if text else ")(\w+)', (ARIES / "user.py").read_text()))
    assert in_code == {"too_little_time", "item_full", "paused", "no_reply", "status_", "malformed_answer", "no_id"}
    assert [reason for reason in in_code if f"`{reason}`" not in told] == []


def test_many_sign_ins_are_as_many_as_the_alarm_says() -> None:
    alarm = source()["Resources"]["ManySignInsAlarm"]["Properties"]
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert "people finish `ManySignIns` sign-ins an hour or more" in PAGE


def test_every_reason_for_tokens_that_do_not_open_is_told() -> None:
    told = set(re.findall(r"^ +\| (`.*?) \|", section("Tokens in rows do not open"), flags=re.MULTILINE))
    reasons = {reason for cell in told for reason in re.findall(r"`([^`]+)`", cell)}
    in_code = set(re.findall(r'"(seal:\w+)"', Path(seal.__file__).read_text()))
    assert len(in_code) == 2
    assert reasons == {f"kms:{code}" for code in seal.FINAL} | in_code


def test_every_alarm_that_a_document_names_exists() -> None:
    for path in DOCUMENTS:
        named = set(re.findall(r"`(\w+Alarm)`", path.read_text()))
        assert named <= set(logical_ids("AWS::CloudWatch::Alarm")), path.name


def test_every_saved_query_that_it_names_exists() -> None:
    named = set(re.findall(r'quer(?:y|ies)\s+"([^"]+)"', PAGE))
    assert named
    assert named <= saved_queries().keys()


def test_every_query_that_it_prints_is_the_saved_one_that_it_names() -> None:
    before, *blocks = re.split(r"^ *```\n", section("Why was this user signed out?"), flags=re.MULTILINE)
    printed = {}
    for query, after in zip(blocks[::2], blocks[1::2], strict=True):
        printed[re.findall(r'query\s+"([^"]+)"', before)[-1]] = dedent(query)
        before = after
    assert len(printed) == 2
    assert printed == {name: saved_queries()[name]["QueryString"] for name in printed}


CANNOT_BE_DONE = '{"trouble": "The sessions that are left cannot be done yet (%s)."}'


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        (['{"finished": false}', '{"error": "temporary_failure"}', '{"finished": true}'], 0),
        (['{"finished": false}', '{"error": "not_found"}'], 0),
        ([CANNOT_BE_DONE % "sign_in_under_way", CANNOT_BE_DONE % "row:malformed"], 0),
        (['{"finished": false}'], 1),
    ],
    ids=["until it is finished", "until an error that does not pass", "until rows of others", "until it fails"],
)
def test_the_loop_of_a_mass_sign_out_ends_where_the_page_says(answers: list[str], status: int, tmp_path: Path) -> None:
    (loop,) = re.findall(r"^ +while answer=.*?^ +done\n", PAGE, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "answers").write_text("".join(f"{answer}\n" for answer in answers))
    fake = "sleep() { :; }; operate() { head -n 1 answers | grep . && tail -n +2 answers >rest && mv rest answers; }\n"
    bash = shutil.which("bash")
    assert bash
    done = subprocess.run([bash, "-c", fake + loop], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == answers
    assert (tmp_path / "answers").read_text() == ""
    told = section("Sign everyone out")
    assert "It also ends at an `error` other than `temporary_failure`, at rows that the\n" in told
    assert "`secrets_denied`" in told


def test_a_malformed_command_writes_one_audit_line_and_a_well_formed_one_two(world: World) -> None:
    operate(world, action="session", session="0" * 16)
    assert len(audited(world)) == 2
    operate(world, action="session", session="malformed")
    assert [line.get("error") for line in audited(world)[2:]] == ["invalid_request"]
    assert "Each well-formed command writes two lines `operator_action`" in PAGE
    assert "A malformed command writes one, with `invalid_request`." in PAGE


def test_the_longest_beginning_of_a_mass_sign_out_is_told() -> None:
    begin = {"action": "revoke_all", "operator": "ann", "everyone": True}
    (most,) = re.findall(r"`seconds` may be (\d+) at most", PAGE)
    parse_command({**begin, "seconds": int(most)})
    with pytest.raises(InvalidCommand):
        parse_command({**begin, "seconds": int(most) + 1})


def test_the_name_of_the_table_is_noted_before_the_outputs_go() -> None:
    told = section("Delete a stack")
    assert told.index("`TableName`") < told.index("sam delete") < told.index("--table-name TABLE")


def test_the_local_operators_actions_are_those_of_production() -> None:
    told = section("The operator function")
    local = re.findall(r"^make operate ACTION=(\w+)", told, flags=re.MULTILINE)
    assert local
    assert set(local) == set(re.findall(r'^operate \'{"action": "(\w+)"', told, flags=re.MULTILINE))
