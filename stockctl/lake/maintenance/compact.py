"""``lake compact``: writes the trades of a date as Parquet, in a table of its own; the raw objects stay.

The objects of a date are written first, to a new folder; then its manifest, only if absent: it makes them count. A run that
dies before that leaves objects that nobody reads. A later claim reopens its date: the next run writes the next version, from
the raw objects again. A run deletes objects that can no longer count: those of its version that the manifest does not name, and
those of older versions, except the version before it, so that running queries can finish.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from stockctl.clients.object_store import Store
from stockctl.errors import UnhealthyError
from stockctl.lake.format.claims import Claim, ClaimedObject
from stockctl.lake.format.keys import (
    PARQUET,
    date_of,
    folder_of,
    parquet_folder,
    parquet_key,
    parse_folder,
    parse_parquet,
    span_around,
)
from stockctl.lake.format.manifest import Extent, Manifest, ParquetObject, put_manifest
from stockctl.lake.format.row_order import ObjectRanks, object_ranks
from stockctl.lake.maintenance.raw_rows import RawRows
from stockctl.lake.reader.duckdb_session import duck
from stockctl.lake.reader.object_selection import DataFile, LakeReader
from stockctl.lake.store import existing_store
from stockctl.settings import Settings

ORDER = ("symbol", "ts_event", "ts_recv", "id")
"""The sort order of rows, with text in byte order."""

Advance = Callable[[date, int, int], None]
"""Called with a date, the number of its rows written, and of all its rows."""


class Sizes(NamedTuple):
    """Rows per object, about 20 MB, so that one symbol of a big date is a small download; and rows per row group."""

    object_rows: int = 1_048_576
    group_rows: int = 65_536


class Compacted(NamedTuple):
    """The result for one date; ``version`` is the number of its manifest, from 1. A dry run has no ``objects`` or ``bytes``."""

    trade_date: date
    version: int
    claims: int
    rows: int
    objects: int | None
    bytes: int | None


def compact(
    settings: Settings,
    *,
    since: date | None = None,
    before: date | None = None,
    sizes: Sizes = Sizes(),  # noqa: B008  # a tuple of numbers
    advance: Advance = lambda _day, _done, _all: None,
) -> Iterator[Compacted]:
    """Compact each date of ``[since, before)`` with claims that its newest manifest does not include; yield each result.

    UnhealthyError if raw objects do not match their claims, or if raw objects of included claims are missing.
    """
    store = existing_store(settings)
    stored: dict[date, list[str]] = defaultdict(list)
    for item in store.objects(PARQUET):
        if (name := parse_parquet(item.key)) is not None:
            stored[name.trade_date].append(item.key)
    for day in _dates(settings, store, since, before):
        # A new reader for each date: it frees the listings and files of the date before.
        with LakeReader(settings, store) as lake:
            plan = _plan(lake, day)
            new = _write_version(lake, plan, sizes, advance) if plan.claims else None
        newest = put_manifest(store, new) if new is not None else plan.manifest
        if newest is not None:
            keep = newest.keys | (plan.manifest.keys if plan.manifest is not None else set())
            _delete_unused(store, [*stored[day], *(new.keys if new is not None else ())], newest.version, keep)
        if new is not None and newest is not None and newest.nonce == new.nonce:
            size = sum(item.size for item in new.objects)
            yield Compacted(day, new.version, len(new.claims), new.rows, len(new.objects), size)


def compactable(settings: Settings, *, since: date | None = None, before: date | None = None) -> Iterator[Compacted]:
    """What ``compact`` would do, without a change. Errors as there, but raw objects are not read."""
    store = existing_store(settings)
    for day in _dates(settings, store, since, before):
        with LakeReader(settings, store) as lake:
            plan = _plan(lake, day)
        if plan.claims:
            yield Compacted(day, plan.version, len(plan.claims), sum(file.claimed.rows for file in plan.files), None, None)


class _Plan(NamedTuple):
    """The next version of a date: the claims that it includes, none if nothing is new, and their raw objects.

    ``manifest`` is the newest one; ``ranks`` are those of the objects that share a claim and a part, by key.
    """

    day: date
    manifest: Manifest | None
    claims: frozenset[str]
    files: list[DataFile]
    ranks: dict[str, ObjectRanks]

    @property
    def version(self) -> int:
        return self.manifest.version + 1 if self.manifest is not None else 1


def _dates(settings: Settings, store: Store, since: date | None, before: date | None) -> list[date]:
    with LakeReader(settings, store) as lake:
        return [day for day in lake.dates() if (since is None or since <= day) and (before is None or day < before)]


def _plan(lake: LakeReader, day: date) -> _Plan:
    manifest = lake.manifests([day]).get(day)
    included = manifest.claims if manifest is not None else frozenset()
    log, names = lake.log("trades"), lake.objects("trades", [day], None)
    objects: dict[str, list[ClaimedObject]] = {}
    ranks: dict[str, ObjectRanks] = {}
    for claim in log.find({name.claim for name in names.values()} - included, *span_around(day), skip=included):
        # The writer may still be storing the objects of a claim: then the next run includes it.
        claimed = _objects_on(day, claim)
        missing = [item.key for item in claimed if item.key not in names]
        lake.require_objects(claim, missing)
        if claimed and not missing:
            objects[claim.key] = claimed
            ranks |= _ranks(day, claim)
    if not objects:
        return _Plan(day, manifest, frozenset(), [], {})
    for claim in log.read(included):
        objects[claim.key] = _objects_on(day, claim)
        ranks |= _ranks(day, claim)
    missing = [item.key for key in included for item in objects.get(key, ()) if item.key not in names]
    if missing or included - objects.keys():
        raise UnhealthyError(
            f"cannot compact {day} again: {min(missing or included - objects.keys())}, which its manifest includes, is missing",
            hint="`stockctl lake verify` names all damage",
        )
    files = [DataFile(day, item, names[item.key]) for claimed in objects.values() for item in claimed]
    return _Plan(day, manifest, frozenset(objects), files, ranks)


def _write_version(lake: LakeReader, plan: _Plan, sizes: Sizes, advance: Advance) -> Manifest:
    """Put the objects of the next version; its manifest, which is not put yet."""
    objects = _Objects(lake.store, parquet_folder(plan.day, plan.version, secrets.token_hex(4)), sizes)
    rows = sum(file.claimed.rows for file in plan.files)
    _write(lake, plan, objects, sizes, lambda done: advance(plan.day, done, rows))
    if objects.rows != rows:
        raise UnhealthyError(
            f"the raw objects of {plan.day} have {objects.rows} rows, but their claims have {rows}",
            hint="`stockctl lake verify --deep` lists the damage",
        )
    return Manifest(
        nonce=secrets.token_hex(8),
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        trade_date=plan.day,
        version=plan.version,
        claims=plan.claims,
        rows=rows,
        objects=objects.written,
        symbols=objects.symbols,
        log_order=True,
    )


def _objects_on(day: date, claim: Claim) -> list[ClaimedObject]:
    return [item for item in claim.objects if date_of(item.key) == day]


def _ranks(day: date, claim: Claim) -> dict[str, ObjectRanks]:
    """The ranks of the claim's objects of ``day`` that have rows of the same symbols as its objects of other dates."""
    if len({date_of(item.key) for item in claim.objects}) < 2:
        return {}
    parts: dict[str, list[int]] = defaultdict(list)
    for number, item in enumerate(claim.objects):
        parts[parse_folder(folder_of(item.key))[1]].append(number)
    ranks = {number: ranks for own in parts.values() if len(own) > 1 for number, ranks in object_ranks(claim, own).items()}
    return {key: ranks[number] for number in ranks if date_of(key := claim.objects[number].key) == day}


