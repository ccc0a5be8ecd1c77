"""The lake in the order of Kafka's log: a symbol's trades as consumers of the topic got them.

Claims follow each other, and lines within their objects. A late row comes where it came, whatever its date: the day of a row is
that of ``LogClock``. So this is what a strategy saw live; ``read_trades`` orders by the time of the trade.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from stockctl.errors import UnhealthyError, UsageError
from stockctl.exchange.calendar import EXCHANGE_ZONE, day_bounds
from stockctl.exchange.log_clock import LogClock
from stockctl.lake.format.claims import Claim, ClaimedObject, read_lost
from stockctl.lake.format.keys import date_of
from stockctl.lake.format.manifest import Manifest
from stockctl.lake.format.retention import is_expired
from stockctl.lake.reader.log_claims import LoggedClaim
from stockctl.lake.reader.log_rows import CompactedRows, in_log_order, read_raw
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.records import Trade

_AHEAD = 32
"""Claims whose objects are fetched at a time."""
_MANIFESTS = 8
"""Manifests kept in memory: late rows lie on dates before."""


class PrunedError(UsageError):
    """Days below the lake's floor were asked for; ``floor`` is the first day that the lake has."""

    def __init__(self, first: date, floor: date) -> None:
        super().__init__(f"the lake has no trades of {first}: dates before {floor} were pruned", hint=f"begin at {floor}")
        self.floor = floor


class LogDay(NamedTuple):
    """A symbol's trades of one day of its log, in chunks in log order. The chunks must be taken before the next day is."""

    day: date
    chunks: Iterator[list[Trade]]


class ReadClaims(NamedTuple):
    """Claims that were read for a symbol: ``claims`` of them, the first from the offset ``start`` on, the last to ``end``."""

    symbol: str
    generation: int
    partition: int
    start: int
    end: int
    claims: int


Reasons = list[tuple[str, str]]
"""Why rows are unproven: a kind, and the words. Of each kind the first is shown."""


class _ClaimOfSymbol(NamedTuple):
    """A claim that may have rows of the symbol: the rows in lists, each with their latest time in ms."""

    claim: Claim
    reasons: Reasons
    rows: Iterator[tuple[list[Trade], int]]


