"""The SDK reads its trusted certificates once for all its clients, and checks every connection against them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore import httpsession

from oauth_broker.errors import ServiceUnavailable
from oauth_broker.runtime import aws
from oauth_broker.sessions.table import SignIns
from tests.local.aws import CREDENTIALS, REGION
from tests.support.certificates import make_certificate, server_context
from tests.unit.peer import Peer, answer, answering_once

NOTHING_FOUND = answer(b"{}", "200 OK", "Content-Type: application/x-amz-json-1.0", "Connection: close")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Yield the certificates read from here on, by a process that has read none yet."""
    found: list[object] = []
    load = ssl.SSLContext.load_verify_locations

    def watched(self: ssl.SSLContext, cafile: Any = None, *more: Any, **named: Any) -> None:
        found.append(cafile)
        load(self, cafile, *more, **named)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", watched)
    for name, value in (("AWS_REGION", REGION), ("AWS_DEFAULT_REGION", REGION), *_credentials()):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nonexistent")
    contexts: Any = httpsession.create_urllib3_context
    contexts.cache_clear()
    yield found
    # Later tests must not trust the certificates of this one.
    contexts.cache_clear()


def _credentials() -> Iterator[tuple[str, str]]:
    return ((name.upper(), value) for name, value in CREDENTIALS.items())


def find(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for a row with a new client."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", peer.url)
    assert SignIns(aws.dynamodb(), "table").find("a" * 43) is None


def test_certificates_are_read_while_the_process_starts_and_once_for_all_clients_and_connections(
    read: list[object], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The certificate takes the place of the world's authorities.
    monkeypatch.setattr(httpsession, "where", lambda: str(certificate))
    aws.secretsmanager()
    assert read == [str(certificate)]
    with Peer(answering_once(NOTHING_FOUND), tls=server_context(certificate)) as peer:
        find(peer, monkeypatch)
        find(peer, monkeypatch)
        assert peer.connections == 2
    assert read == [str(certificate)]


@pytest.mark.parametrize("hosts", [(), ("127.0.0.2",)], ids=["unknown authority", "another host"])
def test_an_untrusted_service_is_sent_nothing_on_any_connection(
    read: list[object], certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hosts: tuple[str, ...]
) -> None:
    other = make_certificate(tmp_path, *hosts)
    monkeypatch.setattr(httpsession, "where", lambda: str(other if hosts else certificate))
    with Peer(answering_once(NOTHING_FOUND), tls=server_context(other)) as peer:
        for _ in range(2):
            with pytest.raises(ServiceUnavailable, match="SSLError"):
                find(peer, monkeypatch)
        assert peer.connections >= 2
    assert peer.requests == []
    assert len(read) == 1
