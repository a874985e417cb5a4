"""Every fault of the Aries simulator, on request and over real HTTP."""

import gzip
import json
import math
import re
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests

from tests.local.aries import FAULT_KINDS, AriesSimulator, Fault, FaultKind
from tests.support.aries_client import (
    approved_code,
    assert_refused,
    code_grant,
    post,
    refresh,
    refresh_grant,
    sign_in,
    simulator,
)


@pytest.fixture
def aries() -> Iterator[AriesSimulator]:
    with simulator() as running:
        yield running


NO_ANSWER: dict[FaultKind, str] = {
    "reset": "Connection reset by peer",
    "close": "closed connection without response",
    "hang": "closed connection without response",
}
REFUSALS: dict[FaultKind, tuple[int, str]] = {
    "too_many_requests": (429, "rate_limited"),
    "invalid_grant": (400, "invalid_grant"),
    "invalid_client": (401, "invalid_client"),
    "unknown_error": (422, "temporarily_confused"),
}
SPOILT_JSON: tuple[FaultKind, ...] = (
    "json_array",
    "duplicate_keys",
    "nan",
    "long_number",
    "deep_nesting",
    "large_body",
    "wrong_content_type",
)
ELSEWHERE: set[FaultKind] = {
    *("late", "server_error", "html", "redirect"),
    *("gzip_bomb", "truncated", "trickle_body", "trickle_headers", "members"),
}


def test_every_fault_has_a_test() -> None:
    assert {*NO_ANSWER, *REFUSALS, *SPOILT_JSON, *ELSEWHERE} == set(FAULT_KINDS)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", NO_ANSWER)
def test_a_connection_ends_without_an_answer(aries: AriesSimulator, kind: FaultKind, when: str) -> None:
    token = sign_in(aries)["refresh_token"]
    aries.faults.append(Fault(kind, when=when, seconds=0.1))  # type: ignore[arg-type]
    with pytest.raises(requests.ConnectionError, match=NO_ANSWER[kind]):
        refresh(aries, token)
    assert aries.is_refresh_token_live(token) == (when == "before")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_is_made_up(aries: AriesSimulator, kind: FaultKind, when: str) -> None:
    token = sign_in(aries)["refresh_token"]
    aries.faults.append(Fault(kind, when=when, seconds=7))  # type: ignore[arg-type]
    answer = refresh(aries, token)
    status, error = REFUSALS[kind]
    assert_refused(answer, error, status)
    assert answer.headers.get("Retry-After") == ("7" if kind == "too_many_requests" else None)
    assert aries.is_refresh_token_live(token) == (when == "before")


def test_the_status_and_the_error_of_a_refusal_can_be_chosen(aries: AriesSimulator) -> None:
    aries.faults.append(Fault("invalid_client", status=400))
    aries.faults.append(Fault("unknown_error", status=418, error="teapot"))
    assert_refused(refresh(aries, "x"), "invalid_client", 400)
    assert_refused(refresh(aries, "x"), "teapot", 418)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_error_is_an_html_page(aries: AriesSimulator, status: int) -> None:
    aries.faults.append(Fault("server_error", status=status))
    answer = refresh(aries, "x")
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html")


def test_html_comes_with_status_200(aries: AriesSimulator) -> None:
    aries.faults.append(Fault("html"))
    answer = refresh(aries, "x")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html")
    assert answer.text.startswith("<!doctype html>")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", SPOILT_JSON)
def test_a_success_is_spoilt(aries: AriesSimulator, kind: FaultKind, when: str) -> None:
    token = sign_in(aries)["refresh_token"]
    aries.faults.append(Fault(kind, when=when))  # type: ignore[arg-type]
    answer = refresh(aries, token)
    assert answer.status_code == 200
    current = aries.current_refresh_token(aries.core.families()[0])
    assert (current != token) == (when == "after")
    # If Aries fails before it processes the request, then the tokens in its answer are counterfeit.
    assert (str(current) in answer.text) == (when == "after")
    match kind:
        case "json_array":
            assert isinstance(answer.json(), list)
        case "duplicate_keys":
            assert answer.text.count('"access_token":') == 2
        case "nan":
            assert math.isnan(answer.json()["expires_in"])
        case "long_number":
            assert '"expires_in": ' + "1" * 5000 + "," in answer.text
        case "deep_nesting":
            assert "[" * 100_000 + "]" * 100_000 in answer.text
        case "large_body":
            assert len(answer.content) == 10 * 1024 * 1024
        case "wrong_content_type":
            assert answer.headers["Content-Type"] == "text/plain"
            assert answer.json()["token_type"] == "Bearer"


