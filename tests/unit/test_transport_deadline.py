"""The deadline of a POST against peers that send a byte at a time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from urllib3 import Timeout

from oauth_broker.aries import connections
from oauth_broker.aries.transport import NoReply, Reply, RequestsTransport
from tests.support.certificates import server_context
from tests.unit.peer import Peer, Script, Wire, answer, answering, silent
from tests.unit.posting import CHUNKED, SECONDS, UNTIL_CLOSED, assert_no_reply, assert_not_sent, post, trust


def trickling(data: bytes, before: bytes = b"") -> Script:
    def script(wire: Wire) -> None:
        wire.read_request()
        wire.send(before)
        wire.trickle(data)
        wire.hang()

    return script


SLOW = {
    "nothing": silent,
    "the head": trickling(answer(b" " * 1000)),
    "header lines": trickling(b"X: y\r\n" * 50, b"HTTP/1.1 200 OK\r\n"),
    "interim answers": trickling(b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
    "a body of known length": trickling(b" " * 1000, answer(b"{", length=1001)),
    "a chunked body": trickling(b"1\r\n \r\n" * 1000, CHUNKED),
    "the size of a chunk": trickling(b"0" * 1000, CHUNKED),
    "a body that ends when the connection does": trickling(b" " * 1000, UNTIL_CLOSED + b"{}"),
    "all of a body but its last byte": trickling(
        b"", answer(b'{"error":"invalid_grant"}', "400 Bad Request", length=26)
    ),
}


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW)
def test_a_deadline_holds_whatever_comes_a_byte_at_a_time(transport: RequestsTransport, script: Script) -> None:
    assert_no_reply(transport, script, SECONDS)


@pytest.mark.parametrize("name", ["nothing", "the head", "a body of known length"])
def test_the_deadline_holds_over_tls(transport: RequestsTransport, certificate: Path, name: str) -> None:
    trust(transport, certificate)
    with Peer(SLOW[name], tls=server_context(certificate)) as peer:
        with pytest.raises(NoReply):
            post(transport, peer.url, SECONDS)
        assert len(peer.requests) == 1


# More than loopback's buffers hold for a peer that does not read.
LARGE = bytes(32 * 1024 * 1024)
# The beginning of a record with the beginning of a message. Neither ends.
HALF_A_RECORD = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the sockets' own timeouts far longer than the deadline, to test the deadline's own mechanism."""

    class Patient(connections._BoundedSocket):
        def connect(self, address: Any) -> None:
            super().connect(address)
            self.settimeout(SECONDS * 10)

    monkeypatch.setattr(connections, "_BoundedSocket", Patient)
    monkeypatch.setattr("requests.adapters.TimeoutSauce", lambda **_: Timeout(SECONDS * 10))


def deaf(wire: Wire) -> None:
    wire.hang()


def half_a_handshake(wire: Wire) -> None:
    wire.read_some()
    wire.send(HALF_A_RECORD)
    wire.trickle(bytes(1000))
    wire.hang()


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("script", [deaf, half_a_handshake])
def test_a_handshake_ends_by_the_deadline_and_nothing_is_sent(transport: RequestsTransport, script: Script) -> None:
    with Peer(script) as peer:
        assert_not_sent(transport, peer.url.replace("http:", "https:"), SECONDS)
        assert peer.connections == 1


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_a_request_that_nobody_reads_ends_by_the_deadline(
    transport: RequestsTransport, certificate: Path, is_tls: bool
) -> None:
    trust(transport, certificate)
    with Peer(deaf, tls=server_context(certificate) if is_tls else None) as peer:
        with pytest.raises(NoReply):
            post(transport, peer.url, SECONDS, LARGE)
        assert peer.connections == 1


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_an_answer_that_does_not_come_ends_by_the_deadline(
    transport: RequestsTransport, certificate: Path, is_tls: bool
) -> None:
    trust(transport, certificate)
    with Peer(silent, tls=server_context(certificate) if is_tls else None) as peer:
        with pytest.raises(NoReply):
            post(transport, peer.url, SECONDS)
        assert len(peer.requests) == 1


def test_a_request_without_time_is_not_sent(transport: RequestsTransport) -> None:
    with Peer(answering(answer())) as peer:
        assert_not_sent(transport, peer.url, 1e-6)
        assert peer.requests == []


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_connections_are_closed_while_no_request_is_under_way(
    transport: RequestsTransport, certificate: Path, is_tls: bool
) -> None:
    trust(transport, certificate)
    with Peer(answering(answer(b"hello")), tls=server_context(certificate) if is_tls else None) as peer:
        assert post(transport, peer.url) == Reply(200, b"hello")
        transport.close()
        assert post(transport, peer.url) == Reply(200, b"hello")
        assert peer.connections == 2


def test_the_next_call_after_a_deadline_has_a_connection_and_a_deadline_of_its_own(
    transport: RequestsTransport,
) -> None:
    with Peer(silent, answering(answer(b"second"))) as peer:
        with pytest.raises(NoReply):
            post(transport, peer.url, SECONDS)
        assert post(transport, peer.url, 5.0) == Reply(200, b"second")
        time.sleep(SECONDS)
        assert post(transport, peer.url, 5.0) == Reply(200, b"second")
        assert peer.connections == 2


def test_calls_at_the_same_time_have_deadlines_of_their_own(transport: RequestsTransport) -> None:
    def by_path(wire: Wire) -> None:
        if wire.read_request() == b"slow":
            wire.hang()
        time.sleep(SECONDS * 1.5)
        wire.send(answer(b"quick"))

    with Peer(by_path) as peer, ThreadPoolExecutor(2) as pool:
        slow = pool.submit(post, transport, peer.url, SECONDS, b"slow")
        quick = pool.submit(post, transport, peer.url, 5.0, b"quick")
        assert isinstance(slow.exception(), NoReply)
        assert quick.result() == Reply(200, b"quick")


def test_no_thread_is_left_behind(transport: RequestsTransport) -> None:
    with Peer(answering(answer())) as peer:
        post(transport, peer.url)
        before = threading.active_count()
        for _ in range(5):
            post(transport, peer.url)
        time.sleep(0.05)
        assert threading.active_count() <= before
