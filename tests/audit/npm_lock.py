"""npm audit over a package-lock.json."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.audit.findings import Hole
from tests.audit.services import Broken, Unreachable, reach_npm

_SECONDS = 120
_TRIES = 2
_TOLD = 2000


def _npm() -> str:
    path = shutil.which("npm")
    if path is None:
        raise Unreachable("npm is not installed here")
    return path


def registry() -> str:
    """Return the registry in npm's own setting; raises Unreachable if npm is not installed."""
    asked = [_npm(), "config", "get", "registry"]
    return subprocess.run(asked, capture_output=True, text=True, timeout=_SECONDS, check=True).stdout.strip()


def audited(lock: Path, url: str) -> tuple[int, tuple[Hole, ...]]:
    """Return the number of packages asked for, and their holes; raises Unreachable or Broken."""
    try:
        packages = {path: it["version"] for path, it in json.loads(lock.read_text())["packages"].items() if path}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Broken(f"{lock.name} is not a lock file that is understood: {error!r}") from error
    reach_npm(url)
    for _ in range(_TRIES):
        said, wrong = _asked(lock, url)
        if said is not None:
            return len(packages), _holes(packages, said)
        reach_npm(url)
    raise Broken(f"npm audit failed: {wrong}")


def _asked(lock: Path, url: str) -> tuple[Any, str]:
    with tempfile.TemporaryDirectory() as folder:
        for name in (lock.name, "package.json"):
            shutil.copy(lock.with_name(name), folder)
        command = [_npm(), "audit", "--json", "--package-lock-only", "--registry", url, "--cache", f"{folder}/.cache"]
        try:
            done = subprocess.run(
                # The caller tries again. npm would wait ten seconds, and then a minute.
                [*command, "--fetch-retries", "0"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            return None, str(error)
    try:
        said = json.loads(done.stdout)
    except ValueError:
        return None, (done.stdout + done.stderr)[-_TOLD:]
    # npm reports its errors in JSON too.
    if not isinstance(said, dict) or said.get("auditReportVersion") != 2 or done.returncode not in (0, 1):
        return None, (done.stdout + done.stderr)[-_TOLD:]
    return said, ""


def _holes(packages: dict[str, str], said: Any) -> tuple[Hole, ...]:
    try:
        return tuple(
            Hole(via["name"], packages[node], (via["url"].rpartition("/")[2],), f"all of {via['range']} have it")
            for it in said["vulnerabilities"].values()
            for via in it["via"]
            if isinstance(via, dict)
            for node in it["nodes"]
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Broken(f"npm's report is not understood: {error!r}") from error
