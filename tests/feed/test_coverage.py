"""Coverage arithmetic: spans as sets of milliseconds, and gaps as session time that nothing covered."""

from __future__ import annotations

import itertools
from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stockctl.exchange.calendar import sessions_of
from stockctl.feed.coverage import MAX_COVERED_MS, Coverage, Gap, coverage, feed_event, session_time, split_interval
from stockctl.intervals import Interval, length, merge
from stockctl.records import EventKind

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


def moments(spans: list[Interval]) -> set[int]:
    return {moment for since, until in spans for moment in range(since, until)}


@given(st.integers(0, 2 * MAX_COVERED_MS), st.integers(0, 100 * MAX_COVERED_MS) | st.integers(0, 5).map(MAX_COVERED_MS.__mul__))
def test_cutting_keeps_every_moment_in_pieces_that_follow_on(since: int, long: int) -> None:
    pieces = split_interval((since, since + long))
    assert all(0 < until - start <= MAX_COVERED_MS for start, until in pieces)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(pieces))
    assert merge(pieces) == merge([(since, since + long)])


def event(kind: EventKind, since: int, until: int, symbols: str = "X:Y", reason: str = "") -> dict[str, Any]:
    made = feed_event(
        kind, (since, until), symbols.split(","), reason, connection="k3f9a2", number=1, ts_recv=until, source="finnhub"
    )
    return {name: getattr(made, name) for name in made.__struct_fields__}


@given(SPANS, st.integers(0, 30), st.integers(0, 60))
def test_covered_time_and_gaps_make_up_the_expected_time(spans: list[Interval], since: int, until: int) -> None:
    found = coverage([event("covered", *span) for span in spans], ["X:Y"], since, until)["X:Y"]
    gaps = [(gap.since, gap.until) for gap in found.gaps]
    assert merge([*found.covered, *gaps]) == found.expected
    assert length(found.covered) + length(gaps) == length(found.expected)
    assert moments(found.covered) == moments(spans) & set(range(since, until))


def test_repeated_and_unordered_events_change_nothing() -> None:
    events = [event("covered", 20, 30), event("covered", 0, 10), event("covered", 20, 30)]
    assert coverage(events, ["X:Y"], 0, 100)["X:Y"].covered == [(0, 10), (20, 30)]


def test_a_symbol_is_covered_by_events_that_list_it_alone() -> None:
    events = [event("covered", 0, 50, "X:Y,X:Z"), event("covered", 50, 100, "X:YY")]
    covered = {symbol: one.covered for symbol, one in coverage(events, ["X:Y", "X:Z", "X:YY", "X:A"], 0, 100).items()}
    assert covered == {"X:Y": [(0, 50)], "X:Z": [(0, 50)], "X:YY": [(50, 100)], "X:A": []}


def test_only_covered_events_cover() -> None:
    kinds: list[EventKind] = ["connected", "subscribed", "refused", "silent", "disconnected"]
    assert coverage([event(kind, 0, 100) for kind in kinds], ["X:Y"], 0, 100)["X:Y"].covered == []


def test_a_gap_says_what_the_feed_said() -> None:
    events = [
        event("covered", 0, 10),
        event("silent", 10, 25, reason="feed silent"),
        event("disconnected", 10, 26, reason="feed silent"),
        event("connected", 27, 30),
        event("covered", 30, 40),
        event("covered", 50, 60, reason="messages lost: 7"),
        event("disconnected", 70, 71, "X:Z", reason="stopped"),
    ]
    assert coverage(events, ["X:Y"], 0, 80)["X:Y"] == Coverage(
        expected=[(0, 80)],
        covered=[(0, 10), (30, 40), (50, 60)],
        gaps=[Gap(10, 30, "feed silent"), Gap(40, 50, "messages lost: 7"), Gap(60, 80, "")],
    )


def test_stocks_are_expected_in_their_sessions_alone() -> None:
    pre, regular, post = sessions_of(date(2026, 11, 23))
    day = (pre.since - 3_600_000, post.until + 3_600_000)
    assert session_time("AAPL", *day) == [(pre.since, post.until)]
    assert session_time("AAPL", *day, ("regular",)) == [(regular.since, regular.until)]
    assert session_time("AAPL", regular.since + 5, regular.since + 9) == [(regular.since + 5, regular.since + 9)]
    assert session_time("BINANCE:BTCUSDT", *day) == [day]
    assert session_time("AAPL", *day, ("pre", "post")) == [(pre.since, pre.until), (post.since, post.until)]


def test_a_late_start_is_a_gap_and_the_night_is_none() -> None:
    _, regular, _ = sessions_of(date(2026, 11, 23))
    started = regular.since + 60_000
    events = [event("covered", started, regular.until + 999, "AAPL")]
    found = coverage(events, ["AAPL"], regular.since - 9, regular.until + 9, ("regular",))["AAPL"]
    assert found.gaps == [Gap(regular.since, started, "")]
    assert found.share == 1 - 60_000 / (regular.until - regular.since)


def test_where_no_time_is_expected_the_share_is_unknown() -> None:
    assert coverage([], ["AAPL"], 5, 5)["AAPL"].share is None
