"""A backtest over the lake: each symbol in the order of Kafka's log, with fills on prints. ``stockctl.run_backtest``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from datetime import date
from multiprocessing import get_context
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from stockctl.backtest.account import Account
from stockctl.backtest.fills.prints import PrintFills
from stockctl.backtest.gaps import GapMarks, SymbolCoverage
from stockctl.backtest.lake.coverage import read_symbol_coverage, refuse_gaps
from stockctl.backtest.lake.history import Warmup, days_of
from stockctl.backtest.lake.result import LakeResult, SymbolOutcome, notes_of
from stockctl.backtest.lake.tape import Known, TapeRun
from stockctl.backtest.lake.terms import FILING_TIMES, ORDERS, LakeTerms
from stockctl.backtest.result import SymbolResult, measure, total_equity
from stockctl.backtest.splits import parse_splits
from stockctl.errors import StockctlError, UsageError
from stockctl.exchange.calendar import now_ms, trade_date
from stockctl.exchange.time_parsing import parse_moment
from stockctl.figures import SeriesSampler
from stockctl.lake.reader.log_order import LogReader
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.symbols import resolve_lake_symbols
from stockctl.settings import Settings, load_settings
from stockctl.strategies.lake_filings import SymbolFilings, read_symbol_filings
from stockctl.strategies.loading import LoadedStrategy, load_strategy


class Task(NamedTuple):
    """The run of one symbol, as it is sent to a process: a strategy is loaded there."""

    settings: Settings
    reference: str
    params: Mapping[str, Any]
    symbol: str
    first: date
    last: date
    now: int
    cash: float
    terms: LakeTerms
    coverage: SymbolCoverage
    keep_prices: bool


class Failure(NamedTuple):
    """An error of a process: not every exception can be sent back as it is."""

    kind: type[StockctlError]
    message: str
    hint: str | None

    def to_error(self) -> StockctlError:
        """The error, of the nearest kind that has only a message and a hint."""
        kind: type[StockctlError] = next(one for one in self.kind.__mro__ if one.__module__ == StockctlError.__module__)
        return kind(self.message, hint=self.hint)


def run_lake(
    settings: Settings,
    reference: str,
    symbols: str | Iterable[str],
    params: Mapping[str, Any] | None = None,
    *,
    since: int | None = None,
    until: int | None = None,
    terms: LakeTerms = LakeTerms(),  # noqa: B008  # it is immutable
    workers: int = 1,
    keep_prices: bool = False,
) -> LakeResult:
    """The backtest of the strategy at ``reference`` on ``symbols`` over the dates that ``[since, until)`` touches (ms UTC).

    Without bounds: from the first to the last date in the lake. Symbols are as users write them. ``workers`` processes share
    the symbols; the result is the same for any number. With ``keep_prices``, the report has figures of the prices.

    UsageError for an unknown symbol or strategy, for terms that are not valid, and for dates that were pruned (PrunedError).
    StockctlError if the lake has no trades of the symbols in these dates. UnhealthyError for a gap under ``gaps`` ``refuse``,
    for what looks like a split that is not among the ``splits`` of the terms, and for damage in the lake.
    """
    loaded = load_strategy(reference, params)
    terms.rules()
    parse_splits(terms.splits)
    if not 0 < terms.cash < float("inf"):
        raise UsageError(f"an account needs cash, and {terms.cash} is none", hint="give an amount above 0, such as 10000")
    now = now_ms()
    with LakeReader(settings) as lake:
        names = sorted(resolve_lake_symbols(lake, symbols))
        first, last = dates_of(lake, since, until)
        coverage = dict[str, SymbolCoverage]()
        if terms.gaps != "ignore":
            coverage = read_symbol_coverage(lake, names, first, last, now)
        if terms.gaps == "refuse":
            refuse_gaps(coverage)
        calendar = lake.calendar
    tasks = [
        Task(
            settings,
            reference,
            dict(params or {}),
            symbol,
            first,
            last,
            now,
            terms.cash / len(names),
            terms,
            coverage.get(symbol, SymbolCoverage()),
            keep_prices,
        )
        for symbol in names
    ]
    outcomes = list(_outcomes(tasks, workers))
    if not any(one.days for one in outcomes):
        raise StockctlError(
            f"the lake has no trades of {', '.join(names)} from {first} to {last}", hint="`stockctl lake list` names its dates"
        )
    results = [one.result for one in outcomes]
    has_marks = any(fill.gap for one in results for fill in one.fills)
    return LakeResult(
        strategy=loaded.name,
        version=loaded.version,
        params=loaded.params.model_dump(mode="json"),
        settings=terms.written,
        symbols=results,
        statistics=measure(results, calendar),
        notes=list(notes_of(outcomes)),
        outcomes=outcomes,
        coverage=coverage,
        without_gaps=measure([one.clean for one in outcomes], calendar) if has_marks else None,
        equity_without_gaps=total_equity([one.clean for one in outcomes]) if has_marks else (),
    )


def dates_of(lake: LakeReader, since: int | None, until: int | None) -> tuple[date, date]:
    """The first and the last date of a backtest."""
    dates = sorted({*lake.dates(), *lake.compacted_dates()})
    if not dates:
        raise StockctlError("the lake has no trades", hint="`stockctl consume s3` writes them to it")
    first = dates[0] if since is None else trade_date(since)
    last = dates[-1] if until is None else trade_date(until - 1)
    if last < first and until is None:
        raise StockctlError(f"the lake has no trades from {first} on: its newest date is {last}", hint=f"begin at {last}")
    if last < first:
        raise UsageError(f"the span from {first} to {last} has no date", hint="give a --since before --until")
    return first, last


def _outcomes(tasks: Sequence[Task], workers: int) -> Iterator[SymbolOutcome]:
    if workers < 1:
        raise UsageError(f"{workers} workers cannot run anything", hint="use 1 or more")
    if workers == 1 or len(tasks) == 1:
        yield from (run_symbol(task) for task in tasks)
        return
    # Not forked: a process with threads, such as those of a reader, may not be.
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=get_context("spawn")) as pool:
        for found in pool.map(_run_task, tasks):
            if isinstance(found, Failure):
                pool.shutdown(cancel_futures=True)
                raise found.to_error()
            yield found


def _run_task(task: Task) -> SymbolOutcome | Failure:
    try:
        return run_symbol(task)
    except StockctlError as error:
        return Failure(type(error), str(error), error.hint)


def run_symbol(task: Task) -> SymbolOutcome:
    """The outcome of one symbol. What the strategy prints goes to stderr: stdout is the result's."""
    strategy = load_strategy(task.reference, task.params)
    with LakeReader(task.settings) as lake, redirect_stdout(sys.stderr):
        reader = LogReader(lake)
        order = next(one for one in ORDERS if one == task.terms.order)
        warmup = Warmup(lake, task.symbol, order)
        filings = symbol_filings(task.settings, task.symbol, strategy, task.terms)
        splits = parse_splits(task.terms.splits)
        known = Known(filings.seen, warmup.before, None if splits is None else splits.get(task.symbol, {}))
        account = Account(task.symbol, task.cash)
        fills = PrintFills(account, task.terms.rules(), GapMarks(task.coverage.gaps))
        tape = TapeRun(strategy, fills, lake.calendar.hours(task.symbol), known, SeriesSampler() if task.keep_prices else None)
        for day, chunks in days_of(reader, task.symbol, task.first, task.last, order):
            tape.feed(day, chunks)
            warmup.saw(day)
        tape.finish(task.last, task.now)
        unproven = [*reader.unproven, *(text for text in warmup.reader.unproven if text not in reader.unproven)]
        return _outcome(tape, reader, unproven, filings.undated, task.coverage)


