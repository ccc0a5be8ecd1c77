"""Reading the lake: which objects count, their files on this machine, and what people ask of them.

An object counts only if its claim exists and names it; one that its claim names, and that is gone, is an error. Of a compacted
date the Parquet objects of its newest manifest are read, and the raw objects of claims that this doesn't hold; below the floor,
nothing. None of it changes once it is written, so it is kept on disk when it comes from S3 (``stockctl.lake.reader.cache``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from zoneinfo import ZoneInfo

import duckdb
import msgspec

from stockctl.clients.store import AbsentError, Store
from stockctl.errors import StockctlError, UnhealthyError
from stockctl.exchange.calendar import Calendar, calendar_of, parse_as_of, parse_moment, trade_date
from stockctl.lake.format.claims import Claim, ClaimedObject, begun_with, read_claim, read_lost
from stockctl.lake.format.keys import (
    PARQUET,
    ObjectName,
    Table,
    date_folder,
    dates_around,
    folder_date,
    folder_of,
    is_bucket,
    log_folder,
    parse_claim,
    parse_folder,
    parse_object,
    parts_of,
    span_around,
    tickers,
)
from stockctl.lake.format.manifest import Manifest, ParquetObject, decode_manifest, newest_manifests
from stockctl.lake.format.retention import is_expired, read_floor
from stockctl.lake.reader.cache import LocalFiles, read_file
from stockctl.lake.reader.claim_log import ClaimLog
from stockctl.lake.reader.concatenate import concatenate
from stockctl.lake.reader.duckdb_session import COLUMNS, UnreadableFilesError, duck, scan
from stockctl.lake.reader.symbols import asked_symbols
from stockctl.lake.store import existing_store
from stockctl.lake.writer.batch import decompress
from stockctl.settings import Settings, load_settings

if TYPE_CHECKING:
    import pyarrow as pa

_WORKERS = 16
_DAY = 86_400_000


class DataFile(NamedTuple):
    """One object that counts: what its claim, or its manifest, says of it; ``name`` is what a raw object's key says."""

    trade_date: date
    claimed: ClaimedObject | ParquetObject
    name: ObjectName | None = None


