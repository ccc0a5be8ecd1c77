"""``lake compact``: a date's trades as Parquet, in a table of its own; the raw objects stay as they are.

A date's objects are put first, in a folder of this run's own; then its manifest, only if absent: it makes them count. A run
that dies before leaves objects that nobody reads. A claim that comes later reopens its date: the next run writes the next
version, from the raw objects again. Dropped is what can never count any more: objects of a version that stands without them,
and those of an older version, but not in the run that follows it, so that whoever still reads it can end.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from stockctl.clients.store import Store
from stockctl.errors import UnhealthyError
from stockctl.lake.format.claims import Claim, ClaimedObject
from stockctl.lake.format.keys import PARQUET, date_of, parquet_folder, parquet_key, parse_parquet, span_around
from stockctl.lake.format.manifest import Extent, Manifest, ParquetObject, put_manifest
from stockctl.lake.reader.cache import read_file
from stockctl.lake.reader.catalog import DataFile, LakeReader, check
from stockctl.lake.reader.duckdb_session import COLUMNS, duck
from stockctl.lake.store import existing_store
from stockctl.settings import Settings

ORDER = ("symbol", "ts_event", "ts_recv", "id")
"""What rows are sorted by, texts in byte order."""

Advance = Callable[[date, int, int], None]
"""Told how many rows of a date are written, of how many."""


class Sizes(NamedTuple):
    """Rows of an object: some 20 MB, so that a thin symbol of a big date costs no big download; and rows of a row group."""

    object_rows: int = 1_048_576
    group_rows: int = 65_536


class Compacted(NamedTuple):
    """What a run made of one date; ``version`` counts how often it was reopened, from 1."""

    trade_date: date
    version: int
    claims: int
    rows: int
    objects: int
    bytes: int


def compact(
    settings: Settings,
    *,
    since: date | None = None,
    before: date | None = None,
    sizes: Sizes = Sizes(),  # noqa: B008  # a tuple of numbers
    advance: Advance = lambda _day, _done, _all: None,
) -> Iterator[Compacted]:
    """Compact each date of ``[since, before)`` that has claims which its newest manifest doesn't hold; what was made of each.

    UnhealthyError when raw objects are not what their claims say, or those of held claims are gone.
    """
    store = existing_store(settings)
    stored: dict[date, list[str]] = defaultdict(list)
    for item in store.objects(PARQUET):
        if (name := parse_parquet(item.key)) is not None:
            stored[name.trade_date].append(item.key)
    with LakeReader(settings, store) as lake:
        days = [day for day in lake.dates() if (since is None or since <= day) and (before is None or day < before)]
    for day in days:
        # A lake of its own for each date: what one has listed and fetched need not be kept for the next.
        with LakeReader(settings, store) as lake:
            old, made = _compact(lake, day, sizes, advance)
        stands = put_manifest(store, made) if made is not None else old
        if stands is not None:
            keep = stands.keys | (old.keys if old is not None else set())
            _drop(store, [*stored[day], *(made.keys if made is not None else ())], stands.version, keep)
        if made is not None and stands is not None and stands.nonce == made.nonce:
            size = sum(item.size for item in made.objects)
            yield Compacted(day, made.version, len(made.claims), made.rows, len(made.objects), size)


def _compact(lake: LakeReader, day: date, sizes: Sizes, advance: Advance) -> tuple[Manifest | None, Manifest | None]:
    """The date's newest manifest, and the next one with its objects put, if there is something new to hold."""
    old = lake.manifests([day]).get(day)
    held = old.claims if old is not None else frozenset()
    log, names = lake.log("trades"), lake.objects("trades", [day], None)
    whole: dict[str, list[ClaimedObject]] = {}
    for claim in log.find({name.claim for name in names.values()} - held, *span_around(day), skip=held):
        # Of a claim that is still being written some objects are not there yet: it is for the next run.
        ours = _on(day, claim)
        gone = [item.key for item in ours if item.key not in names]
        lake.require_objects(claim, gone)
        if ours and not gone:
            whole[claim.key] = ours
    if not whole:
        return old, None
    whole |= {claim.key: _on(day, claim) for claim in log.read(held)}
    missing = [item.key for key in held for item in whole.get(key, ()) if item.key not in names]
    if missing or held - whole.keys():
        raise UnhealthyError(
            f"cannot compact {day} again: {min(missing or held - whole.keys())}, which its manifest includes, is missing",
            hint="`stockctl lake verify` names all damage",
        )
    found = [DataFile(day, item, names[item.key]) for ours in whole.values() for item in ours]
    version = old.version + 1 if old is not None else 1
    objects = _Objects(lake.store, parquet_folder(day, version, secrets.token_hex(4)), sizes)
    rows = sum(item.claimed.rows for item in found)
    _write(lake, found, objects, sizes, lambda done: advance(day, done, rows))
    if objects.rows != rows:
        raise UnhealthyError(
            f"the raw objects of {day} hold {objects.rows} rows, and their claims say {rows}",
            hint="`stockctl lake verify --deep` names the damage",
        )
    made = Manifest(
        nonce=secrets.token_hex(8),
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        trade_date=day,
        version=version,
        claims=frozenset(whole),
        rows=rows,
        objects=objects.put,
        symbols=objects.symbols,
    )
    return old, made


