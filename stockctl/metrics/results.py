"""Answers: rows that hold the figures and what must be known beside them, and words for the person who asked.

Beside each figure stand policy, session, what was left out, coverage, the time through which the data goes, and of which feed
it is. What cannot be answered is null, and said in words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from stockctl.exchange.calendar import from_ms
from stockctl.metrics.query import Query, Span
from stockctl.metrics.query_context import Context, QueryContext
from stockctl.units import counted

Row = dict[str, Any]

JUMP = 1.4
"""Factor between one date's last price and the next one's first that looks like a split."""

CONTEXT = ("policy", "session", "left_out", "left_out_by", "coverage", "through", "feed")
"""Columns that say what must be known beside the figures; ``coverage`` in per cent."""

_FEEDS = {
    "finnhub": "finnhub: a part of the market's trades, not the consolidated tape",
    "sim": "sim: simulated trades, no market's",
    "replay": "replay: captured frames of the feed, a part of the market's trades",
}


class Result(NamedTuple):
    """``columns`` are those of the figures; each row holds them and ``CONTEXT``. ``words`` are for the person who asked.

    ``types`` are those of every column, since a figure that is missing in each row tells none; a zone stands for moments in it.
    ``lacking`` are the symbols that the engine has no trade of in what was asked.
    """

    columns: tuple[str, ...]
    rows: list[Row]
    words: list[str]
    types: dict[str, type | ZoneInfo]
    lacking: list[str]


def time_of(ms: int | None, zone: ZoneInfo) -> datetime | None:
    """The moment in ``zone``; None for none."""
    return None if ms is None else from_ms(ms, zone)


def result(reckoning: QueryContext, found: Iterable[Row], columns: Sequence[str], times: Sequence[str] | None = None) -> Result:
    """The rows ``found``, each with its span's place and context; a row of nulls for each span and symbol without one.

    ``times`` names the columns that tell rows of one span apart; by default ``bar`` where there are bars.
    """
    question = reckoning.question
    times = times if times is not None else ("bar",) if question.every_ms is not None else ()
    names = ("symbol", "trade_date", *times, *columns)
    by_span: dict[int, list[Row]] = {}
    endless: dict[str, list[str]] = {}
    for row in found:
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                row[name] = None
                endless.setdefault(reckoning.spans[row["span"]].symbol, []).append(name)
        by_span.setdefault(row["span"], []).append(row | {"bar": time_of(row.get("bar_ms"), question.zone)})
    rows: list[Row] = []
    words: list[str] = []
    for span, context in zip(reckoning.spans, reckoning.contexts, strict=True):
        beside = _beside(question, span, context)
        rows += [
            dict.fromkeys(names)
            | {name: row[name] for name in names if name in row}
            | {"symbol": span.symbol, "trade_date": None if question.across else span.date_of(row)}
            | beside
            for row in by_span.get(span.number, [{}])
        ]
        words.append(_words(question, span, context, beside))
    held = {span.symbol for span, context in zip(reckoning.spans, reckoning.contexts, strict=True) if not context.is_empty}
    lacking = [symbol for symbol in dict.fromkeys(question.symbols) if symbol not in held]
    for symbol in lacking:
        note = reckoning.note(symbol)
        if all(span.symbol != symbol for span in reckoning.spans):
            rows.append(dict.fromkeys((*names, *CONTEXT)) | {"symbol": symbol, "policy": question.policy})
            note = note or f"{symbol}: {reckoning.place} holds no trades of it{_asked(question)}"
        words += [note] if note else []
    for (session, day), symbols in reckoning.instead.items():
        hours = "on" if session == "all" else f"in the {session} session of"
        words.append(f"no trade of {', '.join(symbols)} {hours} {day}: their newest session that has trades is shown")
    for symbol, columns in endless.items():
        words.append(f"{symbol}: no {', '.join(dict.fromkeys(columns))}: prices and volumes are too large to compute with")
    if question.received_by is not None:
        then = time_of(question.received_by, question.zone)
        words.append(f"as received by {then:%Y-%m-%d %H:%M:%S %Z}: what came later is left out")
    sources = sorted({source for context in reckoning.contexts for source in context.sources})
    words += [_FEEDS.get(source, source) for source in sources] + list(_jumps(reckoning))
    return Result(names, rows, words, _types(question.zone), lacking)


def _types(zone: ZoneInfo) -> dict[str, type | ZoneInfo]:
    texts = ("symbol", "window", "every", "policy", "session", "left_out_by", "feed")
    moments = ("bar", "at", "through", "last_trade")
    counts = ("trades", "left_out", "returns")
    prices = ("open", "high", "low", "close")
    figures = ("vwap", "volume", "rate", "covered_seconds", "volatility", "annual_volatility", "deviation", "coverage")
    return (
        dict.fromkeys(texts, str)
        | dict.fromkeys(moments, zone)
        | dict.fromkeys(counts, int)
        | dict.fromkeys((*prices, *figures), float)
        | {"trade_date": date}
    )


def _beside(question: Query, span: Span, context: Context) -> Row:
    by = sorted(context.left_out_by.items(), key=lambda item: (-item[1], item[0]))
    return {
        "policy": question.policy,
        "session": span.session,
        "left_out": context.left_out,
        "left_out_by": "; ".join(f"{why}: {count}" for why, count in by) or None,
        "coverage": context.coverage,
        "through": time_of(context.through, question.zone),
        "feed": "; ".join(_FEEDS.get(source, source) for source in sorted(context.sources)) or None,
    }


def _words(question: Query, span: Span, context: Context, beside: Row) -> str:
    dates = " to ".join(dict.fromkeys(str(part.trade_date) for part in (span.parts[0], span.parts[-1])))
    head = f"{span.symbol} {dates} {'all hours' if span.session == 'all' else span.session}: "
    if context.is_empty:
        return head + "no trades"
    held = counted(context.trades, "trade")
    if context.updates:
        held += f" and {counted(context.updates, 'price update')}"
        if not context.trades:
            held += ", whose prices count: without volume there is no VWAP and no trade rate"
    left_out = f"{context.left_out} left out" + (f" ({beside['left_out_by']})" if context.left_out else "")
    told = context.through
    closed = span.hours == "currency" and (span.since == span.until or (context.last_ms or span.since) < span.since)
    if closed:
        covered, told = "the market is closed at this time", max(context.last_ms or 0, told or 0)
    elif not context.covered:
        covered = "no coverage known, so no rate and no returns"
        if span.until > question.then:
            covered += " so far: coverage comes in batches of its own"
    elif context.coverage is None:
        covered = "outside session hours"
    else:
        covered = f"coverage {context.coverage:.4g} %"
    moment = time_of(told, question.zone)
    through = f"{moment:%Y-%m-%d %H:%M:%S %Z}" if moment else "an unknown time"
    return f"{head}policy {question.policy}, {held}, {left_out}; {covered}; data through {through}"


def _asked(question: Query) -> str:
    if question.fall_back:
        return ""
    which = "asked" if question.day or question.since or question.until else "newest"
    return f" in the {which} {'time' if question.session == 'all' else f'{question.session} session; try --session all'}"


def _jumps(reckoning: QueryContext) -> Iterator[str]:
    """A warning for each overnight jump that looks like a split."""
    if len({part.trade_date for span in reckoning.spans for part in span.parts}) < 2:
        return
    before: dict[str, Row] = {}
    for row in reckoning.run("jumps"):
        symbol = reckoning.spans[row["span"]].symbol
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
