"""The transport reads its trusted certificates once, at the process' start, and checks every connection by them."""

from __future__ import annotations

import runpy
import ssl
from pathlib import Path
from typing import Any

import pytest

from oauth_broker.aries import connections
from oauth_broker.aries import transport as transport_module
from oauth_broker.aries.transport import Reply, RequestsTransport
from tests.support.certificates import server_context
from tests.unit.peer import Peer, answer, answering
from tests.unit.posting import assert_not_sent, post


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return the certificates read from here on."""
    found: list[object] = []

    class Watched(ssl.SSLContext):
        def load_verify_locations(self, cafile: Any = None, *more: Any, **named: Any) -> None:
            found.append(cafile)
            super().load_verify_locations(cafile, *more, **named)

    monkeypatch.setattr("urllib3.util.ssl_.SSLContext", Watched)
    return found


def test_the_default_trusts_all_public_authorities() -> None:
    # A fresh copy of the module, because the tests let the other one trust one certificate.
    fresh = runpy.run_path(connections.__file__)
    assert len(fresh["BoundedAdapter"]().context.get_ca_certs()) > 100


def test_certificates_are_read_while_the_process_starts_and_not_for_each_connection(
    read: list[object], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The certificate takes the place of the world's authorities.
    monkeypatch.setattr(connections, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
    monkeypatch.setattr(transport_module, "_MAX_IDLE_SECONDS", -1)
    transport = RequestsTransport()
    assert read == [str(certificate)]
    with Peer(answering(answer(b"first"), answer(b"second")), tls=server_context(certificate)) as peer:
        assert post(transport, peer.url).body
        assert post(transport, peer.url).body
        assert peer.connections == 2
    assert read == [str(certificate)]


def test_an_untrusted_peer_is_sent_nothing_on_any_connection(read: list[object], certificate: Path) -> None:
    transport = RequestsTransport()
    with Peer(answering(answer()), tls=server_context(certificate)) as peer:
        for _ in range(2):
            assert_not_sent(transport, peer.url)
        assert peer.requests == []
    assert len(read) == 1


def test_plain_http_on_loopback_needs_none(read: list[object]) -> None:
    transport = RequestsTransport()
    with Peer(answering(answer(b"hello"))) as peer:
        assert post(transport, peer.url) == Reply(200, b"hello")
    assert len(read) == 1
