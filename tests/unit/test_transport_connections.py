"""Connections, redirects, cookies and proxies: a call's data reaches no other call, and no third party."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from oauth_broker.aries import transport as transport_module
from oauth_broker.aries.transport import NoReply, Reply, RequestsTransport
from tests.support.certificates import server_context
from tests.unit.peer import Peer, Wire, answer, answering, answering_once
from tests.unit.posting import SECONDS, assert_not_sent, post, trust

# Redirects, cookies, proxies.


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_an_answer_like_any_other_and_is_not_followed(transport: RequestsTransport, status: str) -> None:
    with Peer(answering(answer())) as trap, Peer(answering(answer(b"moved", status, f"Location: {trap.url}"))) as peer:
        assert post(transport, peer.url).status == int(status[:3])
        assert trap.connections == 0
        assert len(peer.requests) == 1


@pytest.mark.parametrize(
    "location", ["/trap", "http://[", "http://[::1", "//", "http://x:y/", "\xff", "", "javascript:1"]
)
def test_a_redirect_to_nowhere_is_an_answer_too(transport: RequestsTransport, location: str) -> None:
    data = b"HTTP/1.1 307 X\r\nContent-Length: 0\r\nLocation: " + location.encode("latin-1") + b"\r\n\r\n"
    with Peer(answering(data)) as peer:
        assert post(transport, peer.url) == Reply(307, b"")
        assert len(peer.requests) == 1


def test_no_cookie_of_one_answer_goes_along_with_the_next_request(transport: RequestsTransport) -> None:
    cookies = ("Set-Cookie: user=canary-a; Path=/", "Set-Cookie: b=c; Domain=127.0.0.1", "Set-Cookie2: d=e")
    with Peer(answering(answer(b"{}", "200 OK", *cookies))) as peer:
        for _ in range(3):
            post(transport, peer.url)
    assert len(peer.requests) == 3
    assert not any(b"cookie" in request.lower() for request in peer.requests)
    assert peer.requests[0] == peer.requests[2]


def test_neither_proxies_nor_passwords_of_the_environment_are_used(
    transport: RequestsTransport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login canary password canary\n")
    netrc.chmod(0o600)
    with Peer(answering(answer(b"proxy"))) as proxy, Peer(answering(answer(b"peer"))) as peer:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("NETRC", str(netrc))
        assert post(transport, peer.url) == Reply(200, b"peer")
        assert proxy.connections == 0
    assert b"authorization" not in peer.requests[0].lower()


def test_authorities_of_the_environment_are_not_trusted(
    transport: RequestsTransport, monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(certificate))
    with Peer(answering(answer()), tls=server_context(certificate)) as peer:
        assert_not_sent(transport, peer.url)


# Connections.


def test_a_second_call_uses_the_same_connection(transport: RequestsTransport) -> None:
    with Peer(answering(answer(b"first"), answer(b"second", "400 Bad Request"), answer(b"third"))) as peer:
        assert post(transport, peer.url) == Reply(200, b"first")
        assert post(transport, peer.url) == Reply(400, b"second")
        assert post(transport, peer.url) == Reply(200, b"third")
        assert peer.connections == 1


def test_a_second_call_uses_the_same_tls_connection(transport: RequestsTransport, certificate: Path) -> None:
    trust(transport, certificate)
    with Peer(answering(answer(b"first"), answer(b"second")), tls=server_context(certificate)) as peer:
        assert post(transport, peer.url) == Reply(200, b"first")
        assert post(transport, peer.url) == Reply(200, b"second")
        assert peer.connections == 1


@pytest.mark.parametrize(("longest", "connections"), [(0.1, 2), (60, 1)])
def test_a_connection_that_was_idle_for_too_long_is_not_used_again(
    transport: RequestsTransport, monkeypatch: pytest.MonkeyPatch, longest: float, connections: int
) -> None:
    monkeypatch.setattr(transport_module, "_MAX_IDLE_SECONDS", longest)
    with Peer(answering(answer())) as peer:
        post(transport, peer.url)
        time.sleep(0.15)
        post(transport, peer.url)
        assert peer.connections == connections


def test_a_connection_that_the_peer_closed_meanwhile_is_not_used_again(transport: RequestsTransport) -> None:
    with Peer(answering_once(answer(b"first")), answering(answer(b"second"))) as peer:
        assert post(transport, peer.url) == Reply(200, b"first")
        time.sleep(0.05)
        assert post(transport, peer.url) == Reply(200, b"second")
        assert peer.connections == 2


def test_a_connection_that_breaks_under_a_request_is_no_reply_and_the_request_is_not_repeated(
    transport: RequestsTransport,
) -> None:
    def once_and_then_silence(wire: Wire) -> None:
        wire.read_request()
        wire.send(answer(b"first"))
        wire.read_request()

    with Peer(once_and_then_silence, answering(answer(b"never"))) as peer:
        assert post(transport, peer.url) == Reply(200, b"first")
        with pytest.raises(NoReply):
            post(transport, peer.url)
        assert len(peer.requests) == 2
        assert peer.connections == 1


def test_a_connection_whose_answer_was_not_read_whole_is_not_used_again(transport: RequestsTransport) -> None:
    first = answer(b"x" * 100_000)
    with Peer(answering(first), answering(answer(b"second"))) as peer:
        with pytest.raises(NoReply):
            post(transport, peer.url)
        assert post(transport, peer.url) == Reply(200, b"second")
        assert peer.connections == 2


@pytest.mark.parametrize("interim", ["102 Processing", "103 Early Hints", "199 X"])
def test_an_answer_to_one_request_is_never_taken_for_that_to_the_next(
    transport: RequestsTransport, interim: str
) -> None:
    """RFC 9110 section 15.2: any number of interim answers may come before the final one, asked for or not."""
    arrived = threading.Event()

    def early(wire: Wire) -> None:
        wire.read_request()
        wire.send(f"HTTP/1.1 {interim}\r\n\r\n".encode())
        # If the client wrongly goes on after the interim answer, the final one arrives then.
        arrived.wait(SECONDS)
        wire.send(answer(b"for the first user"))
        while wire.read_request() is not None:
            wire.send(answer(b"for the second user"))

    with Peer(early, answering(answer(b"for the second user"))) as peer:
        try:
            first = post(transport, peer.url).body
        except NoReply:
            first = b""
        assert first in (b"", b"for the first user")
        threading.Timer(0.05, arrived.set).start()
        assert post(transport, peer.url) == Reply(200, b"for the second user")


@pytest.mark.parametrize("pause", [0, 0.05])
def test_bytes_that_nobody_asked_for_are_not_taken_for_an_answer(transport: RequestsTransport, pause: float) -> None:
    def talkative(wire: Wire) -> None:
        wire.read_request()
        wire.send(answer(b"first"))
        time.sleep(pause)
        wire.send(answer(b"smuggled"))
        wire.read_request()
        wire.send(answer(b"second"))

    with Peer(talkative, answering(answer(b"second"))) as peer:
        assert post(transport, peer.url) == Reply(200, b"first")
        time.sleep(pause + 0.05)
        assert post(transport, peer.url) == Reply(200, b"second")
