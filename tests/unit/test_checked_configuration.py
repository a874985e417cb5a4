"""The custom resource that refuses a deployment. It always answers CloudFormation, and answers once."""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from oauth_broker.config import settings
from oauth_broker.operations import checked_configuration
from oauth_broker.operations.checked_configuration import CheckedConfiguration, NotTaken, put
from tests.support.functions import ROOT
from tests.unit.fakes import ENVIRONMENT
from tests.unit.peer import Peer, answer, answering

EVENT: dict[str, Any] = json.loads((ROOT / "events" / "configuration_create.json").read_text())
CANARY = "a-signature-that-is-secret"
# The resources of the stack do not exist yet.
GOOD = {
    **{name: value for name, value in ENVIRONMENT.items() if name not in ("TABLE_NAME", "KEY_ID", "SUBJECT_KEY_ARN")},
    "POWERTOOLS_SERVICE_NAME": "configuration-of-this-test",
    "POWERTOOLS_METRICS_NAMESPACE": "AriesTokenBroker",
    "LOG_LEVEL": "INFO",
}


def answered(variables: Mapping[str, str], **event: Any) -> dict[str, Any]:
    """Return the answer at CloudFormation's URL."""
    sent: list[tuple[str, bytes]] = []
    properties = EVENT["ResourceProperties"] | {"Variables": dict(variables)}
    asked = EVENT | {"ResourceProperties": properties} | event
    CheckedConfiguration(lambda url, body: sent.append((url, body)))(asked, None)
    ((url, body),) = sent
    assert url == EVENT["ResponseURL"]
    assert len(body) <= 4096
    told: dict[str, Any] = json.loads(body)
    assert {name: told[name] for name in ("StackId", "RequestId", "LogicalResourceId")} == {
        name: EVENT[name] for name in ("StackId", "RequestId", "LogicalResourceId")
    }
    return told


def test_a_configuration_that_can_be_used_is_accepted_under_an_id_of_its_own() -> None:
    first = answered(GOOD)
    changed = answered(
        {**GOOD, "SESSION_DAYS": "7"}, RequestType="Update", PhysicalResourceId=first["PhysicalResourceId"]
    )
    assert first["Status"] == changed["Status"] == "SUCCESS"
    assert first["PhysicalResourceId"] == answered(GOOD)["PhysicalResourceId"] != changed["PhysicalResourceId"]


@pytest.mark.parametrize(
    ("apps", "in_the_new_layer"),
    [(GOOD["APPS"], GOOD["APPS"]), ("", None)],
    ids=["the new layer has a file beside the old parameter", "the old layer had the file, the new one has none"],
)
def test_an_accepted_configuration_is_accepted_again_after_a_rollback_whatever_the_layer_holds_by_then(
    apps: str, in_the_new_layer: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "apps.json"
    monkeypatch.setattr(settings, "APPS_FILE", file)
    before = {**GOOD, "APPS": apps}
    if not apps:
        file.write_text(GOOD["APPS"])
    accepted = answered(before)
    assert accepted["Status"] == "SUCCESS"
    held = {"RequestType": "Update", "PhysicalResourceId": accepted["PhysicalResourceId"]}

    # The update brings another layer, and unusable variables.
    file.unlink(missing_ok=True)
    if in_the_new_layer:
        file.write_text(in_the_new_layer)
    refused = answered({**before, "SESSION_DAYS": "0"}, **held)
    assert (refused["Status"], refused["PhysicalResourceId"]) == ("FAILED", accepted["PhysicalResourceId"])
    # The old variables alone would be refused now. The stack goes back to them.
    assert answered(before)["Status"] == "FAILED"
    assert answered(before, **held) == accepted


def test_a_new_layer_is_looked_at_even_if_no_variable_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "APPS_FILE", tmp_path / "apps.json")
    accepted = answered(GOOD)["PhysicalResourceId"]
    (tmp_path / "apps.json").write_text("{")
    layers = {"ResourceProperties": EVENT["ResourceProperties"] | {"Variables": GOOD, "Layers": ["another"]}}
    told = answered({**GOOD, "APPS": ""}, RequestType="Update", PhysicalResourceId=accepted, **layers)
    assert told["Status"] == "FAILED"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"APPS": '{"a": {"redirect_uris": ["myapp:/cb"], "scopes": ["r"]}}'}, "a custom scheme needs a dot"),
        ({"APPS": '{"a": {"redirect_uris": ["https://a.example/cb"], "scope": ["r"]}}'}, "unknown member 'scope'"),
        ({"APPS": "{"}, "APPS is not JSON"),
        ({"APPS": ""}, "APPS must not be empty"),
        ({"ISSUER": "https://a.example/"}, "ISSUER must be"),
        ({"PROVIDER_DIALECT": "standard", "ARIES_CLIENT_SECRET_ARN": ""}, "ARIES_CLIENT_SECRET_ARN"),
        ({"POWERTOOLS_SERVICE_NAME": ""}, "POWERTOOLS_SERVICE_NAME"),
        ({"LOG_LEVEL": "DEBUG"}, "LOG_LEVEL must be one of INFO, WARN, ERROR"),
    ],
    ids=str,
)
def test_a_configuration_that_no_function_could_start_with_is_refused_with_a_reason(
    changes: dict[str, str], reason: str
) -> None:
    told = answered({**GOOD, **changes})
    assert told["Status"] == "FAILED"
    assert reason in told["Reason"]