def test_a_gzip_bomb_is_small_on_the_wire_and_large_unpacked(aries: AriesSimulator) -> None:
    aries.faults.append(Fault("gzip_bomb"))
    answer = requests.post(aries.token_url, json=refresh_grant("x"), stream=True, timeout=5)
    assert answer.headers["Content-Encoding"] == "gzip"
    packed = answer.raw.read(decode_content=False)
    assert len(packed) < 100_000
    unpacked = gzip.decompress(packed)
    assert len(unpacked) > 64 * 1024 * 1024
    assert json.loads(unpacked)["token_type"] == "Bearer"


def test_a_truncated_answer_breaks_its_promise(aries: AriesSimulator) -> None:
    aries.faults.append(Fault("truncated"))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        refresh(aries, "x")


def test_a_redirect_leads_to_the_trap(aries: AriesSimulator) -> None:
    aries.faults.append(Fault("redirect", times=2))
    answer = refresh(aries, "x")
    assert (answer.status_code, answer.headers["Location"]) == (307, "/__trap")
    assert aries.trap_calls == 0
    requests.post(aries.token_url, json=refresh_grant("x"), timeout=5)
    assert aries.trap_calls == 1


@pytest.mark.parametrize("kind", ["trickle_body", "trickle_headers"])
def test_bytes_trickle_in_one_by_one(aries: AriesSimulator, kind: FaultKind) -> None:
    token = sign_in(aries)["refresh_token"]
    aries.faults.append(Fault(kind, when="after", seconds=0.02))
    body = json.dumps(refresh_grant(token)).encode()
    head = "POST /v1/oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    address = urlsplit(aries.url)
    assert address.hostname
    with socket.create_connection((address.hostname, address.port or 0)) as connection:
        connection.sendall(head.encode() + body)
        pieces = [connection.recv(65536) for _ in range(10)]
    start = 0 if kind == "trickle_headers" else 1
    # A delayed reader finds a few bytes waiting, never a whole answer.
    assert all(1 <= len(piece) < 10 for piece in pieces[start:])
    assert pieces[0].startswith(b"H" if kind == "trickle_headers" else b"HTTP/1.1 200 OK\r\n")
    assert not aries.is_refresh_token_live(token)


def wait_until_processed(aries: AriesSimulator, token: str) -> bool:
    deadline = time.monotonic() + 2
    while aries.is_refresh_token_live(token) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not aries.is_refresh_token_live(token)


def test_a_late_request_is_processed_although_its_client_has_given_up(aries: AriesSimulator) -> None:
    token = sign_in(aries)["refresh_token"]
    aries.faults.append(Fault("late", seconds=0.3))
    with pytest.raises(requests.ReadTimeout):
        post(aries, refresh_grant(token), timeout=0.1)
    assert aries.is_refresh_token_live(token)
    assert wait_until_processed(aries, token)


def test_a_late_answer_is_a_good_one(aries: AriesSimulator) -> None:
    token = sign_in(aries)["refresh_token"]
    aries.faults.append(Fault("late", when="after", seconds=0.1))
    answer = refresh(aries, token)
    assert answer.elapsed.total_seconds() >= 0.1
    assert aries.is_refresh_token_live(answer.json()["refresh_token"])


def test_a_hang_outlasts_the_clients_patience_and_ends_with_it(aries: AriesSimulator) -> None:
    token = sign_in(aries)["refresh_token"]
    aries.faults.append(Fault("hang", seconds=60))
    with pytest.raises(requests.ReadTimeout):
        post(aries, refresh_grant(token), timeout=0.1)
    time.sleep(0.1)
    assert refresh(aries, token).status_code == 200
    assert aries.max_in_flight() == 1


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("members", omit=("expires_in",)), None),
        (Fault("members", members={"expires_in": "3600"}), '"3600"'),
        (Fault("members", members={"expires_in": 0}), "0"),
        (Fault("members", members={"expires_in": -1}), "-1"),
        (Fault("members", members={"expires_in": True}), "true"),
        (Fault("members", raw_members={"expires_in": "1e400"}), "1e400"),
    ],
)
def test_expires_in_can_be_anything(aries: AriesSimulator, fault: Fault, expected: str | None) -> None:
    token = sign_in(aries)["refresh_token"]
    aries.faults.append(fault)
    found = re.search(r'"expires_in": ([^,]+),', refresh(aries, token).text)
    assert (found[1] if found else None) == expected
    assert not aries.is_refresh_token_live(token)


