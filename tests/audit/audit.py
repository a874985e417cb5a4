"""Asks for known holes in all locked packages, and reports shipped packages apart from those for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tests.audit import npm_lock, python_locks
from tests.audit.findings import Accepted, Audited, Failed, Finding, Hole, NotAudited, mistakes
from tests.audit.locks import shown
from tests.audit.services import Broken, Unreachable, reach_osv

# Each audit mostly waits for the network.
_AT_ONCE = 4


@dataclass(frozen=True)
class Report:
    """All findings, first those in shipped packages."""

    shipped: Sequence[Finding]
    testing: Sequence[Finding]
    accepted: Sequence[Accepted]
    today: date

    @property
    def has_failed(self) -> bool:
        """True if there is a hole not accepted by anybody, or anything else to mend."""
        findings = [*self.shipped, *self.testing]
        open_holes = [hole for it in findings if isinstance(it, Audited) for hole in it.holes if self._is_open(hole)]
        return bool(open_holes or self._mistakes() or any(isinstance(it, Failed) for it in findings))

    def lines(self) -> Iterator[str]:
        """Yield the lines of the report."""
        for title, findings in (("What ships:", self.shipped), ("What only tests:", self.testing)):
            yield title
            for finding in findings:
                yield from self._told(finding)
        yield from (f"FAILED: accepted.toml: {mistake}" for mistake in self._mistakes())
        findings = [*self.shipped, *self.testing]
        missed = [it for it in findings if isinstance(it, NotAudited)]
        if missed:
            nothing = "NOTHING" if len(missed) == len(findings) else f"{len(missed)} OF {len(findings)} LOCK FILES NOT"
            yield ""
            yield f"*** {nothing} AUDITED. This says nothing about holes. ***"
            yield from (f"*** {why}" for why in dict.fromkeys(it.why for it in missed))

    def _told(self, finding: Finding) -> Iterator[str]:
        match finding:
            case Audited(lock, packages, holes):
                yield f"  {lock}: {packages} packages, {f'{len(holes)} known holes' if holes else 'no known hole'}"
                for hole in holes:
                    yield f"    {'FAILED' if self._is_open(hole) else 'accepted'}: {hole}"
            case NotAudited(lock):
                yield f"  {lock}: NOT AUDITED"
            case Failed(lock, why):
                yield f"  {lock}: FAILED: {why}"

    def _is_open(self, hole: Hole) -> bool:
        return not any(entry.covers(hole) and entry.until >= self.today for entry in self.accepted)

    def _mistakes(self) -> list[str]:
        return mistakes(self.accepted, [*self.shipped, *self.testing], self.today)


def python_findings(locks: Iterable[Path], osv_url: str) -> list[Finding]:
    """Audit requirements files, several at once."""
    locks = list(locks)
    try:
        reach_osv(osv_url)
    except Unreachable as error:
        return [NotAudited(shown(lock), str(error)) for lock in locks]
    except Broken as error:
        return [Failed(shown(lock), str(error)) for lock in locks]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda lock: _finding(lock, lambda: python_locks.audited(lock, osv_url)), locks))


def npm_finding(lock: Path, registry: str | None) -> Finding:
    """Audit a package-lock.json at ``registry``, or at the registry in npm's own setting."""
    return _finding(lock, lambda: npm_lock.audited(lock, registry or npm_lock.registry()))


def _finding(lock: Path, audited: Callable[[], tuple[int, tuple[Hole, ...]]]) -> Finding:
    try:
        return Audited(shown(lock), *audited())
    except Unreachable as error:
        return NotAudited(shown(lock), str(error))
    except Broken as error:
        return Failed(shown(lock), str(error))
