"""Headless Chromium, the one that is installed on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

# Nothing but the pages of the tests: no sandbox, since CI runs as root, and no calls home.
_OPTIONS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE_MILLISECONDS = 20_000


@contextmanager
def running_chromium(*options: str) -> Iterator[Browser]:
    """Start the browser with further command line options. Raises FileNotFoundError where there is none."""
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if executable is None:
        raise FileNotFoundError("Chromium is needed: install it with .ci/browser, or name one in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=[*_OPTIONS, *options], timeout=_PATIENCE_MILLISECONDS
        )
        try:
            yield browser
        finally:
            browser.close()
