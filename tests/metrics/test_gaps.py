"""``lake gaps``: session time that nothing covered, and why."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest

from stockctl.clients.object_store import open_store
from stockctl.metrics import coverage_report
from stockctl.metrics.coverage_report import read_coverage
from stockctl.records import stopped_time
from stockctl.settings import Settings
from tests.lakes import at, covered, lay

DAY = date(2026, 11, 20)


def spans(settings: Settings, *bounds: int, whole: bool = False) -> list[tuple[str, int, int, str | None]]:
    """Symbol, start, end and reason of each gap."""
    return [(gap.symbol, gap.since, gap.until, gap.reason) for gap in read_coverage(settings, *bounds, whole=whole).gaps]


def with_symbols(settings: Settings, *symbols: str, session: str = "regular") -> Settings:
    """The settings for these symbols and this session."""
    return settings.model_copy(
        update={"symbols": list(symbols), "metrics": settings.metrics.model_copy(update={"session": session})}
    )


def test_gaps_are_session_time_that_was_not_covered(lake_settings: Settings) -> None:
    """A late start, a break with its reason, and an early end; the feed had been there the day before."""
    events = [
        covered("AAPL", "2026-11-19 15:00", "2026-11-19 15:01"),
        covered("AAPL", "2026-11-20 10:00", "2026-11-20 11:00"),
        covered("AAPL", "2026-11-20 11:00", "2026-11-20 11:30", kind="disconnected", reason="connection reset"),
        covered("AAPL", "2026-11-20 11:30", "2026-11-20 15:00"),
    ]
    lay(lake_settings, events, table="feed_events")
    assert spans(with_symbols(lake_settings, "AAPL")) == [
        ("AAPL", at("2026-11-20 09:30"), at("2026-11-20 10:00"), "no feed events"),
        ("AAPL", at("2026-11-20 11:00"), at("2026-11-20 11:30"), "connection reset"),
        ("AAPL", at("2026-11-20 15:00"), at("2026-11-20 16:00"), "no feed events"),
    ]
    assert read_coverage(with_symbols(lake_settings, "AAPL")).totals == [("AAPL", DAY, 16_200_000, 23_400_000)]


def test_without_symbols_the_report_has_every_symbol_of_the_events(lake_settings: Settings) -> None:
    """The setting ``symbols`` is empty."""
    lay(lake_settings, [covered("AAPL,MSFT", "2026-11-20 09:30", "2026-11-20 16:00")], table="feed_events")
    found = read_coverage(with_symbols(lake_settings))
    assert (found.gaps, [symbol for symbol, *_ in found.totals]) == ([], ["AAPL", "MSFT"])


def test_all_hours_count_on_demand_and_always_for_crypto(lake_settings: Settings) -> None:
    """Pre and post for stocks; the calendar day for symbols that trade around the clock."""
    lay(lake_settings, [covered("AAPL,BINANCE:BTCUSDT", "2026-11-20 00:00", "2026-11-20 00:01")], table="feed_events")
    found = read_coverage(with_symbols(lake_settings, "AAPL", "BINANCE:BTCUSDT", session="all"))
    assert [(symbol, expected) for symbol, _, _, expected in found.totals] == [
        ("AAPL", 57_600_000),
        ("BINANCE:BTCUSDT", 86_400_000),
    ]


def test_dates_without_events_are_gaps_within_bounds(lake_settings: Settings) -> None:
    """A day without a running feed is one gap; a holiday and a weekend have none."""
    lay(lake_settings, [covered("AAPL", "2026-11-20 09:30", "2026-11-20 16:00")], table="feed_events")
    found = read_coverage(with_symbols(lake_settings, "AAPL"), at("2026-11-19"), at("2026-11-23"), whole=True)
    assert [(gap.trade_date, gap.until - gap.since) for gap in found.gaps] == [(date(2026, 11, 19), 23_400_000)]


def test_bounds_clip_the_gaps(lake_settings: Settings) -> None:
    """Only time within the bounds counts."""
    lay(lake_settings, [covered("AAPL", "2026-11-20 10:00", "2026-11-20 16:00")], table="feed_events")
    assert spans(with_symbols(lake_settings, "AAPL"), at("2026-11-20 09:45"), at("2026-11-20 12:00"), whole=True) == [
        ("AAPL", at("2026-11-20 09:45"), at("2026-11-20 10:00"), "no feed events")
    ]


def test_an_empty_lake_has_an_empty_report(lake_settings: Settings) -> None:
    """Without feed events there are no gaps and no totals."""
    open_store(lake_settings)
    assert read_coverage(lake_settings)[:2] == ([], [])


def test_nothing_is_missed_between_a_connection_and_its_subscription(lake_settings: Settings) -> None:
    """The first connection; in simulated data also one after a stop. Without a subscription, all time is missed."""
    opened = at("2026-11-20 10:00")
    events = [
        covered("AAPL,MSFT", opened, opened + 3, kind="connected"),
        covered("AAPL", opened + 30, opened + 30, kind="subscribed"),
        covered("AAPL", opened + 30, "2026-11-20 16:00"),
    ]
    lay(lake_settings, events, table="feed_events")
    assert spans(with_symbols(lake_settings, "AAPL")) == []
    assert spans(with_symbols(lake_settings, "MSFT")) == [("MSFT", opened, at("2026-11-20 16:00"), "no feed events")]


def test_a_simulated_producer_that_starts_again_misses_nothing_before_its_subscription() -> None:
    events = [
        covered("AAPL", 1000, 1000, kind="disconnected", reason="stopped"),
        msgspec.structs.replace(covered("AAPL", 5000, 5003, kind="connected"), connection="test01"),
        msgspec.structs.replace(covered("AAPL", 5030, 5030, kind="subscribed"), connection="test01"),
    ]
    assert stopped_time([msgspec.structs.asdict(event) for event in events]) == [(1000, 5030)]


def test_before_the_first_session_all_hours_are_shown_with_a_note(
    lake_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the pre-market of the first day. A day later, the regular session of the day before counts."""
    settings = with_symbols(lake_settings, "AAPL")
    lay(settings, [covered("AAPL", "2026-11-20 08:00", "2026-11-20 08:10")], table="feed_events")
    monkeypatch.setattr(coverage_report, "now_ms", lambda: at("2026-11-20 08:30"))
    found = read_coverage(settings, fall_back=True)
    assert (found.session, [gap.since for gap in found.gaps]) == ("all", [at("2026-11-20 08:10")])
    assert read_coverage(settings) == ([], [], "regular", False)
    lay(settings, [covered("AAPL", "2026-11-23 08:00", "2026-11-23 08:10")], table="feed_events", start=1)
    monkeypatch.setattr(coverage_report, "now_ms", lambda: at("2026-11-23 08:30"))
    found = read_coverage(settings, fall_back=True)
    assert (found.session, [day for _, day, *_ in found.totals]) == ("regular", [DAY])
