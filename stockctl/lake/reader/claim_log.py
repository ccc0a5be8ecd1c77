"""Which claims a query needs: those with objects in its time span, including missing objects.

A folder only lists objects that exist. Only a claim shows that an object is missing, so a query finds the claims of its time
span in the log. The log is ordered by time, except for late records: so a query reads the claims around its time span, and
around the claims of the objects that exist.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from itertools import groupby

from stockctl.clients.object_store import Store
from stockctl.errors import UnhealthyError
from stockctl.lake.format.claims import Claim, UnreadableError, decode_claim
from stockctl.lake.format.keys import Table, folder_of, parse_claim, table_log

_CHUNK = 64
"""Claims per batch of reads: a request to S3 waits longer for its response than for its bytes."""


class ClaimLog:
    """The claims of ``table``: listed once, and read by ``read`` when needed.

    List the log before the objects: then all objects of a claim were written, except for the newest claim of each partition.
    """

    def __init__(self, store: Store, table: Table, read: Callable[[Iterable[str]], dict[str, bytes]]) -> None:
        self._read = read
        self._claims: dict[str, Claim | UnreadableError | None] = {}
        keys = [item.key for item in store.objects(table_log(table)) if parse_claim(item.key)]
        self._logs = [list(log) for _, log in groupby(keys, folder_of)]
        self._newest: dict[int, tuple[int, int]] = {}
        """Generation and start of the newest claim of each partition."""
        for log in self._logs:
            if (name := parse_claim(log[-1])) is not None:
                self._newest[name.partition] = max(self._newest.get(name.partition, (0, 0)), (name.generation, name.start))

    @property
    def keys(self) -> list[str]:
        """Keys of all claims, by generation and partition."""
        return [key for log in self._logs for key in log]

    def is_newest(self, claim: Claim) -> bool:
        """Whether the claim is the newest of its partition, or newer: its writer may still be storing its objects."""
        return (claim.generation, claim.start) >= self._newest.get(claim.partition, (0, 0))

    def read(self, keys: Iterable[str]) -> list[Claim]:
        """The claims at ``keys`` that exist."""
        found = []
        for claim in self._load(list(keys)):
            if isinstance(claim, UnreadableError):
                raise claim
            if claim is not None:
                found.append(claim)
        return found

    def _load(self, keys: Sequence[str]) -> list[Claim | UnreadableError | None]:
        missing = [key for key in keys if key not in self._claims]
        self._claims |= dict.fromkeys(missing)
        for key, data in self._read(missing).items():
            try:
                self._claims[key] = decode_claim(data, key)
            except UnreadableError as error:
                self._claims[key] = error  # raised only for queries that need this claim
        return [self._claims[key] for key in keys]

    def find(self, known: Collection[str], since: int | None, until: int | None, skip: Collection[str] = ()) -> list[Claim]:
        """The claims at ``known``, and other claims with records of ``[since, until)``; without those at ``skip``."""
        ends = partial(self._ends, since, until)
        keys = set(known)
        self._load(list(known))
        for log in self._logs:
            # Where the time span is if the log is in order, and where its objects are.
            middle = bisect_left(log, since or 0, key=lambda key: max(self._span(key), default=0))
            seeds = [index for index, key in enumerate(log) if key in known or index in (middle - 1, middle)]
            inside: set[int] = set()
            for seed in seeds:
                if seed not in inside and not (log[seed] not in skip and ends(log[seed])):
                    inside.update(self._walk(log, range(seed, len(log)), inside, skip, ends))
                    inside.update(self._walk(log, range(seed - 1, -1, -1), inside, skip, ends))
            keys.update(log[index] for index in inside)
            self._check_chain(log, inside.union(range(max(0, middle - 1), min(len(log), middle + 1))))
        return self.read(sorted(keys.difference(skip)))

    def _check_chain(self, log: Sequence[str], indexes: Iterable[int]) -> None:
        """UnhealthyError if a claim is missing next to those at ``indexes``: each must begin where the claim before it ends."""
        for index in sorted(indexes):
            one, other = (self._claims.get(key) for key in (log[index], *log[index + 1 : index + 2], "")[:2])
            if isinstance(one, Claim) and isinstance(other, Claim) and one.end < other.start:
                raise UnhealthyError(
                    f"a claim between {one.key} and {other.key} is missing: "
                    f"no claim covers offsets {one.end} to {other.start} of {one.topic}/{one.partition}",
                    hint="restore it from a backup: `stockctl lake verify` lists all damage",
                )

    def _walk(
        self, log: Sequence[str], path: range, inside: set[int], skip: Collection[str], ends: Callable[[str], bool]
    ) -> list[int]:
        """Indexes along ``path``, up to the first claim of another time, or to an index that is ``inside`` already."""
        found: list[int] = []
        for first in range(0, len(path), _CHUNK):
            chunk = path[first : first + _CHUNK]
            self._load([log[index] for index in chunk if log[index] not in skip])
            for index in chunk:
                if index in inside or (log[index] not in skip and ends(log[index])):
                    return found
                found.append(index)
        return found

    def _ends(self, since: int | None, until: int | None, key: str) -> bool:
        """Whether all records of the claim at ``key`` are of another time; false for a claim without records."""
        span = self._span(key)
        return bool(span) and ((since is not None and span[1] < since) or (until is not None and span[0] >= until))

    def _span(self, key: str) -> tuple[int, ...]:
        """The first and the last time of the claim's records in ms; empty if it has none."""
        (claim,) = self._load([key])
        times = [time for item in claim.objects for time in (item.ts_min, item.ts_max)] if isinstance(claim, Claim) else []
        return (min(times), max(times)) if times else ()
