"""The findings of an audit, and the holes accepted for a time."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from packaging.utils import canonicalize_name

from tests.audit.services import Broken

ACCEPTED = Path(__file__).with_name("accepted.toml")
_FEWEST_WORDS = 5


@dataclass(frozen=True)
class Hole:
    """A known hole in a locked package. ``ids`` are all its names; the report shows the first one."""

    package: str
    version: str
    ids: tuple[str, ...]
    fixed: str

    def __str__(self) -> str:
        return f"{self.package} {self.version}: {self.ids[0]}, {self.fixed}"


@dataclass(frozen=True)
class Audited:
    """A lock file with every package asked for."""

    lock: str
    packages: int
    holes: tuple[Hole, ...]


@dataclass(frozen=True)
class NotAudited:
    """A lock file left unaudited, because no service could be asked."""

    lock: str
    why: str


@dataclass(frozen=True)
class Failed:
    """A lock file with a failed audit."""

    lock: str
    why: str


Finding = Audited | NotAudited | Failed


@dataclass(frozen=True)
class Accepted:
    """A known hole with a reason to stay. It must be gone after the day ``until``."""

    id: str
    package: str
    reason: str
    until: date

    def covers(self, hole: Hole) -> bool:
        """True if the entry means this hole, by any of the hole's names."""
        return self.id in hole.ids and canonicalize_name(self.package) == canonicalize_name(hole.package)


def accepted(path: Path = ACCEPTED) -> list[Accepted]:
    """Read the accepted holes; raises Broken for an incomplete entry."""
    try:
        content = tomllib.loads(path.read_text())
        entries = [Accepted(**entry) for entry in content.pop("accepted", [])]
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise Broken(f"{path.name}: {error}") from error
    for entry in entries:
        texts: tuple[object, ...] = (entry.id, entry.package, entry.reason)
        if not all(isinstance(text, str) and text for text in texts) or type(entry.until) is not date:
            raise Broken(f"{path.name}: {entry.id} needs an id, a package, a reason and a date")
        if len(entry.reason.split()) < _FEWEST_WORDS:
            raise Broken(f"{path.name}: the reason for {entry.id} is no reason")
    if content:
        raise Broken(f"{path.name}: {', '.join(content)} means nothing")
    return entries


def mistakes(entries: Iterable[Accepted], findings: Iterable[Finding], today: date) -> list[str]:
    """Return the mistakes in the entries: past their day, or (if all lock files were audited) without a hole."""
    findings = list(findings)
    holes = [hole for finding in findings if isinstance(finding, Audited) for hole in finding.holes]
    all_audited = all(isinstance(finding, Audited) for finding in findings)
    wrong = []
    for entry in entries:
        if entry.until < today:
            wrong.append(f"{entry.id} in {entry.package} was accepted until {entry.until}")
        elif all_audited and not any(entry.covers(hole) for hole in holes):
            wrong.append(f"{entry.id} in {entry.package} is accepted and no longer there: remove it")
    return wrong
