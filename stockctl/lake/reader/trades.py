"""Reading trades as Arrow tables: ``stockctl.read_trades``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from stockctl.exchange.time_parsing import parse_as_of, parse_moment
from stockctl.lake.reader.duckdb_session import duck
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.symbols import resolve_lake_symbols
from stockctl.settings import Settings, load_settings

if TYPE_CHECKING:
    import pyarrow as pa


def read_trades(
    symbols: str | Iterable[str] | None = None,
    since: str | date | None = None,
    until: str | date | None = None,
    *,
    settings: Settings | None = None,
    as_of: str | date | None = None,
) -> pa.Table:
    """The lake's trades of ``symbols`` (None: all) in ``[since, until)``, ordered by time, receipt and id.

    Symbols may be in any case and are split at commas, as on the command line. A known symbol without trades there has no rows.
    The columns are those of ``stockctl.records.Trade`` and ``trade_date``; ``ts_event`` and ``ts_recv`` are timestamps in ms,
    UTC. A time without a zone is exchange time; a date is its midnight. ``as_of`` keeps the trades received by then, so that an
    analysis does not see the future; a date is the end of that day in exchange time. ``settings`` default to those of the
    active profile.

        table = stockctl.read_trades("AAPL", "2026-11-23", "2026-11-24")

    UnknownSymbolError, with similar symbols in its hint, for a symbol that is neither in the setting ``symbols`` nor in the
    lake. Other StockctlErrors are those of the commands: no lake, missing permissions, a damaged object.
    """
    settings = settings or load_settings()
    zone = ZoneInfo(settings.timezone)
    first, last = (None if moment is None else parse_moment(moment, zone) for moment in (since, until))
    return trades_between(settings, symbols, first, last, None if as_of is None else parse_as_of(as_of, zone))


def trades_between(
    settings: Settings, symbols: str | Iterable[str] | None, since: int | None, until: int | None, as_of: int | None = None
) -> pa.Table:
    """The trades that ``read_trades`` returns, for times in ms UTC."""
    with LakeReader(settings) as lake, duck() as connection:
        names = None if symbols is None else resolve_lake_symbols(lake, symbols)
        lake.view(connection, "trades", lake.find("trades", symbols=names, since=since, until=until))
        table = connection.sql(
            "SELECT * FROM trades WHERE ($symbols IS NULL OR list_contains($symbols, symbol)) "
            "AND ($since IS NULL OR ts_event >= $since) AND ($until IS NULL OR ts_event < $until) "
            "AND ($as_of IS NULL OR ts_recv <= $as_of) ORDER BY ts_event, ts_recv, id",
            params={"symbols": names, "since": since, "until": until, "as_of": as_of},
        ).to_arrow_table()
    return with_times(table, ("ts_event", "ts_recv"), "UTC")


def with_times(table: pa.Table, names: Iterable[str], zone: str) -> pa.Table:
    """``table`` with the columns ``names`` (ms since the epoch) as timestamps in ``zone``."""
    import pyarrow as pa

    for name in names:
        position = table.column_names.index(name)
        table = table.set_column(position, name, table.column(position).cast(pa.timestamp("ms", zone)))
    return table
