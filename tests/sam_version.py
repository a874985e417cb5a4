"""Whether the SAM CLI on PATH, if there is one, is new enough to deploy what ``make build`` builds.

The build takes the project's own SAM CLI. A deployment takes the one on PATH, and an older one fails in ways that say
nothing about its age.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

OLDEST = "1.158.0"
_SECONDS = 60


def main() -> int:
    """Return the exit status: 1 where a SAM CLI is there and too old."""
    found = on_path()
    if found is None or numbers(found) >= numbers(OLDEST):
        return 0
    print(
        f"The SAM CLI on PATH ({shutil.which('sam')}) is version {found}; deploying this takes {OLDEST} or newer.\n"
        "Upgrade it as it was installed: pip install --upgrade aws-sam-cli, brew upgrade aws-sam-cli, or by\n"
        "https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/manage-sam-cli-versions.html",
        file=sys.stderr,
    )
    return 1


def on_path() -> str | None:
    """Return the version of the SAM CLI on PATH; None where there is none, or another program of that name."""
    sam = shutil.which("sam")
    if sam is None:
        return None
    try:
        said = subprocess.run(
            [sam, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"SAM CLI, version (\d+\.\d+\.\d+)", said)
    return match[1] if match else None


def numbers(version: str) -> tuple[int, ...]:
    """Return the parts of a version, to be compared."""
    return tuple(int(part) for part in version.split("."))


if __name__ == "__main__":
    sys.exit(main())
