"""Reading the lake: which objects count, their files on this machine, and DuckDB over them.

An object counts only if its claim exists and names it. Objects and claims never change, so both are kept on disk when they come
from S3 (``stockctl.lake.cache``). DuckDB reads the files with explicit columns: nothing is inferred.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from functools import reduce
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from zoneinfo import ZoneInfo

import duckdb

from stockctl.clients.store import AbsentError, open_store
from stockctl.errors import StockctlError, UnhealthyError
from stockctl.lake.batch import decompress
from stockctl.lake.cache import LocalFiles
from stockctl.lake.claims import Claim, ClaimedObject, decode_claim, read_claim
from stockctl.lake.layout import SUFFIXES, ObjectName, Table, date_folder, log_folder, parse_claim, parse_object, parts_of
from stockctl.sessions import parse_moment, trade_date
from stockctl.settings import Settings, load

if TYPE_CHECKING:
    import pyarrow as pa

_WORKERS = 16
_DAY = 86_400_000
COLUMNS: dict[str, dict[str, str]] = {
    "trades": {
        "id": "VARCHAR",
        "symbol": "VARCHAR",
        "price": "DOUBLE",
        "volume": "DOUBLE",
        "ts_event": "BIGINT",
        "ts_recv": "BIGINT",
        "conditions": "VARCHAR",
        "updates": "VARCHAR",
        "source": "VARCHAR",
    },
    "feed_events": {
        "id": "VARCHAR",
        "kind": "VARCHAR",
        "span_start": "BIGINT",
        "span_end": "BIGINT",
        "symbols": "VARCHAR",
        "reason": "VARCHAR",
        "connection": "VARCHAR",
        "ts_recv": "BIGINT",
        "source": "VARCHAR",
    },
}
"""Each table's columns with their DuckDB types: the fields of ``stockctl.records``."""


class Found(NamedTuple):
    """One claimed object that is there: what its key and its claim say of it."""

    name: ObjectName
    claimed: ClaimedObject


