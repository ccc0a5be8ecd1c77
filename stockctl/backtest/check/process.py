"""A process of a check: it reads the records and imports the kernel, then forks for each job, which loads the strategy.

So every job starts without a trace of the strategy, and costs no start of Python. The plan comes on stdin and the outcomes go
to stdout, as msgpack; what a strategy prints goes to stderr.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec

from stockctl.backtest.check.guard import Guard, load_zones
from stockctl.backtest.check.messages import CutFinding, Job, Outcome, Plan, difference
from stockctl.backtest.check.module_state import changed, state_of
from stockctl.backtest.check.surroundings import Surroundings
from stockctl.backtest.check.tape import Feed, Tape, Tapes
from stockctl.errors import StockctlError
from stockctl.records import Trade
from stockctl.strategies import Decision, LoadedStrategy, Signal, Strategy, SymbolRun, buy, load_strategy
from stockctl.strategies.symbol_run import failing_line

_RESULT = 3
"""The file that a job writes its outcome to; it has this one and the standard ones open."""
_NOISES = 5
"""Runs with noise, of each symbol."""


def main() -> None:
    """Run the plan on stdin."""
    plan = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Plan)
    tapes = {tape.symbol: tape for tape in msgspec.msgpack.decode(Path(plan.tapes).read_bytes(), type=Tapes).tapes}
    _warm_up(tapes)
    for job in plan.jobs:
        content = _forked(lambda job=job: _run(plan, job, tapes))  # type: ignore[misc]  # a default of a lambda
        if not content:
            sys.exit(1)
        sys.stdout.buffer.write(len(content).to_bytes(8, "big") + content)
    sys.stdout.buffer.flush()


def _forked(function: Callable[[], Outcome]) -> bytes:
    """The outcome of ``function`` in a process of its own, encoded; empty if that process died."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        status = 1
        try:
            os.dup2(writing, 63)
            os.dup2(63, _RESULT)
            os.dup2(2, 1)
            os.closerange(_RESULT + 1, 4096)
            content = msgspec.msgpack.encode(function())
            while content:
                content = content[os.write(_RESULT, content) :]
            status = 0
        except BaseException:  # noqa: BLE001  # the process ends here, and its parent must not go on in it
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    with open(reading, "rb") as file:  # noqa: PTH123  # a file that is open
        content = file.read()
    _, status = os.waitpid(child, 0)
    return b"" if status else content


class _Touch(Strategy):
    """Touches what the kernel reads when it is first used, such as its table of trade conditions."""

    every = "1m"

    def on_bar(self, bar: Any) -> list[Signal]:
        """Signal."""
        return [buy()]


def _warm_up(tapes: dict[str, Tape]) -> None:
    touch = LoadedStrategy("touch", "touch", "", (), _Touch, Strategy.Params())
    start = 1_795_444_200_000
    rows = [
        Trade(f"touch-{n}", symbol, 1.0, 1.0, start + n * 90_000, start + n * 90_000, "1,12", "vhl", "touch")
        for symbol in tapes
        for n in range(4)
    ]
    for symbol in tapes:
        SymbolRun(touch, symbol).trades([row for row in rows if row.symbol == symbol])
    load_strategy("vwap-reversion")
    load_zones()


def _run(plan: Plan, job: Job, tapes: dict[str, Tape]) -> Outcome:
    outcome = Outcome(job.name)
    surroundings = Surroundings(plan.files)
    guard = Guard(plan.files, lambda runs: surroundings.show(watched=runs))
    random.seed(0)
    if job.guarded:
        surroundings.watch(job.changed, plan.seed)
        guard.start(_RESULT + 1)
    try:
        strategy = load_strategy(plan.reference, plan.params)
        before = state_of(strategy)
        with guard.running() if job.guarded else nullcontext():
            for symbol in job.symbols:
                _JOBS[job.kind](outcome, strategy, tapes[symbol], plan, job)
        outcome.globals = changed(before, state_of(strategy))
    except StockctlError as error:
        place = failing_line(error.__cause__, plan.files) if error.__cause__ is not None else None
        # The message of an import names the innermost line, which may be of a library.
        outcome.error = f"{error}" if place is None or place in str(error) else f"{error} ({place})"
    outcome.refused, outcome.reads = guard.refused, surroundings.reads
    return outcome


