"""``signals verify``: replays the lake through the strategy, and compares with what ran live, id by id."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from datetime import date
from typing import Literal, NamedTuple

from stockctl.errors import StockctlError, UnhealthyError, UsageError, quoted
from stockctl.exchange.calendar import now_ms
from stockctl.lake.reader.log_order import LogReader, PrunedError
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.records import SignalRecord
from stockctl.settings import Settings
from stockctl.signals.live_record import POINTS, LiveRecord, Run, strategies_on
from stockctl.signals.replay import Replay, replay
from stockctl.strategies.loading import LoadedStrategy, load_strategy
from stockctl.strategies.symbol_run import Decision, decision_id
from stockctl.symbols import UnknownSymbolError, did_you_mean, similar_symbols
from stockctl.units import counted

_SETTLED_MS = 30_000
"""A decision this much older than the newest record of its run was published, or is missing."""
_OTHER_CODE = "other code"
_COMPARED = ("side", "target", "strength", "reason", "ts_decided", "ts_event")

FindingKind = Literal["missing", "extra", "different", "inputs", "run", "unproven"]


class Finding(NamedTuple):
    """A difference between what ran live and the replay.

    ``missing``: the replay decides it, and the lake does not have it; ``extra``: the other way round; ``different``: a field
    differs; ``inputs``: the records that the strategy had seen differ; ``run``: a run cannot be replayed; ``unproven``: the
    lake cannot prove what the strategy saw. ``at`` is in ms UTC. ``cause`` is empty where it is unknown.
    """

    finding: FindingKind
    strategy: str
    symbol: str
    at: int | None
    record: str
    n: int | None
    live: str
    replayed: str
    cause: str


class Replayed(NamedTuple):
    """A decision that the replay of a run's ``strategy`` made, in the time of that run."""

    strategy: str
    decision: Decision


class Verification(NamedTuple):
    """The findings of a date, and what was compared. ``pending`` signals are newer than what the lake has.

    ``decisions`` are what the runs decide when they are replayed, those that are pending included.
    """

    findings: list[Finding]
    notes: list[str]
    strategies: int
    symbols: int
    signals: int
    heartbeats: int
    pending: int
    decisions: tuple[Replayed, ...] = ()

    def summary(self, day: date) -> str:
        """What was compared, in one line."""
        pending = f", {counted(self.pending, 'newer one')} not in the lake yet" if self.pending else ""
        return (
            f"{day}: {counted(self.signals, 'signal')} and {counted(self.heartbeats, 'heartbeat')} "
            f"of {counted(self.strategies, 'strategy', 'strategies')} on {counted(self.symbols, 'symbol')} compared{pending}"
        )

    def plus(self, verifier: StrategyVerifier) -> Verification:
        """With what ``verifier`` found."""
        return Verification(
            self.findings + verifier.findings,
            self.notes + verifier.notes,
            self.strategies + 1,
            self.symbols,
            self.signals + verifier.signals,
            self.heartbeats + verifier.heartbeats,
            self.pending + verifier.pending,
            (*self.decisions, *verifier.decisions),
        )


class Overrides(NamedTuple):
    """Replay with another strategy or other parameters than those of the run."""

    reference: str | None = None
    params: Mapping[str, str] = {}


class _Group(NamedTuple):
    """Runs of the same code and parameters, and the strategy that stands for them now."""

    strategy: LoadedStrategy
    runs: frozenset[str]
    cause: str
    """Why the replay may differ: other code or parameters; empty if it may not."""


class _Reach(NamedTuple):
    """By partition the offset where the lake ends, and when a record was published that the lake must have by now."""

    ends: Mapping[int, int]
    settled: int
    """In ms UTC."""

    def may_come(self, record: SignalRecord) -> bool:
        """Whether the trade of ``record`` may be on its way to the lake."""
        return record.offset >= self.ends.get(record.partition, 0) and record.ts_recv > self.settled


