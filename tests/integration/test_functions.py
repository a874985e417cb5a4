"""Each function as Lambda starts it: the settings it refuses, the modules it loads, the real events it reads."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

import pytest

from oauth_broker.errors import ConfigurationError
from tests.support.deployment import ORIGIN, deployed_environment
from tests.support.functions import FUNCTIONS, ROOT, load_function
from tests.support.lambda_context import Context
from tests.support.world import Answer, Phone, World

EVENTS = ROOT / "events"
REQUIRED = (
    "ARIES_CLIENT_ID",
    "ARIES_AUTHORIZE_URL",
    "ARIES_TOKEN_URL",
    "ARIES_USER_ID_MEMBER",
    "SUBJECT_KEY_ARN",
    "PROVIDER_DIALECT",
    "APPS",
    "SESSION_DAYS",
    "REFRESH_GRACE_SECONDS",
    "LATE_RETRY",
    "SOURCE_LIMIT",
    "SIGN_IN_LIMIT",
    "SESSION_LIMIT",
    "TABLE_NAME",
    "SECRET_PREFIX",
    "KEY_ID",
    "POWERTOOLS_SERVICE_NAME",
    "POWERTOOLS_METRICS_NAMESPACE",
    "LOG_LEVEL",
)


@pytest.mark.parametrize("function", [name for name in FUNCTIONS if name not in ("operator", "configuration")])
@pytest.mark.parametrize("variable", REQUIRED)
def test_a_function_stops_at_start_and_names_the_variable_that_is_missing(function: str, variable: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        load_function(function, deployed_environment(**{variable: ""}))


@pytest.mark.parametrize("variable", REQUIRED)
def test_the_operators_function_starts_with_all_but_its_telemetry_to_say_itself_what_is_missing(variable: str) -> None:
    environment = deployed_environment(**{variable: ""})
    if variable.startswith(("POWERTOOLS_", "LOG_")):
        with pytest.raises(ConfigurationError, match=variable):
            load_function("operator", environment)
    else:
        handler = load_function("operator", environment).lambda_handler
        answer = handler({"action": "check", "operator": "ann"}, Context(now=time.time))
        (check,) = answer["checks"]
        assert not check["ok"]
        assert variable in check["detail"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_folder_of_functions_holds_one_short_module_and_nothing_else(function: str) -> None:
    files = [path.name for path in (ROOT / "functions" / function).iterdir() if path.name != "__pycache__"]
    assert files == ["app.py"]
    assert len((ROOT / "functions" / function / "app.py").read_text().splitlines()) <= 60


def loaded(function: str, environment: dict[str, str]) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after the start of the function."""
    return set(after_the_start(function, environment, "sorted(sys.modules)"))


def after_the_start(function: str, environment: dict[str, str], expression: str) -> Any:
    """Return the value of the expression in a fresh interpreter after the start of the function."""
    program = (
        "import gc, json, pathlib, sys\n"
        "from tests.support.bootstrap import load_module\n"
        f"app = load_module(pathlib.Path({str(ROOT / 'functions' / function / 'app.py')!r}))\n"
        f"print(json.dumps({expression}))\n"
    )
    path = os.pathsep.join([str(ROOT / "layers/oauth_broker"), *(entry for entry in sys.path if entry)])
    output = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | {"PYTHONPATH": path, "AWS_DEFAULT_REGION": "eu-west-1"},
        capture_output=True,
        check=True,
        cwd="/",
    ).stdout
    return json.loads(output)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_search_for_garbage_visits_the_objects_of_the_start(function: str) -> None:
    environment = deployed_environment(AWS_LAMBDA_INITIALIZATION_TYPE="on-demand")
    frozen, others, is_found = after_the_start(
        function,
        environment,
        "[gc.get_freeze_count(), len(gc.get_objects()), any(it is app.lambda_handler for it in gc.get_objects())]",
    )
    assert frozen > 10_000
    # The handler is there before the last step, and so everything that it has is.
    assert others < 100
    assert not is_found


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_loads_only_what_it_uses(function: str) -> None:
    modules = loaded(function, deployed_environment())
    assert ("boto3" in modules) == (function not in ("metadata", "configuration"))
    assert ("requests" in modules) == (
        function in ("callback", "token", "refresh", "backend", "operator", "configuration")
    )
    assert ("oauth_broker.sessions.secret_store" in modules) == (
        function not in ("authorize", "metadata", "configuration")
    )
    # Without a bus, nothing is loaded for events.
    assert "oauth_broker.events.bus" not in modules
    assert not modules & {"pydantic", "aws_xray_sdk", "aws_lambda_powertools.event_handler", "moto"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_whose_sessions_begin_or_end_loads_the_bus_if_there_is_one(function: str) -> None:
    modules = loaded(function, deployed_environment(EVENT_BUS="sessions"))
    assert ("oauth_broker.events.bus" in modules) == (
        function in ("token", "refresh", "revoke", "sessions", "backend", "operator")
    )


def event(name: str) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads((EVENTS / f"{name}.json").read_text()))