class Lake:
    """The lake of ``settings`` for reading; a context, within which the files it hands out stay."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.zone = ZoneInfo(settings.lake.timezone)
        self._store = open_store(settings)
        self._files = LocalFiles(self._store, settings)

    def __enter__(self) -> Self:
        self._files.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._files.__exit__(kind, error, trace)

    def dates(self, table: Table = "trades") -> list[date]:
        """The dates that have a folder in ``table``, in order."""
        names = self._store.folders(table)
        return [date.fromisoformat(name.removeprefix("trade_date=")) for name in names if name.startswith("trade_date=")]

    def find(
        self,
        table: Table,
        *,
        symbols: Iterable[str] | None = None,
        since: int | None = None,
        until: int | None = None,
    ) -> list[Found]:
        """The claimed objects that may hold records of ``symbols`` in ``[since, until)`` (ms UTC); None is no bound."""
        first = None if since is None else trade_date(since, self.zone)
        last = None if until is None else trade_date(until - 1, self.zone)
        days = [day for day in self.dates(table) if (first is None or first <= day) and (last is None or day <= last)]
        wanted = None if symbols is None or table != "trades" else list(symbols)
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="list") as pool:
            folders = [folder for found in pool.map(lambda day: self._folders(table, day, wanted), days) for folder in found]
            listed = pool.map(lambda folder: [item.key for item in self._store.objects(folder)], folders)
            names = {key: name for keys in listed for key in keys if (name := parse_object(key)) is not None}
        claimed = {item.key: item for claim in self._claims({name.claim for name in names.values()}) for item in claim.objects}
        return [
            Found(name, item)
            for key, name in names.items()
            if (item := claimed.get(key)) is not None
            and (since is None or item.ts_max >= since)
            and (until is None or item.ts_min < until)
        ]

    def _folders(self, table: Table, day: date, symbols: list[str] | None) -> list[str]:
        """The folders of one date that may hold records of ``symbols``."""
        folder = date_folder(table, day)
        if symbols is None:
            return [folder]
        parts = self._store.folders(folder)
        return [f"{folder}/{part}" for part in sorted(set().union(*(parts_of(symbol, parts) for symbol in symbols)))]

    def _claims(self, keys: Iterable[str]) -> list[Claim]:
        return [decode_claim(path.read_bytes(), key) for key, path in self._files.paths(keys).items()]

    def files(self, found: Iterable[Found]) -> list[Path]:
        """The objects' files on this machine; fetched ones are compared with their claims' hashes."""
        claimed = {item.claimed.key: item.claimed for item in found}

        def check(key: str, data: bytes) -> None:
            if sha256(decompress(data, key)).hexdigest() != claimed[key].sha256:
                raise UnhealthyError(f"the object {key} is not what its claim says", hint="`stockctl lake verify --deep`")

        paths = self._files.paths(claimed, check)
        if missing := claimed.keys() - paths.keys():
            raise StockctlError(f"the object {min(missing)} was deleted while it was read", hint="ask again")
        return list(paths.values())

    def through(self, symbol: str, found: Iterable[Found]) -> int | None:
        """Receipt time in ms up to which all trades of ``symbol`` are in the lake: that of the newest record stored.

        ``found`` are the symbol's objects. None if there are none: then nothing tells which partition it is in.
        """
        newest: dict[int, ObjectName] = {}
        names = [item.name for item in found if parts_of(symbol, [item.name.part])]
        last_date = max((name.trade_date for name in names), default=None)
        for name in names:
            known = newest.get(name.partition, name)
            if name.trade_date == last_date and (name.generation, name.start) >= (known.generation, known.start):
                newest[name.partition] = name
        # A bucket holds symbols of several partitions, and does not tell which is whose.
        return min((self._stored_through(symbol, name) for name in newest.values()), default=None)

    def _stored_through(self, symbol: str, name: ObjectName) -> int:
        """As ``through``, of the partition of the object ``name``."""
        folder = log_folder(name.table, name.generation, name.partition)
        later = [item.key for item in self._store.objects(folder, after=name.claim) if parse_claim(item.key)]
        claims = (read_claim(self._store, key) for key in [*reversed(later), name.claim])
        claim, last = next((claim, claim.last) for claim in claims if claim.last is not None)
        # The newest claim stands before its objects do: what is not there yet bounds what can be told.
        absent = [item.ts_min for item in claim.objects if self._lacks(item.key, symbol)]
        return min([last.timestamp, *absent])

    def _lacks(self, key: str, symbol: str) -> bool:
        """Whether the object may hold records of ``symbol`` and is not there."""
        name = parse_object(key)
        if name is None or not parts_of(symbol, [name.part]):
            return False
        try:
            self._store.size(key)
        except AbsentError:
            return True
        return False

    def view(
        self, connection: duckdb.DuckDBPyConnection, table: Table, found: Iterable[Found], name: str | None = None
    ) -> list[Path]:
        """Make the rows of these objects the view ``name`` (default: that of the table).

        It has the columns of ``COLUMNS`` and ``trade_date``. Answers with the files that it reads: they must stay as long.
        """
        columns = COLUMNS[table]
        paths = self.files(found)
        alike: dict[tuple[str, str], list[str]] = {}
        for path in paths:
            # DuckDB scans files together only if they are compressed alike and have the same partition keys.
            compression = next(name for name, suffix in SUFFIXES.items() if path.name.endswith(suffix))
            alike.setdefault((compression, path.parent.name.partition("=")[0]), []).append(str(path))
        scans = [
            connection.read_json(
                chosen,  # type: ignore[arg-type]  # the stubs know one path only
                columns=columns,
                format="newline_delimited",
                compression=compression,  # type: ignore[arg-type]  # "gzip" or "zstd"
                hive_partitioning=True,
                hive_types={"trade_date": "DATE"},
            ).select(*columns, "trade_date")
            for (compression, _), chosen in alike.items()
        ]
        rows = reduce(lambda one, other: one.union(other), scans) if scans else _nothing(connection, columns)
        rows.create_view(name or table)
        return paths


def _nothing(connection: duckdb.DuckDBPyConnection, columns: dict[str, str]) -> duckdb.DuckDBPyRelation:
    kinds = columns | {"trade_date": "DATE"}
    nulls = (duckdb.ConstantExpression(None).cast(kind).alias(name) for name, kind in kinds.items())
    return connection.sql("SELECT 1").select(*nulls).filter("false")


@contextmanager
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of our own, in memory: integers divide as in Redshift, nothing is fetched or installed."""
    with duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "temp_directory": str(Path(tempfile.gettempdir()) / f"stockctl-{os.getpid()}"),
        }
    ) as connection:
        connection.execute("SET integer_division = true")
        try:
            yield connection
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            raise StockctlError(
                f"the lake's files cannot be read: {error}", hint="`stockctl lake verify --deep` names damaged objects"
            ) from error