class StrategyVerifier:
    """Verifies one strategy on one date."""

    def __init__(self, lake: LakeReader, live: LiveRecord, overrides: Overrides) -> None:
        self._lake, self._live, self._overrides = lake, live, overrides
        ends: dict[int, int] = {}
        for (_, partition), end in LogReader(lake).ends().items():
            ends[partition] = max(ends.get(partition, 0), end)
        self._reach = _Reach(ends, now_ms() - round(2000 * lake.settings.lake.max_age) - _SETTLED_MS)
        self.findings: list[Finding] = []
        self.notes: list[str] = []
        self.decisions: list[Replayed] = []
        self.signals = self.heartbeats = self.pending = 0

    def verify(self, symbols: Sequence[str]) -> None:
        """Compare each of ``symbols``."""
        for run in self._live.unknown_runs:
            self._add("run", record=run, cause="its run record, with the parameters, is not in the lake")
        groups = list(self._groups())
        for group in groups:
            if group.cause.startswith(_OTHER_CODE):
                self.notes.append(f"{self._live.strategy} ran {group.cause}")
        for symbol in symbols:
            records = self._live.of(symbol)
            for group in groups:
                if any(symbol in run.details.symbols for run in self._live.runs if run.id in group.runs):
                    self._verify(symbol, group, [record for record in records if record.kind in POINTS])

    def _groups(self) -> Iterator[_Group]:
        found: dict[tuple[str, str, str], list[Run]] = {}
        for run in self._live.runs:
            key = (run.version, run.details.reference, repr(sorted(run.details.params.items())))
            found.setdefault(key, []).append(run)
        for runs in found.values():
            run = runs[-1]
            reference = self._overrides.reference or run.details.reference or run.strategy
            try:
                strategy = load_strategy(reference, run.details.params | dict(self._overrides.params))
            except StockctlError as error:
                if self._overrides.reference or self._overrides.params:
                    raise
                self._add("run", record=run.id, cause=f"{error}: name its file with --code")
                continue
            yield _Group(strategy, frozenset(run.id for run in runs), _cause(run, strategy))

    def _verify(self, symbol: str, group: _Group, records: Sequence[SignalRecord]) -> None:
        try:
            with redirect_stdout(sys.stderr):
                replayed = replay(self._lake, group.strategy, symbol, self._live.day, records)
        except (PrunedError, UnhealthyError) as error:
            self._add("unproven", symbol, cause=str(error))
            return
        for reason in replayed.unproven:
            self._add("unproven", symbol, cause=reason)
        if errors := replayed.errors:
            self.notes.append(
                f"{symbol}: {counted(len(errors), 'error')} of the strategy in the replay; the first: {errors[0]}"
            )
        comparison = _Comparison(self._live, group, symbol, records, replayed, self._reach)
        self.findings += comparison.inputs()
        self.findings += comparison.signals()
        self.signals += comparison.compared
        self.heartbeats += comparison.heartbeats
        self.pending += comparison.pending
        self.decisions += [Replayed(self._live.strategy, decision) for decision in comparison.decided]

    def _add(self, finding: FindingKind, symbol: str = "", *, record: str = "", cause: str) -> None:
        self.findings.append(Finding(finding, self._live.strategy, symbol, None, record, None, "", "", cause))


class _Comparison:
    """Compares what one symbol's strategy published with its replay."""

    def __init__(
        self,
        live: LiveRecord,
        group: _Group,
        symbol: str,
        records: Sequence[SignalRecord],
        replayed: Replay,
        reach: _Reach,
    ) -> None:
        self._reach = reach
        self._live, self._group, self._symbol, self._replay = live, group, symbol, replayed
        self._points = [record for record in records if record.kind in POINTS]
        self._stored = {record.id: record for record in records if record.kind == "signal"}
        self._runs = [run for run in live.runs if symbol in run.details.symbols]
        self._earlier = [point for point in self._points if point.record not in replayed.inputs]
        self._cause = group.cause
        self.decided: list[Decision] = []
        self.compared = self.heartbeats = self.pending = 0

    def inputs(self) -> Iterator[Finding]:
        """The first place where the strategy had seen other records than the replay, and records that the lake lacks."""
        before: SignalRecord | None = None
        for point in self._points:
            if point.run not in self._group.runs or not self._replay.is_of_day(point):
                continue
            if point.kind == "heartbeat":
                self.heartbeats += 1
            if not point.record:
                continue  # the run began before the first record of the date
            replayed = self._replay.inputs.get(point.record)
            if replayed == point.inputs:
                before = point
                continue
            end = self._reach.ends.get(point.partition, 0)
            if replayed is None:
                if self._reach.may_come(point):
                    return  # so may all that follow
                cause = "the lake is behind: " if point.offset >= end else "the record is not in the lake: "
                cause += f"it ends at offset {end} of partition {point.partition}, the record is at {point.offset}"
            else:
                after = f"after {before.record} (offset {before.offset})" if before else "from the beginning of the date"
                cause = f"the lake has other records {after}, up to {point.record} (offset {point.offset})"
            self._cause = self._cause or cause
            yield self._finding("inputs", point, None, point.inputs, replayed or "", cause)
            return

    def signals(self) -> Iterator[Finding]:
        """Decisions that the lake does not have, signals that the replay does not have, and those that differ."""
        decided: set[str] = set()
        for place, decision in self._replay.decisions:
            id = decision_id(self._live.strategy, decision)
            decided.add(id)
            stored = self._stored.get(id) or self._elsewhere(id, decision)
            if stored is not None:
                if stored.run in self._group.runs:
                    self.compared += 1
                    self.decided.append(decision)
                    yield from self._difference(stored, decision)
                continue
            runs = self._runs_at(place, decision)
            if not runs or not runs <= self._group.runs:
                continue
            self.decided.append(decision)
            if decision.ts_decided > self._live.progress - _SETTLED_MS and place >= len(self._replay.passed):
                self.pending += 1
                continue
            yield self._finding("missing", decision, decision.n, "", _words(decision), self._cause)
        for record in self._stored.values():
            if record.id not in decided and record.run in self._group.runs and self._replay.is_of_day(record):
                if record.record not in self._replay.inputs and self._reach.may_come(record):
                    self.pending += 1
                    continue
                self.compared += 1
                yield self._finding("extra", record, record.n, _words(record), "", self._cause)

    def _elsewhere(self, id: str, decision: Decision) -> SignalRecord | None:
        """The signal where its record is dated far from the date on which it came."""
        at = decision.ts_event
        if self._replay.is_near(at):
            return None
        return next(iter(self._live.find(at, at + 1, [id])), None)

    def _runs_at(self, place: int, decision: Decision) -> frozenset[str]:
        """The runs that may have made the decision that follows ``place`` points; empty if none had begun."""
        passed = self._replay.passed
        if not self._points:
            earlier = [run for run in self._runs if run.started <= decision.ts_decided]
            return frozenset(run.id for run in earlier[-1:])
        before = passed[place - 1 : place] or [point for point in self._earlier if point.ts_decided <= decision.ts_decided]
        first = max((point.offset for point in before), default=-1) + 1
        last = passed[place].offset if place < len(passed) else None
        partition = self._points[0].partition
        possible: set[str] = set()
        for number, run in enumerate(self._runs):
            begin = run.start(partition)
            following = self._runs[number + 1].start(partition) if number + 1 < len(self._runs) else None
            if (last is None or begin <= last) and (following is None or following > first):
                possible.add(run.id)
        if self._runs and first < self._runs[0].start(partition):
            return frozenset()  # perhaps from before the first run
        return frozenset(possible)

    def _difference(self, stored: SignalRecord, decision: Decision) -> Iterator[Finding]:
        for name in _COMPARED:
            live, replayed = getattr(stored, name), getattr(decision, name)
            if live != replayed:
                yield self._finding("different", stored, stored.n, f"{name} {live}", f"{name} {replayed}", self._cause)
                return

    def _finding(
        self, finding: FindingKind, of: SignalRecord | Decision, n: int | None, live: str, replayed: str, cause: str
    ) -> Finding:
        return Finding(finding, self._live.strategy, self._symbol, of.ts_decided, of.record, n, live, replayed, cause)


