"""The JSON of a view: numbers, figure, bars, gaps, filings and signals, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from stockctl.dashboard.view.day import Day, Row
from stockctl.dashboard.view.live_day import LiveDay
from stockctl.exchange.calendar import now_ms
from stockctl.figures.charts import day_figure, frame_traces
from stockctl.metrics.results import FEEDS


def snapshot_of(day: Day, live: LiveDay | None, id: str, changes: str | None) -> bytes:
    """The view's ``day``, with what was added to it ``live``. ``changes`` says where live changes come from, if any do."""
    rows = list(day.bars.values()) if live is None else live.sorted_rows()
    numbers = day.numbers if live is None else live.numbers()
    answer = {
        "id": id,
        "view": day.view.values(day.zone) | {"live": live is not None},
        "resolved": resolved(day),
        "source": source(day, changes),
        "numbers": numbers | change(day, numbers),
        "notes": day.notes,
        "figure": figure(day, rows),
        "bars": rows,
        "gaps": day.gaps,
        "filings": day.filings,
        "signals": day.signals,
        "empty": day.empty,
    }
    return msgspec.json.encode(answer)


def resolved(day: Day) -> dict[str, Any] | None:
    """The session that the view shows; None without one."""
    if day.span is None:
        return None
    return {
        "symbol": day.span.symbol,
        "date": day.span.parts[0].trade_date.isoformat(),
        "session": day.span.session,
        "since": day.span.since,
        "until": day.span.until,
        "timezone": day.zone.key,
    }


def source(day: Day, changes: str | None) -> dict[str, Any]:
    """Where the view's data comes from."""
    return {
        "store": day.place,
        "feeds": day.sources,
        "simulated": "sim" in day.sources,
        "text": "; ".join(FEEDS.get(one, one) for one in day.sources),
        "live": changes,
        "read_at": day.read_at,
    }


def change(day: Day, numbers: Row) -> Row:
    """The change of the last price, in the currency and in percent, from the close before, or from the open without one."""
    base, of = (day.previous_close, "previous close") if day.previous_close is not None else (numbers.get("open"), "open")
    last = numbers.get("close")
    if base is None or last is None:
        return {"change": None, "change_percent": None, "change_from": None}
    return {"change": last - base, "change_percent": 100 * (last - base) / base, "change_from": of}


def figure(day: Day, rows: Sequence[Row]) -> dict[str, Any] | None:
    """The figure of the view; None without trades."""
    if day.span is None or day.empty:
        return None
    return day_figure(
        rows,
        symbol=day.span.symbol,
        since=day.span.since,
        until=day.span.until,
        every_ms=day.view.every_ms,
        gaps=day.gaps,
        through=day.through,
        now=day.now,
        filings=day.filings,
        signals=day.signals,
        zone=day.zone,
    )


def traces(live: LiveDay, rows: Sequence[Row], *, gaps_changed: bool = False) -> list[dict[str, Any]]:
    """The points of the figure that ``rows`` change."""
    day = live.day
    if day.span is None or day.empty:
        return []
    return frame_traces(
        rows,
        live.sorted_rows(),
        since=day.span.since,
        until=day.span.until,
        every_ms=day.view.every_ms,
        gaps=day.gaps,
        gaps_changed=gaps_changed,
        through=live.through,
        now=min(now_ms(), day.span.until),
        zone=day.zone,
    )
