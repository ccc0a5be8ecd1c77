"""A sweep: every set of parameters on every symbol and span, in processes, and its rows."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from datetime import date
from math import ceil
from multiprocessing import get_context
from typing import Any, NamedTuple

from stockctl.backtest.bars_run import Terms
from stockctl.backtest.gaps import SymbolCoverage
from stockctl.backtest.lake.coverage import read_symbol_coverage, refuse_gaps
from stockctl.backtest.lake.terms import LakeTerms
from stockctl.backtest.lake_run import Failure, dates_of
from stockctl.backtest.result import hash_of, measure
from stockctl.backtest.statistics import Statistics
from stockctl.backtest.sweep.grid import Grid
from stockctl.backtest.sweep.work import BarsData, LakeData, Trial, Work, encode_bars, run_work
from stockctl.errors import StockctlError, UsageError
from stockctl.exchange.calendar import EXCHANGE, Calendar, day_bounds, now_ms, trade_date
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.symbols import resolve_lake_symbols
from stockctl.settings import Settings
from stockctl.strategies import Bar, LoadedStrategy

_PIECES = 4
"""Pieces of work for each process and symbol: fewer leave processes idle at the end, more decode more often."""


class Span(NamedTuple):
    """Dates ``[first, last]`` with the name of their row. None is the first or last date that there is."""

    name: str
    first: date | None
    last: date | None


class Row(NamedTuple):
    """One trial: a set of parameters over all symbols on a span."""

    span: str
    params: Mapping[str, str]
    decisions: int
    fills: int
    statistics: Statistics
    hash: str


class SymbolData(NamedTuple):
    """A symbol, its cash, and its records."""

    symbol: str
    cash: float
    data: BarsData | LakeData


Run = Callable[[Sequence[Work]], Iterator[list[Trial]]]
"""Runs pieces of work, in whatever order."""


def bars_data(bars: Mapping[str, Sequence[Bar]], terms: Terms, span: Span) -> list[SymbolData]:
    """The bars of each symbol on the dates of ``span``. UsageError for a symbol without one."""
    found = []
    for symbol, each in sorted(bars.items()):
        chosen = [bar for bar in each if _within(trade_date(bar.end - 1), span)]
        if not chosen:
            raise UsageError(f"there is no bar of {symbol} on the dates of {span.name}", hint="choose dates that the file has")
        found.append(SymbolData(symbol, terms.cash / len(bars), BarsData(encode_bars(chosen), terms)))
    return found


def _within(day: date, span: Span) -> bool:
    return (span.first is None or day >= span.first) and (span.last is None or day <= span.last)


def lake_data(
    settings: Settings, symbols: str | Iterable[str], terms: LakeTerms, span: Span
) -> tuple[list[SymbolData], Calendar]:
    """The dates of each symbol, with the coverage of its feed; and the calendar."""
    now = now_ms()
    with LakeReader(settings) as lake:
        names = sorted(resolve_lake_symbols(lake, symbols))
        since = None if span.first is None else day_bounds(span.first)[0]
        until = None if span.last is None else day_bounds(span.last)[1]
        first, last = dates_of(lake, since, until)
        coverage: dict[str, SymbolCoverage] = {}
        if terms.gaps != "ignore":
            coverage = read_symbol_coverage(lake, names, first, last, now)
        if terms.gaps == "refuse":
            refuse_gaps(coverage)
        cash = terms.cash / len(names)
        return [
            SymbolData(symbol, cash, LakeData(settings, first, last, now, terms, coverage.get(symbol, SymbolCoverage())))
            for symbol in names
        ], lake.calendar


def sweep(
    strategy: LoadedStrategy,
    grid: Grid | Sequence[Mapping[str, str]],
    data: Sequence[SymbolData],
    span: str,
    run: Run,
    *,
    workers: int,
    calendar: Calendar = EXCHANGE,
) -> list[Row]:
    """The row of each set of parameters, in their order. ``workers`` is how many pieces ``run`` runs at a time."""
    sets = grid.sets if isinstance(grid, Grid) else list(grid)
    size = max(1, ceil(len(sets) * len(data) / (workers * _PIECES)))
    work = [
        Work(strategy.reference, strategy.version, each.symbol, each.cash, each.data, first, sets[first : first + size])
        for each in data
        for first in range(0, len(sets), size)
    ]
    found: dict[int, list[Trial]] = defaultdict(list)
    rows: dict[int, Row] = {}
    for trials in run(work):
        for trial in trials:
            found[trial.number].append(trial)
            if len(found[trial.number]) == len(data):
                # Of all symbols: measured now, so that no more than these are in memory.
                rows[trial.number] = _row(span, sets[trial.number], found.pop(trial.number), calendar)
    return [rows[number] for number in sorted(rows)]


def _row(span: str, params: Mapping[str, str], trials: Sequence[Trial], calendar: Calendar) -> Row:
    ordered = sorted(trials, key=lambda trial: trial.result.symbol)
    results = [trial.result for trial in ordered]
    return Row(
        span=span,
        params=params,
        decisions=sum(trial.decisions for trial in ordered),
        fills=sum(len(one.fills) for one in results),
        statistics=measure(results, calendar),
        hash=hash_of((trial.result.symbol, trial.hash) for trial in ordered),
    )


def run_here(workers: int) -> Run:
    """Runs work in ``workers`` processes of this machine; in this one if it is 1. Ctrl-C ends them."""
    if workers < 1:
        raise UsageError(f"{workers} workers cannot run anything", hint="use 1 or more")

    def run(work: Sequence[Work]) -> Iterator[list[Trial]]:
        if workers == 1 or len(work) == 1:
            yield from map(run_work, work)
            return
        # Not forked: a process with threads, such as those of a reader, may not be.
        pool = ProcessPoolExecutor(min(workers, len(work)), get_context("spawn"), initializer=_ignore_interrupts)
        processes: list[Any] = []
        try:
            futures: list[Future[list[Trial] | Failure]] = [pool.submit(caught, each) for each in work]
            processes = list((pool._processes or {}).values())
            for future in as_completed(futures):
                yield results_of(future.result())
        except BaseException:
            # No process may go on with work that nobody waits for.
            for process in processes:
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    return run


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the process that waits for the results."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def caught(work: Work) -> list[Trial] | Failure:
    """The trials of ``work``, or its error: not every exception can be sent between processes."""
    try:
        return run_work(work)
    except StockctlError as error:
        return Failure(type(error), str(error), error.hint)


def results_of(found: list[Trial] | Failure) -> list[Trial]:
    """The trials; raises the error if it is one."""
    if isinstance(found, Failure):
        raise found.to_error()
    return found
