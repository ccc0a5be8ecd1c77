"""Every key in the lake is made and parsed here.

    trades/trade_date=2026-11-23/ticker=AAPL/trades-g1-003-00000000000001234567.jsonl.gz           raw object
    trades/trade_date=2026-11-23/bucket=017-of-064/trades-g1-003-00000000000001234567.jsonl.gz     raw object of a bucket
    feed_events/trade_date=2026-11-23/feed_events-g1-000-00000000000000000042.jsonl.gz             raw object
    signals/trade_date=2026-11-23/signals-g1-000-00000000000000000042.jsonl.gz                     raw object
    parquet/trades/trade_date=2026-11-23/v0001-3f9a2c71/00000.parquet                              Parquet object
    raw/filings/ticker=AAPL/0000320193-25-000073.json                                              filing as received
    filings/ticker=AAPL/0000320193-25-000073.jsonl.gz                                              line items of a filing
    _log/source.json                                                                               source and id of the lake
    _log/trades/g1/003/start.json                                                                  start of a partition's log
    _log/trades/g1/003/00000000000001234567.json                                                   claim
    _log/trades/g1/003/00000000000001234567.lost.json                                              lost objects of a claim
    _log/parquet/trades/2026-11-23/0001.json                                                       manifest
    _log/floors/2026-01-01.json                                                                    retention floor
    _log/filings/ticker=AAPL.json                                                                  fetch state of a symbol

Partition keys (``trade_date``, ``ticker``, ``bucket``) are never fields of a record, because a Hive table cannot have the same
name twice. The name of a bucket includes the number of buckets, so a reader finds a symbol's bucket whatever the setting was.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from datetime import date, datetime, time
from functools import lru_cache
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from stockctl.exchange.calendar import known_zone, to_ms, trade_date

Table = Literal["trades", "feed_events", "signals"]
TABLES: tuple[Table, ...] = ("trades", "feed_events", "signals")

LOG = "_log"
SOURCE_KEY = f"{LOG}/source.json"
"""Key of the lake's source and id."""
FLOORS = f"{LOG}/floors"
PARQUET = "parquet/trades"
MANIFESTS = f"{LOG}/{PARQUET}"
RAW_FILINGS = "raw/filings"
LINE_ITEMS = "filings"
LAKE_FOLDERS = (LOG, *TABLES, LINE_ITEMS, RAW_FILINGS.partition("/")[0], PARQUET.partition("/")[0])
"""The top-level folders of a lake."""
PROBE_FOLDER = f"{LOG}/.doctor"
"""Folder of the object that the health check writes and deletes."""

SUFFIXES = {"gzip": "jsonl.gz", "zstd": "jsonl.zst"}
FORMAT = 1
"""Version of the keys and of claims. A writer repeats claims of its own version and of the version before it."""

DATE_KEY = "trade_date="
_TICKER_KEY = "ticker="
_DATE = r"\d{4}-\d{2}-\d{2}"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_ISO_DATE = re.compile(_DATE, re.ASCII)
_BUCKET = re.compile(r"bucket=\d{3,}-of-\d{3,}", re.ASCII)
_GENERATION = re.compile(r"g(\d+)", re.ASCII)
_OBJECT = re.compile(
    rf"(?P<table>[a-z_]+)/trade_date=(?P<date>{_DATE})/(?:(?P<part>ticker=[A-Za-z0-9._-]+|bucket=\d{{3,}}-of-\d{{3,}})/)?"
    r"(?P=table)-g(?P<generation>\d+)-(?P<partition>\d{3,})-(?P<start>\d{20})\.jsonl\.(?:gz|zst)",
    re.ASCII,
)
_CLAIM = re.compile(
    rf"{LOG}/(?P<table>[a-z_]+)/g(?P<generation>\d+)/(?P<partition>\d{{3,}})/(?P<start>\d{{20}})\.json", re.ASCII
)
_MANIFEST = re.compile(rf"{MANIFESTS}/(?P<date>{_DATE})/(?P<version>\d{{4,}})\.json")
_PARQUET = re.compile(rf"{PARQUET}/trade_date=(?P<date>{_DATE})/v(?P<version>\d{{4,}})-[0-9a-f]+/\d{{5,}}\.parquet")
_FLOOR = re.compile(rf"{FLOORS}/({_DATE})\.json")
_DATED = re.compile(rf"(?:(?:parquet/)?[a-z_]+/trade_date=|{LOG}/parquet/[a-z_]+/)({_DATE})/")

