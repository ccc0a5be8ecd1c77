"""Trades of a symbol for notebooks: as JSON, or as an Arrow stream. Bounded by ``dashboard.max_trades``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa

from stockctl.dashboard.view.store import engine_of
from stockctl.errors import UsageError
from stockctl.exchange.calendar import trade_date
from stockctl.exchange.time_parsing import parse_as_of, parse_moment
from stockctl.metrics.definitions import build_query
from stockctl.metrics.query_context import QueryContext
from stockctl.settings import Settings

ARROW = "application/vnd.apache.arrow.stream"
_COLUMNS: dict[str, pa.DataType] = {
    "id": pa.string(),
    "ts_event": pa.timestamp("ms", "UTC"),
    "ts_recv": pa.timestamp("ms", "UTC"),
    "price": pa.float64(),
    "volume": pa.float64(),
    "conditions": pa.string(),
    "updates": pa.string(),
    "source": pa.string(),
}

Row = dict[str, Any]


def read_trades_of(settings: Settings, symbol: str, since: str, until: str, as_of: str | None) -> list[Row]:
    """The trades of ``symbol`` in ``[since, until)``, all policies and sessions, in order; times are ms UTC.

    UsageError for an empty or a long interval: one that has more than ``dashboard.max_trades``.
    """
    zone = ZoneInfo(settings.timezone)
    first, last = parse_moment(since, zone), parse_moment(until, zone)
    if first >= last:
        raise UsageError("since is not before until", hint="a span is [since, until)")
    query = build_query(settings, [symbol])
    query = replace(
        query,
        since=first,
        until=last,
        session="all",
        policy="all",
        across=True,
        as_of=None if not as_of else parse_as_of(as_of, zone),
        configured=frozenset(settings.symbols),
    )
    most = settings.dashboard.max_trades
    with engine_of(settings, trade_date(last)).connect(settings, query.received_by) as engine:
        context = QueryContext(query, engine)
        if (found := sum(one.trades + one.updates + one.left_out for one in context.contexts)) > most:
            raise UsageError(
                f"there are {found:,} trades, and one answer has at most {most:,}",
                hint="ask for a shorter span, or raise dashboard.max_trades",
            )
        rows = context.run("recent", since_ms=first)
    rows.sort(key=lambda row: (row["ts_event"], row["ts_recv"], row["id"]))
    return [{name: row[name] for name in _COLUMNS} for row in rows]


def json_of(rows: list[Row]) -> bytes:
    """``{"trades": […]}``, times in ms UTC."""
    return msgspec.json.encode({"trades": rows})


def arrow_of(rows: list[Row]) -> bytes:
    """The rows as an Arrow stream."""
    schema = pa.schema(list(_COLUMNS.items()))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema))
    return sink.getvalue().to_pybytes()
