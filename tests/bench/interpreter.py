"""The Python in which everything is measured."""

from __future__ import annotations

import os


def python3_13() -> str:
    """Return the command of one of the runtime's version; ends the program where none was named."""
    found = os.environ.get("PYTHON3_13", "")
    if not found:
        raise SystemExit("No python3.13 was named: set PYTHON3_13 to one, as `make bench` does.")
    return found
