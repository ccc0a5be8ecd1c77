"""Signals of a symbol's date as markers: those that ran live, from MongoDB or the lake."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Literal, NamedTuple, TypedDict

from stockctl.clients.mongo import Mongo
from stockctl.exchange.calendar import day_bounds
from stockctl.lake.reader.duckdb_session import duck
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.signals import signals_between
from stockctl.metrics.query_context import QueryContext
from stockctl.mongo.documents import date_of, ms_of
from stockctl.mongo.schema import SIGNALS, TRADES
from stockctl.settings import Settings
from stockctl.units import counted

Store = Literal["MongoDB", "lake"]

CONNECT_WAIT = 2.0
"""Seconds to wait for MongoDB."""
MOST = 2_000
"""Most markers of one date and kind: more than a page can show apart."""
_FIELDS = ("id", "strategy", "run", "symbol", "n", "side", "target", "reason", "ts_event", "record")


class SignalMark(TypedDict):
    """A marker at the time ``at`` (ms UTC) of the trade that was decided on, with its price; null if no store has the trade.

    ``run`` is ``live`` or ``replayed``. ``differs``: what ran live and the replay do not agree on it, as ``text`` says.
    """

    at: int
    side: str
    target: float
    price: float | None
    strategy: str
    run: Literal["live", "replayed"]
    text: str
    differs: bool
    record: str
    n: int


class Marks(NamedTuple):
    """Markers in the order of their time, and notes."""

    marks: list[SignalMark]
    notes: list[str]


class Trades(NamedTuple):
    """Where the prices of markers come from: by the id of a trade, and by its time."""

    by_id: Mapping[str, float]
    by_time: Mapping[int, float]

    def price(self, record: str, at: int) -> float | None:
        """The price of the trade ``record``. A decision on a filing has the time of the trade before which it was seen."""
        return self.by_id.get(record, self.by_time.get(at))


def signal_marks(
    settings: Settings,
    symbol: str,
    day: date,
    *,
    stores: Collection[Store],
    as_of: int | None = None,
    strategy: str | None = None,
) -> Marks:
    """The live signals of the exact ``symbol`` on the exchange's date ``day``, received by ``as_of`` (ms UTC), each id once.

    Their prices come from the same stores. UnreachableError if one does not answer.
    """
    rows, notes = newest(stored_signals(settings, symbol, day, stores=stores, as_of=as_of, strategy=strategy))
    return Marks(marks_of(rows, stored_trades(settings, symbol, day, rows, stores=stores), "live"), notes)


def view_marks(settings: Settings, context: QueryContext, stores: Collection[Store]) -> Marks:
    """The live signals on the trades of the query's one span, with prices from the query's own trades."""
    span, query = context.spans[0], context.query
    found: list[dict[str, Any]] = []
    for part in span.parts:
        found += stored_signals(settings, span.symbol, part.trade_date, stores=stores, as_of=query.received_by)
    rows, notes = newest([row for row in found if span.trades_since <= row["ts_event"] < span.trades_until])
    if not rows:
        return Marks([], notes)
    context.provide("anchors", [(span.number, row["ts_event"]) for row in rows])
    trades = [(row["id"], row["ts_event"], row["ts_recv"], row["price"]) for row in context.run("trades_at")]
    return Marks(marks_of(rows, _trades(trades), "live"), notes)


def marks_of(rows: Iterable[Mapping[str, Any]], trades: Trades, run: Literal["live", "replayed"]) -> list[SignalMark]:
    """The markers of ``rows``, signals or decisions."""
    return [
        SignalMark(
            at=row["ts_event"],
            side=row["side"],
            target=row["target"],
            price=trades.price(row["record"], row["ts_event"]),
            strategy=row["strategy"],
            run=run,
            text=f"{row['strategy']}: {row['side']} to {row['target']:g}" + (f", {row['reason']}" if row["reason"] else ""),
            differs=False,
            record=row["record"],
            n=row["n"],
        )
        for row in rows
    ]


def newest(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The newest of ``rows``, at most ``MOST``, and a note about the others."""
    left_out = len(rows) - MOST
    if left_out <= 0:
        return rows, []
    return rows[left_out:], [f"{counted(left_out, 'earlier signal')} of the date not shown: the page has at most {MOST}"]