def send(world: World, function: str, captured: dict[str, Any]) -> Answer:
    context = Context(now=world.clock.now)
    answer = world.handler(function)(captured, context)
    return Answer(answer["statusCode"], answer["headers"], answer["cookies"], answer["body"], context.aws_request_id)


def with_form(captured: dict[str, Any], **values: str) -> dict[str, Any]:
    """Return the captured event with some form values from a sign-in under way."""
    fields = dict(parse_qsl(base64.b64decode(captured["body"]).decode())) | values
    return captured | {"body": base64.b64encode(urlencode(fields).encode()).decode()}


@pytest.mark.parametrize(
    ("name", "status", "content"),
    [
        ("authorize_unknown_client", 400, "This sign-in link does not work"),
        ("callback_unknown_state", 400, "This sign-in has ended"),
        ("callback_ok", 400, "This sign-in has ended"),
        ("callback_denied", 400, "This sign-in has ended"),
        ("token_code", 400, '"invalid_grant"'),
        ("token_aries", 400, '"invalid_grant"'),
        ("token_refresh", 400, '"invalid_grant"'),
        ("token_json_body", 400, '"invalid_request"'),
        ("token_wrong_method", 405, '"invalid_request"'),
        ("token_preflight", 204, ""),
        ("refresh_form", 400, '"invalid_grant"'),
        ("refresh_json", 400, '"invalid_grant"'),
        ("revoke", 200, "{}"),
        ("sessions_list", 400, '"invalid_grant"'),
        ("sessions_revoke", 400, '"invalid_grant"'),
        ("backend_token", 400, '"sign_in_required"'),
        ("backend_other_app", 403, '"not_a_backend_app"'),
        ("metadata_oauth_authorization_server", 200, '"token_endpoint"'),
        ("metadata_openid_configuration", 200, '"token_endpoint"'),
        ("metadata_jwks", 200, '{"keys": []}'),
        ("metadata_apple", 200, '"applinks"'),
        ("metadata_assetlinks", 200, '"delegate_permission/common.handle_all_urls"'),
    ],
)
def test_a_captured_event_that_fits_nothing_in_the_table_gets_its_defined_answer(
    world: World, name: str, status: int, content: str
) -> None:
    answer = send(world, name.partition("_")[0], event(name))
    assert answer.status == status
    assert content in answer.body


def test_captured_authorization_requests_are_answered_with_their_state_byte_for_byte(world: World) -> None:
    accepted = send(world, "authorize", event("authorize_ok"))
    assert accepted.location.startswith("https://app.aries.example/")
    refused = send(world, "authorize", event("authorize_missing_challenge"))
    assert refused.query["error"] == "invalid_request"
    assert refused.location.endswith(
        "&state=" + event("authorize_ok")["rawQueryString"].partition("state=")[2].partition("&")[0]
    )


@pytest.fixture
def phone(world: World) -> Phone:
    return world.phone(state="cGhvbmU+c3RhdGU/+/==")


def test_captured_callbacks_with_the_values_of_a_sign_in_succeed_and_fail_as_they_should(
    world: World, phone: Phone
) -> None:
    for name, outcome in (("callback_ok", "code"), ("callback_denied", "error")):
        returning = dict(parse_qsl(phone.approve(phone.authorize())))
        cookie, value = list(phone.cookies.items())[-1]
        captured = event(name)
        query = {key: returning.get(key, old) for key, old in parse_qsl(captured["rawQueryString"])}
        answer = send(
            world, "callback", captured | {"rawQueryString": urlencode(query), "cookies": [f"{cookie}={value}"]}
        )
        assert outcome in answer.query


