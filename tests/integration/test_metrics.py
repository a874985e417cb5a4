"""One case for every metric. Every log line of a request names its session, app and request."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from oauth_broker.runtime.telemetry import PowertoolsTelemetry
from oauth_broker.secret import digest, session_reference
from tests.local.aries import Fault
from tests.support.deployment import CLIENT_ID, GRACE
from tests.support.functions import ROOT
from tests.support.lambda_context import Context
from tests.support.people import device, ended
from tests.support.row_writer import RowWriter
from tests.support.world import World, own_client

Metric = tuple[str, dict[str, str]]


def a_sign_in(world: World) -> None:
    world.signed_in()


def a_sign_in_that_is_declined(world: World) -> None:
    phone = world.phone()
    phone.callback(urlencode({"error": "access_denied", "state": phone.authorize().query["state"]}))


def a_sign_in_that_fails(world: World) -> None:
    phone = world.phone()
    phone.callback(urlencode({"code": "never-issued", "state": phone.authorize().query["state"]}))


def a_page(world: World) -> None:
    world.phone().callback(urlencode({"code": "x", "state": "a" * 43}))


def a_refresh(world: World) -> None:
    world.refreshable().refresh()


def a_replay(world: World) -> None:
    world.signed_in().refresh()


def an_unknown_token(world: World) -> None:
    world.phone().refresh("a" * 43 + ".1." + "b" * 43)


def a_refresh_while_the_table_is_throttled(world: World) -> None:
    phone = world.refreshable()
    with world.aws.failing("UpdateItem", "throttled"):
        phone.refresh()


def a_refresh_while_aries_is_down(world: World) -> None:
    phone = world.refreshable()
    world.aries.faults.append(Fault("server_error"))
    phone.refresh()


def a_refused_client_secret(world: World) -> None:
    phone = world.refreshable()
    world.aries.core.set_client_secrets("another")
    phone.refresh()


def a_worker_that_died_after_storing(world: World) -> None:
    phone = world.refreshable()
    with world.aws.dying_after("PutSecretValue"):
        phone.refresh()
    world.clock.time += 60
    phone.refresh(via=world.make_handler("token"))


def a_lease_that_is_held(world: World) -> None:
    phone = world.refreshable()
    with world.aws.dying_at("GetSecretValue"):
        phone.refresh()
    phone.refresh(via=world.make_handler("token"))


def a_secret_that_takes_nothing(world: World) -> None:
    phone = world.refreshable()
    with world.aws.failing("PutSecretValue", "throttled"):
        assert phone.refresh().status == 200


def a_superseded_token(world: World) -> None:
    phone = world.refreshable()
    first = phone.refresh_token
    phone.refresh()
    world.clock.time += GRACE + 1
    phone.refresh()
    phone.refresh(first)


def a_table_restored_from_a_backup(world: World) -> None:
    phone = world.refreshable()
    backup = world.rows()
    for _ in range(2):
        phone.refresh()
        world.clock.time += GRACE + 1
    for item in backup:
        world.dynamodb.put_item(TableName="sign-ins", Item=item)
    phone.refresh()


def a_row_that_somebody_wrote(world: World) -> None:
    phone = world.refreshable()
    forged = f"{phone.session_id}.1.{'A' * 43}"
    RowWriter(world, ("UpdateItem",)).update(phone.session_id, {"handle_hash": {"S": digest(forged)}})
    phone.refresh(forged)


def a_seal_that_does_not_open(world: World) -> None:
    phone = world.refreshable()
    with world.aws.failing("PutSecretValue", "throttled"):
        assert phone.refresh().status == 200
    world.clock.time += GRACE + 1
    row = RowWriter(world, ("UpdateItem",))
    row.update(phone.session_id, {"escrow": {"L": [{"B": b"no ciphertext of this key"}]}})
    assert phone.refresh().status == 503


def a_sign_in_of_a_person_that_aries_does_not_name(world: World) -> None:
    world.environment["ARIES_USER_URL"] = world.aries.url + "/nothing-here"
    world.signed_in(scope="user:information")


def a_session_that_is_announced(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    own_client("events").create_event_bus(Name="sessions")
    assert phone.redeem(code, via=world.make_handler("token", EVENT_BUS="sessions")).status == 200


def a_session_whose_bus_is_down(world: World) -> None:
    with world.aws.failing("PutEvents", "server_error"):
        a_session_that_is_announced(world)


def a_sign_out(world: World) -> None:
    world.signed_in().revoke()


def a_backends_token(world: World) -> None:
    assert world.with_backend().ask_as_backend().status == 200


def a_backend_without_a_session(world: World) -> None:
    assert world.backend({"backend_handle": "a" * 43 + "." + "b" * 43}).status == 400


def a_backend_while_the_table_is_throttled(world: World) -> None:
    phone = world.with_backend()
    with world.aws.failing("GetItem", "throttled"):
        assert phone.ask_as_backend().status == 503


def sessions_that_a_person_ended(world: World) -> None:
    device(world)
    assert ended(device(world), others="true").json["ended"] == 1


def a_sign_in_beyond_the_limit(world: World) -> None:
    world.environment["SESSION_LIMIT"] = "1"
    for _ in range(2):
        device(world)
        world.clock.time += 1


def a_limit_that_is_not_kept(world: World) -> None:
    with world.aws.failing("BatchGetItem", "throttled"):
        a_sign_in_beyond_the_limit(world)


def a_bug(world: World) -> None:
    world.handler("metadata").operation._documents["/bug"] = lambda issuer: 1 / 0
    assert world.call("metadata", "GET", "/bug").status == 500


def a_removed_row(world: World) -> None:
    cleanup(world)


def a_removed_row_whose_secret_stays(world: World) -> None:
    with world.aws.failing("DeleteSecret", "throttled"):
        cleanup(world)


def a_removed_row_whose_secret_may_not_be_deleted(world: World) -> None:
    with world.aws.failing("DeleteSecret", "access_denied"):
        cleanup(world)


def cleanup(world: World) -> None:
    event = json.loads((ROOT / "events" / "cleanup_removed.json").read_text())
    world.handler("cleanup")(event, Context(now=world.clock.now))


CASES: list[tuple[Callable[[World], None], list[Metric]]] = [
    (
        a_sign_in,
        [
            ("SignInsStarted", {}),
            ("ProviderLatency", {"grant": "code"}),
            ("SecretsCreated", {}),
            ("SignInsSucceeded", {}),
        ],
    ),
    (a_sign_in_that_is_declined, [("SignInsDeclined", {"reason": "declined_by_provider"})]),
    (
        a_sign_in_that_fails,
        [("ProviderErrors", {"kind": "dead"}), ("SignInsFailed", {"reason": "provider"})],
    ),
    (a_page, [("PagesShown", {"reason": "no_cookie"})]),
    (a_refresh, [("ProviderLatency", {"grant": "refresh"}), ("RefreshesSucceeded", {})]),
    (a_replay, [("RefreshesReplayed", {})]),
    (
        an_unknown_token,
        [("RefreshesRejected", {"reason": "session_ended"}), ("RequestsRefused", {"error": "invalid_grant"})],
    ),
    (
        a_refresh_while_the_table_is_throttled,
        [("RefreshesFailed", {"reason": "dynamodb"}), ("AwsThrottled", {"aws_service": "dynamodb"})],
    ),
    (
        a_refresh_while_aries_is_down,
        [
            ("ProviderLatency", {"grant": "refresh"}),
            ("ProviderErrors", {"kind": "ambiguous"}),
            ("RefreshesFailed", {"reason": "provider"}),
        ],
    ),
    (a_refused_client_secret, [("ProviderErrors", {"kind": "misconfigured"}), ("ProviderMisconfigured", {})]),
    (a_worker_that_died_after_storing, [("RollForwards", {}), ("RefreshesSucceeded", {})]),
    (a_lease_that_is_held, [("LeaseWaits", {}), ("RefreshesFailed", {"reason": "lease_held"})]),
    (a_secret_that_takes_nothing, [("Escrowed", {}), ("RefreshesSucceeded", {})]),
    (
        a_superseded_token,
        [
            ("ReuseDetected", {}),
            ("SessionsEnded", {"reason": "token_reused"}),
            ("RefreshesRejected", {"reason": "token_reused"}),
        ],
    ),
    (
        a_table_restored_from_a_backup,
        [("RestoredFromBackup", {}), ("RefreshesFailed", {"reason": "restored_from_backup"})],
    ),
    (a_row_that_somebody_wrote, [("RowsAltered", {}), ("RefreshesRejected", {"reason": "forged_token"})]),
    (a_seal_that_does_not_open, [("SealsNotOpened", {}), ("RefreshesFailed", {"reason": "kms"})]),
    (
        a_sign_in_of_a_person_that_aries_does_not_name,
        [("ProviderLatency", {"grant": "user"}), ("SubjectsNotFound", {"reason": "status_404"})],
    ),
    (a_session_that_is_announced, [("EventsSent", {})]),
    (a_session_whose_bus_is_down, [("EventsNotSent", {"reason": "events"})]),
    (a_sign_out, [("SignOuts", {})]),
    (a_backends_token, [("BackendCalls", {}), ("BackendTokensServed", {})]),
    (a_backend_without_a_session, [("BackendTokensRefused", {"reason": "session_ended"})]),
    (
        a_backend_while_the_table_is_throttled,
        [("BackendTokensFailed", {"reason": "dynamodb"}), ("AwsThrottled", {"aws_service": "dynamodb"})],
    ),
    (sessions_that_a_person_ended, [("SessionsEndedByPeople", {})]),
    (a_sign_in_beyond_the_limit, [("SessionsOverLimit", {})]),
    (a_limit_that_is_not_kept, [("SessionLimitNotKept", {})]),
    (a_bug, [("InternalErrors", {})]),
    (a_removed_row, [("SecretsDeleted", {})]),
    (a_removed_row_whose_secret_stays, [("SecretsNotDeleted", {})]),
    (a_removed_row_whose_secret_may_not_be_deleted, [("SecretAccessDenied", {})]),
]


@pytest.mark.parametrize(("happens", "metrics"), CASES, ids=[happens.__name__ for happens, _ in CASES])
def test_each_event_is_counted(world: World, happens: Callable[[World], None], metrics: list[Metric]) -> None:
    happens(world)
    measured = [(name, dimensions) for name, _, dimensions in world.telemetry.durations]
    assert [metric for metric in metrics if metric not in world.telemetry.metrics + measured] == []


def metrics_of_the_code() -> set[str]:
    """Return the metrics that the package counts and measures, read from its source."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "layers" / "oauth_broker" / "oauth_broker").rglob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [
        constant.value
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("count", "measure") and call.args
        for constant in ast.walk(call.args[0])
        if isinstance(constant, ast.Constant)
    ]
    return {name for name in names if isinstance(name, str)}


