"""pip-audit over one lock file."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from tests.audit.findings import Hole
from tests.audit.locks import ROOT, Pin, UnreadableLock, read
from tests.audit.services import Broken, reach_osv

_PYTHON = ROOT / ".venv-audit" / "bin" / "python"
_SECONDS = 120
_TRIES = 2
_TOLD = 2000


def python() -> str:
    """Return the path of .venv-audit's Python; raises Broken if the environment is not installed."""
    if not _PYTHON.exists():
        raise Broken("pip-audit and cyclonedx-bom are not installed: `make audit` installs them into .venv-audit")
    return str(_PYTHON)


def audited(lock: Path, osv_url: str) -> tuple[int, tuple[Hole, ...]]:
    """Return the number of packages asked for, and their holes; raises Unreachable or Broken."""
    try:
        pins = [pin for pin in read(lock) if pin.is_installed_here]
    except UnreadableLock as error:
        raise Broken(str(error)) from error
    for _ in range(_TRIES):
        said, wrong = _asked(lock, osv_url)
        if said is not None:
            return len(pins), _holes(pins, said)
        # pip-audit's failure does not tell if the service went away or pip-audit itself is wrong.
        reach_osv(osv_url)
    raise Broken(f"pip-audit failed: {wrong}")


def _asked(lock: Path, osv_url: str) -> tuple[Any, str]:
    command = [python(), "-m", "pip_audit", "--vulnerability-service", "osv", "--osv-url", osv_url]
    options = [
        "--requirement",
        str(lock),
        "--disable-pip",
        "--require-hashes",
        "--strict",
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    with tempfile.TemporaryDirectory() as cache:
        more = ["--desc", "off", "--aliases", "on", "--cache-dir", cache]
        try:
            done = subprocess.run(
                [*command, *options, *more], capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            return None, str(error)
    # Status 1 means holes or a crash; only the first one comes with a report.
    if done.returncode not in (0, 1) or not done.stdout.strip():
        return None, done.stderr[-_TOLD:]
    try:
        return json.loads(done.stdout), ""
    except ValueError:
        return None, done.stdout[-_TOLD:]


def _holes(pins: list[Pin], said: Any) -> tuple[Hole, ...]:
    try:
        dependencies = said["dependencies"]
        told = {(canonicalize_name(it["name"]), it["version"]) for it in dependencies}
        holes = tuple(
            Hole(it["name"], it["version"], (vuln["id"], *sorted(vuln["aliases"])), _fixed(vuln["fix_versions"]))
            for it in dependencies
            for vuln in it["vulns"]
        )
    except (KeyError, TypeError) as error:
        raise Broken(f"pip-audit's report is not understood: {error!r}") from error
    missing = {pin.name for pin in pins} - {name for name, _ in told}
    if missing:
        raise Broken(f"pip-audit did not look at {', '.join(sorted(missing))}")
    return holes


def _fixed(versions: list[str]) -> str:
    return f"fixed in {', '.join(versions)}" if versions else "not fixed anywhere"
