"""``lake query``: user SQL in DuckDB's dialect over views of the lake. It can read the views and nothing else.

- ``trades``: the records, with ``trade_date``, and ``time``, the trade's time as a timestamp; null conditions are empty
- ``bars_1m``: one-minute bars, all hours, by the setting ``metrics.policy``: symbol, trade_date, bar, open, high, low, close,
  volume, vwap, trades
- ``coverage``: session time, all hours: symbol, trade_date, since, until, covered (true or false), reason
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

import duckdb

from stockctl.errors import UsageError
from stockctl.exchange.calendar import EXCHANGE_TIMEZONE, now_ms
from stockctl.lake.reader.duckdb_session import DAMAGE, duck, interruptible
from stockctl.lake.reader.events import read_events
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.metrics import sql_templates
from stockctl.metrics.coverage_report import coverage_intervals, event_symbols
from stockctl.metrics.engines.duckdb_base import create_relation, fill_nulls
from stockctl.metrics.engines.relations import condition_codes
from stockctl.settings import MetricsSettings, Settings

if TYPE_CHECKING:
    import pyarrow as pa

VIEWS = ("trades", "bars_1m", "coverage")
_NO_TABLE = re.compile(r"Table with name (.+?) does not exist")


def query(
    settings: Settings, text: str, since: int | None = None, until: int | None = None, *, whole: bool = False
) -> pa.Table:
    """The rows of the SELECT ``text``, over the lake's data in ``[since, until)``, in ms UTC (None: no bound).

    With ``whole``, the view ``coverage`` includes time before the feed was first connected for a symbol.
    UsageError for wrong SQL, and for SQL that does anything but read the views. Other errors as in ``read_trades``.
    """
    with LakeReader(settings) as lake, duck() as connection:
        # Only views that the text names cost downloads.
        named = {view for view in VIEWS if re.search(rf"\b{view}\b", text, re.IGNORECASE)}
        connection.execute("SET TimeZone = $zone", {"zone": settings.timezone})
        files = []
        if named & {"trades", "bars_1m"}:
            files = lake.view(connection, "trades", lake.find("trades", since=since, until=until), "stored")
            fill_nulls(connection)
            trades = _trades(connection, since, until)
            # The bars' SQL reads the trades more than once.
            (trades.create if "bars_1m" in named else trades.create_view)("trades")
        if "bars_1m" in named:
            _bars(connection, settings.metrics)
        if "coverage" in named:
            _coverage(connection, lake, since, until, whole)
        # The views are ready, and they use integer division. The user's SQL divides as DuckDB does.
        connection.execute("SET integer_division = false")
        connection.execute("SET allowed_paths = $files", {"files": [str(file) for file in files]})
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return _run(connection, text)


def _run(connection: duckdb.DuckDBPyConnection, text: str) -> pa.Table:
    hint = f"`lake query` takes one SELECT over {', '.join(VIEWS)}"
    try:
        statements = connection.extract_statements(text)
        if len(statements) != 1 or statements[0].type not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
            raise UsageError("the SQL must be one SELECT, or EXPLAIN of one", hint=hint)
        rows: pa.Table = interruptible(connection, lambda: connection.sql(text).to_arrow_table())
    except DAMAGE:
        raise  # a damaged object, reported like in every read of the lake
    except duckdb.CatalogException as error:
        missing = _NO_TABLE.search(str(error))
        if missing is None:
            raise UsageError(str(error).strip(), hint=hint) from error
        near = difflib.get_close_matches(missing[1].lower(), VIEWS, n=1)
        suggestion = f": did you mean {near[0]}?" if near else ""
        raise UsageError(f"there is no table {missing[1]}{suggestion}", hint=hint) from error
    except duckdb.Error as error:
        raise UsageError(str(error).strip(), hint=hint) from error
    return rows


def _trades(connection: duckdb.DuckDBPyConnection, since: int | None, until: int | None) -> duckdb.DuckDBPyRelation:
    return connection.sql(
        "SELECT *, epoch_ms(ts_event) AT TIME ZONE 'UTC' AS time FROM filled "
        "WHERE ($since IS NULL OR ts_event >= $since) AND ($until IS NULL OR ts_event < $until)",
        params={"since": since, "until": until},
    )


def _bars(connection: duckdb.DuckDBPyConnection, settings: MetricsSettings) -> None:
    create_relation(connection, "codes", condition_codes())
    connection.sql(
        "SELECT row_number() OVER () AS span, 0 AS part, symbol, 'none' AS session, 'pre' AS kinds, 0 AS quotes, "
        "day_ms AS since_ms, day_ms + 86400000 AS until_ms, day_ms AS origin_ms, 60000 AS every_ms "
        "FROM (SELECT DISTINCT symbol, ts_event / 86400000 * 86400000 AS day_ms FROM trades)"
    ).create("slices")
    provided = frozenset({"trades", "slices", "codes"})
    connection.sql(sql_templates.statement("bars", provided), params={"policy": settings.policy}).create("bars")
    connection.sql(
        "SELECT symbol, CAST(timezone($zone, bar) AS DATE) AS trade_date, bar, "
        "open, high, low, close, volume, vwap, trades "
        "FROM (SELECT *, epoch_ms(bar_ms) AT TIME ZONE 'UTC' AS bar FROM bars) AS bars JOIN slices USING (span) "
        "ORDER BY symbol, bar",
        params={"zone": EXCHANGE_TIMEZONE},
    ).create("bars_1m")


def _coverage(
    connection: duckdb.DuckDBPyConnection, lake: LakeReader, since: int | None, until: int | None, whole: bool
) -> None:
    found = read_events(lake, since, until)
    days = lake.dates("feed_events")
    rows = coverage_intervals(lake, found, sorted(event_symbols(found)), days, "all", now_ms(), since, until, whole=whole)
    create_relation(connection, "coverage_intervals", list(rows))
    connection.sql(
        "SELECT symbol, trade_date, epoch_ms(since_ms) AT TIME ZONE 'UTC' AS since, "
        "epoch_ms(until_ms) AT TIME ZONE 'UTC' AS until, covered, reason FROM coverage_intervals"
    ).create_view("coverage")