def _on(day: date, claim: Claim) -> list[ClaimedObject]:
    return [item for item in claim.objects if date_of(item.key) == day]


def _write(lake: LakeReader, found: list[DataFile], objects: _Objects, sizes: Sizes, advance: Callable[[int], None]) -> None:
    """Sort the rows of the raw objects ``found`` into ``objects``; what doesn't fit into memory waits on disk."""
    lake.check_sizes(found)
    paths = lake.files(found)
    with ThreadPoolExecutor(4, thread_name_prefix="check") as pool:
        # Parquet will be read instead of these: nothing gets into it that was not claimed.
        for _ in pool.map(lambda item: check(item.claimed, read_file(item.claimed.key, paths[item.claimed.key])), found):
            pass
    with duck(lake.settings.lake.compact_memory) as connection:
        lake.view(connection, "trades", found)
        rows = connection.sql(f"SELECT {', '.join(COLUMNS['trades'])} FROM trades ORDER BY {', '.join(ORDER)}")  # noqa: S608  # our own names
        for batch in pa.RecordBatchReader.from_stream(rows):
            for first in range(0, batch.num_rows, sizes.group_rows):
                objects.take(batch.slice(first, sizes.group_rows))
            advance(objects.rows)
    objects.cut()


class _Objects:
    """Cuts a stream of sorted trades into Parquet objects in ``folder``, and puts them."""

    def __init__(self, store: Store, folder: str, sizes: Sizes) -> None:
        self._store, self._folder, self._sizes = store, folder, sizes
        self._sink = pa.BufferOutputStream()
        self._held: dict[str, Extent] = {}
        self._file: pyarrow.parquet.ParquetWriter | None = None
        self.rows = 0
        self.put: list[ParquetObject] = []
        self.symbols: dict[str, Extent] = {}

    def take(self, batch: pa.RecordBatch) -> None:
        """Append the rows of ``batch`` as a row group; a full object is put."""
        if self._file is None:
            self._sink = pa.BufferOutputStream()
            self._file = pyarrow.parquet.ParquetWriter(self._sink, batch.schema, compression="zstd")
            self._held = {}
        self._file.write_batch(batch, row_group_size=self._sizes.group_rows)
        self.rows += batch.num_rows
        _merge(self._held, _extents(batch))
        if sum(extent.rows for extent in self._held.values()) >= self._sizes.object_rows:
            self.cut()

    def cut(self) -> None:
        """Put the open object, if there is one."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        data = self._sink.getvalue().to_pybytes()
        item = ParquetObject(
            key=parquet_key(self._folder, len(self.put)),
            rows=sum(extent.rows for extent in self._held.values()),
            first_symbol=min(self._held),
            last_symbol=max(self._held),
            ts_min=min(extent.ts_min for extent in self._held.values()),
            ts_max=max(extent.ts_max for extent in self._held.values()),
            sha256=sha256(data).hexdigest(),
            size=len(data),
        )
        # No other run has this folder, so a put that is tried again replaces its own object.
        self._store.put(item.key, data)
        self.put.append(item)
        _merge(self.symbols, self._held)


def _extents(batch: pa.RecordBatch) -> dict[str, Extent]:
    """What ``batch`` holds of each symbol."""
    table = pa.Table.from_batches([batch]).group_by("symbol")
    found = table.aggregate([("ts_event", "count"), ("ts_event", "min"), ("ts_event", "max")]).to_pydict()
    spans = zip(found["ts_event_count"], found["ts_event_min"], found["ts_event_max"], strict=True)
    return {symbol: Extent(*span) for symbol, span in zip(found["symbol"], spans, strict=True)}


def _merge(into: dict[str, Extent], more: Mapping[str, Extent]) -> None:
    for symbol, new in more.items():
        old = into.get(symbol)
        into[symbol] = (
            new if old is None else Extent(old.rows + new.rows, min(old.ts_min, new.ts_min), max(old.ts_max, new.ts_max))
        )


def _drop(store: Store, keys: list[str], version: int, keep: set[str]) -> None:
    """Delete what no manifest of ``version`` or an earlier one can come to name, but for the objects in ``keep``."""
    dead = [key for key in keys if key not in keep and (name := parse_parquet(key)) is not None and name.version <= version]
    if dead:
        store.delete(dead)
