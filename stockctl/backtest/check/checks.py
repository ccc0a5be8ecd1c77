"""The checks of a strategy, and what each found."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from stockctl.backtest.check.delays import describe, returns_by_delay
from stockctl.backtest.check.launch import Launcher
from stockctl.backtest.check.literals import large_literals
from stockctl.backtest.check.messages import CONDITIONS, Condition, Job, Outcome, Place, difference
from stockctl.backtest.check.tape import Tape
from stockctl.errors import StockctlError
from stockctl.strategies import Decision, LoadedStrategy
from stockctl.units import counted, format_percent

CUTS = 10
"""Default cuts of each symbol at random, and as many at decisions."""
_READS: tuple[Condition, ...] = ("clock", "random numbers", "environment")
"""What a strategy must not read, whether it changes a decision or not."""

_SAME_DATES = "a later first date changed no decision"
Pair = tuple[Decision | None, Decision | None]
"""Two decisions that should be one; None where there is no more."""
Result = Literal["ok", "failed", "skipped", "report"]


class CheckRow(NamedTuple):
    """A check and its result; a ``report`` has no verdict."""

    check: str
    result: Result
    detail: str


def check_strategy(
    strategy: LoadedStrategy, params: Mapping[str, Any], tapes: Sequence[Tape], *, seed: int, cuts: int = CUTS
) -> list[CheckRow]:
    """The rows of all checks of ``strategy`` with ``params``, as they were written, on ``tapes``. ``seed`` places the cuts.

    StockctlError if the strategy fails, unless because it asked for what it must not have.
    """
    symbols = [tape.symbol for tape in tapes]
    with tempfile.TemporaryDirectory(prefix="stockctl-check-") as folder:
        launcher = Launcher(strategy, dict(params), Path(folder), seed, cuts)
        launcher.write(tapes)
        jobs = [
            Job("base", "one by one", symbols),
            Job("cuts", "cuts", symbols),
            Job("noise", "noise", symbols),
            Job("free", "batches", symbols, guarded=False),
        ]
        if len(symbols) > 1:
            jobs += [Job(f"alone {symbol}", "batches", [symbol]) for symbol in symbols]
        jobs += [
            Job(f"late {tape.symbol} {late}", "batches", [tape.symbol], late=late) for tape in tapes for late in _starts(tape)
        ]
        other = Job("other", "batches", symbols[::-1], changed=list(CONDITIONS))
        outcomes = launcher.run(jobs, [other])
        if any(_first_difference(outcomes["base"], outcomes[name]) for name in ("cuts", "noise", "free", "other")):
            # One by one, to find out which of them matters.
            singles = [Job(one, "batches", symbols, changed=[one]) for one in CONDITIONS if one != "hash seed"]
            outcomes |= launcher.run(singles, [Job("hash seed", "batches", symbols)])
    report = _Report(strategy, tapes, outcomes)
    return list(report.rows())


class _Report:
    """The rows of the outcomes."""

    def __init__(self, strategy: LoadedStrategy, tapes: Sequence[Tape], outcomes: dict[str, Outcome]) -> None:
        self._strategy, self._tapes, self._outcomes = strategy, tapes, outcomes
        self._base = outcomes["base"]

    def rows(self) -> Iterator[CheckRow]:
        """The rows, in the order in which people look for a cause."""
        refused = _places(place for outcome in self._outcomes.values() for place in outcome.refused)
        error = next((outcome.error for outcome in self._outcomes.values() if outcome.error), "")
        if self._base.error and not (refused or _has_no_files(error) or self._reads()):
            raise StockctlError(self._base.error, hint="correct the strategy, then check it again")
        yield self._files(refused, error)
        if self._base.error:
            for name in ("cuts", "noise", "records", *CONDITIONS, "symbols", "dates", "globals"):
                reads = self._reads(name) if name in _READS else []
                yield CheckRow(name, "failed", _text(reads)) if reads else CheckRow(name, "skipped", "the strategy did not run")
            return
        yield from self._cuts()
        altered = sorted({record for outcome in self._outcomes.values() for record in outcome.altered})
        detail = f"the strategy changed {counted(len(altered), 'record')}, first {altered[0]}" if altered else "unchanged"
        yield CheckRow("records", "failed" if altered else "ok", detail)
        yield from map(self._condition, CONDITIONS)
        yield self._symbols()
        yield self._dates()
        yield self._variables()
        yield from self._reports()

    @property
    def _repeats(self) -> bool:
        """Whether two equal runs decide the same. Where they do not, no other comparison means anything."""
        return "repeat" not in self._outcomes or self._pair_of("repeat") is None

    def _compared(self, check: str, pair: Pair | None, words: str, ok: str) -> CheckRow:
        """The row of a comparison of decisions. ``pair`` is the first that differs, ``words`` say when."""
        if pair is None:
            return CheckRow(check, "ok", ok)
        if not self._repeats and check != "repeat":
            return CheckRow(check, "skipped", "two equal runs differ already: see repeat")
        return CheckRow(check, "failed", ": ".join(filter(None, (words, _pair(pair)))))

    def _files(self, refused: Sequence[Place], error: str) -> CheckRow:
        if refused:
            return CheckRow("files", "failed", _text(refused))
        if _has_no_files(error):
            return CheckRow("files", "failed", f"a file was opened: {error}")
        if error:
            return CheckRow("files", "skipped", "the strategy did not run")
        ok = "no file, socket or process was asked for"
        return self._compared("files", self._pair_of("free"), "other decisions where files can be opened", ok)

    def _reads(self, name: str | None = None) -> list[Place]:
        """What the strategy read that it must not; of one condition, also what explains a difference."""
        names = _READS if name is None else [name]
        return _places(place for outcome in self._outcomes.values() for one in names for place in outcome.reads.get(one, []))

    def _cuts(self) -> Iterator[CheckRow]:
        decisions = counted(sum(map(len, self._base.decisions.values())), "decision")
        for name, words in (("cuts", "later records were cut off"), ("noise", "later prices were noise")):
            outcome = self._outcomes[name]
            # The whole run is in the process of the cuts too: what is kept from run to run makes a difference there.
            first = outcome.findings[0] if outcome.findings else None
            if outcome.error:
                yield CheckRow(name, "failed", f"only where {words}: {outcome.error}")
            elif (pair := self._pair_of(name)) is not None:
                row = self._compared(name, pair, "records given one by one and all together", "")
                yield row._replace(detail=row.detail + self._globals())
            elif first is not None:
                text = f"{len(outcome.findings)} of {counted(outcome.cuts, 'cut')} where {words}"
                row = self._compared(name, (first.whole, first.cut_off), text, "")
                yield row._replace(detail=row.detail + self._globals())
            else:
                yield CheckRow(name, "ok", f"{decisions}, {counted(outcome.cuts, 'cut')}")

    def _condition(self, name: Condition) -> CheckRow:
        reads = self._reads(name)
        found = self._outcomes.get(name)
        if found is not None and found.error:
            return CheckRow(name, "failed", f"only where it was changed: {found.error}")
        row = self._compared(name, self._pair_of(name) if found else None, _text(reads), "another one changed no decision")
        if reads and name in _READS and row.result != "failed":
            return CheckRow(name, "failed", f"{_text(reads)}; no decision differed")
        return row

    def _symbols(self) -> CheckRow:
        if len(self._tapes) == 1:
            return CheckRow("symbols", "skipped", "needs two symbols or more")
        pairs = [self._pair_of(f"alone {tape.symbol}") for tape in self._tapes]
        if not any(self._pair_of(name) for name in CONDITIONS if name in self._outcomes):
            pairs.append(self._pair_of("other"))
        pair = next(filter(None, pairs), None)
        row = self._compared(
            "symbols", pair, "alone, or in another order", "each alone, and in another order, decides the same"
        )
        return row._replace(detail=row.detail + self._globals()) if row.result == "failed" else row

    def _dates(self) -> CheckRow:
        if not any(map(_starts, self._tapes)):
            return CheckRow("dates", "skipped", "needs the trades of two dates or more")
        alone = [tape for tape in self._tapes if len(self._tapes) == 1 or self._pair_of(f"alone {tape.symbol}") is None]
        pairs = (
            self._pair_of(f"late {tape.symbol} {late}", self._since(tape, late)) for tape in alone for late in _starts(tape)
        )
        row = self._compared("dates", next(filter(None, pairs), None), "with a later first date", _SAME_DATES)
        return row._replace(detail=row.detail + self._globals()) if row.result == "failed" else row

    def _variables(self) -> CheckRow:
        """Whether the same symbol, run again in one process, decides the same and leaves all variables as they were."""
        outcome = self._outcomes["cuts"]
        grown = _places(outcome.grown)
        if outcome.again and not self._reads():
            first = outcome.again[0]
            row = self._compared("globals", (first.whole, first.cut_off), "the same symbol again in one process", "")
            if row.result == "failed":
                return row._replace(detail=row.detail + self._globals())
        if grown:
            return CheckRow("globals", "failed", f"{_text(grown)}: each run changes it; no decision differed")
        if outcome.again:
            return CheckRow("globals", "skipped", "two equal runs differ already: see the other checks")
        return CheckRow("globals", "ok", "the same symbol again in one process decides the same")

    def _since(self, tape: Tape, late: int) -> list[Decision]:
        """The decisions from the date on that is ``late`` dates after the first."""
        begin = sum(len(one.trades) for one in tape.span[:late])
        return [one for one in self._base.decisions[tape.symbol] if one.position >= begin]

    def _pair_of(self, job: str, expected: list[Decision] | None = None) -> Pair | None:
        for symbol, found in self._outcomes[job].decisions.items():
            whole = self._base.decisions[symbol] if expected is None else expected
            if (pair := difference(whole, found)) is not None:
                return pair
        return None

    def _globals(self) -> str:
        places = _places(place for outcome in self._outcomes.values() for place in outcome.globals)
        return f"; {_text(places)}" if places else ""

    def _reports(self) -> Iterator[CheckRow]:
        kept = self._outcomes["noise"].kept
        if kept is not None:
            detail = f"{format_percent(100 * kept)} of the decisions are the same where all prices are noise"
            yield CheckRow("prices", "report", detail + (": it may have them from elsewhere" if kept > 0.5 else ""))
        yield CheckRow("starts", "report", self._later_starts())
        every = getattr(self._strategy.make(self._tapes[0].symbol), "every", None)
        yield CheckRow("delays", "report", describe(returns_by_delay(self._tapes, self._base.decisions, every)))
        literals = large_literals(self._strategy.files)
        text = (
            _text(literals)
            if literals
            else "no large literal; a table of prices in the source is what these checks cannot find"
        )
        yield CheckRow("source", "report", text)

    def _later_starts(self) -> str:
        """How many decisions are the same with later first dates."""
        counts: dict[int, list[int]] = {}
        for tape in self._tapes:
            for late in _starts(tape):
                expected = self._since(tape, late)
                found = set(self._outcomes[f"late {tape.symbol} {late}"].decisions[tape.symbol])
                found = {one._replace(position=0) for one in found}
                same = sum(one._replace(position=0) in found for one in expected)
                count = counts.setdefault(late, [0, 0])
                count[0] += same
                count[1] += len(expected)
        words = [
            f"{same} of {counted(of, 'decision')} with a start {counted(late, 'date')} later"
            for late, (same, of) in counts.items()
        ]
        return f"the same: {', '.join(words)}" if words else "needs the trades of two dates or more"


def _starts(tape: Tape) -> list[int]:
    """By how many dates other starts are later: one, half of them, and all but one."""
    dates = len(tape.span)
    return sorted({1, dates // 2, dates - 1}) if dates > 1 else []


def _has_no_files(error: str) -> bool:
    """Whether ``error`` is of the limit of open files."""
    return os.strerror(errno.EMFILE) in error


def _first_difference(first: Outcome, second: Outcome) -> Pair | None:
    for symbol in first.decisions:
        if symbol in second.decisions and (pair := difference(first.decisions[symbol], second.decisions[symbol])) is not None:
            return pair
    return None


def _pair(pair: Pair) -> str:
    one, other = pair
    some = one or other
    if some is None:
        return ""
    if one is not None and other is not None and (one.record, one.n) == (other.record, other.n):
        names = [name for name in Decision._fields if name != "position" and getattr(one, name) != getattr(other, name)]
        values = "; ".join(f"{name} {getattr(one, name)!r} and {getattr(other, name)!r}" for name in names if name != "inputs")
        return f"{some.symbol} {some.record} n {some.n}: {values or 'other inputs'}"
    words = [f"{each.side} {each.target:g} at {each.record} n {each.n}" if each else "no more decision" for each in pair]
    return f"{some.symbol}: {words[0]} and {words[1]}"


def _places(places: Any) -> list[Place]:
    return list(dict.fromkeys(places))


def _text(places: Sequence[Place]) -> str:
    more = f", and {len(places) - 3} more" if len(places) > 3 else ""
    return "; ".join(map(str, places[:3])) + more
