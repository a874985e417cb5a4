"""A bounded GET for the status alone. It keeps the promises of a POST."""

from __future__ import annotations

import socket
import time

import pytest

from oauth_broker import VERSION
from oauth_broker.aries.transport import NoReply, NotSent, Reply, RequestsTransport
from tests.unit.peer import Peer, Script, Wire, answer, answering, black_hole, closing, silent
from tests.unit.posting import LATE, SECONDS, post


def status_of(transport: RequestsTransport, url: str, seconds: float = 5.0) -> int:
    """Ask, and check the promise: the deadline is that of the whole call."""
    begun = time.monotonic()
    try:
        return transport.status_of(url, seconds)
    finally:
        assert time.monotonic() - begun < seconds + LATE


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "404 Not Found", "500 Oh", "503 Busy"])
def test_the_status_is_returned_whatever_it_is(transport: RequestsTransport, status: str) -> None:
    with Peer(answering(answer(b"<html>", status))) as peer:
        assert status_of(transport, peer.url) == int(status[:3])
    (request,) = peer.requests
    assert request.startswith(b"GET /token HTTP/1.1\r\n")
    assert f"user-agent: aries-token-broker/{VERSION}\r\n".encode() in request.lower()
    assert b"cookie" not in request.lower()
    assert b"content-length" not in request.lower()


def test_a_redirect_is_an_answer_and_is_not_followed(transport: RequestsTransport) -> None:
    with Peer(answering(answer(b"", "200 OK"))) as other:
        with Peer(answering(answer(b"", "302 Found", f"Location: {other.url}"))) as peer:
            assert status_of(transport, peer.url) == 302
        assert other.requests == []


def test_a_page_of_any_size_is_not_read(transport: RequestsTransport) -> None:
    def endless(wire: Wire) -> None:
        wire.read_request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100_000)

    with Peer(endless) as peer:
        assert status_of(transport, peer.url) == 200


def test_an_unread_answer_is_no_answer_to_the_next_request(transport: RequestsTransport) -> None:
    # The connection is closed, so the next request gets the second script.
    with Peer(answering(answer(b"a page")), answering(answer(b'{"a":1}'))) as peer:
        assert status_of(transport, peer.url) == 200
        assert post(transport, peer.url) == Reply(200, b'{"a":1}')


def trickling(wire: Wire) -> None:
    wire.read_request()
    wire.trickle(answer(b"x" * 1000), 0.05)


@pytest.mark.parametrize("script", [trickling, silent, closing])
def test_a_server_without_an_answer_in_time_has_no_status(transport: RequestsTransport, script: Script) -> None:
    with Peer(script) as peer, pytest.raises(NoReply):
        status_of(transport, peer.url, SECONDS)


def test_a_server_that_cannot_be_reached_has_no_status(transport: RequestsTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/", "https://aries.invalid/"):
        with pytest.raises(NotSent):
            status_of(transport, url)
    with black_hole() as port, pytest.raises(NotSent):
        status_of(transport, f"http://127.0.0.1:{port}/", SECONDS)