def test_a_rolled_back_update_is_checked_by_the_old_properties_and_not_by_the_functions_own_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CloudFormation then sends the old properties; the function may have newer variables."""
    bad = {**GOOD, "APPS": "{"}
    for name, value in bad.items():
        monkeypatch.setenv(name, value)
    assert answered(bad, RequestType="Update")["Status"] == "FAILED"
    assert answered(GOOD, RequestType="Update")["Status"] == "SUCCESS"
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    assert answered(bad, RequestType="Update")["Status"] == "FAILED"


def test_an_event_without_variables_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answered({})["Reason"].endswith("must be Aries' client id, not empty")


def test_the_end_of_a_stack_is_never_refused() -> None:
    assert answered({**GOOD, "APPS": "{"}, RequestType="Delete")["Status"] == "SUCCESS"


@pytest.mark.parametrize("character", ["x", "\u20ac", "\U0001f600"])
def test_a_long_reason_still_is_an_answer_that_cloudformation_takes(character: str) -> None:
    told = answered({**GOOD, "APPS": json.dumps({character * 1100: {}})})
    assert told["Status"] == "FAILED"
    assert told["Reason"].startswith("APPS: app")


def test_a_bug_is_an_answer_too_without_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(_: object) -> None:
        raise ZeroDivisionError("canary")

    monkeypatch.setattr(checked_configuration, "PowertoolsTelemetry", stumble)
    told = answered(GOOD)
    assert told["Status"] == "FAILED"
    assert told["Reason"] == "The configuration could not be checked: ZeroDivisionError"


def test_the_answer_is_put_without_a_content_type_as_the_url_is_signed_for() -> None:
    with Peer(answering(answer())) as peer:
        put(f"{peer.url}?signature=x", b'{"Status": "SUCCESS"}')
    (request,) = peer.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"PUT ")
    assert b"?signature=x HTTP/1.1" in head
    assert b"content-type: \r\n" in head.lower() + b"\r\n"
    assert body == b'{"Status": "SUCCESS"}'


def test_an_answer_that_was_not_taken_fails_so_that_lambda_repeats_the_call() -> None:
    with Peer(answering(answer(b"", "403 Forbidden"))) as peer, pytest.raises(NotTaken, match="HTTP status 403"):
        put(peer.url, b"{}")
    with pytest.raises(NotTaken, match="ConnectionError"):
        put(EVENT["ResponseURL"], b"{}")


@pytest.mark.parametrize("where", ["refused", "unreachable"])
def test_the_url_by_which_anybody_could_answer_is_in_nothing_that_lambda_logs_of_a_failure(where: str) -> None:
    with Peer(answering(answer(b"", "403 Forbidden"))) as peer:
        url = peer.url if where == "refused" else EVENT["ResponseURL"]
        signature = CANARY
        with pytest.raises(NotTaken) as failed:
            put(f"{url}?X-Amz-Signature={signature}", b"{}")
    assert CANARY not in "".join(traceback.format_exception(failed.value))


def test_apps_in_two_places_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "apps.json"
    monkeypatch.setattr("oauth_broker.config.settings.APPS_FILE", file)
    assert answered(GOOD)["Status"] == "SUCCESS"
    file.write_text("{}")
    assert "by the parameter and by apps.json" in answered(GOOD)["Reason"]
