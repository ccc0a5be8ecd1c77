"""What a strategy published on one date, as the lake has it: runs, signals and heartbeats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from stockctl.exchange.calendar import day_bounds
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.signals import signals_between
from stockctl.records import UNREADABLE, SignalRecord, decode

_DAY = 86_400_000
POINTS = ("signal", "heartbeat")
"""The kinds of records that give the hash of the inputs up to a place in the log."""


class RunDetails(msgspec.Struct):
    """What a ``run`` record has in its details; ``starts`` are the offsets from which it publishes, by partition."""

    params: dict[str, Any] = {}
    reference: str = ""
    symbols: list[str] = []
    starts: dict[str, int] = {}


class Run(NamedTuple):
    """A run of a strategy. ``started`` is in ms UTC."""

    id: str
    strategy: str
    version: str
    started: int
    details: RunDetails

    def start(self, partition: int) -> int:
        """The offset of ``partition`` from which it publishes."""
        return self.details.starts.get(str(partition), 0)


class LiveRecord:
    """The records of ``strategy`` around ``day`` in the lake: of the date, and of a day before and after it."""

    def __init__(self, lake: LakeReader, strategy: str, day: date) -> None:
        self._lake, self.strategy, self.day = lake, strategy, day
        since, until = day_bounds(day)
        self._records = _read(lake, strategy, since - _DAY, until + _DAY)

    @property
    def has_records(self) -> bool:
        """Whether there is any record of the date."""
        since, until = day_bounds(self.day)
        return any(since <= record.ts_event < until for record in self._records)

    @cached_property
    def runs(self) -> list[Run]:
        """The runs that the records name, in order of time; those whose ``run`` record is not in the lake are missing."""
        wanted = {record.run for record in self._records}
        found: dict[str, Run] = {}
        for records in self._backwards():
            for record in records:
                if record.kind == "run" and record.run in wanted and record.run not in found:
                    found[record.run] = Run(record.run, record.strategy, record.version, record.ts_event, _details(record))
            if wanted <= found.keys():
                break
        return sorted(found.values(), key=lambda run: run.started)

    def _backwards(self) -> Iterator[list[SignalRecord]]:
        yield self._records
        since, _ = day_bounds(self.day)
        for day in reversed(self._lake.dates("signals")):
            first, last = day_bounds(day)
            if last <= since:
                yield _read(self._lake, self.strategy, first, last, kind="run")

    @cached_property
    def unknown_runs(self) -> list[str]:
        """Ids of runs whose ``run`` record is not in the lake."""
        return sorted({record.run for record in self._records} - {run.id for run in self.runs})

    @cached_property
    def symbols(self) -> list[str]:
        """The symbols with records, and those of the runs."""
        named = {record.symbol for record in self._records if record.symbol}
        return sorted(named.union(*(run.details.symbols for run in self.runs)))

    def of(self, symbol: str) -> list[SignalRecord]:
        """The records of ``symbol`` except repeats, in the order in which they were published."""
        first: dict[str, SignalRecord] = {}
        for record in self._records:
            if record.symbol == symbol:
                first.setdefault(record.id, record)
        return sorted(first.values(), key=lambda record: (record.ts_recv, record.offset, record.n))

    @cached_property
    def progress(self) -> int:
        """The newest ``ts_decided`` of all points in ms UTC; -1 without one."""
        return max((record.ts_decided for record in self._records if record.kind in POINTS), default=-1)

    def find(self, since: int, until: int, ids: Iterable[str]) -> list[SignalRecord]:
        """The signals with these ``ids`` and ``ts_event`` in ``[since, until)``."""
        wanted = set(ids)
        return [record for record in _read(self._lake, self.strategy, since, until) if record.id in wanted]


def strategies_on(lake: LakeReader, day: date) -> list[str]:
    """The strategies that have records of ``day``."""
    since, until = day_bounds(day)
    table = signals_between(lake, since, until, kind=None)
    return sorted({str(name) for name in table.column("strategy").to_pylist()})


def _read(lake: LakeReader, strategy: str, since: int, until: int, kind: str | None = None) -> list[SignalRecord]:
    table = signals_between(lake, since, until, strategy=strategy, kind=kind)
    names = SignalRecord.__struct_fields__
    return [SignalRecord(**{name: row[name] for name in names}) for row in table.to_pylist()]


def _details(record: SignalRecord) -> RunDetails:
    try:
        return decode(record.details, RunDetails)
    except UNREADABLE:
        return RunDetails()


def details_of(record: SignalRecord) -> Mapping[str, Any]:
    """The details of a record; empty if they are no JSON object."""
    try:
        return decode(record.details, dict[str, Any])
    except UNREADABLE:
        return {}
