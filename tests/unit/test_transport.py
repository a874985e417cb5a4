"""One bounded POST over real sockets. Its failures tell a request surely not sent from one that may have arrived."""

from __future__ import annotations

import gzip
import re
import socket
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from oauth_broker import VERSION
from oauth_broker.aries.transport import NoReply, NotSent, Reply, RequestsTransport
from tests.support.certificates import make_certificate, server_context
from tests.unit.peer import (
    Peer,
    Script,
    Wire,
    answer,
    answering,
    answering_once,
    black_hole,
    closing,
)
from tests.unit.posting import BODY, CHUNKED, SECONDS, UNTIL_CLOSED, assert_no_reply, assert_not_sent, post, trust

# Requests and answers.


def test_the_body_goes_out_as_it_is_and_the_answer_comes_back(transport: RequestsTransport) -> None:
    with Peer(answering(answer(b'{"a":1}', "201 Created"))) as peer:
        assert post(transport, peer.url) == Reply(201, b'{"a":1}')
    (request,) = peer.requests
    head, _, body = request.partition(b"\r\n\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert head.startswith(b"POST /token HTTP/1.1\r\n")
    assert body == BODY
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == str(len(BODY)).encode()
    assert headers[b"accept"] == b"application/json"
    assert headers[b"accept-encoding"] == b"identity"
    assert headers[b"user-agent"] == f"aries-token-broker/{VERSION}".encode()
    assert b"authorization" not in headers
    assert b"cookie" not in headers


@pytest.mark.parametrize(
    "status", ["200 OK", "400 Bad Request", "401 Unauthorized", "429 Slow Down", "500 Oh", "999 X"]
)
def test_an_answer_of_any_status_is_a_reply_and_the_request_is_not_repeated(
    transport: RequestsTransport, status: str
) -> None:
    with Peer(answering(answer(b"x", status, "Retry-After: 0", 'WWW-Authenticate: Basic realm="x"'))) as peer:
        assert post(transport, peer.url) == Reply(int(status[:3]), b"x", "0")
        assert len(peer.requests) == 1


@pytest.mark.parametrize(
    "data",
    [
        answer(b"hello"),
        CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        UNTIL_CLOSED + b"hello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"hello"),
        answer(b"hello", "200 OK", "Content-Encoding: identity"),
    ],
)
def test_a_body_may_come_in_any_of_the_ways_of_http(transport: RequestsTransport, data: bytes) -> None:
    with Peer(answering_once(data)) as peer:
        assert post(transport, peer.url) == Reply(200, b"hello")


def test_an_answer_without_a_body_has_an_empty_one(transport: RequestsTransport) -> None:
    with Peer(answering(answer(b""), b"HTTP/1.1 204 No Content\r\n\r\n")) as peer:
        assert post(transport, peer.url) == Reply(200, b"")
        assert post(transport, peer.url) == Reply(204, b"")


def test_an_answer_that_takes_nearly_all_the_time_is_still_taken(transport: RequestsTransport) -> None:
    def slow(wire: Wire) -> None:
        wire.read_request()
        wire.trickle(answer(b"hello"), 0.004)

    with Peer(slow) as peer:
        assert post(transport, peer.url, 2.0) == Reply(200, b"hello")


# Not sent.


def test_a_refused_connection_is_not_sent(transport: RequestsTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert_not_sent(transport, f"http://127.0.0.1:{port}/token")


def test_a_name_that_does_not_resolve_is_not_sent(transport: RequestsTransport) -> None:
    # RFC 6761 section 6.4 reserves .invalid for ever.
    assert_not_sent(transport, "https://aries.invalid/token")


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
def test_a_name_that_is_none_is_not_sent(transport: RequestsTransport, host: str) -> None:
    assert_not_sent(transport, f"https://{host}/token")


def test_a_connection_that_is_neither_accepted_nor_refused_is_not_sent(transport: RequestsTransport) -> None:
    with black_hole() as port:
        assert_not_sent(transport, f"http://127.0.0.1:{port}/token", SECONDS)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Make the name service return several addresses. It belongs to the machine, so nobody can pass it in."""

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_many_addresses_that_do_not_answer_take_no_longer_than_one(
    transport: RequestsTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with black_hole("0.0.0.0") as port:  # noqa: S104 - all of 127.0.0.0/8
        resolve_to(monkeypatch, *(f"127.0.0.{number}" for number in range(1, 10)))
        assert_not_sent(transport, f"http://aries.example:{port}/token", SECONDS)


def connecting_takes(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    connect = socket.socket.connect

    def slow_connect(connection: socket.socket, address: Any) -> None:
        time.sleep(seconds)
        connect(connection, address)

    monkeypatch.setattr(socket.socket, "connect", slow_connect)


@pytest.mark.parametrize("seconds", [SECONDS * 0.6, SECONDS * 1.2])
def test_nothing_is_sent_that_could_hardly_be_answered_in_time(
    transport: RequestsTransport, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    with Peer(answering(answer())) as peer:
        with monkeypatch.context() as patched:
            connecting_takes(patched, seconds)
            assert_not_sent(transport, peer.url, SECONDS)
        assert peer.requests == []


def test_a_connection_that_takes_some_time_is_used(
    transport: RequestsTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Peer(answering(answer(b"hello"))) as peer, monkeypatch.context() as patched:
        connecting_takes(patched, 0.2)
        assert post(transport, peer.url, 2.0) == Reply(200, b"hello")


def test_a_certificate_of_an_unknown_authority_is_not_sent(transport: RequestsTransport, certificate: Path) -> None:
    with Peer(answering(answer()), tls=server_context(certificate)) as peer:
        assert_not_sent(transport, peer.url)
        assert peer.requests == []


def test_a_certificate_for_another_host_is_not_sent(transport: RequestsTransport, tmp_path: Path) -> None:
    other = make_certificate(tmp_path, "127.0.0.2")
    trust(transport, other)
    with Peer(answering(answer()), tls=server_context(other)) as peer:
        assert_not_sent(transport, peer.url)
        assert peer.requests == []


def half_a_handshake(wire: Wire) -> None:
    """Send the beginning of a TLS record, a byte at a time."""
    wire.trickle(b"\x16\x03\x03\x00\x40" + b"\x02\x00\x00\x3c" + b"\0" * 40)
    wire.hang()


def reset_in_handshake(wire: Wire) -> None:
    wire.read_some()
    wire.reset()


@pytest.mark.parametrize(
    "script",
    [
        Wire.hang,
        half_a_handshake,
        reset_in_handshake,
        Wire.read_some,
        lambda wire: wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ],
    ids=["hang", "half a handshake", "reset", "close", "http"],
)
def test_a_peer_that_does_not_speak_tls_is_not_sent(transport: RequestsTransport, script: Script) -> None:
    with Peer(script) as peer:
        assert_not_sent(transport, peer.url.replace("http:", "https:"), SECONDS)
        assert peer.requests == []


# No reply.


def reset(wire: Wire) -> None:
    wire.read_request()
    wire.reset()


NONSENSE = {
    "a closed connection": closing,
    "a reset": reset,
    "half a status line": answering_once(b"HTTP/1.1 2"),
    "a status line without an end": answering_once(b"HTTP/1.1 200"),
    "a head without an end": answering_once(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"),
    "half a head line": answering_once(b"HTTP/1.1 401 Unauthorized\r\nContent-Le"),
    "empty lines": answering_once(b"\r\n\r\n\r\n"),
    "another protocol": answering_once(b"SSH-2.0-x\r\n"),
    "a negative status": answering_once(b"HTTP/1.1 -1 OK\r\n\r\n"),
    "a status in letters": answering_once(b"HTTP/1.1 2OO OK\r\n\r\n"),
    "too many headers": answering_once(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"),
    "too long a header": answering_once(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"),
    "two lengths": answering_once(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} "),
    "a chunk without a size": answering_once(CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("script", NONSENSE.values(), ids=NONSENSE)
def test_a_connection_that_breaks_or_talks_nonsense_is_no_reply(transport: RequestsTransport, script: Script) -> None:
    assert_no_reply(transport, script)


@pytest.mark.parametrize(
    "data",
    [
        answer(b'{"error":"invalid_grant"}', "400 Bad Request", length=100),
        answer(b"", length=1),
        answer(b"x" * 9_999, length=10_000),
        CHUNKED,
        CHUNKED + b"5\r\nhel",
        CHUNKED + b"19\r\n" + b'{"error":"invalid_grant"}' + b"\r\n",
    ],
    ids=["of an error", "at once", "just before its end", "without a chunk", "within a chunk", "before the last chunk"],
)
def test_a_body_that_ends_early_is_no_reply(transport: RequestsTransport, data: bytes) -> None:
    assert_no_reply(transport, answering_once(data))


def test_a_body_of_24_kib_is_read_and_a_larger_one_is_no_reply(transport: RequestsTransport) -> None:
    largest = b" " * (24 * 1024)
    with Peer(answering(answer(largest))) as peer:
        assert post(transport, peer.url) == Reply(200, largest)
    for data in (
        answer(largest + b" "),
        CHUNKED + b"6001\r\n" + b" " * 0x6001 + b"\r\n0\r\n\r\n",
        UNTIL_CLOSED + largest * 2,
    ):
        assert_no_reply(transport, answering_once(data))


REDIRECT = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /trap\r\n"
LONG = b"Content-Length: 65536000\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n" + LONG,
        UNTIL_CLOSED,
        b"HTTP/1.1 500 Oh\r\n" + LONG,
        REDIRECT + LONG,
        REDIRECT + b"Connection: close\r\n\r\n",
    ],
    ids=["success", "success until closed", "error", "redirect", "redirect until closed"],
)
def test_a_body_of_many_megabytes_is_not_read_to_its_end(transport: RequestsTransport, head: bytes) -> None:
    sent = 0

    def endless(wire: Wire) -> None:
        nonlocal sent
        wire.read_request()
        wire.send(head)
        for _ in range(1000):
            wire.send(b" " * 65536)
            sent += 65536

    # A redirect's body does not matter. The test forbids reading all of it.
    with Peer(endless) as peer, suppress(NoReply):
        assert post(transport, peer.url).status == 307
    # The socket buffers of both sides hold some of it in any case.
    assert 0 < sent < 32 * 1024 * 1024


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "identity, gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
def test_an_encoded_body_is_no_reply(transport: RequestsTransport, status: str, encoding: str) -> None:
    body = gzip.compress(b'{"error":"invalid_grant"}')
    assert_no_reply(transport, answering_once(answer(body, status, f"Content-Encoding: {encoding}")))


@pytest.mark.parametrize("headers", [("200 OK",), ("500 Oh",), ("307 Temporary Redirect", "Location: /trap")])
def test_a_bomb_is_not_unpacked(transport: RequestsTransport, headers: tuple[str, ...]) -> None:
    bomb = gzip.compress(b" " * 20_000_000)
    assert len(bomb) < 24 * 1024
    with Peer(answering_once(answer(bomb, *headers, "Content-Encoding: gzip"))) as peer:
        tracemalloc.start()
        try:
            assert post(transport, peer.url).status == 307
        except NoReply:
            pass
        finally:
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
    assert most < 4_000_000


def test_a_failure_names_its_kind_and_nothing_of_the_request(transport: RequestsTransport) -> None:
    with Peer(closing) as peer:
        url = peer.url
        with pytest.raises(NoReply) as no_reply:
            post(transport, url)
    with pytest.raises(NotSent) as not_sent:
        post(transport, url)
    for failure in (no_reply.value, not_sent.value):
        assert re.fullmatch("[A-Za-z_]+", str(failure))