class LogReader:
    """Reads the trades of ``lake`` in log order: all readers of one ``lake`` see the same claims.

    ``lake`` must be open. Several symbols may be read one after the other, not at once.
    """

    def __init__(self, lake: LakeReader) -> None:
        self._lake = lake
        self._log = lake.log_claims
        self._read: dict[tuple[str, int, int], ReadClaims] = {}
        self._reasons: dict[str, tuple[str, int]] = {}
        self._manifest = lru_cache(_MANIFESTS)(self._read_manifest)

    @property
    def claims(self) -> list[ReadClaims]:
        """The claims with rows that were read, by symbol, generation and partition."""
        return [self._read[place] for place in sorted(self._read)]

    @property
    def unproven(self) -> list[str]:
        """Why the rows read so far may not be those of the log, or not in its order; empty if they surely are."""
        return [
            f"{text} (and {count - 1} more)" if count > 1 and kind != text else text
            for kind, (text, count) in self._reasons.items()
        ]

    def ends(self) -> dict[tuple[int, int], int]:
        """By generation and partition, the offset up to which the lake has the records: there the topic continues.

        ``days`` gives the rows up to there and no others, however long the reading takes.
        """
        return dict(self._log.ends)

    def days(self, symbol: str, first: date, last: date) -> Iterator[LogDay]:
        """The trades of ``symbol`` on the days ``[first, last]`` of its log; days without trades are left out.

        UsageError if the days are reversed or below the lake's floor (PrunedError). While reading, UnhealthyError if a claim
        or an object is missing or damaged.
        """
        if last < first:
            raise UsageError(f"the last day, {last}, is before the first, {first}", hint="swap them")
        floor = self._lake.floor
        if floor is not None and first < floor:
            raise PrunedError(first, floor)
        pieces = self._pieces(symbol, first, last)
        return (LogDay(day, map(itemgetter(1), group)) for day, group in groupby(pieces, key=itemgetter(0)))

    def _pieces(self, symbol: str, first: date, last: date) -> Iterator[tuple[date, list[Trade]]]:
        """The rows of each day in lists."""
        clock, day, until = LogClock(), date.min, -1
        for claim in self._claims_since(symbol, first):
            for rows, latest in claim.rows:
                begin = 0
                if latest >= until:  # else no row of these opens a day
                    for index, trade in enumerate(rows):
                        if clock.advance(trade.ts_event, trade.ts_recv):
                            if day >= first and index > begin:
                                self._count(symbol, claim)
                                yield day, rows[begin:index]
                            begin, day = index, clock.day
                            if day > last:
                                return
                    _, until = day_bounds(day, EXCHANGE_ZONE)
                if day >= first and begin < len(rows):
                    self._count(symbol, claim)
                    yield day, rows[begin:] if begin else rows
            if day >= first:
                self._count(symbol, claim)

    def _claims_since(self, symbol: str, first: date) -> Iterator[_ClaimOfSymbol]:
        """The claims that may have rows of ``symbol``, from one on that has the first row of ``first`` or comes before."""
        moment, _ = day_bounds(first, EXCHANGE_ZONE)
        compacted = CompactedRows(self._lake, symbol)
        unordered = _UnorderedDates(compacted)
        before: Claim | None = None
        for logged, claim, reasons, paths in self._with_paths(self._log.since(symbol, moment)):
            objects = [claim.objects[number] for number in logged.numbers]
            found = []
            for number, item in zip(logged.numbers, objects, strict=True):
                if (path := paths.get(item.key)) is not None:
                    found.append(read_raw(claim, symbol, logged.numbers, number, path))
                elif (manifest := self._manifest_with(claim, item, reasons)) is None:
                    continue
                elif manifest.log_order:
                    found.append(compacted.of(claim, item, manifest))
                else:
                    unordered.add(manifest)
            rows = in_log_order(claim, symbol, found)
            if not rows.proven:
                text = f"{claim.key} does not give the order of its rows of {symbol}, which are of several dates"
                reasons.append(("interleaved", text))
            dates = unordered.until(min(date_of(item.key) or date.min for item in objects), reasons)
            latest = max(item.ts_max for item in objects)
            yield _ClaimOfSymbol(claim, reasons, chain(dates, [(rows.trades, latest)]))
            before = claim
        if before is not None:
            reasons = []
            yield _ClaimOfSymbol(before, reasons, unordered.until(date.max, reasons))

    def _with_paths(self, log: Iterator[LoggedClaim]) -> Iterator[tuple[LoggedClaim, Claim, Reasons, dict[str, Path]]]:
        """The claims that may have rows of the symbol, with the files of those of their objects that count and exist."""
        own = self._own(log)
        while window := list(islice(own, _AHEAD)):
            items = [claim.objects[number] for logged, claim, _ in window for number in logged.numbers]
            paths = self._lake.existing(item for item in items if not is_expired(item.key, self._lake.floor))
            yield from ((*claim, paths) for claim in window)

    def _own(self, log: Iterator[LoggedClaim]) -> Iterator[tuple[LoggedClaim, Claim, Reasons]]:
        """The claims that may have rows of the symbol, each with what makes the order unproven there."""
        lost: dict[int, Reasons] = defaultdict(list)
        partitions: list[int] = []
        for logged in log:
            head = logged.head
            if head.reason == "lost":
                text = f"offsets {head.start} to {head.end} of {head.topic}/{head.partition} were lost"
                lost[head.partition].append(("lost", text))
            if logged.claim is None:
                continue
            reasons = lost.pop(head.partition, [])
            if head.partition in partitions[:-1]:
                numbers = ", ".join(map(str, sorted(set(partitions))))
                reasons.append(("partitions", f"rows come from several partitions at once ({numbers})"))
            if partitions[-1:] != [head.partition]:
                partitions = [*partitions[-8:], head.partition]
            yield logged, logged.claim, reasons
        for partition in partitions:  # after the symbol's last row
            self._note(lost.pop(partition, []))

    def _manifest_with(self, claim: Claim, item: ClaimedObject, reasons: Reasons) -> Manifest | None:
        """The manifest that includes the object ``item``, which does not exist or does not count; None if its rows are gone.

        UnhealthyError if the object should be there.
        """
        day = date_of(item.key)
        if is_expired(item.key, self._lake.floor):
            reasons.append(("pruned", f"rows of {day} that came later were pruned: {item.key}"))
            return None
        manifest = self._manifest(day)
        if manifest is not None and claim.key in manifest.claims:
            return manifest
        if item.key not in read_lost(self._lake.store, claim):
            raise UnhealthyError(
                f"the object {item.key}, which {claim.key} names, is missing",
                hint="`stockctl lake verify` lists all damage; restore the object from a backup, or see docs/lake.md",
            )
        reasons.append(("lost objects", f"{item.key} was lost"))
        return None

    def _read_manifest(self, day: date) -> Manifest | None:
        return self._lake.manifests([day]).get(day)

    def _count(self, symbol: str, own: _ClaimOfSymbol) -> None:
        """Count a claim that has rows of the days, once, and note what makes them unproven."""
        claim = own.claim
        place = symbol, claim.generation, claim.partition
        before = self._read.get(place, ReadClaims(*place, claim.start, claim.start, 0))
        if claim.end > before.end:
            self._read[place] = ReadClaims(*place, before.start, claim.end, before.claims + 1)
        self._note(own.reasons)
        own.reasons.clear()

    def _note(self, reasons: Reasons) -> None:
        for kind, text in reasons:
            first, count = self._reasons.get(kind, (text, 0))
            self._reasons[kind] = first, count + 1


class _UnorderedDates:
    """Dates that are only in Parquet without the order of the log: each is given whole, once its first claim comes.

    A row that is dated ahead does not bring its date along: the date waits for a claim without rows of a date before.
    """

    def __init__(self, compacted: CompactedRows) -> None:
        self._compacted = compacted
        self._waiting: dict[date, Manifest] = {}
        self._given: set[date] = set()

    def add(self, manifest: Manifest) -> None:
        """Note a date of a claim."""
        if manifest.trade_date not in self._given:
            self._waiting[manifest.trade_date] = manifest

    def until(self, day: date, reasons: Reasons) -> Iterator[tuple[list[Trade], int]]:
        """The rows of the dates up to ``day`` that were not given yet, each with its latest time; adds to ``reasons``."""
        for waiting in sorted(self._waiting):
            if waiting <= day:
                self._given.add(waiting)
                rows = self._compacted.whole(self._waiting.pop(waiting))
                if rows:
                    text = f"{waiting} is only in Parquet without the order of the log"
                    reasons.append((text, text))
                    yield rows, rows[-1].ts_event
