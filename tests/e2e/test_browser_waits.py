"""Every wait for a page has an end."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, TimeoutError

from tests.e2e.browser import chromium

pytestmark = pytest.mark.clients


@pytest.mark.parametrize("expression", ["new Promise(() => {})", "(() => { for (;;); })()"])
def test_an_expression_that_never_ends_fails_with_its_name(
    monkeypatch: pytest.MonkeyPatch, page: Page, expression: str
) -> None:
    monkeypatch.setattr(chromium, "_EVALUATE_SECONDS", 0.5)
    with pytest.raises(TimeoutError) as failed:
        page.evaluate(expression)
    assert failed.value.message == f"waited 0.5 s for {expression} on about:blank"
