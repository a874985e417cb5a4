"""The error that boto3 raises if a service of AWS refuses a call."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError


def client_error(code: str, **more: Any) -> ClientError:
    """Make the error with this code. ``more`` are members of the answer beside the error."""
    response: Any = {"Error": {"Code": code, "Message": "made by a test"}, **more}
    return ClientError(response, "Operation")
