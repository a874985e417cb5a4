"""The web sites of the tests' apps: a few static files on a port of their own, and what npm has, bundled."""

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
    """A site that has its origin before its content, since the broker has to be told of it first.

    The origin's host is ``localhost``, where the broker's is 127.0.0.1: to a browser another site, not just another
    origin, so that its cookies are third-party ones there. ``same_site`` is the same server by the broker's host.
    """

    def __init__(self, server: LoopbackServer) -> None:
        self._folders: tuple[Path, ...] = ()
        self._config: Mapping[str, str] = {}
        self.origin = f"http://localhost:{server.port}"
        self.same_site = server.url
        server.serve(self._app())

    def serve(self, *folders: Path, config: Mapping[str, str] | None = None) -> None:
        """From now on serve these files, ``config`` as ``/config.json``, and ``index.html`` for every other path."""
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
            # A single-page app: its routes are all one page. A file that is missing is not one of them.
            name = path if Path(path).suffix else "index.html"
            for folder in self._folders:
                if (folder / name).is_file():
                    return send_from_directory(folder, name, max_age=0)
            raise NotFound

        return app


@contextmanager
def site() -> Iterator[Site]:
    """Take a port; the site is gone when the block is left."""
    server = LoopbackServer()
    try:
        yield Site(server)
    finally:
        server.close()


def bundle(source: Path, target: Path, aliases: Mapping[str, Path] | None = None) -> None:
    """Make one script of ``source`` and the npm packages that it imports; ``aliases`` stand in for packages."""
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
        # The sources lie beside the folder that npm installs into, not above it.
        env={**os.environ, "NODE_PATH": str(_CLIENTS / "node_modules")},
    )
