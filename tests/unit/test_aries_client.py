"""The calls to Aries' token endpoint, and the meaning of each answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.aries.client import ARIES_CALL_SECONDS, STORE_SECONDS, Provider, ProviderFailure, ProviderTokens
from oauth_broker.aries.client_secret import ClientSecret
from oauth_broker.aries.transport import NoReply, NotSent, Reply
from oauth_broker.config.dialect import Outcome
from oauth_broker.errors import ServiceUnavailable
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import Secret
from tests.support.client_error import client_error
from tests.support.clock import NOW, VirtualClock
from tests.support.drawn import secret_texts
from tests.support.lambda_context import Context
from tests.support.telemetry import Recorded
from tests.unit.fakes import ENVIRONMENT, FakeSecretsManager, failure_of, settings_with

CALLBACK = "https://broker.example.com/oauth2/callback"
CODE = Secret("canary-code+/=&")
VERIFIER = Secret("canary-verifier")
REFRESH_TOKEN = Secret("canary-refresh-token")
SAFE_EXPIRES_IN = 900
TOKENS = {
    "access_token": "canary-access-1",
    "token_type": "Bearer",
    "expires_in": 3600,
    "refresh_token": "canary-refresh-1",
    "scope": "account:information order:execution",
}


@dataclass
class Sent:
    url: str
    body: bytes
    headers: dict[str, str]
    seconds: float


@dataclass
class FakeTransport:
    """Gives the answers in turn, raises those that are exceptions, and keeps the requests."""

    answers: list[Reply | Exception]
    sent: list[Sent] = field(default_factory=list)
    # Runs between a request and its answer.
    meanwhile: Callable[[], None] = lambda: None

    def post(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Reply:
        self.sent.append(Sent(url, body, dict(headers), seconds))
        self.meanwhile()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Setup:
    """A provider with hand-made parts."""

    def __init__(
        self, *answers: Reply | Exception, secret: str | Exception = "canary-secret-1", **changes: str
    ) -> None:
        self.clock = VirtualClock()
        self.transport = FakeTransport(list(answers))
        self.secrets = FakeSecretsManager(secret)
        self.telemetry = Recorded()
        self.context = Context()
        arn = ENVIRONMENT["ARIES_CLIENT_SECRET_ARN"]
        client_secret = ClientSecret(self.secrets, arn, self.clock)
        self.provider = Provider(settings_with(**changes), self.transport, client_secret, self.clock)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(sent.body) for sent in self.transport.sent]

    @property
    def invocation(self) -> Invocation:
        return Invocation(self.context, self.telemetry)

    def exchange(self) -> ProviderTokens:
        return self.provider.exchange(CODE, VERIFIER, CALLBACK, self.invocation)

    def refresh(self) -> ProviderTokens:
        return self.provider.refresh(REFRESH_TOKEN, CALLBACK, self.invocation)

    def failure(self, call: Callable[[], ProviderTokens] | None = None) -> ProviderFailure:
        with pytest.raises(ProviderFailure) as raised:
            (call or self.refresh)()
        return raised.value


def ok(members: Mapping[str, Any] | None = None, **changes: Any) -> Reply:
    return Reply(200, json.dumps({**(TOKENS if members is None else members), **changes}).encode())


def without(*names: str) -> Reply:
    return ok({name: value for name, value in TOKENS.items() if name not in names})


def error(status: int, code: Any = None) -> Reply:
    return Reply(status, json.dumps({"error": code, "error_description": "canary-description"}).encode())


# Requests.


def test_aries_gets_the_code_as_json_without_a_client_secret() -> None:
    setup = Setup(ok())
    setup.exchange()
    (sent,) = setup.transport.sent
    assert sent.url == "https://api.aries.example/v1/oauth2/token"
    assert sent.headers == {"content-type": "application/json"}
    assert json.loads(sent.body) == {
        "client_id": "aries-client",
        "grant_type": "code",
        "code": CODE.reveal(),
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER.reveal(),
    }
    assert setup.secrets.reads == 0


def test_aries_gets_a_refresh_as_json_with_client_secret_and_redirect_uri() -> None:
    setup = Setup(ok())
    setup.refresh()
    (sent,) = setup.transport.sent
    assert sent.url == "https://api.aries.example/v1/oauth2/token"
    assert sent.headers == {"content-type": "application/json"}
    assert json.loads(sent.body) == {
        "client_id": "aries-client",
        "client_secret": "canary-secret-1",
        "grant_type": "refresh_token",
        "refresh_token": REFRESH_TOKEN.reveal(),
        "redirect_uri": CALLBACK,
    }


def form(body: bytes) -> dict[str, str]:
    pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def test_a_standard_provider_gets_the_code_as_a_form_with_the_client_secret() -> None:
    setup = Setup(ok(), PROVIDER_DIALECT="standard")
    setup.exchange()
    (sent,) = setup.transport.sent
    assert sent.headers == {"content-type": "application/x-www-form-urlencoded"}
    assert form(sent.body) == {
        "client_id": "aries-client",
        "client_secret": "canary-secret-1",
        "grant_type": "authorization_code",
        "code": CODE.reveal(),
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER.reveal(),
    }


def test_a_standard_provider_gets_a_refresh_as_a_form_without_a_redirect_uri() -> None:
    setup = Setup(ok(), PROVIDER_DIALECT="standard")
    setup.refresh()
    (sent,) = setup.transport.sent
    assert sent.headers == {"content-type": "application/x-www-form-urlencoded"}
    assert form(sent.body) == {
        "client_id": "aries-client",
        "client_secret": "canary-secret-1",
        "grant_type": "refresh_token",
        "refresh_token": REFRESH_TOKEN.reveal(),
    }


@pytest.mark.parametrize("grant", ["code", "refresh"])
def test_a_provider_that_takes_basic_gets_the_client_in_the_header_alone(grant: str) -> None:
    setup = Setup(ok(), PROVIDER_DIALECT="standard-basic", ARIES_CLIENT_ID="aries:client")
    setup.secrets.value = "canary secret+/%:1"
    setup.exchange() if grant == "code" else setup.refresh()
    (sent,) = setup.transport.sent
    assert sent.headers.keys() == {"authorization", "content-type"}
    scheme, _, encoded = sent.headers["authorization"].partition(" ")
    # RFC 6749 section 2.3.1: each part is encoded as in a form, so that a colon can stand in it.
    assert (scheme, base64.b64decode(encoded)) == ("Basic", b"aries%3Aclient:canary+secret%2B%2F%25%3A1")
    assert not {"client_id", "client_secret"} & form(sent.body).keys()
    assert form(sent.body)["grant_type"] == ("authorization_code" if grant == "code" else "refresh_token")


def test_a_call_is_bounded_and_leaves_time_to_keep_its_answer() -> None:
    setup = Setup(ok())
    setup.exchange()
    assert setup.transport.sent[0].seconds == ARIES_CALL_SECONDS
    assert ARIES_CALL_SECONDS + STORE_SECONDS < 29


# Successes.


def test_the_tokens_of_a_complete_answer_are_kept() -> None:
    for call in (Setup.exchange, Setup.refresh):
        tokens = call(Setup(ok()))
        assert tokens.access_token == Secret("canary-access-1")
        assert tokens.refresh_token == Secret("canary-refresh-1")
        assert tokens.expires_at == NOW + 3600
        assert tokens.scope == "account:information order:execution"
        assert "canary" not in repr(tokens)


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 299])
def test_whole_tokens_are_taken_whatever_success_they_come_with(status: int) -> None:
    for call in (Setup.exchange, Setup.refresh):
        setup = Setup(Reply(status, ok().body))
        assert call(setup).access_token == Secret("canary-access-1")
        assert setup.telemetry.metrics == []


@pytest.mark.parametrize("status", [100, 199, 300, 302, 400, 401, 500])
def test_tokens_that_come_with_no_success_are_not_taken(status: int) -> None:
    for call in (Setup.exchange, Setup.refresh):
        setup = Setup(Reply(status, ok().body))
        setup.failure(partial(call, setup))


def test_the_life_of_a_token_counts_from_before_the_request_was_sent() -> None:
    setup = Setup(ok())
    setup.transport.meanwhile = lambda: setup.clock.sleep(7)
    assert setup.refresh().expires_at == NOW + 3600


def test_without_a_refresh_token_in_the_answer_there_is_none() -> None:
    assert Setup(without("refresh_token")).refresh().refresh_token is None


@pytest.mark.parametrize("token", [None, "", 0, 5, True, ["a"], {"a": 1}, "a b", "a\r\nset-cookie: x", "\u00e9", " "])
def test_an_odd_refresh_token_is_as_good_as_none_and_costs_no_access_token(token: Any) -> None:
    tokens = Setup(ok(refresh_token=token)).refresh()
    assert tokens.refresh_token is None
    assert tokens.access_token == Secret("canary-access-1")


@pytest.mark.parametrize("raw", ["true", "false", "null", "1e400", "[]", "{}", "[300]", '"9999999999"'])
def test_an_odd_life_of_a_token_becomes_a_safe_one(raw: str) -> None:
    body = json.dumps(TOKENS).replace("3600", raw).encode()
    assert Setup(Reply(200, body)).refresh().expires_at == NOW + SAFE_EXPIRES_IN


@pytest.mark.parametrize(
    ("expires_in", "kept"),
    [(1, 1), (599, 599), (3599.9, 3599), (1e3, 1000), (31_536_000, 31_536_000), (31_536_001, 900), (10**4000, 900)],
)
def test_a_plausible_life_is_taken_and_one_beyond_a_year_is_not(expires_in: float, kept: int) -> None:
    assert Setup(ok(expires_in=expires_in)).refresh().expires_at == NOW + kept


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        *(("300", 300), ("3600", 3600), ("0300", 300), ("1", 1), ("31536000", 31_536_000), ("31536001", 900)),
        # The number at the beginning counts. It is never longer than the stated life.
        *(("300s", 300), ("300.9", 300), ("3e2", 3), ("1e400", 1), ("1_000", 1), ("0x12c", 1), ("+300", 300)),
        *((" 300", 300), ("300 ", 300), ("300\n", 300), ("\u00a0300", 300), ("-1", 1), ("-300", 1), ("0", 1)),
        # Digits of other scripts are digits.
        *(("\u0663\u0660\u0660", 300), ("\uff13\uff10\uff10", 300), ("3\u00b2", 3), ("9" * 5000, 900)),
    ],
)
def test_a_life_in_a_string_of_digits_is_the_number_that_it_says(said: str, kept: int) -> None:
    assert Setup(ok(expires_in=said)).refresh().expires_at == NOW + kept


@pytest.mark.parametrize("said", ["", "x", "s300", "NaN", "nan", "inf", "-inf", "Infinity", "- 300", ".5"])
def test_a_life_in_any_other_string_becomes_a_safe_one(said: str) -> None:
    assert Setup(ok(expires_in=said)).refresh().expires_at == NOW + SAFE_EXPIRES_IN


@pytest.mark.parametrize("raw", ["0", "0.5", "-1", "-1e400", '"0"'])
def test_a_life_of_no_time_becomes_a_second_and_never_the_default(raw: str) -> None:
    body = json.dumps(TOKENS).replace("3600", raw).encode()
    assert Setup(Reply(200, body)).refresh().expires_at == NOW + 1


def test_a_missing_life_becomes_a_safe_one() -> None:
    assert Setup(without("expires_in")).refresh().expires_at == NOW + SAFE_EXPIRES_IN


@given(
    st.integers() | st.floats(allow_nan=False) | st.none() | secret_texts() | st.booleans() | st.lists(st.integers())
)
def test_a_token_of_any_stated_life_expires_within_a_year_and_not_before_a_second(expires_in: Any) -> None:
    expires_at = (
        Setup(Reply(200, json.dumps(ok_members(expires_in)).replace("Infinity", "1e999").encode())).refresh().expires_at
    )
    assert isinstance(expires_at, int)
    assert NOW + 1 <= expires_at <= NOW + 365 * 24 * 60 * 60


def ok_members(expires_in: Any) -> dict[str, Any]:
    return {**TOKENS, "expires_in": expires_in}


@pytest.mark.parametrize("scope", ["", " ", "a  b", " a", "a\nb", 'a"b', "a\\b", "\u00e9", 5, ["a"], {"a": 1}, True])
def test_an_odd_scope_is_no_scope_and_costs_no_token(scope: Any) -> None:
    tokens = Setup(ok(scope=scope)).refresh()
    assert tokens.scope == ""
    assert tokens.access_token == Secret("canary-access-1")


@pytest.mark.parametrize("answer", [without("scope"), ok(scope=None)])
def test_a_missing_scope_is_none(answer: Reply) -> None:
    assert Setup(answer).refresh().scope is None


@pytest.mark.parametrize("answer", [ok(token_type="bearer"), ok(token_type="BEARER"), without("token_type")])
def test_a_bearer_token_is_told_in_any_case_and_by_default(answer: Reply) -> None:
    for call in (Setup.exchange, Setup.refresh):
        assert call(Setup(answer)).access_token == Secret("canary-access-1")


@pytest.mark.parametrize("token_type", ["mac", "", "Bearer ", "DPoP", 5, ["Bearer"], None, "canary"])
def test_another_type_of_token_is_refused_before_a_session_begins_and_costs_none_that_has_begun(
    token_type: Any,
) -> None:
    setup = Setup(ok(token_type=token_type))
    failure = setup.failure(setup.exchange)
    assert failure.outcome is Outcome.AMBIGUOUS
    assert "canary" not in failure.reason
    assert Setup(ok(token_type=token_type)).refresh().access_token == Secret("canary-access-1")


def test_a_token_of_another_type_is_counted_and_logged_as_any_other_failure() -> None:
    setup = Setup(ok(token_type="mac"))
    setup.failure(setup.exchange)
    assert setup.telemetry.metrics == [("ProviderErrors", {"kind": "ambiguous"})]
    assert setup.telemetry.lines


def test_members_that_nobody_knows_are_ignored() -> None:
    assert Setup(ok(id_token="x", error="invalid_grant", nested={"a": [1]})).refresh().scope is not None


# Answers that grant nothing.

MALFORMED = [
    b"",
    b" ",
    b"<!doctype html><html><h1>Please stand by</h1></html>",
    b"[]",
    json.dumps([TOKENS]).encode(),
    b"null",
    b'"canary-access-1"',
    b"{}",
    b'{"access_token":"a"',
    b'{"access_token":"a","access_token":"b","token_type":"Bearer"}',
    b'{"access_token":"a","token_type":"Bearer","expires_in":NaN}',
    b'{"access_token":"a","token_type":"Bearer","expires_in":Infinity}',
    b'{"access_token":"a","token_type":"Bearer","expires_in":' + b"1" * 5000 + b"}",
    b'{"access_token":"a","token_type":"Bearer","x":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    b"\xff\xfe{}",
    b"\x1f\x8b\x08\x00",
    b"access_token=a&token_type=bearer",
    *(
        ok(access_token=token).body
        for token in (None, "", 5, True, ["a"], {"a": 1}, "a b", "a\n", "\u00e9", "a\0", "\u2028")
    ),
    b'{"error":"invalid_grant"}',
]


@pytest.mark.parametrize("body", MALFORMED)
@pytest.mark.parametrize("call", [Setup.exchange, Setup.refresh])
def test_a_malformed_success_says_nothing_and_is_not_asked_for_again(
    call: Callable[[Setup], ProviderTokens], body: bytes
) -> None:
    for status in (200, 201):
        setup = Setup(Reply(status, body))
        failure = setup.failure(partial(call, setup))
        assert failure.outcome is Outcome.AMBIGUOUS
        assert failure.reason == "provider:malformed_answer"
        assert len(setup.transport.sent) == 1


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (error(400, "invalid_grant"), Outcome.DEAD),
        (error(401, "invalid_grant"), Outcome.DEAD),
        (error(429, "rate_limited"), Outcome.REFUSED),
        (error(429), Outcome.REFUSED),
        (Reply(429, b"<html>"), Outcome.REFUSED),
        (error(400, "invalid_request"), Outcome.UNKNOWN_ERROR),
        (error(422, "temporarily_confused"), Outcome.UNKNOWN_ERROR),
        (error(400, ["invalid_grant"]), Outcome.UNKNOWN_ERROR),
        (Reply(400, b'{"error":"invalid_grant","error":"invalid_grant"}'), Outcome.UNKNOWN_ERROR),
        (Reply(400, b'["invalid_grant"]'), Outcome.UNKNOWN_ERROR),
        (Reply(400, b'{"error":"invalid_grant"'), Outcome.UNKNOWN_ERROR),
        (Reply(404, b""), Outcome.UNKNOWN_ERROR),
        (error(500, "invalid_grant"), Outcome.AMBIGUOUS),
        (Reply(503, b"<html>"), Outcome.AMBIGUOUS),
        (Reply(302, b""), Outcome.AMBIGUOUS),
        (Reply(307, json.dumps(TOKENS).encode()), Outcome.AMBIGUOUS),
        (Reply(204, b""), Outcome.AMBIGUOUS),
        (NoReply("ReadTimeout"), Outcome.AMBIGUOUS),
        (NotSent("ConnectTimeout"), Outcome.REFUSED),
    ],
)
def test_a_failure_is_told_by_its_outcome_counted_and_not_repeated(answer: Reply | Exception, outcome: Outcome) -> None:
    for call in (Setup.exchange, Setup.refresh):
        setup = Setup(answer)
        failure = setup.failure(partial(call, setup))
        assert failure.outcome is outcome
        assert failure.reason.startswith("provider:")
        assert len(setup.transport.sent) == 1
        assert setup.telemetry.metrics == [("ProviderErrors", {"kind": outcome.value})]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (error(400, "invalid_grant"), "provider:status_400:invalid_grant"),
        (error(401, "invalid_client"), "provider:status_401:invalid_client"),
        (error(400, "canary"), "provider:status_400:other"),
        (Reply(503, b""), "provider:status_503:other"),
        (NoReply("ReadTimeout"), "provider:no_reply:ReadTimeout"),
        (NotSent("ConnectTimeout"), "provider:not_sent:ConnectTimeout"),
    ],
)
def test_the_log_tells_what_kind_of_failure_it_was(answer: Reply | Exception, reason: str) -> None:
    setup = Setup(answer)
    assert setup.failure().reason == reason
    assert [fields["reason"] for _, _, fields in setup.telemetry.lines] == [reason]


@given(
    st.integers(100, 999),
    st.binary(max_size=60) | st.dictionaries(st.text(), secret_texts()).map(json.dumps).map(str.encode),
)
def test_any_answer_is_tokens_or_a_failure(status: int, body: bytes) -> None:
    for call in (Setup.exchange, Setup.refresh):
        failure = failure_of(ProviderFailure, partial(call, Setup(Reply(status, body))))
        # A success alone grants tokens.
        assert failure is not None or 200 <= status < 300


@pytest.mark.parametrize("status", [400, 401, 403, 422, 429, 500])
@pytest.mark.parametrize(
    "code", ["canary\u2028line", "canary\r\nline", "\x1b[31mcanary", "canary" * 1000, ["canary"], {"canary": 1}]
)
def test_the_words_of_an_answer_reach_neither_the_reason_nor_the_log(status: int, code: Any) -> None:
    setup = Setup(error(status, code))
    failure = setup.failure()
    assert "canary" not in failure.reason + str(failure)
    assert "canary" not in repr(setup.telemetry)


@pytest.mark.parametrize(
    "answer",
    [error(400, "invalid_grant"), error(401, "invalid_client"), error(503, "x"), NoReply("x"), NotSent("x"), ok({})],
)
def test_no_secret_of_a_request_reaches_the_reason_or_the_log(answer: Reply | Exception) -> None:
    for call in (Setup.exchange, Setup.refresh):
        setup = Setup(answer)
        failure = setup.failure(partial(call, setup))
        assert "canary" not in failure.reason + str(failure) + repr(setup.telemetry)
        assert setup.telemetry.lines


# Client secrets that Aries refuses.


@pytest.mark.parametrize("refusal", [error(401, "invalid_client"), error(400, "invalid_client"), Reply(401, b"<html>")])
def test_a_changed_client_secret_is_tried_once(refusal: Reply) -> None:
    setup = Setup(refusal, ok())

    def rotate() -> None:
        setup.secrets.value = "canary-secret-2"

    setup.transport.meanwhile = rotate
    assert setup.refresh().access_token == Secret("canary-access-1")
    assert [body["client_secret"] for body in setup.bodies] == ["canary-secret-1", "canary-secret-2"]
    assert [body["refresh_token"] for body in setup.bodies] == [REFRESH_TOKEN.reveal()] * 2
    assert setup.secrets.reads == 2


def test_an_unchanged_client_secret_is_not_tried_again() -> None:
    setup = Setup(error(401, "invalid_client"))
    assert setup.failure().outcome is Outcome.MISCONFIGURED
    assert len(setup.transport.sent) == 1
    assert setup.secrets.reads == 2


@pytest.mark.parametrize(
    "second", [error(401, "invalid_client"), error(400, "invalid_grant"), NoReply("x"), NotSent("x")]
)
def test_a_second_failure_is_the_last(second: Reply | Exception) -> None:
    setup = Setup(error(401, "invalid_client"), second)
    rotated = iter(["canary-secret-2", "canary-secret-3"])

    def rotate() -> None:
        setup.secrets.value = next(rotated)

    setup.transport.meanwhile = rotate
    setup.failure()
    assert len(setup.transport.sent) == 2


@pytest.mark.parametrize("call", [Setup.exchange, Setup.refresh])
def test_nothing_is_sent_where_too_little_time_is_left_to_keep_the_answer(
    call: Callable[[Setup], ProviderTokens],
) -> None:
    setup = Setup(ok())
    setup.context.seconds = ARIES_CALL_SECONDS + STORE_SECONDS - 0.01
    with pytest.raises(ServiceUnavailable):
        call(setup)
    assert setup.transport.sent == []
    setup.context.seconds += 0.02
    assert call(setup).access_token == Secret("canary-access-1")


def test_a_changed_client_secret_is_not_tried_where_too_little_time_is_left() -> None:
    setup = Setup(error(401, "invalid_client"), ok())

    def rotate_slowly() -> None:
        setup.secrets.value = "canary-secret-2"
        setup.context.seconds = ARIES_CALL_SECONDS + STORE_SECONDS - 0.01

    setup.transport.meanwhile = rotate_slowly
    with pytest.raises((ServiceUnavailable, ProviderFailure)):
        setup.refresh()
    assert len(setup.transport.sent) == 1
    # The next refresh begins with the new client secret.
    setup.context.seconds = 29.0
    setup.transport.meanwhile = lambda: None
    setup.refresh()
    assert setup.bodies[1]["client_secret"] == "canary-secret-2"


@pytest.mark.parametrize("answer", [error(400, "invalid_grant"), error(503), NoReply("x"), NotSent("x"), error(422)])
def test_the_client_secret_is_read_once_whatever_else_goes_wrong(answer: Reply | Exception) -> None:
    setup = Setup(answer)
    setup.failure()
    assert setup.secrets.reads == 1


def test_the_client_secret_is_read_once_for_many_refreshes() -> None:
    setup = Setup(*[ok()] * 20)
    for _ in range(20):
        setup.refresh()
    assert setup.secrets.reads == 1


def test_nothing_is_sent_while_the_client_secret_cannot_be_read() -> None:
    setup = Setup(secret=client_error("ThrottlingException"))
    with pytest.raises(ServiceUnavailable) as raised:
        setup.refresh()
    assert not isinstance(raised.value, ProviderFailure)
    assert setup.transport.sent == []


def test_a_refused_client_secret_that_cannot_be_read_again_is_still_told_as_a_refusal() -> None:
    # The operator's alarm needs the refusal. ServiceUnavailable is promised only before a request goes out.
    setup = Setup(error(401, "invalid_client"))

    def break_down() -> None:
        setup.secrets.value = client_error("AccessDeniedException")

    setup.transport.meanwhile = break_down
    assert setup.failure().outcome is Outcome.MISCONFIGURED


def test_aries_never_gets_the_client_secret_with_a_code_not_even_after_a_refusal() -> None:
    setup = Setup(error(401, "invalid_client"))
    assert setup.failure(setup.exchange).outcome is Outcome.MISCONFIGURED
    assert "client_secret" not in setup.bodies[0]
    assert setup.secrets.reads == 0


def test_a_client_secret_refused_with_a_code_is_not_used_for_the_next_code_once_it_has_changed() -> None:
    setup = Setup(error(401, "invalid_client"), ok(), ok(), PROVIDER_DIALECT="standard")

    def rotate() -> None:
        setup.secrets.value = "canary-secret-2"

    setup.transport.meanwhile = rotate
    for _ in range(2):
        failure = failure_of(ProviderFailure, setup.exchange)
        assert failure is None or failure.outcome is Outcome.MISCONFIGURED
    sent = [form(sent.body)["client_secret"] for sent in setup.transport.sent]
    assert sent[0] == "canary-secret-1"
    assert set(sent[1:]) == {"canary-secret-2"}


# The length of Aries' pause.


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1", 1),
        ("120", 120),
        ("600", 600),
        ("601", 600),
        ("999999999", 600),
        (formatdate(NOW + 90, usegmt=True), 90),
        (formatdate(NOW + 90_000, usegmt=True), 600),
        # Unreadable values and values without a wait get the default.
        ("", 2),
        ("0", 2),
        ("-5", 2),
        ("1.5", 2),
        ("soon", 2),
        ("9" * 400, 2),
        ("Thu, 99 Foo 2026 00:00:00 GMT", 2),
        ("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", 2),
        (formatdate(NOW - 90, usegmt=True), 2),
    ],
)
def test_a_refusal_says_how_long_to_wait_at_most_ten_minutes(text: str, seconds: float) -> None:
    setup = Setup(Reply(429, b"", text))
    failure = setup.failure()
    assert failure.retry_after == pytest.approx(seconds, abs=1)
    assert failure.answered


@pytest.mark.parametrize(
    ("answer", "seconds", "answered"),
    [
        (error(401, "invalid_client"), 10, True),
        (Reply(401, b"", "30"), 30, True),
        (NotSent("x"), 2, False),
        (NoReply("x"), 0, False),
        (Reply(503, b"", "30"), 30, True),
        (error(503), 0, True),
        (error(400, "invalid_grant"), 0, True),
    ],
)
def test_an_answer_without_a_pause_gets_the_default_pause_only_after_a_refusal(
    answer: Reply | Exception, seconds: float, answered: bool
) -> None:
    failure = Setup(answer).failure()
    assert (failure.retry_after, failure.answered) == (seconds, answered)
