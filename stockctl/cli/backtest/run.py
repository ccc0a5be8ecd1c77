"""``stockctl backtest run``: what a strategy would have earned."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from stockctl.cli.options import (
    ParamOption,
    SinceOption,
    StrategyArgument,
    TimezoneOption,
    UntilOption,
    moment,
    params_of,
    settings_of,
)
from stockctl.cli.options import backtests as lake_options
from stockctl.cli.output import Format, View, named, plain, row_options, say, write_arrow, write_object, write_rows
from stockctl.errors import UsageError

if TYPE_CHECKING:
    from stockctl.backtest.result import BacktestResult


_MAIN = {
    "fills": ("symbol", "time", "quantity", "price", "fee", "slippage", "gap", "record"),
    "round-trips": ("symbol", "opened", "closed", "shares", "entry_price", "exit_price", "profit", "fees", "gap"),
    "equity": ("time", "equity", "drawdown"),
    "decisions": ("symbol", "ts_decided", "side", "target", "strength", "reason", "n", "ts_event", "record", "inputs", "gap"),
}
"""Columns of each part of the result, the most important first."""


_COMPARED = ("total_return", "max_drawdown", "round_trips", "win_rate")
"""Statistics without the fills beside gaps that the table shows; JSON and --explain have all."""


class Part(StrEnum):
    """What of the result is written."""

    statistics = "statistics"
    fills = "fills"
    round_trips = "round-trips"
    equity = "equity"
    decisions = "decisions"


@row_options()
def run(
    ctx: typer.Context,
    strategy: StrategyArgument,
    symbols: lake_options.BacktestSymbolsArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    bars: lake_options.BarsOption = None,
    param: ParamOption = None,
    cash: lake_options.CashOption = 10_000,
    fees: lake_options.FeesOption = "none",
    slippage: lake_options.SlippageOption = "none",
    spread: lake_options.SpreadOption = None,
    latency: lake_options.LatencyOption = None,
    participation: lake_options.ParticipationOption = None,
    fills: lake_options.FillsOption = None,
    gaps: lake_options.GapsOption = None,
    filing_time: lake_options.FilingTimeOption = None,
    splits: lake_options.SplitsOption = None,
    order: lake_options.OrderOption = None,
    workers: lake_options.WorkersOption = None,
    long_only: lake_options.LongOnlyOption = False,
    close_at_end: lake_options.CloseAtEndOption = False,
    show: Annotated[Part, typer.Option(help="What to write.")] = Part.statistics,
    explain: Annotated[bool, typer.Option("--explain", help="Show how each value is computed.")] = False,
    report: lake_options.ReportOption = None,
    tz: TimezoneOption = None,
    *,
    view: View,
) -> None:
    """Run a strategy on past data.

    Over the lake's trades as they came, with orders filled at later prints; or with --bars over the bars of a file, with orders
    filled at the next open.

    Example: stockctl backtest run vwap-reversion AAPL --since 2026-11-23 --until 2026-11-28 --fees 'bps 1'
    """
    if explain and show is not Part.statistics:
        raise UsageError("--explain is of statistics", hint=f"leave out --show {show.value}")
    if report is not None:
        from stockctl.backtest.report_file import check_report_path

        check_report_path(report)
    settings = settings_of(ctx, {"timezone": tz})
    zone = ZoneInfo(settings.timezone)
    chosen = symbols or []
    of_lake: dict[str, Any] = {
        "spread": spread,
        "latency": latency,
        "participation": participation,
        "gaps": gaps and gaps.value,
        "filing_time": filing_time and filing_time.value,
        "splits": tuple(splits) if splits else None,
        "order": order and order.value,
    }
    given = {name: value for name, value in of_lake.items() if value is not None}
    result: BacktestResult
    if bars is not None:
        from dataclasses import replace

        from stockctl.backtest.bars_file import read_bars_file, source_of
        from stockctl.backtest.bars_run import Terms, run_bars
        from stockctl.strategies.loading import load_strategy

        at = fills if fills is not lake_options.FillsAt.next_open else None
        _refuse("--bars", given | {"since": since, "until": until, "workers": workers, "fills": at})
        loaded = load_strategy(strategy, params_of(param))
        result = run_bars(loaded, read_bars_file(bars, chosen, zone), Terms(cash, fees, slippage, long_only, close_at_end))
        result = replace(result, source=source_of(bars))
    else:
        from stockctl.backtest.lake.terms import LakeTerms
        from stockctl.backtest.lake_run import run_lake
        from stockctl.exchange.calendar import to_ms

        if close_at_end:
            raise UsageError("--close-at-end is of --bars", hint="over the lake, what is open is valued at the last close")
        terms = LakeTerms(cash=cash, fees=fees, slippage=slippage, long_only=long_only)._replace(**given)
        if fills is not None:
            terms = terms._replace(fills=fills.value)
        first, last = moment("--since", since, zone), moment("--until", until, zone)
        result = run_lake(
            settings,
            strategy,
            chosen or settings.symbols,
            params_of(param),
            since=None if first is None else to_ms(first),
            until=None if last is None else to_ms(last),
            terms=terms,
            workers=1 if workers is None else workers,
            keep_prices=report is not None,
        )
    if report is not None:
        result.report(report, command=shlex.join(["stockctl", *sys.argv[1:]]))
    _write(result, show, view, explain=explain)
    for note in result.notes:
        say(note)


def _refuse(option: str, others: dict[str, Any]) -> None:
    """UsageError if one of ``others``, which exclude ``option``, is given."""
    for name, value in others.items():
        if value is not None:
            raise UsageError(f"--{name.replace('_', '-')} is of the lake, and {option} is a file", hint="leave out one of them")


def _write(result: BacktestResult, show: Part, view: View, *, explain: bool) -> None:
    """Write the part of the result that the user asks for."""
    if show is not Part.statistics:
        table = getattr(result, show.value.replace("-", "_"))
        write_arrow(table, view, main=_MAIN[show.value])
    elif explain:
        rows = _explained(result, view)
        write_rows(rows, view, list(rows[0]))
    else:
        write_object(_record(result, view), view)


def _record(result: BacktestResult, view: View) -> dict[str, Any]:
    """The record of the result. JSON has lists and objects in it; other formats have text."""
    record = result.record
    if view.form in (Format.json, Format.jsonl):
        return record
    if isinstance(others := record.get("without_gaps"), dict):
        record["without_gaps"] = {name: others[name] for name in _COMPARED}
    return {name: _text(value) if isinstance(value, dict | list) else value for name, value in record.items()}


def _text(value: Any) -> str:
    """Names with their values, or names alone, on one line."""
    if isinstance(value, list):
        return ", ".join(value)
    return ", ".join(f"{name} {_word(each)}" for name, each in value.items())


def _word(value: Any) -> str:
    """A value within a line of text."""
    return "unknown" if value is None else plain(value)


def _explained(result: BacktestResult, view: View) -> list[dict[str, Any]]:
    """A row for each statistic. A column of Parquet has one type: there the values are text."""
    from stockctl.backtest.statistics import DEFINITIONS

    def value_of(name: str, value: Any) -> Any:
        if view.on_terminal:
            return named(name, value)
        return str(value) if view.form is Format.parquet and value is not None else value

    without = getattr(result, "without_gaps", None)
    others = {} if without is None else without._asdict()
    return [
        {"statistic": name, "value": value_of(name, value)}
        | ({"without_gaps": value_of(name, others[name])} if others else {})
        | {"definition": DEFINITIONS[name]}
        for name, value in result.statistics._asdict().items()
    ]