def test_captured_token_requests_with_the_values_of_a_sign_in_succeed(world: World, phone: Phone) -> None:
    redeemed = send(world, "token", with_form(event("token_code"), code=phone.code()))
    assert redeemed.status == 200
    token = redeemed.json["refresh_token"]
    world.clock.time += 61
    refreshed = send(world, "token", with_form(event("token_refresh"), refresh_token=token))
    assert refreshed.status == 200
    assert send(world, "refresh", with_form(event("refresh_form"), refresh_token=token)).body == refreshed.body
    as_json = event("refresh_json")
    body = as_json["body"]
    members = json.loads(base64.b64decode(body) if as_json["isBase64Encoded"] else body) | {"refresh_token": token}
    as_json |= {"body": json.dumps(members), "isBase64Encoded": False}
    assert send(world, "refresh", as_json).body == refreshed.body
    token = refreshed.json["refresh_token"]
    listed = send(world, "sessions", with_form(event("sessions_list"), token=token))
    assert [session["current"] for session in listed.json["sessions"]] == [True]
    assert send(world, "sessions", with_form(event("sessions_revoke"), token=token)).json["ended"] == 0
    assert send(world, "revoke", with_form(event("revoke"), token=token)).body == "{}"
    assert send(world, "token", with_form(event("token_refresh"), refresh_token=token)).json["error"] == "invalid_grant"


def test_a_captured_request_of_a_backend_with_the_handle_of_a_session_succeeds(world: World) -> None:
    handle = world.with_backend().backend_handle
    captured = event("backend_token")
    body = json.dumps(json.loads(captured["body"]) | {"backend_handle": handle})
    assert send(world, "backend", captured | {"body": body}).json.keys() == {"access_token", "expires_in", "scope"}
    unsigned = captured["requestContext"] | {"authorizer": {}}
    assert send(world, "backend", captured | {"body": body, "requestContext": unsigned}).status == 403


def test_a_form_that_arrives_plain_is_read_like_one_that_arrives_in_base64(world: World, phone: Phone) -> None:
    captured = with_form(event("token_code"), code=phone.code())
    plain = captured | {"body": base64.b64decode(captured["body"]).decode(), "isBase64Encoded": False}
    assert send(world, "token", plain).status == 200


def test_the_captured_stream_record_is_cleaned_up(world: World) -> None:
    answer = world.handler("cleanup")(event("cleanup_removed"), Context(now=world.clock.now))
    assert answer == {"batchItemFailures": []}
    assert world.telemetry.counted("SecretsDeleted") == 1


def test_the_captured_preflight_is_allowed_where_its_origin_is_registered(world: World) -> None:
    captured = event("token_preflight")
    headers = captured["headers"] | {"origin": ORIGIN}
    assert send(world, "token", captured | {"headers": headers}).headers["access-control-allow-origin"] == ORIGIN


def test_requests_and_answers_of_aws_are_not_logged_even_at_the_debug_level(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    load_function("token", world.environment)
    phone = world.signed_in()
    world.clock.time += 61
    assert phone.refresh().status == 200
    world.clock.time += 61
    with world.aws.failing("PutSecretValue", "access_denied"):
        assert phone.refresh().status == 200
    for secret in (phone.access_token, phone.refresh_token, "aries-client-secret-canary"):
        assert secret not in caplog.text


def test_a_handler_logs_one_json_line_an_event_and_emits_metrics_of_its_own(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    # A fresh name makes a fresh logger. An existing logger still writes to an earlier standard output.
    module = load_function("authorize", world.environment | {"POWERTOOLS_SERVICE_NAME": "service-of-this-test"})
    hostile = {"user-agent": "a\r\nb\x1b[31m\u2028", "x-forwarded-for": "secret"}
    captured = event("authorize_ok")
    answer = module.lambda_handler(captured | {"headers": captured["headers"] | hostile}, Context(now=world.clock.now))
    assert answer["statusCode"] == 302
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (log,) = [line for line in lines if "message" in line]
    assert log["message"] == "sign_in_started"
    assert set(log) == {
        "level",
        "message",
        "timestamp",
        "service",
        "request_id",
        "api_request_id",
        "session",
        "client_id",
    }
    (metric,) = [line for line in lines if "_aws" in line]
    assert metric["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "AriesTokenBroker"
    assert metric["SignInsStarted"] == [1]
    assert metric["service"] == "service-of-this-test"
