"""A person with a browser: signs in at Aries for a client without either. As a program, it opens a URL."""

from __future__ import annotations

import os
import sys
from http import HTTPStatus
from typing import Literal

import requests

from tests.local.aries import approve

Decision = Literal["approve", "deny"]

# The environment variable with the decision of the program's person.
DECISION = "DECISION_AT_ARIES"
_TIMEOUT_SECONDS = 30


def sign_in(authorization_url: str, decision: Decision = "approve") -> str:
    """Return the final redirect, to the app. The app's URL is not fetched."""
    with requests.Session() as browser:
        # All servers are on this machine, so requests must ignore proxies and .netrc.
        browser.trust_env = False
        at_aries = _redirected(browser, authorization_url)
        return _redirected(browser, approve(browser, at_aries, decision))


def _redirected(browser: requests.Session, url: str) -> str:
    answer = browser.get(url, allow_redirects=False, timeout=_TIMEOUT_SECONDS)
    if answer.status_code != HTTPStatus.FOUND:
        raise ValueError(f"expected a redirect, got {answer.status_code}")
    return answer.headers["Location"]


def _open(url: str, decision: str) -> None:
    with requests.Session() as browser:
        browser.trust_env = False
        browser.get(sign_in(url, "deny" if decision == "deny" else "approve"), timeout=_TIMEOUT_SECONDS)


if __name__ == "__main__":
    _open(sys.argv[1], os.environ.get(DECISION, "approve"))
