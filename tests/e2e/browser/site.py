"""The web sites of the tests' apps: static files on a port of their own, and bundled npm packages."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flask import Flask, Response, jsonify, send_from_directory
from werkzeug.exceptions import NotFound

from tests.local.serving import LoopbackServer

PAGES = Path(__file__).parent
_CLIENTS = PAGES.parent / "clients"


class Site:
    """A site with an origin before it has content, because the broker must know the origin first.

    The origin's host is ``localhost``, the broker's 127.0.0.1. A browser takes them for different sites, not just
    different origins: the broker's cookies are third-party cookies on the app's pages. ``same_site`` is the same server
    under the broker's host.
    """

    def __init__(self, server: LoopbackServer) -> None:
        self._folders: tuple[Path, ...] = ()
        self._config: Mapping[str, str] = {}
        self.origin = f"http://localhost:{server.port}"
        self.same_site = server.url
        server.serve(self._app())

    def serve(self, *folders: Path, config: Mapping[str, str] | None = None) -> None:
        """Serve these files, ``config`` as ``/config.json``, and ``index.html`` for every other path."""
        self._folders, self._config = folders, config or {}

    def _app(self) -> Flask:
        app = Flask(__name__, static_folder=None)

        @app.get("/config.json")
        def configuration() -> Response:
            return jsonify(self._config)

        @app.get("/favicon.ico")
        def icon() -> Response:
            return Response(status=204)

        @app.get("/", defaults={"path": "index.html"})
        @app.get("/<path:path>")
        def file(path: str) -> Response:
            # All routes of a single-page app are one page. A path with a suffix is a file, and a missing file is a 404.
            name = path if Path(path).suffix else "index.html"
            for folder in self._folders:
                if (folder / name).is_file():
                    return send_from_directory(folder, name, max_age=0)
            raise NotFound

        return app


@contextmanager
def site() -> Iterator[Site]:
    """Take a port, and close the site at the end of the block."""
    server = LoopbackServer()
    try:
        yield Site(server)
    finally:
        server.close()


def bundle(source: Path, target: Path, aliases: Mapping[str, Path] | None = None) -> None:
    """Bundle ``source`` and its npm packages into one script. ``aliases`` stand in for packages."""
    subprocess.run(
        [
            _CLIENTS / "node_modules/.bin/esbuild",
            source,
            "--bundle",
            "--format=iife",
            "--jsx=automatic",
            '--define:process.env.NODE_ENV="production"',
            "--log-level=warning",
            f"--outfile={target}",
            *(f"--alias:{package}={module}" for package, module in (aliases or {}).items()),
        ],
        cwd=_CLIENTS,
        check=True,
        # npm installs into a folder beside the sources, not above them, and esbuild looks above.
        env={**os.environ, "NODE_PATH": str(_CLIENTS / "node_modules")},
    )
