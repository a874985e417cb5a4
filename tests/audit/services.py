"""The two services with known holes, and a check of each: osv.dev for Python, the npm registry for npm."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any

OSV_URL = "https://api.osv.dev/v1/query"
BULK_PATH = "-/npm/v1/security/advisories/bulk"
_SECONDS = 15
# Our question is right, so these statuses mean: the service is not at work, or another server answers.
_ABSENT = {
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
}


class Unreachable(Exception):
    """The service cannot be asked. This is not a mistake."""


class Broken(Exception):
    """Something went wrong, and the audit must fail."""


def reach_osv(url: str) -> None:
    """Ask for a package with known holes; raises Unreachable, or Broken if the service knows no hole of it."""
    answer = _asked(url, {"version": "2.4.1", "package": {"name": "jinja2", "ecosystem": "PyPI"}})
    if not isinstance(answer, dict) or not answer.get("vulns"):
        raise Broken(f"{url} knows of no hole in jinja2 2.4.1, which has several: whatever it says means nothing")


def reach_npm(registry: str) -> None:
    """Ask the npm registry in the same way as ``reach_osv``."""
    url = registry.rstrip("/") + "/" + BULK_PATH
    answer = _asked(url, {"lodash": ["4.17.20"]})
    if not isinstance(answer, dict) or not answer.get("lodash"):
        raise Broken(f"{url} knows of no hole in lodash 4.17.20, which has several: whatever it says means nothing")


def _asked(url: str, question: dict[str, Any]) -> object:
    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise Broken(f"{url} is not to be asked: what it says could be anybody's")
    content = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(question).encode(), content)  # noqa: S310 (checked above)
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 (the same)
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code in _ABSENT or error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Unreachable(f"{url} answers {error.code} {error.reason}") from error
        raise Broken(f"{url} answers {error.code} {error.reason}") from error
    except ValueError as error:
        raise Broken(f"{url} answers what is not JSON: {error}") from error
    except OSError as error:
        raise Unreachable(f"{url} cannot be reached: {error}") from error
