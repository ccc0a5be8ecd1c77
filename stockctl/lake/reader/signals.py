"""Reading signals as Arrow tables: ``stockctl.read_signals``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from stockctl.exchange.time_parsing import parse_as_of, parse_moment
from stockctl.lake.reader.duckdb_session import duck
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.symbols import resolve_lake_symbols
from stockctl.lake.reader.trades import with_times
from stockctl.records import SignalKind
from stockctl.settings import Settings, load_settings

if TYPE_CHECKING:
    import pyarrow as pa

TIMES = ("ts_decided", "ts_event", "ts_recv")


def read_signals(
    symbols: str | Iterable[str] | None = None,
    since: str | date | None = None,
    until: str | date | None = None,
    *,
    strategy: str | None = None,
    kind: SignalKind | None = "signal",
    settings: Settings | None = None,
    as_of: str | date | None = None,
) -> pa.Table:
    """The lake's signals of ``symbols`` (None: all) with ``ts_event`` in ``[since, until)``, in the order of their decisions.

    ``strategy`` keeps those of one strategy. ``kind`` reads the runs or heartbeats in place of the signals, and None
    all of them; a run belongs to no symbol. The columns are those of ``stockctl.records.SignalRecord`` and ``trade_date``;
    ``ts_decided``, ``ts_event`` and ``ts_recv`` are timestamps in ms, UTC. Symbols, times, ``as_of`` and ``settings`` are as
    for ``read_trades``, and so are the errors.

        table = stockctl.read_signals("AAPL", "2026-11-23", "2026-11-24", strategy="sma-cross")

    Two runs of a strategy over the same trades have signals with the same ``id``: ``run`` distinguishes them.
    """
    settings = settings or load_settings()
    zone = ZoneInfo(settings.timezone)
    first, last = (None if moment is None else parse_moment(moment, zone) for moment in (since, until))
    with LakeReader(settings) as lake:
        names = None if symbols is None else resolve_lake_symbols(lake, symbols)
        known_by = None if as_of is None else parse_as_of(as_of, zone)
        table = signals_between(lake, first, last, symbols=names, strategy=strategy, kind=kind, as_of=known_by)
    return with_times(table, TIMES, "UTC")


def signals_between(
    lake: LakeReader,
    since: int | None = None,
    until: int | None = None,
    *,
    symbols: Iterable[str] | None = None,
    strategy: str | None = None,
    kind: str | None = "signal",
    as_of: int | None = None,
) -> pa.Table:
    """What ``read_signals`` returns, for the exact ``symbols`` and times in ms UTC. Times stay numbers."""
    with duck() as connection:
        lake.view(connection, "signals", lake.find("signals", since=since, until=until))
        table: pa.Table = connection.sql(
            "SELECT * FROM signals WHERE ($symbols IS NULL OR list_contains($symbols, symbol)) "
            "AND ($strategy IS NULL OR strategy = $strategy) AND ($kind IS NULL OR kind = $kind) "
            "AND ($since IS NULL OR ts_event >= $since) AND ($until IS NULL OR ts_event < $until) "
            'AND ($as_of IS NULL OR ts_recv <= $as_of) ORDER BY ts_decided, "partition", "offset", strategy, run, n, id',
            params={
                "symbols": None if symbols is None else list(symbols),
                "strategy": strategy,
                "kind": kind,
                "since": since,
                "until": until,
                "as_of": as_of,
            },
        ).to_arrow_table()
    return table
