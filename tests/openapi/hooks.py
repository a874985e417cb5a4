"""Hooks for schemathesis. It loads them in its own environment; the tests never do."""

from __future__ import annotations

from typing import Any

import schemathesis  # type: ignore[import-not-found]


@schemathesis.deserializer("text/html")  # type: ignore[untyped-decorator]
def page(context: Any, response: Any) -> str:
    """Read a page as text, so that schemathesis checks it against its schema."""
    text: str = response.content.decode()
    return text


@schemathesis.hook  # type: ignore[untyped-decorator]
def filter_case(context: Any, case: Any) -> bool:
    """Leave out JSON bodies that are not text: the local gateway, SAM CLI's, cannot turn them into an event."""
    if not isinstance(case.body, bytes) or case.media_type != "application/json":
        return True
    try:
        case.body.decode()
    except UnicodeDecodeError:
        return False
    return True