def lake_rows(lake: LakeReader, symbol: str, day: date, as_of: int | None, strategy: str | None) -> list[dict[str, Any]]:
    """The lake's signals, each id once: the last one stored."""
    since, until = day_bounds(day)
    table = signals_between(lake, since, until, symbols=[symbol], strategy=strategy, as_of=as_of)
    rows: list[dict[str, Any]] = table.select([*_FIELDS, "ts_recv"]).to_pylist()
    return _each_once(rows)


def mongo_rows(mongo: Mongo, symbol: str, day: date, as_of: int | None, strategy: str | None) -> list[dict[str, Any]]:
    """MongoDB's signals."""
    since, until = day_bounds(day)
    where: dict[str, Any] = {"kind": "signal", "symbol": symbol, "ts_event": {"$gte": date_of(since), "$lt": date_of(until)}}
    where |= {} if strategy is None else {"strategy": strategy}
    where |= {} if as_of is None else {"ts_recv": {"$lte": date_of(as_of)}}
    found = mongo.find(SIGNALS, where, [*_FIELDS[1:], "ts_recv"])
    times = ("ts_event", "ts_recv")
    return _each_once([row | {"id": row["_id"]} | {name: ms_of(row[name]) for name in times} for row in found])


def _each_once(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    by_id = {row["id"]: row for row in sorted(rows, key=lambda row: row["ts_recv"])}
    return sorted(by_id.values(), key=lambda row: (row["ts_event"], row["strategy"], row["record"], row["n"]))


def stored_signals(
    settings: Settings,
    symbol: str,
    day: date,
    *,
    stores: Collection[Store],
    as_of: int | None = None,
    strategy: str | None = None,
) -> list[dict[str, Any]]:
    """The rows of the signals in any of the ``stores``, in the order of their trades."""
    rows: list[dict[str, Any]] = []
    if "lake" in stores:
        with LakeReader(settings) as lake:
            rows += lake_rows(lake, symbol, day, as_of, strategy)
    if "MongoDB" in stores:
        with Mongo(settings, wait=CONNECT_WAIT) as mongo:
            rows += mongo_rows(mongo, symbol, day, as_of, strategy)
    return _each_once(rows)


def stored_trades(
    settings: Settings, symbol: str, day: date, rows: Collection[Mapping[str, Any]], *, stores: Collection[Store]
) -> Trades:
    """The trades of ``rows`` in any of the ``stores``."""
    times = sorted({row["ts_event"] for row in rows})
    trades: list[tuple[str, int, int, float]] = []
    if times and "lake" in stores:
        with LakeReader(settings) as lake:
            trades += _lake_trades(lake, symbol, times)
    if times and "MongoDB" in stores:
        with Mongo(settings, wait=CONNECT_WAIT) as mongo:
            trades += _mongo_trades(mongo, symbol, times)
    return _trades(trades)


def _lake_trades(lake: LakeReader, symbol: str, times: Sequence[int]) -> list[tuple[str, int, int, float]]:
    with duck() as connection:
        lake.view(connection, "trades", lake.find("trades", symbols=[symbol], since=times[0], until=times[-1] + 1))
        return connection.sql(
            "SELECT id, ts_event, ts_recv, price FROM trades WHERE symbol = $symbol AND list_contains($times, ts_event)",
            params={"symbol": symbol, "times": list(times)},
        ).fetchall()


def _mongo_trades(mongo: Mongo, symbol: str, times: Sequence[int]) -> list[tuple[str, int, int, float]]:
    where = {"symbol": symbol, "ts_event": {"$in": [date_of(at) for at in times]}}
    found = mongo.find(TRADES, where, ["price", "ts_event", "ts_recv"])
    return [(row["_id"], ms_of(row["ts_event"]), ms_of(row["ts_recv"]), row["price"]) for row in found]


def _trades(rows: Iterable[tuple[str, int, int, float]]) -> Trades:
    """Trades by id and time; of several at one time the first received."""
    late_first = sorted(rows, key=lambda row: (row[2], row[0]), reverse=True)
    return Trades({row[0]: row[3] for row in late_first}, {row[1]: row[3] for row in late_first})
