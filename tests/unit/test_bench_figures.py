"""The tables of the benchmark: medians, ratios round by round, and bars."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import beside, cost, results
from tests.bench.beside import Beside, Measured
from tests.bench.budget import BEYOND_THE_LIMIT, BUDGETS
from tests.bench.figures import Comparison, Figure, Limit, Section


def comparison(ours: list[float], other: list[float], bar: float | None = 1.2, **options: str) -> Comparison:
    return Comparison("refresh", Figure("ours", "ms", ours), Figure("floor", "ms", other), bar, **options)  # type: ignore[arg-type]


def test_a_ratio_is_taken_within_each_round_so_that_a_slow_minute_does_not_count() -> None:
    assert comparison([1.1, 11, 110], [1, 10, 100]).ratio.rounds == pytest.approx([1.1, 1.1, 1.1])


def test_rounds_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        _ = comparison([1, 2], [1]).ratio


@pytest.mark.parametrize(
    ("ours", "bar", "wanted", "met"),
    [
        (1.2, 1.2, "at most", True),
        (1.21, 1.2, "at most", False),
        (2.0, 2.0, "at least", True),
        (1.9, 2.0, "at least", False),
    ],
)
def test_a_bar_is_met_or_missed_by_the_median(ours: float, bar: float, wanted: str, met: bool) -> None:
    held = comparison([ours, 100, 0.001], [1, 1, 1], bar, wanted=wanted)
    assert held.is_met is met
    assert ("**missed**" in Section("t", "a.", [held]).to_markdown()) is not met


def test_without_a_bar_nothing_is_missed() -> None:
    assert comparison([9], [1], None).is_met


@pytest.mark.parametrize(
    ("rounds", "wanted", "met"),
    [
        ([2, 2, 2], "exactly", True),
        ([2, 2, 3], "exactly", False),
        ([2, 2, 3], "at most", True),
        ([2, 3, 3], "at most", False),
        ([1, 2, 3], "at least", True),
        ([1, 1, 3], "at least", False),
    ],
)
def test_a_limit_is_met_by_the_median_or_exactly_by_every_round(rounds: list[float], wanted: str, met: bool) -> None:
    assert Limit("calls", Figure("calls", "", rounds), 2, wanted).is_met is met  # type: ignore[arg-type]


def test_our_calls_beside_flask_are_counted_against_the_budget_and_the_page_says_so() -> None:
    took = Measured([1.0], [{"dynamodb:UpdateItem": 2, "secretsmanager:GetSecretValue": 1, "aries:token": 1}])
    (limit,) = beside._budget(Beside({("ours", "refresh"): took}, {}), "refresh")
    # The budget of a refresh has one PutSecretValue, too.
    assert limit.figure.rounds == [1]
    assert limit.name == "our calls in a refresh, more or fewer than the budget (see Warm cost)"
    assert f"| {limit.name} |" in results.on_page()
    assert "### Warm cost\n" in results.on_page()


def test_a_section_is_kept_with_every_round_and_read_back_the_same() -> None:
    section = Section(
        "Warm",
        "What it is.",
        [comparison([1.0, 2.0], [1.0, 1.5])],
        [Limit("size", Figure("size", "MiB", [3.0]), 4)],
        [Figure("memory", "MiB", [80.0, 81.0])],
    )
    assert Section.from_json(json.loads(json.dumps(section.to_json()))) == section


def test_a_section_has_what_has_no_bar_on_the_page_only_where_it_is_shown_whole() -> None:
    section = Section("Beside", "a.", [comparison([1], [1]), comparison([9], [1], None)], [], [Figure("x", "", [7.0])])
    assert len(section.held.comparisons) == 1
    assert section.held.figures == []
    whole = Section.from_json(section.to_json() | {"is_shown_whole": True})
    assert whole.held == whole
    assert (whole.comparisons, whole.figures) == (section.comparisons, section.figures)


def test_a_table_shows_median_spread_ratio_and_bar() -> None:
    section = Section(
        "Warm",
        "What it is.",
        [comparison([1.0, 2.0, 3.0], [1.0, 1.0, 1.0])],
        [Limit("layer", Figure("layer", "KiB", [12345.6]), 20000)],
        [Figure("calls", "", [4])],
    )
    assert section.to_markdown() == (
        "### Warm\n\nWhat it is.\n\n"
        "|  | ours | floor | ratio | bar |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| refresh | 2 ms (1 to 3) | 1 ms (1 to 1) | 2 (1 to 3) | at most 1.2: **missed** |\n\n"
        "|  | measured | bar |\n"
        "| --- | --- | --- |\n"
        "| layer | 12,346 KiB | at most 20,000 |\n"
        "| calls | 4 |  |"
    )


def test_a_figure_without_a_bar_is_left_out_of_the_page() -> None:
    section = Section(
        "Warm", "What it is.", [comparison([1], [1]), comparison([1], [1], None)], [], [Figure("calls", "", [4])]
    )
    assert section.held == Section("Warm", "What it is.", [comparison([1], [1])])


def test_the_page_shows_the_last_results() -> None:
    assert results.read()
    assert results.on_page() == results.to_markdown()


def test_the_page_shows_what_four_sizes_cost_by_the_last_results() -> None:
    table = cost.table_of_sizes()
    assert "| **all** |" in table
    assert table in cost.report(None)
    assert results.cost_on_page() == table


@pytest.mark.parametrize("page", ["performance.md", "deploy.md"])
def test_the_pages_say_what_a_session_costs_by_the_last_results(page: str) -> None:
    text = " ".join((results.PAGE.parent / page).read_text().split())
    for sentence in cost.sentences():
        assert sentence in text


def test_the_page_says_how_many_calls_a_sign_in_makes() -> None:
    def row(name: str, *operations: str) -> str:
        all_of = {store: {**BUDGETS[store], "beyond the limit": BEYOND_THE_LIMIT[store]} for store in BUDGETS}
        secrets, in_row = ([of[it] for it in ("authorize", "callback", *operations)] for of in all_of.values())
        database = sum(sum(calls.dynamodb.values()) for calls in secrets)
        assert sum(sum(calls.dynamodb.values()) for calls in in_row) == database
        tokens = sum(sum(calls.secretsmanager.values()) for calls in secrets)
        sealed = sum(sum(calls.kms.values()) for calls in in_row)
        shown = f"{tokens}" if tokens == sealed else f"{tokens}, or {sealed} in the row"
        return f"| {name} | {database} | {shown} | {sum(calls.aries + calls.user for calls in secrets)} |"

    page = results.PAGE.read_text()
    assert row("without a person", "redeem") in page
    assert row("with its person", "redeem with its person") in page
    assert (
        row("with its person, and one session beyond `SessionLimit`", "redeem with its person", "beyond the limit")
        in page
    )


def test_the_table_of_costs_is_written_by_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(results.PAGE.read_text().replace(results.cost_on_page(), "an old table"))
    monkeypatch.setattr(results, "PAGE", page)
    cost.main(["--write"])
    assert results.cost_on_page() == cost.table_of_sizes()