def symbol_filings(settings: Settings, symbol: str, strategy: LoadedStrategy, terms: LakeTerms) -> SymbolFilings:
    """The filings that the strategy sees."""
    when = next(one for one in FILING_TIMES if one == terms.filing_time)
    return read_symbol_filings(settings, symbol, strategy, when)


def _outcome(
    tape: TapeRun, reader: LogReader, unproven: Sequence[str], undated: int, coverage: SymbolCoverage
) -> SymbolOutcome:
    span = float(max(tape.end - tape.start, 0))
    clean, clean_fills, clean_equity = tape.journal.without_gaps()
    return SymbolOutcome(
        result=SymbolResult.of(
            *(tape.account, tape.decisions, tape.fills.fills, tape.equity, held_until(tape.account, tape.end), span),
            prices=tape.prices.points() if tape.prices else (),
            coverage=coverage,
        ),
        clean=SymbolResult.of(clean, tape.decisions, clean_fills, clean_equity, held_until(clean, tape.end), span),
        marked=tape.fills.marked,
        orders=tape.fills.counts,
        days=tape.days,
        muted=tape.muted,
        sources=frozenset(tape.sources),
        claims=reader.claims,
        unproven=unproven,
        undated=undated,
        lost=tape.lost,
    )


def held_until(account: Account, end: int) -> float:
    """How long shares were held up to ``end``, in ms."""
    held = sum(trip.closed - trip.opened for trip in account.round_trips)
    return float(held + (end - account.opened if account.opened is not None else 0))


def run_backtest(
    strategy: str,
    symbols: str | Iterable[str],
    since: str | date | None = None,
    until: str | date | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
    workers: int = 1,
    keep_prices: bool = False,
    **terms: Any,
) -> LakeResult:
    """Run ``strategy`` over the lake's trades of ``symbols`` on the dates of ``[since, until)``, as `stockctl backtest run`.

    ``strategy`` is a name, a file or ``module:Class``, with ``params`` by name. ``terms`` are the fields of ``LakeTerms``:
    cash, fees, slippage, spread, latency, participation, fills, long_only, gaps, filing_time, splits, order. The result has
    ``statistics``, the Arrow tables ``fills``, ``round_trips``, ``equity`` and ``decisions``, ``notes`` and a ``hash``.

        result = stockctl.run_backtest("vwap-reversion", "AAPL", "2026-11-23", "2026-11-24", fees="bps 1")

    ``settings`` default to those of the active profile. ``result.report("out.html")`` writes the report, which shows the
    prices if ``keep_prices``. Errors are those of the command.
    """
    if unknown := sorted(set(terms) - set(LakeTerms._fields)):
        raise UsageError(f"run_backtest has no term {unknown[0]}", hint=f"its terms: {', '.join(LakeTerms._fields)}")
    if isinstance(splits := terms.get("splits"), str):
        terms["splits"] = (splits,)
    settings = settings or load_settings()
    zone = ZoneInfo(settings.timezone)
    first, last = (None if moment is None else parse_moment(moment, zone) for moment in (since, until))
    return run_lake(
        *(settings, strategy, symbols, params),
        since=first,
        until=last,
        terms=LakeTerms(**terms),
        workers=workers,
        keep_prices=keep_prices,
    )
