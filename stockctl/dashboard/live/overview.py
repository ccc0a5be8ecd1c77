"""All symbols at a glance: the company documents and minute bars of MongoDB, and the newest trade of each symbol."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any, NamedTuple

from stockctl.clients.mongo import Document, Mongo
from stockctl.dashboard.view.previous_close import close_in_bars, previous_close
from stockctl.exchange.calendar import day_bounds, to_ms
from stockctl.metrics.definitions import bars_of, build_query, summary_of
from stockctl.metrics.engines.lake import LakeEngine
from stockctl.metrics.query_context import QueryContext
from stockctl.mongo.aggregation import match_symbol
from stockctl.mongo.documents import ms_of
from stockctl.mongo.schema import BARS
from stockctl.records import Trade
from stockctl.settings import Settings

MINUTE_MS = 60_000
MOST_POINTS = 120
"""Points of a sparkline."""
_SPARK_SECONDS = 15.0
"""Seconds between two readings of a symbol's sparkline."""

Row = dict[str, Any]


class Line(NamedTuple):
    """A date's prices by minute: ``closes``, at most ``MOST_POINTS``; the last price, set at ``at`` (ms UTC) or later."""

    closes: list[float]
    open: float | None
    last: float | None
    at: int
    previous: float | None
    """The close before the date."""


def line_of(minutes: Sequence[tuple[int, float, float]], previous: float | None) -> Line:
    """The line of ``minutes``: start (ms UTC), open and close of each."""
    if not minutes:
        return Line([], None, None, 0, previous)
    step = max(1, -(-len(minutes) // MOST_POINTS))
    closes = [close for _, _, close in minutes]
    return Line(closes[::-1][::step][::-1], minutes[0][1], closes[-1], minutes[-1][0], previous)


class Overview:
    """A row per symbol: last price, change, VWAP, rate, coverage and sparkline of its newest session."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._changed: set[str] = set()
        self._spark_due: dict[str, float] = {}
        self._previous: dict[tuple[str, str], float | None] = {}

    def on_company(self, document: Document) -> None:
        """Take a company document."""
        session, last = document.get("session"), document.get("last")
        if not session or not last:
            return
        symbol = document["_id"]
        row = self._rows.setdefault(symbol, {"symbol": symbol})
        if row.get("trade_date") != session["trade_date"]:
            unknown = dict.fromkeys(("change", "change_percent", "change_from", "base", "last"))
            row |= unknown | {"spark": [], "at": 0}
            self._spark_due[symbol] = 0.0
        row |= {
            "session": session["name"],
            "trade_date": session["trade_date"],
            "trades": session["trades"],
            "volume": session["volume"],
            "vwap": session["vwap"],
            "rate": session["rate"],
            "coverage": session["coverage"],
            "source": last["source"],
        }
        if row["last"] is None:
            # Until the minutes are read: the document's last trade need not be one that sets the last price.
            self._set_last(row, last["price"], ms_of(last["ts_event"]) // MINUTE_MS * MINUTE_MS)
        self._changed.add(symbol)

    def on_trade(self, trade: Trade) -> None:
        """Take a trade that was stored."""
        row = self._rows.get(trade.symbol)
        if row is not None and "l" in trade.updates:
            self._set_last(row, trade.price, trade.ts_event)

    def _set_last(self, row: Row, price: float, at: int) -> None:
        if at >= row.get("at", 0):
            row |= {"last": price, "at": at}
            if row.get("base"):
                row |= {"change": price - row["base"], "change_percent": 100 * (price / row["base"] - 1)}
        self._changed.add(row["symbol"])

    def due(self, *, is_seen: bool) -> list[tuple[str, str]]:
        """Symbols and dates whose sparkline is to be read: the first time, and while they are seen again after each change."""
        now = time.monotonic()
        names = [
            symbol
            for symbol in self._changed | self._spark_due.keys()
            if self._spark_due.get(symbol, 0.0) <= now and (is_seen or not self._rows[symbol]["spark"])
        ]
        for symbol in names:
            self._spark_due[symbol] = now + _SPARK_SECONDS
        return [(symbol, self._rows[symbol]["trade_date"]) for symbol in names]

    def read_line(self, mongo: Mongo, symbol: str, day: str) -> Line:
        """The line of the date's minutes."""
        since, until = day_bounds(date.fromisoformat(day))
        inside = match_symbol(symbol, "bar", since, until)["$match"]
        found = mongo.find(BARS, inside, ["bar", "open", "close"], sort=[("bar", 1)])
        minutes = [(ms_of(bar["bar"]), bar["open"], bar["close"]) for bar in found if bar["close"] is not None]
        key = symbol, day
        if key not in self._previous:
            self._previous[key] = close_in_bars(mongo, symbol, since)
        return line_of(minutes, self._previous[key])

    def set_line(self, symbol: str, day: str, line: Line) -> None:
        """Take a line, unless the symbol shows another date by now."""
        row = self._rows[symbol]
        if row["trade_date"] != day:
            return
        base, of = (line.open, "open") if line.previous is None else (line.previous, "previous close")
        row |= {"spark": line.closes, "base": base, "change_from": None if base is None else of}
        price, at = (row["last"], row["at"]) if line.last is None or line.at < row["at"] else (line.last, line.at)
        self._set_last(row, price, at)

    def changed(self) -> list[Row]:
        """The rows that changed since the last call, by symbol."""
        rows = [self._shown(self._rows[symbol]) for symbol in sorted(self._changed)]
        self._changed.clear()
        return rows

    def rows(self) -> list[Row]:
        """All rows, by symbol."""
        return [self._shown(self._rows[symbol]) for symbol in sorted(self._rows)]

    def symbols(self) -> list[str]:
        """The symbols with trades."""
        return sorted(self._rows)

    @staticmethod
    def _shown(row: Row) -> Row:
        return {name: value for name, value in row.items() if name != "base"}


class NewestSession(NamedTuple):
    """A symbol's newest session in the lake, in the shape of a company document, and its line."""

    document: Document
    line: Line


def newest_session(settings: Settings, symbol: str, bases: dict[tuple[str, date], float | None]) -> NewestSession | None:
    """The newest session of ``symbol`` in the lake; None without trades. ``bases`` keeps closes before it from call to call."""
    query = replace(build_query(settings, [symbol]), configured=frozenset({symbol}), fall_back=True)
    with LakeEngine.connect(settings, query.received_by) as engine:
        context = QueryContext(query, engine)
        if not context.spans:
            return None
        [span], [row] = context.spans, summary_of(context).rows
        minutes = bars_of(QueryContext(replace(query, every_ms=MINUTE_MS), engine)).rows
    if row["close"] is None or row["last_trade"] is None:
        return None
    key = span.symbol, span.parts[0].trade_date
    if key not in bases:
        bases[key] = previous_close(settings, span, None, in_bars=False)
    document = {
        "_id": row["symbol"],
        "session": {name: row[name] for name in ("trades", "volume", "vwap", "rate", "coverage")}
        | {"name": row["session"], "trade_date": row["trade_date"].isoformat()},
        "last": {"price": row["close"], "ts_event": row["last_trade"], "source": (row["feed"] or "").split(":")[0]},
    }
    line = line_of([(to_ms(bar["bar"]), bar["open"], bar["close"]) for bar in minutes if bar["close"] is not None], bases[key])
    return NewestSession(document, line)
