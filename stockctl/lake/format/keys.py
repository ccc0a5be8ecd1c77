"""Where things lie in the lake: the names of objects and claims, and how a batch's records are split into objects.

    trades/trade_date=2026-11-23/ticker=AAPL/trades-g1-003-00000000000001234567.jsonl.gz
    trades/trade_date=2026-11-23/bucket=017-of-064/trades-g1-003-00000000000001234567.jsonl.gz
    feed_events/trade_date=2026-11-23/feed_events-g1-000-00000000000000000042.jsonl.gz
    _log/trades/g1/003/start.json
    _log/trades/g1/003/00000000000001234567.json

Partition keys (``trade_date``, ``ticker``, ``bucket``) are never a record's field, because a Hive-style table cannot hold a
name twice. A bucket's name tells how many there are, so that a reader finds a symbol's bucket whatever the setting was.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from stockctl.exchange.calendar import known_zone, to_ms, trade_date
from stockctl.records import MAX_MS

Table = Literal["trades", "feed_events"]
_HOUR = 3_600_000
_DAY = 86_400_000
_UTC = ZoneInfo("UTC")
TABLES: tuple[Table, ...] = ("trades", "feed_events")

LOG = "_log"
SUFFIXES = {"gzip": "jsonl.gz", "zstd": "jsonl.zst"}
FORMAT = 1
"""Version of the layout and of claims. A writer repeats claims of its own version and of the one before."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_OBJECT = re.compile(
    r"(?P<table>[a-z_]+)/trade_date=(?P<date>\d{4}-\d{2}-\d{2})/(?:(?P<part>ticker=[A-Za-z0-9._-]+|bucket=\d{3,}-of-\d{3,})/)?"
    r"(?P=table)-g(?P<generation>\d+)-(?P<partition>\d{3,})-(?P<start>\d{20})\.jsonl\.(?:gz|zst)",
    re.ASCII,
)
_BUCKET = re.compile(r"bucket=\d{3,}-of-\d{3,}", re.ASCII)
_CLAIM = re.compile(
    rf"{LOG}/(?P<table>[a-z_]+)/g(?P<generation>\d+)/(?P<partition>\d{{3,}})/(?P<start>\d{{20}})\.json", re.ASCII
)
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATE_KEY = "trade_date="

_Millis = Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)]


class ClaimedTrade(msgspec.Struct, gc=False):
    """What places a trade that a claim has taken: by the rules of its time, which may have been others than today's."""

    symbol: str
    ts_event: _Millis
    source: str = ""


class ClaimedEvent(msgspec.Struct, gc=False):
    """As ``ClaimedTrade``, of feed events."""

    ts_event: _Millis = msgspec.field(name="span_end")
    source: str = "finnhub"
    symbol = ""


def dates_around(since: int | None, until: int | None) -> tuple[date, date]:
    """The first and the last date under which records of ``[since, until)`` in ms UTC may lie (None: no bound).

    In whatever zone they were cut: ``lake.timezone`` may have changed, and a date begins 14 hours before UTC's at the earliest,
    12 hours after it at the latest.
    """
    first = date.min if since is None else trade_date(since - 12 * _HOUR, _UTC)
    last = date.max if until is None else trade_date(until - 1 + 14 * _HOUR, _UTC)
    return first, last


def span_around(day: date) -> tuple[int, int]:
    """The span ``[since, until)`` in ms UTC of all records that may lie under ``day``, in whatever zone they were cut."""
    midnight = to_ms(datetime.combine(day, time(), _UTC))
    return midnight - 14 * _HOUR, midnight + _DAY + 12 * _HOUR


class ObjectName(NamedTuple):
    """What an object's key says; ``part`` is the folder below its date, such as ``ticker=AAPL``; empty where there is none."""

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
    """What a claim's key says."""

    table: str
    generation: int
    partition: int
    start: int


def ticker_slug(symbol: str) -> str:
    """``symbol`` as a folder's name, of ``[A-Z0-9._-]`` alone. Two symbols may share one: queries filter the symbol too.

    Small letters become capitals with an underscore behind them all: on a disk that ignores case, ``AAPL`` and ``aapl`` would
    be one folder.
    """
    slug = _any_case_slug(symbol)
    return slug if slug == slug.upper() else f"{slug.upper()}_"


def ticker_slugs(symbol: str) -> set[str]:
    """The names of every folder that may hold trades of ``symbol``: older writers kept small letters."""
    return {ticker_slug(symbol), _any_case_slug(symbol)}


def _any_case_slug(symbol: str) -> str:
    return _UNSAFE.sub("_", symbol)[:64]