_HOUR = 3_600_000
_DAY = 86_400_000
_UTC = ZoneInfo("UTC")


class ObjectName(NamedTuple):
    """The parsed key of a raw object; ``part`` is the folder below its date, such as ``ticker=AAPL``, or empty."""

    table: str
    trade_date: date
    part: str
    generation: int
    partition: int
    start: int

    @property
    def claim(self) -> str:
        """Key of the claim that must name this object."""
        return claim_key(self.table, self.generation, self.partition, self.start)


class ClaimName(NamedTuple):
    """The parsed key of a claim."""

    table: str
    generation: int
    partition: int
    start: int


class CompactedName(NamedTuple):
    """Date and version in the key of a manifest or of a Parquet object."""

    trade_date: date
    version: int


# Dates


def dates_around(since: int | None, until: int | None) -> tuple[date, date]:
    """The first and the last date whose folders may contain records of ``[since, until)`` in ms UTC (None: no bound).

    This holds in every time zone, because ``lake.timezone`` may have changed: a date begins up to 14 hours before the same
    date in UTC and up to 12 hours after it.
    """
    first = date.min if since is None else trade_date(since - 12 * _HOUR, _UTC)
    last = date.max if until is None else trade_date(until - 1 + 14 * _HOUR, _UTC)
    return first, last


def span_around(day: date) -> tuple[int, int]:
    """The span ``[since, until)`` in ms UTC of all records that the folder of ``day`` may contain, in every time zone."""
    midnight = to_ms(datetime.combine(day, time(), _UTC))
    return midnight - 14 * _HOUR, midnight + _DAY + 12 * _HOUR


@lru_cache(maxsize=4096)
def parse_day(text: str) -> date | None:
    """The date ``text``; None if it is not an ISO date, because other tools may create folders with any name."""
    try:
        return date.fromisoformat(text) if _ISO_DATE.fullmatch(text) else None
    except ValueError:
        return None


def date_of(key: str) -> date | None:
    """The date of the object or the manifest at ``key``; None if ``key`` has no date."""
    match = _DATED.match(key)
    return match and parse_day(match[1])


# Folders of tables


def date_folder(table: str, day: date) -> str:
    """Folder of a table's objects of one date."""
    return f"{table}/{DATE_KEY}{day.isoformat()}"


def folder_date(name: str) -> date | None:
    """The date of a folder with that name; None if it is not the folder of a date."""
    return parse_day(name.removeprefix(DATE_KEY)) if name.startswith(DATE_KEY) else None


def parse_folder(folder: str) -> tuple[date, str]:
    """Date and part of the folder of a raw object."""
    _, name, *part = folder.split("/")
    return date.fromisoformat(name.removeprefix(DATE_KEY)), "".join(part)


def ticker_slug(symbol: str) -> str:
    """``symbol`` as part of a folder name, with the characters ``[A-Z0-9._-]`` only.

    Two symbols may have the same slug, so queries filter by symbol too. Lowercase letters become uppercase, with an underscore
    at the end: on a disk that ignores case, ``AAPL`` and ``aapl`` would be the same folder.
    """
    slug = _any_case_slug(symbol)
    return slug if slug == slug.upper() else f"{slug.upper()}_"


def ticker_slugs(symbol: str) -> set[str]:
    """All slugs under which the lake may have trades of ``symbol``: older writers kept lowercase letters."""
    return {ticker_slug(symbol), _any_case_slug(symbol)}


