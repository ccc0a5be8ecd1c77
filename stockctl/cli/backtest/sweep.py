"""``stockctl backtest sweep``."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from stockctl.cli.options import ParamOption, SinceOption, StrategyArgument, TimezoneOption, UntilOption, params_of, settings_of
from stockctl.cli.options import backtests as options
from stockctl.cli.output import Format, View, row_options, say, write_rows
from stockctl.errors import UsageError, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stockctl.backtest.sweep.grid import Grid
    from stockctl.backtest.sweep.sweep import Row, Span
    from stockctl.settings import Settings

_STATISTICS = (
    "total_return",
    "annual_return",
    "annual_volatility",
    "sharpe",
    "sortino",
    "max_drawdown",
    "calmar",
    "exposure",
    "turnover",
    "round_trips",
    "win_rate",
    "profit_factor",
    "fees",
    "slippage",
    "final_equity",
)


@row_options()
def sweep(
    ctx: typer.Context,
    strategy: StrategyArgument,
    symbols: options.BacktestSymbolsArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    bars: options.BarsOption = None,
    param: ParamOption = None,
    train: Annotated[
        str | None, typer.Option(metavar="SPAN", help="Dates on which a best set is chosen: 2026-11-02..2026-11-20.")
    ] = None,
    test: Annotated[str | None, typer.Option(metavar="SPAN", help="Dates on which that set alone is then run.")] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="STATISTIC", help="Best first by this, such as total_return; default: as written.")
    ] = None,
    cash: options.CashOption = 10_000,
    fees: options.FeesOption = "none",
    slippage: options.SlippageOption = "none",
    long_only: options.LongOnlyOption = False,
    workers: Annotated[
        int | None, typer.Option(metavar="COUNT", min=1, help="Processes that run the sets; default: one per core.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Run on the workers of this Dask scheduler: tcp://host:8786.")
    ] = None,
    tz: TimezoneOption = None,
    *,
    view: View,
) -> None:
    """Run a strategy with many sets of parameters.

    A parameter takes a range (fast=5..20), with steps (slow=20..100:10), or values (size=0.5,1). A best set is named only where
    --train and --test hold dates out for it.

    Example: stockctl backtest sweep sma-cross AAPL --param fast=5..20:5 --param slow=30,60 --since 2026-11-02
    """
    from stockctl.backtest.sweep.grid import parse_grid
    from stockctl.backtest.sweep.ranking import ordered, sort_key

    settings = settings_of(ctx, {"timezone": tz})
    if (train is None) != (test is None):
        raise UsageError("--train and --test need each other", hint="choose a set on one span, and prove it on a later one")
    if train and (since or until):
        raise UsageError("--train and --test are the spans", hint="leave out --since and --until")
    statistic = None if sort is None else sort_key(sort)
    grid = parse_grid(strategy, params_of(param))
    here = (os.cpu_count() or 1) if workers is None else workers
    terms = {"cash": cash, "fees": fees, "slippage": slippage, "long_only": long_only}
    with ExitStack() as stack:
        runner = _Runner(settings, strategy, symbols or [], bars, terms, here, scheduler, stack)
        if train and test:
            best = statistic or "sharpe"
            first, second = _span("train", train), _span("test", test)
            if first.last is None or second.first is None or second.first <= first.last:
                raise UsageError("--test must begin after --train ends", hint="else the set has seen the dates that prove it")
            rows = ordered(runner.rows(grid, first), best)
            held_out = runner.rows(grid._replace(sets=[dict(rows[0].params)]), second)
            _write([*held_out, *rows], view)
            _say_best(rows, held_out[0], best)
        else:
            rows = runner.rows(grid, _given_span(since, until, ZoneInfo(settings.timezone)))
            _write(rows if statistic is None else ordered(rows, statistic), view)
        _say_trials(grid, rows, held_out=bool(train))


class _Runner:
    """Runs the sets of a sweep on one span after the other."""

    def __init__(
        self,
        settings: Settings,
        strategy: str,
        symbols: Sequence[str],
        bars: Any,
        terms: dict[str, Any],
        workers: int,
        scheduler: str | None,
        stack: ExitStack,
    ) -> None:
        from stockctl.backtest.sweep.sweep import run_here

        self._settings, self._strategy, self._symbols, self._terms = settings, strategy, symbols, terms
        self._bars = None
        if bars is not None:
            from stockctl.backtest.bars_file import read_bars_file

            self._bars = read_bars_file(bars, symbols, ZoneInfo(settings.timezone))
        if scheduler is None:
            self._run, self._workers = run_here(workers), workers
        else:
            from stockctl.backtest.sweep.dask_scheduler import connect, run_on

            client = stack.enter_context(connect(scheduler))
            self._run, self._workers = run_on(client), max(len(client.nthreads()), 1)

    def rows(self, grid: Grid, span: Span) -> list[Row]:
        """The rows of all sets on ``span``."""
        from stockctl.backtest.bars_run import Terms
        from stockctl.backtest.lake.terms import LakeTerms
        from stockctl.backtest.sweep.sweep import bars_data, lake_data, sweep
        from stockctl.exchange.calendar import EXCHANGE
        from stockctl.strategies.loading import load_strategy

        loaded = load_strategy(self._strategy, grid.sets[0])
        calendar = EXCHANGE
        if self._bars is not None:
            if not hasattr(loaded.kind, "on_bar"):
                raise UsageError(
                    f"the strategy {loaded.name} has no on_bar, and a file has bars alone", hint="leave out --bars"
                )
            data = bars_data(self._bars, Terms(**self._terms), span)
        else:
            symbols = self._symbols or self._settings.symbols
            data, calendar = lake_data(self._settings, symbols, LakeTerms(**self._terms), span)
        return sweep(loaded, grid, data, span.name, self._run, workers=self._workers, calendar=calendar)


def _span(name: str, text: str) -> Span:
    """The dates of ``--train`` or ``--test``, both included."""
    from datetime import date

    from stockctl.backtest.sweep.sweep import Span

    first, separator, last = text.partition("..")
    try:
        span = Span(name, date.fromisoformat(first.strip()), date.fromisoformat(last.strip()) if separator else None)
    except ValueError:
        span = Span(name, None, None)
    if span.first is None or span.last is None or span.last < span.first:
        raise UsageError(f"--{name} {quoted(text)} is no span of dates", hint="write 2026-11-02..2026-11-20, both included")
    return span


def _given_span(since: str | None, until: str | None, zone: ZoneInfo) -> Span:
    """The dates that ``--since`` and ``--until`` touch."""
    from stockctl.backtest.sweep.sweep import Span
    from stockctl.cli.options import moment
    from stockctl.exchange.calendar import to_ms, trade_date

    first, last = moment("--since", since, zone), moment("--until", until, zone)
    return Span(
        "all",
        None if first is None else trade_date(to_ms(first)),
        None if last is None else trade_date(to_ms(last) - 1),
    )


def _write(rows: Sequence[Row], view: View) -> None:
    def record(row: Row) -> dict[str, Any]:
        values = row.statistics._asdict()
        counts = {"decisions": row.decisions, "fills": row.fills}
        params = {"params": dict(row.params)} if view.form in (Format.json, Format.jsonl) else dict(row.params)
        return {"span": row.span} | params | {name: values[name] for name in _STATISTICS} | counts | {"hash": row.hash}

    names = list(record(rows[0])) if rows else []
    write_rows((record(row) for row in rows), view, names)


def _say_best(rows: Sequence[Row], held_out: Row, statistic: str) -> None:
    from stockctl.backtest.sweep.ranking import value_of
    from stockctl.cli.output import named

    best = ", ".join(f"{name}={value}" for name, value in held_out.params.items())
    values = [
        "none" if (value := value_of(one.statistics, statistic)) is None else named(statistic, value)
        for one in (rows[0], held_out)
    ]
    say(f"best on train: {best}, with a {statistic} of {values[0]}; on the dates held out it is {values[1]}")


def _say_trials(grid: Grid, rows: Sequence[Row], *, held_out: bool) -> None:
    from stockctl.backtest.sweep.ranking import best_without_skill
    from stockctl.units import counted

    say(counted(len(rows), "trial"))
    if grid.invalid:
        say(f"{counted(grid.invalid, 'combination')} left out as invalid, the first because of {grid.reason}")
    sharpes = [row.statistics.sharpe for row in rows if row.statistics.sharpe is not None]
    expected = best_without_skill(sharpes)
    if expected is not None:
        say(f"without any skill, the best of so many trials is expected to have a Sharpe ratio of {expected:.2f}")
    if not held_out and len(rows) > 1:
        say("no set is named best: the best of many is partly luck; --train and --test hold dates out to prove one")
