"""docs/connect-an-app.md, "Events for your backend": its template works, and its words are those of the code."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Any

import pytest
from cfnlint.api import lint_all
from samcli.yamlhelper import yaml_parse

from oauth_broker.runtime.invocation import EventType
from tests.support.announced import SCHEMA, valid
from tests.support.functions import ROOT
from tests.support.guide import GUIDE
from tests.support.operator import EVERYONE, operate
from tests.support.world import own_client, running_world

SECTION = GUIDE.split("\n## Events for your backend\n")[1].split("\n## ")[0]
(TEMPLATE,) = re.findall(r"^```yaml\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
TYPES = set(EventType.__args__)  # type: ignore[attr-defined]


def test_the_template_is_clean() -> None:
    assert [str(match) for match in lint_all(TEMPLATE) if not match.rule.id.startswith("I")] == []


# moto makes queues without their policies.
@pytest.mark.filterwarnings("ignore:Tried to parse AWS..SQS..QueuePolicy")
def test_a_stack_of_the_template_gets_the_ends_of_sessions_and_nothing_else() -> None:
    with running_world() as world:
        stack = own_client("cloudformation").create_stack(StackName="events", TemplateBody=TEMPLATE)["StackId"]
        outputs = own_client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
        (url,) = (it["OutputValue"] for it in outputs if it["OutputKey"] == "QueueUrl")
        world.environment["EVENT_BUS"] = yaml_parse(TEMPLATE)["Resources"]["Bus"]["Properties"]["Name"]
        phone = world.signed_in()
        phone.revoke()
        world.signed_in()
        world.clock.time += 1
        operate(world, **EVERYONE)
        messages = own_client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
        received = [valid(json.loads(message["Body"])) for message in messages]
        assert [event["detail-type"] for event in received] == ["session.ended", "sessions.revoked_all"]
        # The way of the page to the reference.
        reference = sha256(f"log{phone.refresh_token.split('.', maxsplit=1)[0]}".encode()).hexdigest()[:16]
        assert received[0]["detail"]["session"] == reference


def test_only_events_may_send_to_the_queues_and_only_by_the_rule() -> None:
    resources: dict[str, Any] = yaml_parse(TEMPLATE)["Resources"]
    (statement,) = resources["QueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["Rule", "Arn"]}}}


def test_every_type_has_a_row_and_a_schema() -> None:
    rows = re.findall(r"^\| `(session[\w.]+)` \|", SECTION, re.MULTILINE)
    assert len(rows) == len(TYPES)
    assert set(rows) == set(SCHEMA["properties"]["detail-type"]["enum"]) == TYPES


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_the_row_of_a_type_names_the_members_of_its_schema(kind: str) -> None:
    (row,) = (line for line in SECTION.splitlines() if line.startswith(f"| `{kind}`"))
    members = SCHEMA["$defs"][kind.rpartition(".")[2]]["properties"].keys()
    named = set(re.findall(r"`(\w+)`", row.split("|")[3]))
    assert named == members - {"event_id", "at", "subject"}


def test_the_event_that_it_shows_is_valid() -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    valid({"source": "aries-token-broker", "detail-type": "session.ended", "detail": json.loads(shown)})


def test_the_runbook_tells_every_reason_that_the_schema_names() -> None:
    runbook = (ROOT / "docs" / "operate.md").read_text().split("\n## Why was this user signed out?\n")[1]
    for reason in SCHEMA["$defs"]["ended"]["properties"]["reason"]["examples"]:
        assert f"`{reason}`" in runbook
