"""The deadline of a POST, whatever comes a byte at a time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from oauth_broker.transport import NoReply, Reply, RequestsTransport
from tests.unit.peer import Peer, Script, Wire, answer, answering, server_context
from tests.unit.posting import CHUNKED, SECONDS, UNTIL_CLOSED, assert_no_reply, post


def silent(wire: Wire) -> None:
    wire.read_request()
    wire.hang()


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
    transport._session.verify = str(certificate)
    with Peer(SLOW[name], tls=server_context(certificate)) as peer:
        with pytest.raises(NoReply):
            post(transport, peer.url, SECONDS)
        assert len(peer.requests) == 1


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
