"""``stockctl backtest``: what a strategy would have earned."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from stockctl.cli.options import Group, ParamOption, StrategyArgument, TimezoneOption, params_of, settings_of
from stockctl.cli.output import Format, View, named, row_options, say, write_arrow, write_object, write_rows
from stockctl.errors import UsageError
from stockctl.symbols import require_symbols

if TYPE_CHECKING:
    from stockctl.backtest.result import BacktestResult

app = Group(help="Run strategies on past data, to see what they would have earned.")

_MAIN = {
    "fills": ("symbol", "time", "quantity", "price", "fee", "slippage", "gap", "record"),
    "round-trips": ("symbol", "opened", "closed", "shares", "entry_price", "exit_price", "profit", "fees", "gap"),
    "equity": ("time", "equity", "drawdown"),
    "decisions": ("symbol", "ts_decided", "side", "target", "strength", "reason", "n", "ts_event", "record", "inputs"),
}
"""Columns of each part of the result, the most important first."""


class Part(StrEnum):
    """What of the result is written."""

    statistics = "statistics"
    fills = "fills"
    round_trips = "round-trips"
    equity = "equity"
    decisions = "decisions"


@app.callback()
def group() -> None:
    """Run strategies on past data, to see what they would have earned."""


@app.command()
@row_options()
def run(
    ctx: typer.Context,
    strategy: StrategyArgument,
    symbols: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SYMBOL]...", help="Symbols, such as AAPL,MSFT; default: all in the file of --bars."),
    ] = None,
    bars: Annotated[
        Path | None, typer.Option("--bars", metavar="PATH", help="Take bars from this file, .csv or .parquet.")
    ] = None,
    param: ParamOption = None,
    cash: Annotated[float, typer.Option(metavar="AMOUNT", help="Starting cash, split equally over the symbols.")] = 10_000,
    fees: Annotated[str, typer.Option(metavar="FEES", help="none, 'per-share 0.005 min 1', or 'bps 5'; per order.")] = "none",
    slippage: Annotated[
        str,
        typer.Option(metavar="SLIPPAGE", help="none, 'bps 5', 'bps 5,20%' of the volume at most, or 'volume-share 2.5%,0.1'."),
    ] = "none",
    long_only: Annotated[bool, typer.Option("--long-only", help="Exit instead of going short.")] = False,
    close_at_end: Annotated[
        bool,
        typer.Option("--close-at-end", help="Close what is open at the last bar's open, instead of valuing it at its close."),
    ] = False,
    show: Annotated[Part, typer.Option(help="What to write.")] = Part.statistics,
    explain: Annotated[bool, typer.Option("--explain", help="Show how each value is computed.")] = False,
    tz: TimezoneOption = None,
    *,
    view: View,
) -> None:
    """Run a strategy on past data.

    It decides at the close of each bar, and its orders are filled at the open of the next one.

    Example: stockctl backtest run sma-cross GOOG --bars goog.csv --param fast=10 --param slow=30 --fees 'bps 5'
    """
    from stockctl.backtest.bars_file import read_bars_file
    from stockctl.backtest.bars_run import Terms, run_bars
    from stockctl.strategies.loading import load_strategy

    if explain and show is not Part.statistics:
        raise UsageError("--explain is of statistics", hint=f"leave out --show {show.value}")
    loaded = load_strategy(strategy, params_of(param))
    terms = Terms(cash, fees, slippage, long_only, close_at_end)
    if bars is None:
        raise UsageError("there is nothing to run on", hint="name a file of bars with --bars")
    chosen = require_symbols(symbols) if symbols else []
    zone = ZoneInfo(settings_of(ctx, {"timezone": tz}).timezone)
    result = run_bars(loaded, read_bars_file(bars, chosen, zone), terms)
    _write(result, show, view, explain=explain)
    for note in result.notes:
        say(note)


def _write(result: BacktestResult, show: Part, view: View, *, explain: bool) -> None:
    """Write the part of the result that the user asks for."""
    if show is not Part.statistics:
        table = getattr(result, show.value.replace("-", "_"))
        write_arrow(table, view, main=_MAIN[show.value])
    elif explain:
        write_rows(_explained(result, view), view, ["statistic", "value", "definition"])
    else:
        write_object(_record(result, view), view)


def _record(result: BacktestResult, view: View) -> dict[str, Any]:
    """The record of the result. JSON has lists and objects in it; other formats have text."""
    record = result.record
    if view.form in (Format.json, Format.jsonl):
        return record
    return {name: _text(value) if isinstance(value, dict | list) else value for name, value in record.items()}


def _text(value: Any) -> str:
    """Names with their values, or names alone, on one line."""
    if isinstance(value, list):
        return ", ".join(value)
    words = {True: "yes", False: "no"}
    return ", ".join(f"{name} {words[each] if isinstance(each, bool) else each}" for name, each in value.items())


def _explained(result: BacktestResult, view: View) -> list[dict[str, Any]]:
    """A row for each statistic. A column of Parquet has one type: there the values are text."""
    from stockctl.backtest.statistics import DEFINITIONS

    def value_of(name: str, value: Any) -> Any:
        if view.on_terminal:
            return named(name, value)
        return str(value) if view.form is Format.parquet and value is not None else value

    return [
        {"statistic": name, "value": value_of(name, value), "definition": DEFINITIONS[name]}
        for name, value in result.statistics._asdict().items()
    ]
