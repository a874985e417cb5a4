"""Checks that the SAM CLI on PATH can build and deploy this project: ``python3 -I sam_version.py [--warn]``.

An older SAM CLI fails with errors that do not mention its age. The build of a layer refuses an older one, because the
SAM CLI on PATH runs that build. ``make build`` has a SAM CLI of its own and only warns: a deployment uses the one on
PATH.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

OLDEST = "1.158.0"
_SECONDS = 60
_UPGRADE = (
    "Upgrade it as it was installed: pip install --upgrade aws-sam-cli, brew upgrade aws-sam-cli, or by\n"
    "https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/manage-sam-cli-versions.html\n"
    "If it is another SAM CLI that builds this, say so: SAM_CLI_ON_PATH=unused."
)


def main(arguments: list[str]) -> int:
    """Print the problem of the SAM CLI on PATH; return 1 if there is one, or 0 with ``--warn``."""
    warns = "--warn" in arguments
    wrong = _what_is_wrong()
    if wrong is None:
        return 0
    print(f"{'Warning: ' if warns else ''}{wrong}", file=sys.stderr)
    return 0 if warns else 1


def _what_is_wrong() -> str | None:
    sam = shutil.which("sam")
    if sam is None:
        return None
    try:
        done = subprocess.run(
            [sam, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"The SAM CLI on PATH ({sam}) does not run: {error}. Deploying this takes {OLDEST} or newer."
    match = re.search(r"SAM CLI, version (\d+(\.\d+)+)", done.stdout)
    # Another program has the same name. Its output has no version of SAM CLI.
    if match is None or numbers(match[1]) >= numbers(OLDEST):
        return None
    return (
        f"The SAM CLI on PATH ({sam}) is version {match[1]}; building and deploying this takes {OLDEST} or newer.\n"
        f"{_UPGRADE}"
    )


def numbers(version: str) -> tuple[int, ...]:
    """Return the parts of a version, for a comparison."""
    return tuple(int(part) for part in version.split("."))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
