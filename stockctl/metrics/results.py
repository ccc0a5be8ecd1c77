"""Results: rows with the values of a metric and their context, and notes for the user.

The context of each row is its policy, session, trades left out, coverage, the time that the data goes through, the feed, and
the version of the condition table. A value that cannot be computed is null, and a note says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from stockctl.exchange.calendar import from_ms
from stockctl.exchange.trade_conditions import TABLE_VERSION
from stockctl.metrics.query import Query, Span
from stockctl.metrics.query_context import QueryContext, SpanContext
from stockctl.units import counted, format_percent

Row = dict[str, Any]

JUMP = 1.4
"""A factor between one date's last price and the next date's first price that may be a split."""

CONTEXT = ("policy", "session", "left_out", "left_out_by", "coverage", "through", "feed", "condition_table")
"""The columns of the context; ``coverage`` in percent, ``condition_table`` the version of the trade-condition table."""

FEEDS = {
    "finnhub": "finnhub: a part of the market's trades, not the consolidated tape",
    "sim": "sim: simulated trades",
    "replay": "replay: captured frames of the feed, a part of the market's trades",
}
"""What each source of trades is, for the user."""


class Result(NamedTuple):
    """Rows with ``columns`` and the columns of ``CONTEXT``, and ``notes`` for the user.

    ``types`` are the types of all columns: a column may be null in every row. A zone means timestamps in that zone.
    ``without_trades`` are the symbols for which the engine has no trades in the queried time.
    """

    columns: tuple[str, ...]
    rows: list[Row]
    notes: list[str]
    types: dict[str, type | ZoneInfo]
    without_trades: list[str]


def time_of(ms: int | None, zone: ZoneInfo) -> datetime | None:
    """The datetime in ``zone``; None for None."""
    return None if ms is None else from_ms(ms, zone)


def result(context: QueryContext, values: Iterable[Row], columns: Sequence[str], times: Sequence[str] | None = None) -> Result:
    """The rows ``values``, each with its symbol, date and context, and a row of nulls for each span and symbol without values.

    ``times`` names the columns that distinguish the rows of one span; by default ``bar`` if the query has bars.
    """
    query = context.query
    times = times if times is not None else ("bar",) if query.every_ms is not None else ()
    names = ("symbol", "trade_date", *times, *columns)
    by_span: dict[int, list[Row]] = {}
    overflows: dict[str, list[str]] = {}
    for row in values:
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                row[name] = None
                overflows.setdefault(context.spans[row["span"]].symbol, []).append(name)
        by_span.setdefault(row["span"], []).append(row | {"bar": time_of(row.get("bar_ms"), query.zone)})
    rows: list[Row] = []
    notes: list[str] = []
    for span, span_context in zip(context.spans, context.contexts, strict=True):
        context_columns = _context_columns(query, span, span_context)
        rows += [
            dict.fromkeys(names)
            | {name: row[name] for name in names if name in row}
            | {"symbol": span.symbol, "trade_date": None if query.across else span.date_of(row)}
            | context_columns
            for row in by_span.get(span.number, [{}])
        ]
        notes.append(_note(query, span, span_context, context_columns))
    traded = {span.symbol for span, its in zip(context.spans, context.contexts, strict=True) if not its.is_empty}
    without_trades = [symbol for symbol in dict.fromkeys(query.symbols) if symbol not in traded]
    for symbol in without_trades:
        note = context.note(symbol)
        if all(span.symbol != symbol for span in context.spans):
            empty = {"symbol": symbol, "policy": query.policy, "condition_table": TABLE_VERSION}
            rows.append(dict.fromkeys((*names, *CONTEXT)) | empty)
            note = note or f"{symbol}: {context.place} holds no trades of it{_in_queried_time(query)}"
        notes += [note] if note else []
    for (session, day), symbols in context.superseded.items():
        hours = "on" if session == "all" else f"in the {session} session of"
        notes.append(f"no trade of {', '.join(symbols)} {hours} {day}: their newest session that has trades is shown")
    for symbol, columns in overflows.items():
        notes.append(f"{symbol}: no {', '.join(dict.fromkeys(columns))}: prices and volumes are too large to compute with")
    if query.received_by is not None:
        then = time_of(query.received_by, query.zone)
        notes.append(f"as received by {then:%Y-%m-%d %H:%M:%S %Z}: later records are left out")
    sources = sorted({source for its in context.contexts for source in its.sources})
    notes += [FEEDS.get(source, source) for source in sources] + list(_jump_warnings(context))
    return Result(names, rows, notes, _types(query.zone), without_trades)


def _types(zone: ZoneInfo) -> dict[str, type | ZoneInfo]:
    texts = ("symbol", "window", "every", "policy", "session", "left_out_by", "feed", "condition_table")
    times = ("bar", "at", "through", "last_trade")
    counts = ("trades", "left_out", "returns")
    prices = ("open", "high", "low", "close")
    measures = ("vwap", "volume", "rate", "covered_seconds", "volatility", "annual_volatility", "deviation", "coverage")
    return (
        dict.fromkeys(texts, str)
        | dict.fromkeys(times, zone)
        | dict.fromkeys(counts, int)
        | dict.fromkeys((*prices, *measures), float)
        | {"trade_date": date}
    )


def _context_columns(query: Query, span: Span, context: SpanContext) -> Row:
    by = sorted(context.left_out_by.items(), key=lambda item: (-item[1], item[0]))
    return {
        "policy": query.policy,
        "session": span.session,
        "left_out": context.left_out,
        "left_out_by": "; ".join(f"{why}: {count}" for why, count in by) or None,
        "coverage": context.coverage,
        "through": time_of(context.through, query.zone),
        "feed": "; ".join(FEEDS.get(source, source) for source in sorted(context.sources)) or None,
        "condition_table": TABLE_VERSION,
    }


def _note(query: Query, span: Span, context: SpanContext, context_columns: Row) -> str:
    dates = " to ".join(dict.fromkeys(str(part.trade_date) for part in (span.parts[0], span.parts[-1])))
    head = f"{span.symbol} {dates} {'all hours' if span.session == 'all' else span.session}: "
    if context.is_empty:
        return head + "no trades"
    trades = counted(context.trades, "trade")
    if context.updates:
        trades += f" and {counted(context.updates, 'price update')}"
        if not context.trades:
            trades += ", whose prices count: without volume there is no VWAP and no trade rate"
    left_out = f"{context.left_out} left out" + (f" ({context_columns['left_out_by']})" if context.left_out else "")
    through = context.through
    closed = span.hours == "currency" and (span.since == span.until or (context.last_ms or span.since) < span.since)
    if closed:
        coverage, through = "the market is closed at this time", max(context.last_ms or 0, through or 0)
    elif not context.covered:
        coverage = "no coverage known, so no rate and no returns"
        if span.until > query.effective_now:
            coverage += " so far: coverage comes in batches of its own"
    elif context.coverage is None:
        coverage = "outside session hours"
    else:
        coverage = f"coverage {format_percent(context.coverage)}"
    moment = time_of(through, query.zone)
    end = f"{moment:%Y-%m-%d %H:%M:%S %Z}" if moment else "an unknown time"
    return f"{head}policy {query.policy}, {trades}, {left_out}; {coverage}; data through {end}"


def _in_queried_time(query: Query) -> str:
    if query.fall_back:
        return ""
    which = "requested" if query.is_bounded else "newest"
    return f" in the {which} {'time' if query.session == 'all' else f'{query.session} session; try --session all'}"


def _jump_warnings(context: QueryContext) -> Iterator[str]:
    """A warning for each overnight jump of a price that may be a split."""
    if len({part.trade_date for span in context.spans for part in span.parts}) < 2:
        return
    before: dict[str, Row] = {}
    for row in context.run("jumps"):
        symbol = context.spans[row["span"]].symbol
        last = before.get(symbol)
        before[symbol] = row
        if last is None:
            continue
        factor = row["first_price"] / last["last_price"]
        if max(factor, 1 / factor) >= JUMP:
            yield (
                f"warning: {symbol} goes from {last['last_price']:g} to {row['first_price']:g} between "
                f"{date.fromordinal(last['part'])} and {date.fromordinal(row['part'])}: a split? Prices are not adjusted"
            )
