"""Headless Chromium, as installed on this machine."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from playwright._impl import page as implementation
from playwright.sync_api import Browser, sync_playwright
from playwright.sync_api import TimeoutError as WaitedInVain

# CI runs as root, and Chromium needs --no-sandbox there. The other options leave the tests' pages as its only traffic.
_OPTIONS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE_MILLISECONDS = 20_000
# Playwright's own limit for every other wait.
_EVALUATE_SECONDS = 30
_evaluate = implementation.Page.evaluate


async def _evaluate_in_time(page: implementation.Page, expression: str, arg: Any = None) -> Any:
    """Give `Page.evaluate` a time limit: Playwright has none for this wait alone. Raises WaitedInVain."""
    try:
        return await asyncio.wait_for(_evaluate(page, expression, arg), _EVALUATE_SECONDS)
    except TimeoutError:
        raise WaitedInVain(f"waited {_EVALUATE_SECONDS} s for {expression} on {page.url}") from None


@contextmanager
def running_chromium(*options: str) -> Iterator[Browser]:
    """Start the browser with further command line options. Raises FileNotFoundError if Chromium is missing.

    Every wait in it has a time limit, and its failure names the wait.
    """
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if executable is None:
        raise FileNotFoundError("Chromium is needed: install it with .ci/browser, or name one in CHROMIUM")
    bounded = mock.patch.object(implementation.Page, "evaluate", _evaluate_in_time)
    with bounded, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=[*_OPTIONS, *options], timeout=_PATIENCE_MILLISECONDS
        )
        try:
            yield browser
        finally:
            browser.close()