def events(lake: Lake, since: int | None = None, until: int | None = None) -> list[dict[str, Any]]:
    """The feed events that touch ``[since, until)`` (ms UTC), as mappings of their fields."""
    # An event lies under the date of its end, and none is longer than a few minutes of the next day.
    until_end = None if until is None else until + _DAY
    with duck() as connection:
        lake.view(connection, "feed_events", lake.find("feed_events", since=since, until=until_end))
        rows = connection.sql(
            "SELECT * EXCLUDE (trade_date) FROM feed_events "
            "WHERE ($since IS NULL OR span_end >= $since) AND ($until IS NULL OR span_start < $until) ORDER BY span_start, id",
            params={"since": since, "until": until},
        )
        return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]


def read_trades(
    symbols: str | Iterable[str] | None = None,
    since: str | date | None = None,
    until: str | date | None = None,
    *,
    settings: Settings | None = None,
    as_of: str | date | None = None,
) -> pa.Table:
    """The lake's trades of ``symbols`` (None: all) in ``[since, until)``, in order of time, receipt and id.

    Columns are those of ``stockctl.records.Trade`` and ``trade_date``; ``ts_event`` and ``ts_recv`` are timestamps in ms, UTC.
    Times without a zone are the exchange's; a date means its midnight. ``as_of`` keeps what had been received by then, so that
    an analysis sees no later than its own moment. ``settings`` default to those of the active profile.

        table = stockctl.read_trades("AAPL", "2026-11-23", "2026-11-24")

    StockctlError and its kin as the command raises them: no lake, no rights, a damaged object.
    """
    settings = settings or load()
    wanted = [symbols] if isinstance(symbols, str) else None if symbols is None else list(symbols)
    zone = ZoneInfo(settings.timezone)
    first, last, known = (None if moment is None else parse_moment(moment, zone) for moment in (since, until, as_of))
    return trades_between(settings, wanted, first, last, known)


def trades_between(
    settings: Settings, symbols: list[str] | None, since: int | None, until: int | None, as_of: int | None = None
) -> pa.Table:
    """As ``read_trades``, with times in ms UTC."""
    with Lake(settings) as lake, duck() as connection:
        lake.view(connection, "trades", lake.find("trades", symbols=symbols, since=since, until=until))
        table = connection.sql(
            "SELECT * FROM trades WHERE ($symbols IS NULL OR list_contains($symbols, symbol)) "
            "AND ($since IS NULL OR ts_event >= $since) AND ($until IS NULL OR ts_event < $until) "
            "AND ($as_of IS NULL OR ts_recv <= $as_of) ORDER BY ts_event, ts_recv, id",
            params={"symbols": symbols, "since": since, "until": until, "as_of": as_of},
        ).to_arrow_table()
    return with_times(table, ("ts_event", "ts_recv"), "UTC")


def with_times(table: pa.Table, names: Iterable[str], zone: str) -> pa.Table:
    """``table`` with these columns of ms since the epoch as timestamps, shown in ``zone``."""
    import pyarrow as pa

    for name in names:
        position = table.column_names.index(name)
        table = table.set_column(position, name, table.column(position).cast(pa.timestamp("ms", zone)))
    return table
