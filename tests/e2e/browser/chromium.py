"""Headless Chromium, the one that is installed on this machine."""

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
# As Playwright waits for everything else.
_EVALUATE_SECONDS = 30
_evaluate = implementation.Page.evaluate


async def _evaluate_in_time(page: implementation.Page, expression: str, arg: Any = None) -> Any:
    """Stand in for `Page.evaluate`, the one wait of Playwright's without a time limit. Raises WaitedInVain."""
    try:
        return await asyncio.wait_for(_evaluate(page, expression, arg), _EVALUATE_SECONDS)
    except TimeoutError:
        raise WaitedInVain(f"waited {_EVALUATE_SECONDS} s for {expression} on {page.url}") from None


@contextmanager
def running_chromium(*options: str) -> Iterator[Browser]:
    """Start the browser with further command line options. Raises FileNotFoundError where there is none.

    Every wait in it has a time limit, and a failure that names it.
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
