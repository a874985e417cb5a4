"""The number of hypothesis' tries in the unit tests, and the fixtures of the tests over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from oauth_broker.aries.transport import RequestsTransport
from tests.support.certificates import make_certificate
from tests.support.long import examples


def pytest_configure() -> None:
    # Bounded, so all unit tests together take seconds. No database, so a run leaves no files behind.
    settings.register_profile("unit", max_examples=examples(120), deadline=None, database=None)
    settings.load_profile("unit")


@pytest.fixture
def transport() -> Iterator[RequestsTransport]:
    made = RequestsTransport()
    yield made
    made.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a self-signed certificate for 127.0.0.1."""
    return make_certificate(tmp_path_factory.mktemp("tls"))
