"""What ``signals list`` and ``signals show`` show: stored signals, each with whether it lies beside a gap of the feed.

Coverage is known only afterwards, so it is no part of a record: it is computed from the feed events when signals are read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from operator import itemgetter
from typing import Any

from stockctl.exchange.calendar import day_bounds, now_ms, trade_date
from stockctl.lake.reader.events import read_events
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.signals import signals_between
from stockctl.metrics.coverage_report import coverage_intervals
from stockctl.records import SignalRecord

AFTER_GAP = 60_000
"""Milliseconds after the end of a gap in which a signal still lies beside it."""
COLUMNS = (
    *("ts_decided", "symbol", "strategy", "side", "target", "strength", "gap", "reason", "id", "kind", "run", "n"),
    *("ts_event", "ts_recv", "record", "partition", "offset", "inputs", "version", "details", "source"),
)
"""The fields of a row: those of the record, the most important first, and ``gap``."""

Row = dict[str, Any]


def read_rows(
    lake: LakeReader,
    since: int | None,
    until: int | None,
    *,
    symbols: Iterable[str] | None = None,
    strategy: str | None = None,
    kind: str = "signal",
) -> list[Row]:
    """The records of ``kind`` with ``ts_event`` in ``[since, until)`` (ms UTC) as rows of ``COLUMNS``, the newest first.

    ``gap`` is whether the trade that was decided on lies in a gap or at most a minute after one, in the session
    ``metrics.session``; None while the feed events do not reach it.
    """
    table = signals_between(lake, since, until, symbols=symbols, strategy=strategy, kind=kind)
    rows: list[Row] = table.select(list(SignalRecord.__struct_fields__)).to_pylist()
    _mark(lake, rows)
    return [{name: row[name] for name in COLUMNS} for row in reversed(rows)]


def newest_day(lake: LakeReader) -> date | None:
    """The newest date with records; None without one."""
    return max(lake.dates("signals"), default=None)


def find_rows(lake: LakeReader, id: str) -> list[Row]:
    """The records with ``id``, the newest first: several where more than one run decided on the same trade."""
    for day in reversed(lake.dates("signals")):
        since, until = day_bounds(day, lake.zone)
        table = signals_between(lake, since, until, kind=None)
        rows = [row for row in table.select(list(SignalRecord.__struct_fields__)).to_pylist() if row["id"] == id]
        if rows:
            _mark(lake, rows)
            return [{name: row[name] for name in COLUMNS} for row in reversed(rows)]
    return []


def _mark(lake: LakeReader, rows: Iterable[Row]) -> None:
    """Set ``gap`` in each row."""
    days: dict[date, list[Row]] = {}
    for row in rows:
        row["gap"] = None
        if row["symbol"]:
            days.setdefault(trade_date(row["ts_event"]), []).append(row)
    for day, of_day in days.items():
        since, until = day_bounds(day)
        events = read_events(lake, since, until)
        symbols = sorted({row["symbol"] for row in of_day})
        gaps: dict[str, list[tuple[int, int]]] = {symbol: [] for symbol in symbols}
        session, now = lake.settings.metrics.session, now_ms()
        for found in coverage_intervals(lake, events, symbols, [day], session, now, since, until, whole=False):
            if not found.covered:
                gaps[found.symbol].append((found.since, found.until))
        reported = _reported(events, symbols)
        for row in of_day:
            row["gap"] = _beside(gaps[row["symbol"]], row["ts_event"], reported[row["symbol"]])


def _reported(events: Sequence[Mapping[str, Any]], symbols: Iterable[str]) -> dict[str, int]:
    """Until when, in ms UTC, the events report each symbol; -1 without an event."""
    ends = dict.fromkeys(symbols, -1)
    for event in events:
        for symbol in event["symbols"].split(","):
            if symbol in ends:
                ends[symbol] = max(ends[symbol], event["span_end"])
    return ends


def _beside(gaps: Sequence[tuple[int, int]], at: int, reported: int) -> bool | None:
    """Whether ``at`` lies in one of ``gaps``, which are disjoint and in order, or at most ``AFTER_GAP`` after it."""
    if reported < 0:
        return None  # nothing says whether the feed had the symbol
    before = bisect_right(gaps, at, key=itemgetter(0)) - 1
    if before >= 0 and at < gaps[before][1] + AFTER_GAP:
        return True
    return False if at < reported else None