class LakeReader:
    """The lake of ``settings`` for reading; a context, within which the files it hands out stay.

    It lists each folder once: one question sees one state of the lake.
    """

    def __init__(self, settings: Settings, store: Store | None = None) -> None:
        self.settings = settings
        self.zone = ZoneInfo(settings.lake.timezone)
        self.store = store or existing_store(settings)
        self._files = LocalFiles(self.store, settings)
        self._joined: list[TemporaryDirectory[str]] = []
        self._folders: dict[str, list[str]] = {}
        self._sizes: dict[str, dict[str, int]] = {}
        self._logs: dict[Table, ClaimLog] = {}
        self._handed: dict[str, ClaimedObject | ParquetObject] = {}

    def __enter__(self) -> Self:
        self._files.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if isinstance(error, UnreadableFilesError):
                self._find_damage(error)
        finally:
            for folder in self._joined:
                folder.cleanup()
            self._files.__exit__(kind, error, trace)

    def _find_damage(self, error: UnreadableFilesError) -> None:
        """Name the object that DuckDB could not read: it knows files, and joined ones at that."""
        for item in self._handed.values():
            path = self._files.paths([item.key]).get(item.key)
            try:
                check(item, read_file(item.key, path) if path else b"")
            except StockctlError as named:
                raise named from error

    @cached_property
    def calendar(self) -> Calendar:
        """By which hours its data is read: those of the source that it was begun with."""
        return calendar_of(begun_with(self.store))

    @cached_property
    def _floor(self) -> date | None:
        return read_floor(self.store)

    @cached_property
    def _newest_manifests(self) -> dict[date, str]:
        return newest_manifests(self.store)

    def dates(self, table: Table = "trades") -> list[date]:
        """The dates that have a folder in ``table``, in order, from the floor on."""
        days = [day for name in self._folders_in(table) if (day := folder_date(name)) is not None]
        return [day for day in days if self._floor is None or day >= self._floor]

    def log(self, table: Table) -> ClaimLog:
        """The claims of ``table``."""
        if table not in self._logs:
            self._logs[table] = ClaimLog(self.store, table, self._read)
        return self._logs[table]

    def named(self, day: date) -> set[str]:
        """The symbols that the folders of one date's trades name; those that share a bucket are not among them."""
        return tickers(self._folders_in(date_folder("trades", day)))

    def may_hold(self, day: date, symbol: str) -> bool:
        """Whether a folder of that date's trades may hold ``symbol``."""
        return bool(parts_of(symbol, self._folders_in(date_folder("trades", day))))

    def symbols(self) -> set[str]:
        """The symbols of trades that folders and manifests name, of all dates; those that share a bucket are not among them."""
        days = self.dates()
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="list") as pool:
            named = list(pool.map(self.named, days))
        return set().union(*named, *(manifest.symbols for manifest in self.manifests(days).values()))

    def find(
        self,
        table: Table,
        *,
        symbols: Iterable[str] | None = None,
        since: int | None = None,
        until: int | None = None,
        exact: bool = False,
        as_of: int | None = None,
    ) -> list[DataFile]:
        """The objects that may hold records of ``symbols`` in ``[since, until)`` (ms UTC); None is no bound.

        ``exact`` looks into the objects that symbols share by bucket: those that hold none of ``symbols`` are left out, the
        others come with the time span of these symbols alone. With ``as_of`` (ms UTC) it looks into all of them, for what had
        been received by then. UnhealthyError if one is gone, or is not what it should be.
        """
        log = self.log(table)
        first, last = dates_around(since, until)
        days = [day for day in self.dates(table) if first <= day <= last]
        wanted = None if symbols is None or table != "trades" else set(symbols)
        manifests = self.manifests(days) if table == "trades" else {}
        names = self._unheld(self.objects(table, days, wanted), manifests)
        claims = self._claims(log, {name.claim for name in names.values()}, since, until, manifests)

        @cache
        def is_asked(folder: str) -> bool:
            day, part = parse_folder(folder)
            return first <= day <= last and (wanted is None or any(parts_of(symbol, [part]) for symbol in wanted))

        for claim in claims:
            absent = (item for item in claim.objects if item.key not in names and is_asked(folder_of(item.key)))
            gone = _touching((DataFile(first, item) for item in absent), since, until)
            self.refuse_gone(claim, self._unheld(_named(item.claimed.key for item in gone), manifests))
        claimed = {item.key: item for claim in claims for item in claim.objects}
        raw = [DataFile(name.trade_date, claimed[key], name) for key, name in names.items() if key in claimed]
        raw = _touching(raw, since, until)
        self.check_sizes(raw)
        if exact and wanted is not None:
            raw = _touching(self._exact(raw, wanted), since, until)
        held = [DataFile(day, item) for day, manifest in manifests.items() for item in manifest.objects_of(wanted)]
        held = _touching(held, since, until)
        self._check_parquet(held)
        if as_of is None:
            return raw + held
        known = duckdb.ColumnExpression("ts_recv") <= duckdb.ConstantExpression(as_of)
        if wanted is not None:
            known &= _among("symbol", wanted)
        return _touching(self._narrow(raw + held, known), since, until)

    def objects(self, table: Table, days: Iterable[date], symbols: Collection[str] | None) -> dict[str, ObjectName]:
        """The raw objects in the folders of ``days`` that may hold records of ``symbols``, claimed or not."""
        self.log(table)  # listed before they are: see there
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="list") as pool:
            folders = [
                folder for found in pool.map(lambda day: self._asked_folders(table, day, symbols), days) for folder in found
            ]
            return _named(key for keys in pool.map(self._keys_in, folders) for key in keys)

    def _asked_folders(self, table: Table, day: date, symbols: Collection[str] | None) -> list[str]:
        """The folders of one date that may hold records of ``symbols``."""
        folder = date_folder(table, day)
        if symbols is None:
            return [folder]
        parts = self._folders_in(folder)
        return [f"{folder}/{part}" for part in sorted(set().union(*(parts_of(symbol, parts) for symbol in symbols)))]

    def _folders_in(self, folder: str) -> list[str]:
        """The names of the folders directly below ``folder``."""
        if folder not in self._folders:
            self._folders[folder] = self.store.folders(folder)
        return self._folders[folder]

    def _keys_in(self, folder: str) -> Iterable[str]:
        if folder not in self._sizes:
            self._sizes[folder] = {item.key: item.size for item in self.store.objects(folder)}
        return self._sizes[folder]

    def _unheld(self, names: dict[str, ObjectName], manifests: dict[date, Manifest]) -> dict[str, ObjectName]:
        """Those of the raw objects that count beside ``manifests``, if they are claimed, and above the floor."""
        held = {day: manifest.claims for day, manifest in manifests.items()}
        return {
            key: name
            for key, name in names.items()
            if name.claim not in held.get(name.trade_date, ()) and (self._floor is None or name.trade_date >= self._floor)
        }

    def _claims(
        self, log: ClaimLog, known: set[str], since: int | None, until: int | None, manifests: dict[date, Manifest]
    ) -> list[Claim]:
        """The claims at ``known``, and all others of ``[since, until)``, but for what manifests hold."""
        if since is not None and until is not None:
            first, last = trade_date(since, self.zone), trade_date(until - 1, self.zone)
            if all(first + timedelta(number) in manifests for number in range((last - first).days + 1)):
                return log.read(known)  # manifests hold all that is there
        if self._floor is not None:
            since = max(since or 0, span_around(self._floor)[0])
        return log.find(known, since, until, {key for manifest in manifests.values() for key in manifest.claims} - known)

    def refuse_gone(self, claim: Claim, gone: Collection[str]) -> None:
        """UnhealthyError if one of the claim's objects, which are not there, should be.

        It need not if it's still being put, if a person has accepted its loss, or if a prune has come between.
        """
        if not gone or self.log(claim.layout.table).is_newest(claim):
            return
        floor, lost = read_floor(self.store), read_lost(self.store, claim)
        missing = sorted(key for key in gone if key not in lost and not is_expired(key, floor))
        if missing:
            raise UnhealthyError(
                f"the object {missing[0]}, which {claim.key} names, is gone",
                hint="`stockctl lake verify` names all damage; put it back from a copy, or see docs/lake.md",
            )

    def check_sizes(self, found: Iterable[DataFile]) -> None:
        """UnhealthyError if a raw object was replaced. Another version's compressor may give another size: the lines decide."""
        sizes = {key: size for folder in self._sizes.values() for key, size in folder.items()}
        other = [item.claimed for item in found if sizes[item.claimed.key] != item.claimed.size]
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="check") as pool:
            for _ in pool.map(lambda item: check(item, self.store.get(item.key)), other):
                pass

    def _check_parquet(self, found: Iterable[DataFile]) -> None:
        """UnhealthyError if a Parquet object is gone or was replaced."""
        for item in (one.claimed for one in found):
            size = self._parquet.get(item.key)
            if size != item.size:
                state = "is gone" if size is None else f"has {size} bytes, and its manifest says {item.size}"
                raise UnhealthyError(f"the object {item.key} {state}", hint="`stockctl lake verify` names all damage")

    @cached_property
    def _parquet(self) -> dict[str, int]:
        """The Parquet objects' sizes by key."""
        return {item.key: item.size for item in self.store.objects(PARQUET)}

    def _read(self, keys: Iterable[str]) -> dict[str, bytes]:
        return {key: read_file(key, path) for key, path in self._files.paths(keys).items()}

    def manifests(self, days: Iterable[date]) -> dict[date, Manifest]:
        """The newest manifest of each of ``days`` that was compacted."""
        keys = [self._newest_manifests[day] for day in days if day in self._newest_manifests]
        found = [decode_manifest(data, key) for key, data in self._read(keys).items()]
        return {manifest.trade_date: manifest for manifest in found}

    def _exact(self, found: list[DataFile], symbols: Collection[str]) -> list[DataFile]:
        shared = [item for item in found if item.name is not None and is_bucket(item.name.part)]
        if not shared:
            return found
        keys = {item.claimed.key for item in shared}
        return [item for item in found if item.claimed.key not in keys] + self._narrow(shared, _among("symbol", symbols))

    def _narrow(self, found: list[DataFile], condition: duckdb.Expression) -> list[DataFile]:
        """Those of these objects of trades that hold such rows, with the time span of these rows alone."""
        paths = self.files(found)
        with duck() as connection:
            rows = scan(connection, "trades", paths.values()).filter(condition)
            spans = rows.aggregate("filename, min(ts_event), max(ts_event)").fetchall()
        keys = {str(path): key for key, path in paths.items()}
        narrow = {keys[file]: (first, last) for file, first, last in spans}
        return [
            item._replace(claimed=msgspec.structs.replace(item.claimed, ts_min=narrow[key][0], ts_max=narrow[key][1]))
            for item in found
            if (key := item.claimed.key) in narrow
        ]

    def files(self, found: Iterable[DataFile]) -> dict[str, Path]:
        """The objects' files on this machine by key; fetched ones are compared with what their claims and manifests say."""
        claimed = {item.claimed.key: item.claimed for item in found}
        self._handed |= claimed
        paths = self._files.paths(claimed, lambda key, data: check(claimed[key], data))
        if missing := claimed.keys() - paths.keys():
            raise StockctlError(f"the object {min(missing)} was deleted while it was read", hint="ask again")
        return paths

    def through(self, symbol: str, found: Collection[DataFile]) -> int | None:
        """Receipt time in ms up to which all trades of ``symbol`` are in the lake: that of its partition's newest record.

        ``found`` are the symbol's objects. None if there are none: then nothing tells which partition it is in. Buckets may
        leave several partitions open: then it is the time that all of them have reached.
        """
        day = max((item.trade_date for item in found), default=None)
        if day is None:
            return None
        names = [item.name for item in found if item.trade_date == day and item.name is not None]
        if any(item.trade_date == day and item.name is None for item in found):
            names += self.objects("trades", [day], [symbol]).values()
        newest = {name.partition: name for name in sorted(names, key=lambda name: (name.generation, name.start))}
        return min((self._stored_through(symbol, name) for name in newest.values()), default=None)

    def _stored_through(self, symbol: str, name: ObjectName) -> int:
        """As ``through``, of the partition of the object ``name``."""
        folder = log_folder(name.table, name.generation, name.partition)
        later = [item.key for item in self.store.objects(folder, after=name.claim) if parse_claim(item.key)]
        claims = (read_claim(self.store, key) for key in [*reversed(later), name.claim])
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
            self.store.size(key)
        except AbsentError:
            return True
        return False

    def view(
        self, connection: duckdb.DuckDBPyConnection, table: Table, found: Collection[DataFile], name: str | None = None
    ) -> list[Path]:
        """Make the rows of these objects the view ``name`` (default: that of the table).

        It has the columns of ``COLUMNS`` and ``trade_date``. Answers with the files that it reads: they must stay as long.
        """
        claimed = {item.claimed.key: item.claimed for item in found}
        paths = self.files(found)
        self._joined.append(TemporaryDirectory(prefix="stockctl-"))
        chosen = concatenate(paths, Path(self._joined[-1].name), lambda key, data: check(claimed[key], data))
        scan(connection, table, chosen).select(*COLUMNS[table], "trade_date").create_view(name or table)
        return chosen