def test_every_metric_of_the_code_is_among_them() -> None:
    assert len(metrics_of_the_code()) > 20
    # The operator's metric has tests of its own.
    assert metrics_of_the_code() - {"OperatorActions"} == {name for _, metrics in CASES for name, _ in metrics}


def test_every_line_of_a_request_names_its_session_its_app_and_both_its_ids(world: World) -> None:
    phone = world.refreshable()
    phone.refresh()
    phone.refresh("x" * 43 + phone.refresh_token[43:])
    phone.revoke()
    reference = session_reference(phone.session_id)
    for _, event, fields in world.telemetry.lines:
        assert fields["request_id"] != fields["api_request_id"] == "id"
        if event != "refused":
            assert fields["session"] == reference, event
            assert fields["client_id"] == CLIENT_ID, event
    assert [event for _, event, _ in world.telemetry.lines] == [
        "sign_in_started",
        "code_issued",
        "sign_in_succeeded",
        "refresh_succeeded",
        "refused",
        "signed_out",
    ]


def test_a_metric_is_published_by_service_alone_and_by_its_dimension(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = PowertoolsTelemetry(
        {"POWERTOOLS_SERVICE_NAME": "stack", "POWERTOOLS_METRICS_NAMESPACE": "Namespace", "LOG_LEVEL": "INFO"}
    )
    telemetry.count("Plain", {})
    telemetry.count("Counted", {"reason": "why"})
    telemetry.measure("Measured", 12.6, {"grant": "code"})
    plain, counted, measured = (json.loads(line) for line in capsys.readouterr().out.splitlines())

    def declared(line: dict[str, object]) -> object:
        (directive,) = line["_aws"]["CloudWatchMetrics"]  # type: ignore[index]
        return directive["Namespace"], directive["Dimensions"], directive["Metrics"]

    assert declared(plain) == ("Namespace", [["service"]], [{"Name": "Plain", "Unit": "Count"}])
    both = [["service"], ["service", "reason"]]
    assert declared(counted) == ("Namespace", both, [{"Name": "Counted", "Unit": "Count"}])
    assert declared(measured)[2] == [{"Name": "Measured", "Unit": "Milliseconds"}]  # type: ignore[index]
    assert (plain["service"], plain["Plain"]) == ("stack", [1.0])
    assert (counted["reason"], counted["Counted"]) == ("why", [1.0])
    assert (measured["grant"], measured["Measured"]) == ("code", [13.0])
