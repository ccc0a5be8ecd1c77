"""The claims of a table in the order in which their records came, read one after the other, in memory that does not grow.

In one partition claims follow each other by generation and offset; claims of several partitions are merged by the times at
which they were made. The newest claim of a partition is left out while one of its objects does not exist: its writer may still
be storing them, and what follows continues at that claim's first offset.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from stockctl.errors import StockctlError, UnhealthyError
from stockctl.lake.format.claims import Claim, CutReason, decode, decode_claim, read_lost, start_of
from stockctl.lake.format.keys import FORMAT, Layout, date_folder, date_of, dates_around, parse_claim, parse_object, parts_of
from stockctl.lake.format.retention import is_expired
from stockctl.lake.format.row_order import objects_of, part_of

if TYPE_CHECKING:
    from stockctl.lake.reader.object_selection import LakeReader

_CHUNK = 32
"""Claims that are read at a time."""
_WORKERS = 16

Position = tuple[int, int]
"""Generation and first offset of a claim, by which those of one partition are ordered."""


class _Head(msgspec.Struct, frozen=True):
    """The fields of a claim that are needed when it has no rows of a symbol: a claim of thousands of objects is big."""

    generation: int
    partition: int
    start: int
    end: int
    created: str
    reason: CutReason
    topic: str
    layout: Layout


class LoggedClaim(NamedTuple):
    """A claim in the log's order. ``claim`` is None, and ``numbers`` empty, if no object of it may have rows of the symbol.

    ``numbers`` are indexes of the objects that may, ``order`` rises within a partition: the time at which it was made, in s.
    """

    key: str
    head: _Head
    claim: Claim | None
    numbers: list[int]
    order: float


class LogClaims:
    """The claims of the trades in ``lake``: the state of the lake when this was made."""

    def __init__(self, lake: LakeReader) -> None:
        self._lake = lake
        self._log = lake.log("trades")
        partitions: dict[int, list[tuple[Position, str]]] = defaultdict(list)
        for key in self._log.keys:
            if (name := parse_claim(key)) is not None:
                partitions[name.partition].append(((name.generation, name.start), key))
        self._partitions = {number: sorted(claims) for number, claims in sorted(partitions.items())}

    @cached_property
    def ends(self) -> dict[tuple[int, int], int]:
        """The offset up to which the lake has the records, by generation and partition."""
        ends = {}
        for number, claims in self._finished.items():
            for generation in sorted({generation for (generation, _), _ in self._partitions[number]}):
                own = [key for (of, _), key in claims if of == generation]
                if own:
                    (claim,) = self._log.read(own[-1:])
                    ends[generation, number] = claim.end
                elif (start := start_of(self._lake.store, "trades", generation, number)) is not None:
                    ends[generation, number] = start.start
        return ends

    @cached_property
    def _finished(self) -> dict[int, list[tuple[Position, str]]]:
        """The claims of each partition, without its newest one while an object of it does not exist."""
        finished = {}
        for number, claims in self._partitions.items():
            (newest,) = self._log.read([claims[-1][1]]) or (None,)
            finished[number] = claims[:-1] if newest is None or self._is_unfinished(newest) else claims
        return finished

    def _is_unfinished(self, claim: Claim) -> bool:
        expected = [item.key for item in claim.objects if not is_expired(item.key, self._lake.floor)]
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="exists") as pool:
            missing = {
                key for key, exists in zip(expected, pool.map(self._lake.store.exists, expected), strict=True) if not exists
            }
        if not missing:
            return False
        manifests = self._lake.manifests({day for key in missing if (day := date_of(key)) is not None}).values()
        compacted = {manifest.trade_date for manifest in manifests if claim.key in manifest.claims}
        return any(date_of(key) not in compacted for key in missing.difference(read_lost(self._lake.store, claim)))

    def since(self, symbol: str, moment: int) -> Iterator[LoggedClaim]:
        """The claims from the first one on that may have rows of ``symbol`` at ``moment`` (ms UTC) or later."""
        known = self._first_known(symbol, moment)
        starts = {number: self._start(claims, known.get(number), moment) for number, claims in self._finished.items() if claims}
        readers = [self._read(symbol, [key for _, key in self._finished[number][at:]]) for number, at in starts.items()]
        return heapq.merge(*readers, key=lambda item: item.order)

    def _first_known(self, symbol: str, moment: int) -> dict[int, Position]:
        """The first claim of each partition with an object that exists, or a manifest, of ``symbol`` at ``moment`` or later."""
        first, _ = dates_around(moment, None)
        days = [day for day in self._lake.dates() if day >= first]
        with ThreadPoolExecutor(_WORKERS, thread_name_prefix="list") as pool:
            found = list(pool.map(lambda day: self._first_on(symbol, day), days))
        for day in self._lake.compacted_dates():
            if day >= first:
                # One at a time: a manifest has the keys of all claims of its date.
                manifest = self._lake.manifests([day])[day]
                found.append(_earliest(manifest.claims if symbol in manifest.symbols else ()))
        known: dict[int, Position] = {}
        for positions in found:
            for number, position in positions.items():
                known[number] = min(known.get(number, position), position)
        return known

    def _first_on(self, symbol: str, day: date) -> dict[int, Position]:
        folder, store = date_folder("trades", day), self._lake.store
        parts = [f"{folder}/{part}" for part in parts_of(symbol, store.folders(folder))] or [folder]
        return _earliest(
            name.claim for part in parts for item in store.objects(part) if (name := parse_object(item.key)) is not None
        )

    def _start(self, claims: list[tuple[Position, str]], known: Position | None, moment: int) -> int:
        """Index of the claim to begin at: the first ``known`` one, and all around that are not of earlier times.

        Only a claim shows that an object is missing, so those of the time are read too, whether they are known or not.
        """
        middle = bisect_left(claims, moment, key=lambda item: self._latest(item[1]) or 0)
        at = middle if known is None else min(middle, bisect_left(claims, (known, "")))
        while at > 0 and ((latest := self._latest(claims[at - 1][1])) is None or latest >= moment):
            at -= 1
        return at

    def _latest(self, key: str) -> int | None:
        """The latest time of the claim's records in ms; None if it has none."""
        data = self._lake.read_log([key]).get(key)
        return None if data is None else max((item.ts_max for item in decode_claim(data, key).objects), default=None)

    def _read(self, symbol: str, keys: list[str]) -> Iterator[LoggedClaim]:
        order, before = 0.0, None
        for first in range(0, len(keys), _CHUNK):
            chunk = keys[first : first + _CHUNK]
            found = self._lake.read_log(chunk)
            for key in chunk:
                if key not in found:
                    raise StockctlError(f"the claim {key} was deleted while it was read", hint="run the command again")
                logged = _parse(symbol, key, found[key])
                _check_chain(before, logged.head)
                before = logged.head
                order = max(order, datetime.fromisoformat(before.created).timestamp())
                yield logged._replace(order=order)


def _parse(symbol: str, key: str, data: bytes) -> LoggedClaim:
    head = decode(data, key, _Head, FORMAT)
    part = part_of(head.layout, symbol)
    if f"/{part}/".encode() not in data and part and b"\\/" not in data:
        return LoggedClaim(key, head, None, [], 0)
    claim = decode_claim(data, key)
    numbers = objects_of(claim, symbol)
    return LoggedClaim(key, head, claim if numbers else None, numbers, 0)


def _check_chain(one: _Head | None, other: _Head) -> None:
    """UnhealthyError if a claim between two of the same generation is missing."""
    if one is not None and one.generation == other.generation and one.end < other.start:
        raise UnhealthyError(
            f"no claim covers offsets {one.end} to {other.start} of {one.topic}/{one.partition}, g{one.generation}",
            hint="restore the claim from a backup: `stockctl lake verify` lists all damage",
        )


def _earliest(keys: Iterable[str]) -> dict[int, Position]:
    """The first of these claims in each partition."""
    earliest: dict[int, Position] = {}
    for key in keys:
        if (name := parse_claim(key)) is not None:
            position = name.generation, name.start
            earliest[name.partition] = min(earliest.get(name.partition, position), position)
    return earliest
