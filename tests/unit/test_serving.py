"""The servers of the local stack: every started server can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.browser.site import site
from tests.local.serving import LoopbackServer

_TIMEOUT_SECONDS = 10


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with closing(LoopbackServer()) as server:
        yield server


def says(word: str) -> Callable[..., list[bytes]]:
    """Return an application with one answer."""

    def app(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("content-type", "text/plain")])
        return [word.encode()]

    return app


def get(url: str) -> str:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=_TIMEOUT_SECONDS).text


def test_a_server_has_one_application(server: LoopbackServer) -> None:
    server.serve(says("first"))
    with pytest.raises(RuntimeError, match="already has its application"):
        server.serve(says("second"))
    assert get(server.url) == "first"


def test_a_site_whose_content_changes_can_be_stopped(tmp_path: Path) -> None:
    with site() as app:
        for content in ("first", "second", "third"):
            folder = tmp_path / content
            folder.mkdir()
            (folder / "index.html").write_text(content)
            app.serve(folder)
            assert {get(app.same_site) for _ in range(5)} == {content}
