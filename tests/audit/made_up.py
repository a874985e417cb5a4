"""Services on this machine. They answer as osv.dev and the npm registry do, with holes made up by a test."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.audit.services import BULK_PATH

Json = dict[str, Any]


@dataclass
class Service:
    """The known holes of each package, and the service's misbehaviour: a status, or a body in place of its answer."""

    holes: dict[str, list[Json]] = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None
    # The service misbehaves only after so many answers.
    well_for: int = 0
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def misbehaves(self) -> bool:
        """Count this request; return True if it gets the status and the body."""
        self.well_for -= 1
        return self.well_for < 0 and (self.status != 200 or self.body is not None)


# An audit recognizes the services by these known holes.
JINJA2 = {"id": "PYSEC-2014-8", "summary": "made up", "affected": []}
LODASH = {
    "url": "https://github.com/advisories/GHSA-35jh-r3h4-6jhm",
    "severity": "high",
    "vulnerable_versions": "<4.17.21",
}


@contextmanager
def osv(service: Service) -> Iterator[Service]:
    """Serve ``POST /v1/query`` as osv.dev does. A hole is an entry of OSV's schema; ``versions`` are those with it."""

    class Handler(_Handler):
        def answer(self, content: bytes) -> object:
            query = json.loads(content)
            name, version = query["package"]["name"], query["version"]
            service.asked.append(f"{name}=={version}")
            known = [hole for hole in service.holes.get(name, []) if version in hole["versions"]]
            return {"vulns": known} if known else {}

    with _served(Handler, service, "/v1/query"):
        yield service


@contextmanager
def npm(service: Service, packages: dict[str, str]) -> Iterator[Service]:
    """Serve an npm registry with these packages at one version each, and advisories about them."""

    class Handler(_Handler):
        def answer(self, content: bytes) -> object:
            if self.command == "POST":
                if not self.path.endswith(BULK_PATH):
                    return {}
                if self.headers.get("content-encoding") == "gzip":
                    content = gzip.decompress(content)
                asked = json.loads(content)
                service.asked.extend(asked)
                return {name: service.holes[name] for name in asked if name in service.holes}
            name = self.path.strip("/").replace("%2f", "/")
            version = packages[name]
            versions = {version: {"name": name, "version": version, "dist": {}}}
            return {"name": name, "dist-tags": {"latest": version}, "versions": versions}

    with _served(Handler, service, "/"):
        yield service


class _Handler(BaseHTTPRequestHandler):
    service: Service

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        service = self.service
        if service.misbehaves():
            self._send(service.status, service.body or b"")
        else:
            self._send(200, json.dumps(self.answer(content)).encode())

    def do_GET(self) -> None:
        self._send(200, json.dumps(self.answer(b"")).encode())

    def answer(self, content: bytes) -> object:
        raise NotImplementedError

    def log_message(self, *arguments: object) -> None:
        pass

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def _served(handler: type[_Handler], service: Service, path: str) -> Iterator[None]:
    handler.service = service
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        service.url = f"http://127.0.0.1:{server.server_address[1]}{path}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