def test_any_member_can_be_changed_added_or_left_out(aries: AriesSimulator) -> None:
    token = sign_in(aries)["refresh_token"]
    changes = {"scope": "admin", "token_type": "mac", "extra": [1, None]}
    aries.faults.append(Fault("members", members=changes, omit=["refresh_token"]))
    answer = refresh(aries, token).json()
    assert {name: answer.get(name) for name in changes} == changes
    assert "refresh_token" not in answer


def test_a_changed_member_does_not_touch_a_refusal(aries: AriesSimulator) -> None:
    aries.faults.append(Fault("members", members={"scope": "admin"}))
    assert_refused(refresh(aries, "guessed"), "invalid_grant")


def test_a_fault_lasts_for_its_number_of_requests_or_until_cleared(aries: AriesSimulator) -> None:
    aries.faults.append(Fault("server_error", times=2))
    aries.faults.append(Fault("server_error", status=500, times=None))
    assert [refresh(aries, "x").status_code for _ in range(5)] == [503, 503, 500, 500, 500]
    aries.faults.clear()
    assert refresh(aries, "x").status_code == 400


def test_a_fault_can_be_for_one_grant_type_only(aries: AriesSimulator) -> None:
    aries.faults.append(Fault("server_error", grant_type="refresh_token"))
    token = sign_in(aries)["refresh_token"]
    assert [refresh(aries, token).status_code for _ in range(2)] == [503, 200]


def test_faults_can_be_switched_over_http(aries: AriesSimulator) -> None:
    url = f"{aries.url}/__control/faults"
    one = {"kind": "server_error", "status": 502}
    two = {"kind": "members", "omit": ["scope"], "times": None}
    assert requests.post(url, json=[one, two], timeout=5).json() == {"waiting": 2}
    tokens = sign_in_through_a_fault(aries)
    assert "scope" not in tokens
    assert requests.delete(url, timeout=5).json() == {"waiting": 0}
    assert "scope" in refresh(aries, tokens["refresh_token"]).json()


def sign_in_through_a_fault(aries: AriesSimulator) -> dict[str, str]:
    code = approved_code(aries)
    assert post(aries, code_grant(code)).status_code == 502
    tokens: dict[str, str] = post(aries, code_grant(code)).json()
    return tokens


@pytest.mark.parametrize(
    "wanted",
    [{}, {"kind": "none"}, {"kind": "html", "times": 0}, {"kind": "html", "when": "x"}, {"kind": "html", "x": 1}],
)
def test_an_unknown_fault_is_refused(aries: AriesSimulator, wanted: dict[str, object]) -> None:
    answer = requests.post(f"{aries.url}/__control/faults", json=wanted, timeout=5)
    assert answer.status_code == 400
    assert len(aries.faults) == 0


# The server


def test_a_stopped_server_refuses_connections_and_comes_back_with_its_tokens() -> None:
    aries = simulator().start()
    token, url = sign_in(aries)["refresh_token"], aries.url
    aries.stop()
    with pytest.raises(requests.ConnectionError, match="refused"):
        refresh(aries, token)
    with aries:
        assert aries.url == url
        assert refresh(aries, token).status_code == 200


def test_stopping_cuts_a_hanging_request_off(aries: AriesSimulator) -> None:
    aries.faults.append(Fault("hang", seconds=60))
    ends: list[float] = []

    def hang() -> None:
        with pytest.raises(requests.ConnectionError):
            refresh(aries, "x")
        ends.append(time.monotonic())

    thread = threading.Thread(target=hang)
    thread.start()
    time.sleep(0.1)
    stopped = time.monotonic()
    aries.stop()
    thread.join(2)
    assert ends[0] - stopped < 1


def test_a_taken_port_is_an_os_error(aries: AriesSimulator) -> None:
    with pytest.raises(OSError, match="in use"):
        simulator().start(port=urlsplit(aries.url).port or 0)


def test_it_starts_once_and_has_no_url_before() -> None:
    aries = simulator()
    with pytest.raises(RuntimeError, match="not been started"):
        _ = aries.url
    with aries, pytest.raises(RuntimeError, match="already running"):
        aries.start()
