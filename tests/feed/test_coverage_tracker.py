"""Time is covered once all its messages are acknowledged, never across a loss or a disconnect."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stockctl.feed.coverage import MAX_COVERED_MS, feed_event
from stockctl.feed.coverage_tracker import WINDOW_MS, CoverageTracker
from stockctl.feed.kafka_sink import DeliveryWindow
from stockctl.intervals import Interval
from stockctl.records import EventKind, FeedEvent

LOST: Any = object()
"""Stands for librdkafka's error of a delivery: a window only passes it on."""


def event(kind: EventKind, at: int, symbols: str = "AAPL,MSFT", connection: str = "k3f9a2") -> FeedEvent:
    return feed_event(kind, (at, at), symbols.split(","), "", connection=connection, number=1, ts_recv=at, source="finnhub")


class Feed:
    """A tracker and its windows, with methods to receive, acknowledge and lose messages."""

    def __init__(self) -> None:
        self.failures: list[Any] = []
        self.sent: list[DeliveryWindow] = []
        self.tracker = CoverageTracker(lambda since: DeliveryWindow(since, self.failures.append))

    def subscribe(self, at: int, connection: str = "k3f9a2") -> None:
        self.tracker.subscribed(event("subscribed", at, connection=connection))

    def receive(self, at: int, messages: int = 1) -> None:
        window = self.tracker.received(at)
        window.sent += messages
        self.sent += [window] * messages

    def acknowledge(self, messages: int | None = None) -> None:
        for window in self.sent[:messages]:
            window.on_delivery(None, LOST)
        del self.sent[:messages]

    def lose(self, index: int = 0) -> None:
        self.sent.pop(index).on_delivery(LOST, LOST)

    def covered(self) -> list[Interval]:
        return [(event.span_start, event.span_end) for event in self.tracker.covered()]


def test_time_is_covered_once_its_messages_are_acknowledged() -> None:
    feed = Feed()
    feed.subscribe(1_000)
    for at in (1_100, 1_900, 2_000, 2_500, 3_050):
        feed.receive(at)
    assert feed.covered() == []
    feed.acknowledge(2)
    assert feed.covered() == [(1_000, 2_000)]
    feed.acknowledge()
    assert feed.covered() == [(2_000, 3_050)]
    assert feed.covered() == []


def test_spans_follow_on_from_each_other_until_the_connection_ends() -> None:
    feed = Feed()
    feed.subscribe(0)
    for at in range(100, 5_000, 100):
        feed.receive(at)
    feed.acknowledge()
    first = feed.covered()
    feed.tracker.disconnected()
    assert [*first, *feed.covered()] == [(0, 4_000), (4_000, 4_901)]


def test_acknowledgements_out_of_order_cover_nothing_too_early() -> None:
    feed = Feed()
    feed.subscribe(0)
    for at in (500, 1_500, 2_500, 3_500):
        feed.receive(at)
    late = feed.sent.pop(0)
    feed.acknowledge()
    assert feed.covered() == []
    late.on_delivery(None, LOST)
    assert feed.covered() == [(0, 3_500)]


def test_the_window_of_a_lost_message_is_a_gap_and_the_next_span_says_why() -> None:
    feed = Feed()
    feed.subscribe(0)
    for at in (500, 1_500, 2_500, 3_500, 4_500):
        feed.receive(at)
    feed.lose(1)
    feed.acknowledge()
    assert feed.failures == [LOST]
    events = list(feed.tracker.covered())
    assert [(event.span_start, event.span_end, event.reason) for event in events] == [
        (0, 1_500, ""),
        (2_500, 4_500, "messages lost: 1"),
    ]
    assert len({event.id for event in events}) == 2


def test_no_span_reaches_over_a_disconnect() -> None:
    feed = Feed()
    feed.subscribe(0, "first0")
    feed.receive(700)
    feed.tracker.disconnected()
    feed.subscribe(900, "second")
    feed.receive(950)
    feed.tracker.disconnected()
    feed.acknowledge()
    events = list(feed.tracker.covered())
    assert [(event.connection, event.span_start, event.span_end) for event in events] == [
        ("first0", 0, 701),
        ("second", 900, 951),
    ]


def test_frames_without_messages_cover_too() -> None:
    feed = Feed()
    feed.subscribe(0)
    for at in (60_000, 120_000):
        feed.receive(at, messages=0)
    assert feed.covered() == [(0, 120_000)]


def test_a_connection_that_brought_nothing_covers_nothing() -> None:
    feed = Feed()
    feed.subscribe(1_000)
    feed.tracker.disconnected()
    feed.tracker.disconnected()
    assert feed.covered() == []


def test_refused_symbols_are_not_covered() -> None:
    feed = Feed()
    feed.subscribe(0)
    feed.receive(10)
    feed.tracker.refused(event("refused", 10, "MSFT"))
    feed.acknowledge()
    feed.tracker.disconnected()
    assert [covered.symbols for covered in feed.tracker.covered()] == ["AAPL"]


def test_a_long_outage_of_kafka_is_one_window() -> None:
    feed = Feed()
    feed.subscribe(0)
    feed.receive(10)
    for second in range(1, 5_000):
        window = feed.tracker.received(second * WINDOW_MS)
        window.sent += 3
        window.lost += 3
    assert len(feed.tracker._closed) == 2
    feed.receive(5_000 * WINDOW_MS)
    feed.receive(5_001 * WINDOW_MS)
    feed.acknowledge()
    assert feed.covered() == [(0, 1_000), (5_000_000, 5_001_000)]


def test_what_becomes_covered_at_once_after_a_long_outage_is_split() -> None:
    feed = Feed()
    feed.subscribe(0)
    feed.receive(500)
    feed.receive(1_500)
    feed.receive(5_000)
    for minute in range(1, 30 * 60 + 1):
        feed.receive(5_000 + minute * 60_000)
    feed.lose(0)
    feed.acknowledge()
    events = list(feed.tracker.covered())
    spans = [(event.span_start, event.span_end) for event in events]
    assert (spans[0][0], spans[-1][1]) == (1_500, 5_000 + 30 * 3_600_000)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))
    assert max(until - since for since, until in spans) == MAX_COVERED_MS
    assert len({event.id for event in events}) == len(events)
    assert [event.reason for event in events] == ["messages lost: 1"] + [""] * (len(events) - 1)


FRAMES = st.lists(
    st.tuples(st.integers(0, 1_500), st.sampled_from(["acknowledged", "lost", "open", "ping"])), min_size=1, max_size=40
)


@given(FRAMES)
def test_covered_time_holds_no_message_that_is_lost_or_open(frames: list[tuple[int, str]]) -> None:
    feed = Feed()
    feed.subscribe(0)
    at, fates = 0, []
    for pause, fate in frames:
        at += pause
        feed.receive(at, messages=0 if fate == "ping" else 1)
        if fate != "ping":
            fates.append((at, fate))
    feed.tracker.disconnected()
    for window, (_, fate) in zip(feed.sent, fates, strict=True):
        if fate != "open":
            window.on_delivery(LOST if fate == "lost" else None, LOST)
    spans = feed.covered()
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    for when, fate in fates:
        if fate != "acknowledged":
            assert not any(since <= when < until for since, until in spans)
    if all(fate == "acknowledged" for _, fate in fates) and (fates or at):
        assert spans in ([(0, at)], [(0, at + 1)])