def tickers(folders: Iterable[str]) -> set[str]:
    """The symbols that these folders of one date name beyond doubt: an underscore may stand for something else."""
    return {folder.removeprefix("ticker=") for folder in folders if folder.startswith("ticker=") and "_" not in folder}


def bucket_name(symbol: str, buckets: int) -> str:
    """The folder of the bucket that ``symbol`` belongs to, of ``buckets`` in all; the same on every machine, for ever."""
    return f"bucket={zlib.crc32(symbol.encode()) % buckets:03d}-of-{buckets:03d}"


def parts_of(symbol: str, parts: Iterable[str]) -> set[str]:
    """Which of a date's folders ``parts`` may hold records of ``symbol``, however each of them was cut."""
    found = set(parts)
    counts = {int(part.rpartition("-of-")[2]) for part in found if _BUCKET.fullmatch(part)}
    tickers = {f"ticker={slug}" for slug in ticker_slugs(symbol)}
    return found & (tickers | {bucket_name(symbol, count) for count in counts if count})


def parse_object(key: str) -> ObjectName | None:
    """What ``key`` says, None if it is no object of a table."""
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


def parse_claim(key: str) -> ClaimName | None:
    """What ``key`` says, None if it is no claim."""
    match = _CLAIM.fullmatch(key)
    return match and ClaimName(match["table"], int(match["generation"]), int(match["partition"]), int(match["start"]))


def folder_of(folder: str) -> tuple[date, str]:
    """Date and part of an object's folder."""
    _, name, *part = folder.split("/")
    return date.fromisoformat(name.removeprefix(_DATE_KEY)), "".join(part)


@lru_cache(maxsize=4096)
def parse_day(text: str) -> date | None:
    """The date that ``text`` is as names in the lake write it, None if it is none: other tools make folders as they like."""
    try:
        return date.fromisoformat(text) if _ISO_DATE.fullmatch(text) else None
    except ValueError:
        return None


def date_folder(table: str, day: date) -> str:
    """Folder of a table's objects of one date."""
    return f"{table}/{_DATE_KEY}{day.isoformat()}"


def folder_date(name: str) -> date | None:
    """The date of a folder of that name; None if it is no date's folder."""
    return parse_day(name.removeprefix(_DATE_KEY)) if name.startswith(_DATE_KEY) else None


def log_folder(table: str, generation: int, partition: int) -> str:
    """Folder of one partition's claims."""
    return f"{LOG}/{table}/g{generation}/{partition:03d}"


def start_key(table: str, generation: int, partition: int) -> str:
    """Key of the start of one partition's log."""
    return f"{log_folder(table, generation, partition)}/start.json"


def claim_key(table: str, generation: int, partition: int, start: int) -> str:
    """Key of the claim that starts at the offset ``start``."""
    return f"{log_folder(table, generation, partition)}/{start:020d}.json"


class Layout(msgspec.Struct, frozen=True):
    """How records were split into objects; a claim carries it, so that its repeat makes the same objects.

    ``buckets`` counts only where ``partition_by`` is ``bucket``. ``lines`` is ``raw`` in claims of older writers, which took
    each record as it stood, and a symbol's small letters; now it is written as a line that every reader reads, in a folder
    that every disk distinguishes from the others.
    """

    table: Table
    timezone: str
    partition_by: Literal["ticker", "bucket", "none"]
    compression: Literal["gzip", "zstd"]
    buckets: int = 0
    lines: Literal["raw", "normalized"] = "raw"

    @property
    def fault(self) -> str | None:
        """Why no batch can be split so; None if one can."""
        if self.partition_by == "bucket" and self.buckets < 1:
            return f"{self.buckets} buckets hold nothing"
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
        return f"{folder}/ticker={ticker_slug(symbol) if self.lines == 'normalized' else _any_case_slug(symbol)}"

    def object_key(self, folder: str, generation: int, partition: int, start: int) -> str:
        """Key of the object that a batch starting at ``start`` puts in ``folder``."""
        return f"{folder}/{self.table}-g{generation}-{partition:03d}-{start:020d}.{SUFFIXES[self.compression]}"


@lru_cache(maxsize=4096)
def _bounds(day: date, zone: str) -> tuple[int, int]:
    info = ZoneInfo(zone)
    return (
        to_ms(datetime.combine(day, time(), info)),
        to_ms(datetime.combine(day + timedelta(days=1), time(), info)),
    )


def day_bounds(ms: int, zone: str) -> tuple[date, int, int]:
    """The date of ``ms`` in ``zone``, and that day's span ``[since, until)`` in ms."""
    day = trade_date(ms, ZoneInfo(zone))
    return (day, *_bounds(day, zone))
