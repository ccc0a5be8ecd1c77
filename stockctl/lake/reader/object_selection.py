"""Which objects of the lake count, and their files on this machine.

A raw object counts only if its claim exists and names it. If a claim names an object that is missing, that is an error. Of a
compacted date, the Parquet objects of its newest manifest count, and the raw objects of claims that the manifest does not
include. Below the floor nothing counts. Objects never change, so those of S3 are cached on disk (``lake.reader.cache``).
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
from typing import NamedTuple, Self
from zoneinfo import ZoneInfo

import duckdb
import msgspec

from stockctl.clients.object_store import Store
from stockctl.errors import StockctlError, UnhealthyError
from stockctl.exchange.calendar import Calendar, calendar_of, trade_date
from stockctl.lake.format.claims import Claim, ClaimedObject, read_claim, read_lost, read_source
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
from stockctl.lake.reader.duckdb_session import COLUMNS, UnreadableFilesError, duck, one_of, received_by, scan
from stockctl.lake.reader.log_claims import LogClaims
from stockctl.lake.store import existing_store
from stockctl.lake.writer.batch import decompress
from stockctl.settings import Settings

_WORKERS = 16


class DataFile(NamedTuple):
    """An object that counts, with its entry in the claim or the manifest; ``name`` is the parsed key of a raw object."""

    trade_date: date
    claimed: ClaimedObject | ParquetObject
    name: ObjectName | None = None


class LakeReader:
    """Reads the lake of ``settings``. A context manager: the files that it returns exist until the context ends.

    It lists each folder once, so that all queries of one reader see the same state of the lake.
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
        self._returned: dict[str, ClaimedObject | ParquetObject] = {}

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
        """Name the object that DuckDB could not read: DuckDB only knows files, which may be several objects joined."""
        for item in self._returned.values():
            path = self._files.paths([item.key]).get(item.key)
            try:
                check(item, read_file(item.key, path) if path else b"")
            except StockctlError as damage:
                raise damage from error

    @cached_property
    def calendar(self) -> Calendar:
        """The trading calendar of the lake's source."""
        return calendar_of(read_source(self.store))

    @cached_property
    def floor(self) -> date | None:
        """The first date that the lake guarantees; None if nothing was ever pruned."""
        return read_floor(self.store)

    @cached_property
    def _newest_manifests(self) -> dict[date, str]:
        return newest_manifests(self.store)

    def dates(self, table: Table = "trades") -> list[date]:
        """The dates that have a folder in ``table``, in order, from the floor on."""
        days = [day for name in self._folders_in(table) if (day := folder_date(name)) is not None]
        return [day for day in days if self.floor is None or day >= self.floor]

    def log(self, table: Table) -> ClaimLog:
        """The claims of ``table``."""
        if table not in self._logs:
            self._logs[table] = ClaimLog(self.store, table, self.read_log)
        return self._logs[table]

    @cached_property
    def log_claims(self) -> LogClaims:
        """The claims of the trades in log order."""
        return LogClaims(self)

    def symbols_of(self, day: date) -> set[str]:
        """The symbols in the folder names of one date's trades; symbols in buckets are missing."""
        return tickers(self._folders_in(date_folder("trades", day)))

    def may_contain(self, day: date, symbol: str) -> bool:
        """Whether a folder of that date's trades may contain ``symbol``."""
        return bool(parts_of(symbol, self._folders_in(date_folder("trades", day))))

    def symbols(self) -> set[str]:
        """The symbols in folder names and manifests of all dates; symbols that are only in buckets are missing."""
        days = self.dates()
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="list") as pool:
            names = list(pool.map(self.symbols_of, days))
        return set().union(*names, *(manifest.symbols for manifest in self.manifests(days).values()))

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
        """The objects that may contain records of ``symbols`` in ``[since, until)`` (ms UTC); None is no bound.

        ``exact`` reads the objects of buckets, which several symbols share: objects without ``symbols`` are left out, and the
        others have the time span of ``symbols`` only. With ``as_of`` (ms UTC) it reads all objects, and counts only records
        received by then. UnhealthyError if an object is missing or damaged.
        """
        log = self.log(table)
        first, last = dates_around(since, until)
        days = [day for day in self.dates(table) if first <= day <= last]
        wanted = None if symbols is None or table != "trades" else set(symbols)
        manifests = self.manifests(days) if table == "trades" else {}
        names = self._uncompacted(self.objects(table, days, wanted), manifests)
        claims = self._claims(log, {name.claim for name in names.values()}, since, until, manifests)

        @cache
        def is_relevant(folder: str) -> bool:
            day, part = parse_folder(folder)
            return first <= day <= last and (wanted is None or any(parts_of(symbol, [part]) for symbol in wanted))

        for claim in claims:
            missing = (item for item in claim.objects if item.key not in names and is_relevant(folder_of(item.key)))
            relevant = _overlapping((DataFile(first, item) for item in missing), since, until)
            self.require_objects(claim, self._uncompacted(_parsed(item.claimed.key for item in relevant), manifests))
        claimed = {item.key: item for claim in claims for item in claim.objects}
        raw = [DataFile(name.trade_date, claimed[key], name) for key, name in names.items() if key in claimed]
        raw = _overlapping(raw, since, until)
        self.check_sizes(raw)
        if exact and wanted is not None:
            raw = _overlapping(self._exact(raw, wanted), since, until)
        parquet = [DataFile(day, item) for day, manifest in manifests.items() for item in manifest.objects_of(wanted)]
        parquet = _overlapping(parquet, since, until)
        self.check_parquet(parquet)
        if as_of is None:
            return raw + parquet
        condition = received_by(as_of)
        if wanted is not None:
            condition &= one_of("symbol", wanted)
        return _overlapping(self._narrow(raw + parquet, condition), since, until)

    def objects(self, table: Table, days: Iterable[date], symbols: Collection[str] | None) -> dict[str, ObjectName]:
        """The raw objects in the folders of ``days`` that may contain records of ``symbols``, claimed or not."""
        self.log(table)  # must be listed before the objects, see ``ClaimLog``
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="list") as pool:
            folders = [
                folder for folders in pool.map(lambda day: self._folders_of(table, day, symbols), days) for folder in folders
            ]
            return _parsed(key for keys in pool.map(self._keys_in, folders) for key in keys)

    def _folders_of(self, table: Table, day: date, symbols: Collection[str] | None) -> list[str]:
        """The folders of one date that may contain records of ``symbols``."""
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

    def _uncompacted(self, names: dict[str, ObjectName], manifests: dict[date, Manifest]) -> dict[str, ObjectName]:
        """The raw objects that ``manifests`` do not include, from the floor on."""
        compacted = {day: manifest.claims for day, manifest in manifests.items()}
        return {
            key: name
            for key, name in names.items()
            if name.claim not in compacted.get(name.trade_date, ()) and (self.floor is None or name.trade_date >= self.floor)
        }

    def _claims(
        self, log: ClaimLog, known: set[str], since: int | None, until: int | None, manifests: dict[date, Manifest]
    ) -> list[Claim]:
        """The claims at ``known``, and all others of ``[since, until)`` that ``manifests`` do not include."""
        if since is not None and until is not None:
            first, last = trade_date(since, self.zone), trade_date(until - 1, self.zone)
            if all(first + timedelta(number) in manifests for number in range((last - first).days + 1)):
                return log.read(known)  # the manifests include everything else
        if self.floor is not None:
            since = max(since or 0, span_around(self.floor)[0])
        return log.find(known, since, until, {key for manifest in manifests.values() for key in manifest.claims} - known)

    def require_objects(self, claim: Claim, missing: Collection[str]) -> None:
        """UnhealthyError if one of the claim's ``missing`` objects should exist.

        It need not if the writer may still be storing it, if its loss was accepted, or if it was pruned.
        """
        if not missing or self.log(claim.layout.table).is_newest(claim):
            return
        floor, lost = read_floor(self.store), read_lost(self.store, claim)
        damage = sorted(key for key in missing if key not in lost and not is_expired(key, floor))
        if damage:
            raise UnhealthyError(
                f"the object {damage[0]}, which {claim.key} names, is missing",
                hint="`stockctl lake verify` lists all damage; restore the object from a backup, or see docs/lake.md",
            )

    def check_sizes(self, files: Iterable[DataFile]) -> None:
        """UnhealthyError if a raw object was replaced. Another version of the compressor may write another size: then the lines
        decide.
        """
        sizes = {key: size for folder in self._sizes.values() for key, size in folder.items()}
        resized = [item.claimed for item in files if sizes[item.claimed.key] != item.claimed.size]
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="check") as pool:
            for _ in pool.map(lambda item: check(item, self.store.get(item.key)), resized):
                pass

    def check_parquet(self, files: Iterable[DataFile]) -> None:
        """UnhealthyError if a Parquet object is missing or was replaced."""
        for item in (file.claimed for file in files):
            size = self._parquet.get(item.key)
            if size != item.size:
                state = "is missing" if size is None else f"has {size} bytes, but {item.size} in its manifest"
                raise UnhealthyError(f"the object {item.key} {state}", hint="`stockctl lake verify` lists all damage")

    @cached_property
    def _parquet(self) -> dict[str, int]:
        """The sizes of the Parquet objects by key."""
        return {item.key: item.size for item in self.store.objects(PARQUET)}

    def existing(self, items: Iterable[ClaimedObject]) -> dict[str, Path]:
        """The files of those of the claimed objects that exist, by key. Unlike ``files`` it keeps nothing in memory."""
        claimed = {item.key: item for item in items}
        return self._files.paths(claimed, lambda key, data: check(claimed[key], data))

    def read_log(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The content of those of the claims or manifests ``keys`` that exist."""
        return {key: read_file(key, path) for key, path in self._files.paths(keys).items()}

    def compacted_dates(self) -> list[date]:
        """The dates that have a manifest, in order, from the floor on."""
        return sorted(day for day in self._newest_manifests if self.floor is None or day >= self.floor)

    def manifests(self, days: Iterable[date]) -> dict[date, Manifest]:
        """The newest manifest of each date of ``days`` that was compacted."""
        keys = [self._newest_manifests[day] for day in days if day in self._newest_manifests]
        manifests = [decode_manifest(data, key) for key, data in self.read_log(keys).items()]
        return {manifest.trade_date: manifest for manifest in manifests}

    def _exact(self, found: list[DataFile], symbols: Collection[str]) -> list[DataFile]:
        shared = [item for item in found if item.name is not None and is_bucket(item.name.part)]
        if not shared:
            return found
        keys = {item.claimed.key for item in shared}
        return [item for item in found if item.claimed.key not in keys] + self._narrow(shared, one_of("symbol", symbols))

    def _narrow(self, found: list[DataFile], condition: duckdb.Expression) -> list[DataFile]:
        """The objects of trades that have rows with ``condition``, with the time span of these rows only."""
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
        """The files of the objects on this machine, by key. Downloads are compared with the hash in the claim or manifest."""
        claimed = {item.claimed.key: item.claimed for item in found}
        self._returned |= claimed
        paths = self._files.paths(claimed, lambda key, data: check(claimed[key], data))
        if missing := claimed.keys() - paths.keys():
            raise StockctlError(f"the object {min(missing)} was deleted while it was read", hint="run the command again")
        return paths

    def through(self, symbol: str, found: Collection[DataFile]) -> int | None:
        """Receipt time in ms up to which the lake has all trades of ``symbol``: that of its partition's newest record.

        ``found`` are the symbol's objects. None without objects: then its partition is unknown. In a bucket the symbol may be
        in one of several partitions: then it is the time that all of them have reached.
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
        """The result of ``through`` for the partition of the object ``name``."""
        folder = log_folder(name.table, name.generation, name.partition)
        later = [item.key for item in self.store.objects(folder, after=name.claim) if parse_claim(item.key)]
        claims = (read_claim(self.store, key) for key in [*reversed(later), name.claim])
        claim, last = next((claim, claim.last) for claim in claims if claim.last is not None)
        # The newest claim exists before its objects do: an object that is still missing limits the time.
        missing = [item.ts_min for item in claim.objects if self._lacks(item.key, symbol)]
        return min([last.timestamp, *missing])

    def _lacks(self, key: str, symbol: str) -> bool:
        """Whether the object may contain records of ``symbol`` and does not exist."""
        name = parse_object(key)
        return name is not None and bool(parts_of(symbol, [name.part])) and not self.store.exists(key)

    def view(
        self, connection: duckdb.DuckDBPyConnection, table: Table, found: Collection[DataFile], name: str | None = None
    ) -> list[Path]:
        """Create the view ``name`` (default: ``table``) over the rows of these objects.

        It has the columns of ``COLUMNS`` and ``trade_date``. Returns the files that the view reads; they must exist as long.
        """
        claimed = {item.claimed.key: item.claimed for item in found}
        paths = self.files(found)
        self._joined.append(TemporaryDirectory(prefix="stockctl-"))
        files = concatenate(paths, Path(self._joined[-1].name), lambda key, data: check(claimed[key], data))
        scan(connection, table, files).select(*COLUMNS[table], "trade_date").create_view(name or table)
        return files


def _parsed(keys: Iterable[str]) -> dict[str, ObjectName]:
    return {key: name for key in keys if (name := parse_object(key))}


def _overlapping(found: Iterable[DataFile], since: int | None, until: int | None) -> list[DataFile]:
    """The objects whose time span overlaps ``[since, until)``."""
    return [
        item
        for item in found
        if (since is None or item.claimed.ts_max >= since) and (until is None or item.claimed.ts_min < until)
    ]


def check(claimed: ClaimedObject | ParquetObject, data: bytes) -> None:
    """UnhealthyError if the bytes of an object do not match the hash in its claim or manifest."""
    content = data if isinstance(claimed, ParquetObject) else decompress(data, claimed.key)
    if sha256(content).hexdigest() != claimed.sha256:
        raise UnhealthyError(f"the object {claimed.key} does not match its claim", hint="`stockctl lake verify --deep`")