def _any_case_slug(symbol: str) -> str:
    return _UNSAFE.sub("_", symbol)[:64]


def ticker_folder(symbol: str) -> str:
    """Name of the folder of ``symbol``."""
    return f"{_TICKER_KEY}{ticker_slug(symbol)}"


def ticker_of(folder: str) -> str:
    """The ticker in the name of a folder; other names are returned unchanged."""
    return folder.removeprefix(_TICKER_KEY)


def tickers(folders: Iterable[str]) -> set[str]:
    """The symbols that the names of these folders of one date prove. An underscore may stand for another character."""
    return {ticker_of(folder) for folder in folders if folder.startswith(_TICKER_KEY) and "_" not in folder}


def bucket_name(symbol: str, buckets: int) -> str:
    """Name of the folder of the bucket of ``symbol``, one of ``buckets``. It never changes, on any machine."""
    return f"bucket={zlib.crc32(symbol.encode()) % buckets:03d}-of-{buckets:03d}"


def is_bucket(part: str) -> bool:
    """Whether ``part`` is the folder of a bucket, which several symbols share."""
    return part.startswith("bucket=")


def parts_of(symbol: str, parts: Iterable[str]) -> set[str]:
    """The folders of one date, out of ``parts``, that may contain records of ``symbol``, by ticker or by bucket."""
    names = set(parts)
    counts = {int(part.rpartition("-of-")[2]) for part in names if _BUCKET.fullmatch(part)}
    own = {f"{_TICKER_KEY}{slug}" for slug in ticker_slugs(symbol)}
    return names & (own | {bucket_name(symbol, count) for count in counts if count})


class Layout(msgspec.Struct, frozen=True):
    """How records are split into objects. A claim stores it, so that repeating the claim writes the same objects.

    ``buckets`` applies only if ``partition_by`` is ``bucket``. ``lines`` is ``raw`` in claims of older writers: they stored
    each record unchanged, and kept the lowercase letters of a symbol. Now each record is written as a line that every reader
    accepts, in a folder whose name is unique on every disk.
    """

    table: Table
    timezone: str
    partition_by: Literal["ticker", "bucket", "none"]
    compression: Literal["gzip", "zstd"]
    buckets: int = 0
    lines: Literal["raw", "normalized"] = "raw"

    @property
    def fault(self) -> str | None:
        """Why this layout is invalid; None if it is valid."""
        if self.partition_by == "bucket" and self.buckets < 1:
            return f"{self.buckets} is not a number of buckets"
        try:
            known_zone(self.timezone)
        except ValueError as error:
            return str(error)
        return None

    def folder(self, symbol: str, day: date) -> str:
        """Folder of the records of ``symbol`` on the exchange's date ``day``."""
        folder = date_folder(self.table, day)
        if self.partition_by == "none":
            return folder
        if self.partition_by == "bucket":
            return f"{folder}/{bucket_name(symbol, self.buckets)}"
        return f"{folder}/{_TICKER_KEY}{ticker_slug(symbol) if self.lines == 'normalized' else _any_case_slug(symbol)}"

    def object_key(self, folder: str, generation: int, partition: int, start: int) -> str:
        """Key of the object that a batch with the first offset ``start`` writes to ``folder``."""
        return f"{folder}/{self.table}-g{generation}-{partition:03d}-{start:020d}.{SUFFIXES[self.compression]}"


def parse_object(key: str) -> ObjectName | None:
    """The parsed key of a raw object; None if ``key`` is something else."""
    match = _OBJECT.fullmatch(key)
    day = match and parse_day(match["date"])
    if match is None or day is None:
        return None
    return ObjectName(
        match["table"],
        day,
        match["part"] or "",
        int(match["generation"]),
        int(match["partition"]),
        int(match["start"]),
    )


# The log


def table_log(table: str) -> str:
    """Folder of the claims of ``table``, in all generations."""
    return f"{LOG}/{table}"


