"""What schemathesis is told in code: loaded by it in its own environment, never by the tests."""

from __future__ import annotations

from typing import Any

import schemathesis  # type: ignore[import-not-found]


@schemathesis.deserializer("text/html")  # type: ignore[untyped-decorator]
def page(context: Any, response: Any) -> str:
    """Let pages be held against their schema."""
    text: str = response.content.decode()
    return text


@schemathesis.hook  # type: ignore[untyped-decorator]
def filter_case(context: Any, case: Any) -> bool:
    """Leave out JSON bodies that are no text: the local gateway, SAM CLI's, cannot make an event of them."""
    if not isinstance(case.body, bytes) or case.media_type != "application/json":
        return True
    try:
        case.body.decode()
    except UnicodeDecodeError:
        return False
    return True
