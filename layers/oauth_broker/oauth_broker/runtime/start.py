"""The last step of a function's start."""

from __future__ import annotations

import gc
import os
from typing import TypeVar

Handler = TypeVar("Handler")

# A request leaves some hundred objects in cycles, so a few megabytes stay in memory until the next search.
_OBJECTS_BETWEEN_SEARCHES = 100_000


def started(handler: Handler) -> Handler:
    """Return the handler of a function that has everything it needs. Later searches for garbage skip what is there.

    The start makes some hundred thousand objects, and they live as long as the process. Without this step, the first
    search among them came after some 450 refreshes and made that refresh six times as slow. A snapshot of AWS Lambda
    SnapStart is taken after this step. A restored process therefore has the same exception, and a search reads no page
    of the snapshot.

    Outside Lambda a search visits them: on one machine the stand-ins share the process, and their garbage must go.
    """
    gc.set_threshold(_OBJECTS_BETWEEN_SEARCHES)
    if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
        gc.freeze()
    return handler
