"""The partitions of the lake by table, read from its claims, its manifests and the folders of filings.

The partition of a trade is its date and the folder below it: the ticker, or the bucket (``bucket=017-of-064``) in place of the
ticker if symbols share buckets. Each partition has its location, so nothing depends on the names of folders.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import NamedTuple

from stockctl.clients.object_store import Store
from stockctl.lake.format.claims import Claim, read_claim
from stockctl.lake.format.keys import (
    LINE_ITEMS,
    TABLES,
    date_folder,
    folder_of,
    parse_claim,
    parse_object,
    table_log,
    ticker_of,
)
from stockctl.lake.format.manifest import Manifest, decode_manifest, newest_manifests
from stockctl.lake.format.retention import read_floor
from stockctl.warehouse import tables
from stockctl.warehouse.tables import FILINGS, TRADES, TRADES_PARQUET, location

_WORKERS = 16
_CHUNK = 64
"""Claims read at once, the newest first."""

Values = tuple[str, ...]


class LakePartitions(NamedTuple):
    """The partitions of the lake, from its retention cutoff on: by table, the location of each by its values.

    ``compacted`` are the dates whose Parquet contains every claim: the views read these from Parquet and all others from raw
    trades. ``unread`` are partitions that are left out, each with the key of an object that Spectrum cannot read (zstd).
    ``since`` is the first date that was read; None for all.
    """

    locations: dict[str, dict[Values, str]]
    compacted: tuple[date, ...]
    unread: dict[tuple[str, Values], str]
    since: date | None = None


def lake_partitions(store: Store, url: str, since: date | None = None) -> LakePartitions:
    """The partitions of the lake at ``url``, of dates from ``since`` on. Filings have no date and are always among them."""
    floor = read_floor(store)
    first = max((day for day in (floor, since) if day is not None), default=None)
    locations: dict[str, dict[Values, str]] = {table.name: {} for table in tables.TABLES}
    claimed: dict[date, set[str]] = {}
    unread: dict[tuple[str, Values], str] = {}
    for claim in _claims(store, since):
        for item in claim.objects:
            name = parse_object(item.key)
            if name is None or (first is not None and name.trade_date < first):
                continue
            if name.table == TRADES.name:
                claimed.setdefault(name.trade_date, set()).add(claim.key)
            day = name.trade_date.isoformat()
            folder = date_folder(name.table, name.trade_date) + (f"/{name.part}" if name.part else "")
            values: Values = (day, name.part.removeprefix("ticker=")) if name.table == TRADES.name else (day,)
            if item.key.endswith(".zst"):
                unread.setdefault((name.table, values), item.key)
            locations[name.table][values] = location(url, folder)
    compacted: list[date] = []
    for compact, manifest in _manifests(store, claimed):
        if claimed[compact] <= manifest.claims and manifest.objects:
            compacted.append(compact)
        if manifest.objects:
            locations[TRADES_PARQUET.name][compact.isoformat(),] = location(url, folder_of(manifest.objects[0].key))
    for table, values in unread:
        # With gzip and zstd in one folder, Spectrum would read only some of the objects without an error.
        locations[table].pop(values, None)
    for folder in store.folders(LINE_ITEMS):
        if folder.startswith("ticker="):
            locations[FILINGS.name][ticker_of(folder),] = location(url, f"{LINE_ITEMS}/{folder}")
    return LakePartitions(locations, tuple(sorted(compacted)), unread, since)


def _claims(store: Store, since: date | None) -> Iterator[Claim]:
    """The claims that may name objects of ``since`` or later: each log from its end, back to claims created before it."""
    # Trades arrive minutes after their time; one day allows for time zones.
    oldest = None if since is None else datetime.combine(since - timedelta(days=1), time(), UTC)
    for table in TABLES:
        keys = [item.key for item in store.objects(table_log(table)) if parse_claim(item.key)]
        for _, log in groupby(keys, folder_of):
            yield from _newest_first(store, list(log), oldest)


def _newest_first(store: Store, keys: list[str], oldest: datetime | None) -> Iterator[Claim]:
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="claims") as pool:
        for end in range(len(keys), 0, -_CHUNK):
            claims = list(pool.map(lambda key: read_claim(store, key), keys[max(0, end - _CHUNK) : end]))
            yield from claims
            if oldest is not None and datetime.fromisoformat(claims[0].created) < oldest:
                return


def _manifests(store: Store, days: Iterable[date]) -> Iterator[tuple[date, Manifest]]:
    newest = newest_manifests(store)
    keys = {day: newest[day] for day in sorted(days) if day in newest}
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="manifests") as pool:
        yield from zip(keys, pool.map(lambda key: decode_manifest(store.get(key), key), keys.values()), strict=True)
