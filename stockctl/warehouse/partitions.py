"""The partitions that the lake wants of each table: from its claims, its manifests and the folders of filings.

A trade's partition is its date and the folder below it: the ticker, or, where symbols share buckets, the bucket's folder
(``bucket=017-of-064``) in the ticker's place. Every one names its location, so nothing depends on how folders are called.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import NamedTuple

from stockctl.clients.store import Store
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
from stockctl.warehouse.tables import FEED_EVENTS, FILINGS, TRADES, TRADES_PARQUET, location

_WORKERS = 16
_CHUNK = 64
"""Claims that are read at a time, the newest first."""

Values = tuple[str, ...]


class Wanted(NamedTuple):
    """What the lake holds, from its floor on: the location of each table's partitions by their values.

    ``compacted`` are the dates of which Parquet holds every claim: the views read them there, and all others raw. ``unread``
    are partitions that are left out, with the key of an object in them that Spectrum does not read (zstd). ``since`` is the
    first date that was looked at; None for all.
    """

    partitions: dict[str, dict[Values, str]]
    compacted: tuple[date, ...]
    unread: dict[tuple[str, Values], str]
    since: date | None = None


def wanted(store: Store, url: str, since: date | None = None) -> Wanted:
    """What the lake at ``url`` wants of the catalog, of the dates from ``since`` on; filings have no date and come always."""
    floor = read_floor(store)
    first = max((day for day in (floor, since) if day is not None), default=None)
    found: dict[str, dict[Values, str]] = {table.name: {} for table in (TRADES, FEED_EVENTS, FILINGS, TRADES_PARQUET)}
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
            found[name.table][values] = location(url, folder)
    compacted: list[date] = []
    for compact, manifest in _manifests(store, claimed):
        if claimed[compact] <= manifest.claims and manifest.objects:
            compacted.append(compact)
        if manifest.objects:
            folder = folder_of(manifest.objects[0].key)
            found[TRADES_PARQUET.name][compact.isoformat(),] = location(url, folder)
    for table, values in unread:
        # Where gzip and zstd lie side by side, a part would be read, and nobody would know which.
        found[table].pop(values, None)
    for folder in store.folders(LINE_ITEMS):
        if folder.startswith("ticker="):
            found[FILINGS.name][ticker_of(folder),] = location(url, f"{LINE_ITEMS}/{folder}")
    return Wanted(found, tuple(sorted(compacted)), unread, since)


def _claims(store: Store, since: date | None) -> Iterator[Claim]:
    """The claims that may name objects of ``since`` or later: of each log from its end on, until they were made before it."""
    # Trades come minutes after their time; the day allows for time zones.
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
