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


SIGN_IN = ("1 started", "2 claimed", "3 issued", "4 redeemed")
LATER = st.sampled_from(["refreshed", "renewed", "refreshed late_retry", "refresh_failed a", "refresh_failed b"])


def test_a_month_of_refreshes_and_renewals_in_turn_keeps_what_matters() -> None:
    timeline: tuple[str, ...] = (*SIGN_IN, "5 refresh_failed provider:x")
    for hour in range(10, 730, 2):
        timeline = extended(extended(timeline, entry(hour, "refreshed")), entry(hour + 1, "renewed"))
    assert timeline == (*SIGN_IN, "5 refresh_failed provider:x", "728 refreshed", "729 renewed")


@given(st.lists(LATER, max_size=60))
def test_nothing_pushes_out_the_sign_in_and_the_newest_entries_stay(events: list[str]) -> None:
    timeline: tuple[str, ...] = SIGN_IN
    for at, event in enumerate(events, start=10):
        timeline = extended(timeline, f"{at} {event}")
    assert timeline[: len(SIGN_IN)] == SIGN_IN
    assert len(timeline) <= TIMELINE_LENGTH
    assert timeline[-1] == (f"{9 + len(events)} {events[-1]}" if events else SIGN_IN[-1])
    later = [text.partition(" ")[2] for text in timeline[len(SIGN_IN) :]]
    assert later.count("refreshed") <= 1
    assert later.count("renewed") <= 1


def test_a_repeated_entry_takes_the_place_of_the_last_one() -> None:
    timeline = extended(("1 redeemed", "2 refresh_failed provider:x"), "3 refresh_failed provider:x")
    assert timeline == ("1 redeemed", "3 refresh_failed provider:x")
    assert extended(timeline, "4 refresh_failed provider:y") == (*timeline, "4 refresh_failed provider:y")
