"""The handlers of functions as they were built, on a clock of the measurement: for programs in a bare python3.13."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.bootstrap import load_module
from tests.support.clock import VirtualClock

Handler = Callable[[Any, Any], dict[str, Any]]


def warm_handlers(folders: dict[str, str], clock: VirtualClock) -> dict[str, Handler]:
    """Put the function of each folder together, with one telemetry for all of them.

    Its import has done the last step of its start in Lambda already.
    """
    # The build has this module, and this process alone has the build on its path.
    telemetry = importlib.import_module("oauth_broker.runtime.telemetry").PowertoolsTelemetry(os.environ)
    return {
        name: load_module(Path(folder) / "app.py").make_handler(os.environ, clock, telemetry)
        for name, folder in folders.items()
    }
