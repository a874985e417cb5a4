"""If an accepted hole has an incomplete entry, the audit fails."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.audit.findings import Accepted, NotAudited, accepted, mistakes
from tests.audit.services import Broken

WHOLE = {
    "id": '"CVE-2026-1"',
    "package": '"urllib3"',
    "reason": '"the broker never follows a redirect"',
    "until": "2026-03-01",
}


def written(path: Path, **entry: str) -> Path:
    path.write_text("[[accepted]]\n" + "".join(f"{name} = {value}\n" for name, value in entry.items()))
    return path


def test_the_projects_own_file_is_read() -> None:
    assert all(isinstance(entry, Accepted) for entry in accepted())


def test_an_entry_that_is_said_in_full_is_read(tmp_path: Path) -> None:
    reason = "the broker never follows a redirect"
    expected = Accepted("CVE-2026-1", "urllib3", reason, date(2026, 3, 1))
    assert accepted(written(tmp_path / "accepted.toml", **WHOLE)) == [expected]


@pytest.mark.parametrize("missing", WHOLE)
def test_an_entry_that_lacks_anything_is_refused(tmp_path: Path, missing: str) -> None:
    entry = {name: value for name, value in WHOLE.items() if name != missing}
    with pytest.raises(Broken):
        accepted(written(tmp_path / "accepted.toml", **entry))


@pytest.mark.parametrize(
    "wrong",
    [{"until": '"2026-03-01"'}, {"until": "2026-03-01T00:00:00Z"}, {"reason": '"later"'}, {"id": '""'}, {"more": "1"}],
)
def test_an_entry_with_anything_else_is_refused(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(Broken):
        accepted(written(tmp_path / "accepted.toml", **(WHOLE | wrong)))


@pytest.mark.parametrize("text", ["accepted = 1", "[accept]\n", "[[accepted]\n"])
def test_a_file_that_is_not_understood_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "accepted.toml").write_text(text)
    with pytest.raises(Broken):
        accepted(tmp_path / "accepted.toml")


def test_if_no_service_was_asked_an_entry_is_judged_by_its_day_alone() -> None:
    entry = Accepted("CVE-2026-1", "urllib3", "the broker never follows a redirect", date(2026, 3, 1))
    findings = [NotAudited("lock", "unreachable")]
    assert mistakes([entry], findings, date(2026, 3, 1)) == []
    assert len(mistakes([entry], findings, date(2026, 3, 2))) == 1
