"""The lock files of the project, read strictly: every package at one version, with the hashes of its files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
# The layer of third-party packages is installed from this file alone.
SHIPPED = ROOT / "layers" / "dependencies" / "requirements.txt"
TESTING = tuple(
    ROOT / "tests" / name
    for name in (
        "requirements.txt",
        "ministack.txt",
        "checkov.txt",
        "openapi/requirements.txt",
        "fuzz/requirements.txt",
        "audit/requirements.txt",
        "e2e/lambda_runtime.txt",
        "bench/beside_flask/requirements.txt",
    )
)
NPM = ROOT / "tests" / "e2e" / "clients" / "package-lock.json"

_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9.!+_-]+)"
    r"(?: ; (?P<marker>[^#]+?))?(?P<hashes>(?: +--hash=sha256:[0-9a-f]{64})+)"
)


class UnreadableLock(Exception):
    """A line of a lock file is not one package at one version with SHA-256 hashes."""


@dataclass(frozen=True)
class Pin:
    """A package of a lock file. ``name`` is normalized; ``marker`` limits the installation (empty: everywhere)."""

    name: str
    version: str
    marker: str
    hashes: frozenset[str]

    @property
    def is_installed_here(self) -> bool:
        """True if this machine's Python installs the package."""
        return not self.marker or Marker(self.marker).evaluate()


def read(lock: Path) -> list[Pin]:
    """Return the packages of a requirements file; raises UnreadableLock."""
    lines = lock.read_text().replace("\\\n", "").splitlines()
    return [_pin(lock, line.strip()) for line in lines if line.strip() and not line.strip().startswith("#")]


def _pin(lock: Path, line: str) -> Pin:
    match = _PIN.fullmatch(line)
    if match is None:
        raise UnreadableLock(f"{shown(lock)}: not one package at one version with its hashes: {line[:80]}")
    return Pin(
        canonicalize_name(match["name"]),
        match["version"],
        match["marker"] or "",
        frozenset(re.findall(r"[0-9a-f]{64}", match["hashes"])),
    )


def shown(lock: Path) -> str:
    """Return the path as reports show it."""
    return str(lock.relative_to(ROOT)) if lock.is_relative_to(ROOT) else lock.name
