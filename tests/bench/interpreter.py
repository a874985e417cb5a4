"""The Python for all measurements."""

from __future__ import annotations

import os


def python3_13() -> str:
    """Return the command of a Python of the runtime's version. Ends the program if PYTHON3_13 names none."""
    found = os.environ.get("PYTHON3_13", "")
    if not found:
        raise SystemExit("No python3.13 was named: set PYTHON3_13 to one, as `make bench` does.")
    return found