def generation_folder(table: str, generation: int) -> str:
    """Folder of the claims of one generation; it has a folder for each partition."""
    return f"{table_log(table)}/g{generation}"


def parse_generation(name: str) -> int | None:
    """The generation of a folder with that name; None if the name is something else."""
    match = _GENERATION.fullmatch(name)
    return match and int(match[1])


def log_folder(table: str, generation: int, partition: int) -> str:
    """Folder of the claims of one partition."""
    return f"{generation_folder(table, generation)}/{partition:03d}"


def is_log_folder(folder: str) -> bool:
    """Whether ``folder`` may be that of one partition's claims."""
    return folder.count("/") == 3 and folder.split("/")[1] in TABLES


def folder_of(key: str) -> str:
    """The folder that contains ``key``."""
    return key.rpartition("/")[0]


def start_in(folder: str) -> str:
    """Key of the start in the folder of a partition's claims."""
    return f"{folder}/start.json"


def start_key(table: str, generation: int, partition: int) -> str:
    """Key of the start of a partition's log."""
    return start_in(log_folder(table, generation, partition))


def claim_key(table: str, generation: int, partition: int, start: int) -> str:
    """Key of the claim with the first offset ``start``."""
    return f"{log_folder(table, generation, partition)}/{start:020d}.json"


def lost_key(claim_key: str) -> str:
    """Key of the list of a claim's lost objects."""
    return claim_key.removesuffix(".json") + ".lost.json"


def parse_claim(key: str) -> ClaimName | None:
    """The parsed key of a claim; None if ``key`` is something else."""
    match = _CLAIM.fullmatch(key)
    return match and ClaimName(match["table"], int(match["generation"]), int(match["partition"]), int(match["start"]))


def floor_key(day: date) -> str:
    """Key of the retention floor ``day``."""
    return f"{FLOORS}/{day.isoformat()}.json"


def parse_floor(key: str) -> date | None:
    """The date of the retention floor at ``key``; None if ``key`` is something else."""
    match = _FLOOR.fullmatch(key)
    return match and parse_day(match[1])


# Compacted dates


def manifest_key(day: date, version: int) -> str:
    """Key of one version of a date's manifest."""
    return f"{MANIFESTS}/{day.isoformat()}/{version:04d}.json"


def parse_manifest(key: str) -> CompactedName | None:
    """Date and version in the key of a manifest; None if ``key`` is something else."""
    return _compacted_name(_MANIFEST.fullmatch(key))


def parquet_folder(day: date, version: int, nonce: str) -> str:
    """Folder of the objects that one compaction writes."""
    return f"{date_folder(PARQUET, day)}/v{version:04d}-{nonce}"


def parquet_key(folder: str, number: int) -> str:
    """Key of the Parquet object ``number`` (from 0) in ``folder``."""
    return f"{folder}/{number:05d}.parquet"


def parse_parquet(key: str) -> CompactedName | None:
    """Date and version in the key of a Parquet object; None if ``key`` is something else."""
    return _compacted_name(_PARQUET.fullmatch(key))


def _compacted_name(match: re.Match[str] | None) -> CompactedName | None:
    day = match and parse_day(match["date"])
    return None if match is None or day is None else CompactedName(day, int(match["version"]))


def is_compaction(key: str) -> bool:
    """Whether ``key`` is that of a manifest or a Parquet object, or of something in their folders."""
    return key.startswith((PARQUET, MANIFESTS))


# Filings


def raw_filing_key(symbol: str, accession: str) -> str:
    """Key of a filing as received."""
    return f"{RAW_FILINGS}/{ticker_folder(symbol)}/{accession}.json"


def line_items_key(symbol: str, accession: str) -> str:
    """Key of the line items of a filing."""
    return f"{LINE_ITEMS}/{ticker_folder(symbol)}/{accession}.jsonl.gz"


def fetch_state_key(symbol: str) -> str:
    """Key of the state of the last fetch of a symbol's filings."""
    return f"{LOG}/filings/{ticker_folder(symbol)}.json"