def _words(decision: Decision | SignalRecord) -> str:
    return f"{decision.side} {decision.target:g}"


def _cause(run: Run, strategy: LoadedStrategy) -> str:
    params = strategy.params.model_dump(mode="json")
    others = [
        f"{name} {run.details.params.get(name)} live, {value} here"
        for name, value in params.items()
        if run.details.params.get(name) != value
    ]
    if others:
        return f"other parameters: {', '.join(others)}"
    if run.version != strategy.version:
        return f"{_OTHER_CODE}: version {run.version[:12]} live, {strategy.version[:12]} here"
    return ""


def verify(
    settings: Settings,
    day: date | None = None,
    *,
    strategy: str | None = None,
    symbols: Sequence[str] | None = None,
    overrides: Overrides = Overrides(),  # noqa: B008  # it is immutable
) -> tuple[date, Verification]:
    """Verify the signals of ``day`` (None: the newest with signals) of all strategies, or of one.

    StockctlError if the lake has no records of signals on that date; UsageError for a strategy or a symbol that is not among
    them; PrunedError if the date was pruned.
    """
    with LakeReader(settings) as lake:
        day = _newest_day(lake) if day is None else day
        if lake.floor is not None and day < lake.floor:
            raise PrunedError(day, lake.floor)
        ran = [live for name in strategies_on(lake, day) if (live := LiveRecord(lake, name, day)).has_records]
        if not ran:
            raise StockctlError(
                f"the lake has no signals on {day}",
                hint="`stockctl signals list` shows those that it has; `stockctl consume s3` writes them to it",
            )
        chosen = [live for live in ran if strategy in (None, live.strategy)]
        if not chosen:
            raise UsageError(
                f"no strategy {quoted(strategy)} ran on {day}",
                hint=f"those that did: {', '.join(live.strategy for live in ran)}",
            )
        named = sorted({symbol for live in chosen for symbol in live.symbols})
        wanted = named if symbols is None else [_ran_on(symbol, named, day) for symbol in symbols]
        found = Verification([], [], 0, 0, 0, 0, 0)
        for live in chosen:
            verifier = StrategyVerifier(lake, live, overrides)
            verifier.verify([one for one in live.symbols if one in wanted])
            found = found.plus(verifier)
    return day, found._replace(symbols=len(set(wanted)))


def _ran_on(written: str, named: Sequence[str], day: date) -> str:
    """The one of the symbols ``named`` that ``written`` means. UnknownSymbolError if it is none of them."""
    same = [one for one in named if one.upper() == written.upper()]
    if same:
        return written if written in same else same[0]
    near = similar_symbols(written, named)
    hint = did_you_mean(near) if near else f"strategies ran on {', '.join(named)}"
    raise UnknownSymbolError(f"no strategy ran on {quoted(written)} on {day}", hint=hint)


def _newest_day(lake: LakeReader) -> date:
    days = lake.dates("signals")
    if not days:
        raise StockctlError(
            "the lake has no signals", hint="`stockctl signals run` publishes them, `stockctl consume s3` stores them"
        )
    return days[-1]
