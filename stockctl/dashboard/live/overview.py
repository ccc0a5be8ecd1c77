"""All symbols at a glance: the company documents and minute bars of MongoDB, and the newest trade of each symbol."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date
from typing import Any, NamedTuple

from stockctl.clients.mongo import Document, Mongo
from stockctl.dashboard.view.previous_close import close_in_bars, previous_close
from stockctl.exchange.calendar import day_bounds
from stockctl.metrics.definitions import bars_of, build_query, summary_of
from stockctl.metrics.engines.lake import LakeEngine
from stockctl.metrics.query_context import QueryContext
from stockctl.metrics.trade_policies import counts
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


class Overview:
    """A row per symbol: last price, change, VWAP, rate, coverage and sparkline of its newest session."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
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
        row = self._rows.setdefault(symbol, {"symbol": symbol, "spark": [], "change": None, "change_percent": None})
        if row.get("trade_date") != session["trade_date"]:
            row |= {"spark": [], "change": None, "change_percent": None, "change_from": None, "base": None, "at": 0}
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
        self._set_last(row, last["price"], ms_of(last["ts_event"]))

    def on_trade(self, trade: Trade) -> None:
        """Take a trade that was stored."""
        row = self._rows.get(trade.symbol)
        if row is not None and trade.volume > 0 and counts(self._settings.metrics.policy, trade.conditions, trade.updates):
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

    def read_spark(self, mongo: Mongo, symbol: str, day: str) -> tuple[list[float], float | None]:
        """The closes of the date's minutes, thinned, and the close before the date."""
        since, until = day_bounds(date.fromisoformat(day))
        found = mongo.find(BARS, match_symbol(symbol, "bar", since, until)["$match"], ["close"], sort=[("bar", 1)])
        closes = [bar["close"] for bar in found if bar["close"] is not None]
        key = symbol, day
        if key not in self._previous:
            self._previous[key] = close_in_bars(mongo, symbol, since)
        return _thinned(closes), self._previous[key]

    def set_spark(self, symbol: str, day: str, spark: list[float], base: float | None) -> None:
        """Take what ``read_spark`` read, unless the symbol shows another date by now."""
        row = self._rows[symbol]
        if row["trade_date"] != day:
            return
        row["spark"] = spark
        row["change_from"] = "previous close" if base is not None else "first minute" if spark else None
        row["base"] = base if base is not None else next(iter(spark), None)
        self._set_last(row, row["last"], row["at"])

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


def _thinned(closes: list[float]) -> list[float]:
    """At most ``MOST_POINTS`` of them, with the last one."""
    step = max(1, -(-len(closes) // MOST_POINTS))
    return closes[::-1][::step][::-1]


class NewestSession(NamedTuple):
    """A symbol's newest session in the lake, in the shape of a company document; its sparkline, and the close before it."""

    document: Document
    spark: list[float]
    base: float | None


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
    return NewestSession(document, _thinned([bar["close"] for bar in minutes if bar["close"] is not None]), bases[key])