def _named(keys: Iterable[str]) -> dict[str, ObjectName]:
    return {key: name for key in keys if (name := parse_object(key))}


def _touching(found: Iterable[DataFile], since: int | None, until: int | None) -> list[DataFile]:
    """Those whose time span touches ``[since, until)``."""
    return [
        item
        for item in found
        if (since is None or item.claimed.ts_max >= since) and (until is None or item.claimed.ts_min < until)
    ]


def _among(column: str, values: Iterable[str]) -> duckdb.Expression:
    return duckdb.ColumnExpression(column).isin(*map(duckdb.ConstantExpression, values))


def check(claimed: ClaimedObject | ParquetObject, data: bytes) -> None:
    """Compare an object's bytes with the hash in its claim or manifest. UnhealthyError if they differ."""
    content = data if isinstance(claimed, ParquetObject) else decompress(data, claimed.key)
    if sha256(content).hexdigest() != claimed.sha256:
        raise UnhealthyError(f"the object {claimed.key} is not what its claim says", hint="`stockctl lake verify --deep`")


def events(
    lake: LakeReader, since: int | None = None, until: int | None = None, as_of: int | None = None
) -> list[dict[str, Any]]:
    """The feed events that touch ``[since, until)`` (ms UTC) and were received by ``as_of``, as mappings of their fields."""
    # An event lies under the date of its end, and none that tells coverage is longer than an hour.
    until_end = None if until is None else until + _DAY
    with duck() as connection:
        lake.view(connection, "feed_events", lake.find("feed_events", since=since, until=until_end))
        rows = connection.sql(
            "SELECT * EXCLUDE (trade_date) REPLACE (COALESCE(symbols, '') AS symbols, COALESCE(reason, '') AS reason) "
            "FROM feed_events "
            "WHERE ($since IS NULL OR span_end >= $since) AND ($until IS NULL OR span_start < $until) "
            "AND ($as_of IS NULL OR ts_recv <= $as_of) ORDER BY span_start, id",
            params={"since": since, "until": until, "as_of": as_of},
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

    Symbols are taken in any case and split at commas, as on the command line; a known one without trades there has no rows.
    Columns are those of ``stockctl.records.Trade`` and ``trade_date``; ``ts_event`` and ``ts_recv`` are timestamps in ms, UTC.
    Times without a zone are the exchange's; a date means its midnight. ``as_of`` keeps what had been received by then, so that
    an analysis sees no later than its own moment; as a date it means the end of that day, exchange time. ``settings`` default
    to those of the active profile.

        table = stockctl.read_trades("AAPL", "2026-11-23", "2026-11-24")

    UnknownSymbolError, with near ones in its hint, for a symbol that neither the setting ``symbols`` nor the lake knows; the
    other StockctlErrors as the command raises them: no lake, no rights, a damaged object.
    """
    settings = settings or load_settings()
    zone = ZoneInfo(settings.timezone)
    first, last = (None if moment is None else parse_moment(moment, zone) for moment in (since, until))
    return trades_between(settings, symbols, first, last, None if as_of is None else parse_as_of(as_of, zone))


def trades_between(
    settings: Settings, symbols: str | Iterable[str] | None, since: int | None, until: int | None, as_of: int | None = None
) -> pa.Table:
    """As ``read_trades``, with times in ms UTC."""
    with LakeReader(settings) as lake, duck() as connection:
        wanted = None if symbols is None else asked_symbols(lake, symbols)
        lake.view(connection, "trades", lake.find("trades", symbols=wanted, since=since, until=until))
        table = connection.sql(
            "SELECT * FROM trades WHERE ($symbols IS NULL OR list_contains($symbols, symbol)) "
            "AND ($since IS NULL OR ts_event >= $since) AND ($until IS NULL OR ts_event < $until) "
            "AND ($as_of IS NULL OR ts_recv <= $as_of) ORDER BY ts_event, ts_recv, id",
            params={"symbols": wanted, "since": since, "until": until, "as_of": as_of},
        ).to_arrow_table()
    return with_times(table, ("ts_event", "ts_recv"), "UTC")


def with_times(table: pa.Table, names: Iterable[str], zone: str) -> pa.Table:
    """``table`` with these columns of ms since the epoch as timestamps, shown in ``zone``."""
    import pyarrow as pa

    for name in names:
        position = table.column_names.index(name)
        table = table.set_column(position, name, table.column(position).cast(pa.timestamp("ms", zone)))
    return table
