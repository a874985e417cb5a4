"""The history in a row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.sessions.row import TIMELINE_LENGTH, TimelineEntry, entry, extended, timeline_entries

WORDS = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
REASONS = st.one_of(st.just(""), st.from_regex(r"[a-z_]{1,12}(:[A-Za-z]{1,12})?", fullmatch=True))
ENTRIES = st.builds(TimelineEntry, st.integers(0, 2**40), WORDS, REASONS)


@given(ENTRIES)
def test_an_entry_is_read_as_it_was_written(it: TimelineEntry) -> None:
    assert timeline_entries((entry(it.at, it.event, it.reason),)) == [it]


def test_a_time_is_kept_to_the_second() -> None:
    assert entry(1_800_000_000.987, "redeemed") == "1800000000 redeemed"


@given(st.lists(ENTRIES, min_size=1, max_size=40))
def test_a_timeline_holds_the_last_entries_in_their_order_and_never_more(entries: list[TimelineEntry]) -> None:
    timeline: tuple[str, ...] = ()
    for it in entries:
        timeline = extended(timeline, entry(it.at, it.event, it.reason))
        assert len(timeline) <= TIMELINE_LENGTH
        assert timeline_entries(timeline)[-1] == it
    different = [
        one
        for one, after in zip(entries, [*entries[1:], None], strict=True)
        if after is None or (one.event, one.reason) != (after.event, after.reason)
    ]
    assert timeline_entries(timeline) == different[-TIMELINE_LENGTH:]


def test_a_repeated_entry_takes_the_place_of_the_last_one() -> None:
    timeline = extended(("1 redeemed", "2 refresh_failed provider:x"), "3 refresh_failed provider:x")
    assert timeline == ("1 redeemed", "3 refresh_failed provider:x")
    assert extended(timeline, "4 refresh_failed provider:y") == (*timeline, "4 refresh_failed provider:y")