def _decide(outcome: Outcome, strategy: LoadedStrategy, tape: Tape, _plan: Plan, job: Job) -> None:
    feed = Feed(tape, one_by_one=job.kind == "one by one")
    outcome.decisions[tape.symbol] = feed.decide(strategy, first=feed.starts[job.late])
    outcome.altered += feed.altered


def _cut(outcome: Outcome, strategy: LoadedStrategy, tape: Tape, plan: Plan, _job: Job) -> None:
    """Cut the records at random and at decisions: the decisions before must be those of all records."""
    feed = Feed(tape)
    whole = outcome.decisions[tape.symbol] = feed.decide(strategy)
    outcome.altered += feed.altered
    _run_again(outcome, strategy, tape, whole)
    draw = random.Random(f"{plan.seed} {tape.symbol}")  # noqa: S311  # places of cuts are no secret
    decided = sorted({decision.position + 1 for decision in whole})
    cuts = {draw.randrange(1, tape.size + 1) for _ in range(plan.cuts)}
    cuts |= set(draw.sample(decided, min(plan.cuts, len(decided))))
    for cut in sorted(cuts):
        _compare(outcome, strategy, Feed(tape), whole, cut, stop=cut)


def _run_again(outcome: Outcome, strategy: LoadedStrategy, tape: Tape, whole: list[Decision]) -> None:
    """The same records once more in the same process: decisions and variables must be those of the first run."""
    before = state_of(strategy)
    if (pair := difference(whole, Feed(tape).decide(strategy))) is not None:
        outcome.again.append(CutFinding(tape.symbol, tape.size, *pair))
    outcome.grown += changed(before, state_of(strategy))


def _make_noise(outcome: Outcome, strategy: LoadedStrategy, tape: Tape, plan: Plan, _job: Job) -> None:
    """Replace the prices from a cut on by noise: the decisions before must be the same. Last, all prices."""
    whole = outcome.decisions[tape.symbol] = Feed(tape).decide(strategy)
    draw = random.Random(f"{plan.seed} noise {tape.symbol}")  # noqa: S311  # noise is no secret
    decided = sorted({decision.position + 1 for decision in whole})
    cuts = {draw.randrange(1, tape.size + 1) for _ in range(_NOISES)}
    cuts |= set(draw.sample(decided, min(_NOISES, len(decided))))
    for cut in sorted(cuts):
        _compare(outcome, strategy, _noisy(tape, cut, draw), whole, cut, stop=None)
    if whole:
        found = {(one.record, one.n, one.side, one.target) for one in _noisy(tape, 0, draw).decide(strategy)}
        kept = sum((one.record, one.n, one.side, one.target) in found for one in whole) / len(whole)
        outcome.kept = kept if outcome.kept is None else min(kept, outcome.kept)


def _noisy(tape: Tape, cut: int, draw: random.Random) -> Feed:
    def change(position: int, trade: Trade) -> Trade:
        return trade if position < cut else msgspec.structs.replace(trade, price=round(trade.price * (0.5 + draw.random()), 4))

    return Feed(tape, change=change)


def _compare(outcome: Outcome, strategy: LoadedStrategy, feed: Feed, whole: list[Decision], cut: int, stop: int | None) -> None:
    """Run the day of the cut, and note the first decision before it that is not that of all records."""
    first = feed.day_start(cut - 1)
    if stop is None and not feed.tape.bars:
        stop = next(start for start in feed.starts if start >= cut)
    outcome.cuts += 1
    expected = [one for one in whole if first <= one.position < cut]
    found = [one for one in feed.decide(strategy, first=first, stop=stop) if one.position < cut]
    if (pair := difference(expected, found)) is not None:
        outcome.findings.append(CutFinding(feed.tape.symbol, cut, *pair))


_JOBS = {"one by one": _decide, "batches": _decide, "cuts": _cut, "noise": _make_noise}


if __name__ == "__main__":
    main()
