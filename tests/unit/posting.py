"""A POST through the transport with its promises checked, and answers as they come over the wire."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from oauth_broker.aries.transport import NoReply, NotSent, Reply, RequestsTransport
from tests.unit.peer import Peer, Script

# SECONDS is a call's deadline, and LATE is the delay allowed on a busy machine. A real miss would be far later.
SECONDS = 0.3
LATE = 1.0
BODY = b'{"canary":"canary-1"}'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


def post(transport: RequestsTransport, url: str, seconds: float = 5.0, body: bytes = BODY) -> Reply:
    """Post, and check the promise: the deadline is that of the whole call."""
    begun = time.monotonic()
    try:
        return transport.post(url, body, {"content-type": "application/json"}, seconds)
    finally:
        assert time.monotonic() - begun < seconds + LATE


def assert_no_reply(transport: RequestsTransport, script: Script, seconds: float = 5.0) -> None:
    """Check that the peer got the request once, and its result is unknown."""
    with Peer(script) as peer:
        with pytest.raises(NoReply):
            post(transport, peer.url, seconds)
        assert len(peer.requests) == 1


def assert_not_sent(transport: RequestsTransport, url: str, seconds: float = 5.0) -> None:
    with pytest.raises(NotSent):
        post(transport, url, seconds)


def trust(transport: RequestsTransport, certificate: Path) -> None:
    """Let the transport trust one more certificate."""
    transport._adapter.context.load_verify_locations(certificate)