def _write(lake: LakeReader, plan: _Plan, objects: _Objects, sizes: Sizes, advance: Callable[[int], None]) -> None:
    """Sort the rows of the plan's objects into ``objects``; DuckDB spills to disk what does not fit into memory."""
    lake.check_sizes(plan.files)
    raw = RawRows(plan.files, lake.files(plan.files), plan.ranks)
    with duck(lake.settings.lake.compact_memory) as connection:
        connection.register("trades", raw.stream())
        try:
            rows = connection.sql(f"SELECT * FROM trades ORDER BY {', '.join(ORDER)}")  # noqa: S608  # our own names
            for batch in pa.RecordBatchReader.from_stream(rows):
                rows_of_parquet = raw.compacted(batch)
                for first in range(0, batch.num_rows, sizes.group_rows):
                    objects.append(rows_of_parquet.slice(first, sizes.group_rows))
                advance(objects.rows)
        except (duckdb.Error, pa.ArrowException):
            if raw.error is not None:
                raise raw.error from None
            raise
    objects.finish()


class _Objects:
    """Splits a stream of sorted trades into Parquet objects, and writes them to ``folder``."""

    def __init__(self, store: Store, folder: str, sizes: Sizes) -> None:
        self._store, self._folder, self._sizes = store, folder, sizes
        self._sink = pa.BufferOutputStream()
        self._extents: dict[str, Extent] = {}
        self._file: pyarrow.parquet.ParquetWriter | None = None
        self.rows = 0
        self.written: list[ParquetObject] = []
        self.symbols: dict[str, Extent] = {}

    def append(self, batch: pa.RecordBatch) -> None:
        """Append the rows of ``batch`` as a row group; write the object when it is full."""
        if self._file is None:
            self._sink = pa.BufferOutputStream()
            self._file = pyarrow.parquet.ParquetWriter(self._sink, batch.schema, compression="zstd")
            self._extents = {}
        self._file.write_batch(batch, row_group_size=self._sizes.group_rows)
        self.rows += batch.num_rows
        _merge(self._extents, _extents(batch))
        if sum(extent.rows for extent in self._extents.values()) >= self._sizes.object_rows:
            self.finish()

    def finish(self) -> None:
        """Write the open object, if there is one."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        data = self._sink.getvalue().to_pybytes()
        item = ParquetObject(
            key=parquet_key(self._folder, len(self.written)),
            rows=sum(extent.rows for extent in self._extents.values()),
            first_symbol=min(self._extents),
            last_symbol=max(self._extents),
            ts_min=min(extent.ts_min for extent in self._extents.values()),
            ts_max=max(extent.ts_max for extent in self._extents.values()),
            sha256=sha256(data).hexdigest(),
            size=len(data),
        )
        # No other run uses this folder, so a retried put replaces its own object.
        self._store.put(item.key, data)
        self.written.append(item)
        _merge(self.symbols, self._extents)


def _extents(batch: pa.RecordBatch) -> dict[str, Extent]:
    """Rows and time span of each symbol in ``batch``."""
    table = pa.Table.from_batches([batch]).group_by("symbol")
    columns = table.aggregate([("ts_event", "count"), ("ts_event", "min"), ("ts_event", "max")]).to_pydict()
    spans = zip(columns["ts_event_count"], columns["ts_event_min"], columns["ts_event_max"], strict=True)
    return {symbol: Extent(*span) for symbol, span in zip(columns["symbol"], spans, strict=True)}


def _merge(into: dict[str, Extent], more: Mapping[str, Extent]) -> None:
    for symbol, new in more.items():
        old = into.get(symbol)
        into[symbol] = (
            new if old is None else Extent(old.rows + new.rows, min(old.ts_min, new.ts_min), max(old.ts_max, new.ts_max))
        )


def _delete_unused(store: Store, keys: list[str], version: int, keep: set[str]) -> None:
    """Delete the objects of ``version`` and of earlier versions, except those in ``keep``."""
    unused = [key for key in keys if key not in keep and (name := parse_parquet(key)) is not None and name.version <= version]
    if unused:
        store.delete(unused)
