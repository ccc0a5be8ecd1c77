"""``stockctl backtest compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from stockctl.cli.options import SinceOption, TimezoneOption, UntilOption, moment, params_of, settings_of
from stockctl.cli.options import backtests as options
from stockctl.cli.output import Format, View, named, row_options, write_rows
from stockctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from stockctl.backtest.result import BacktestResult


@row_options()
def compare(
    ctx: typer.Context,
    first: Annotated[
        str,
        typer.Argument(metavar="A", help="A strategy with parameters, as sma-cross,fast=5; or a result, a.json or a.parquet."),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="What A is compared with.")],
    symbols: options.BacktestSymbolsArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    bars: options.BarsOption = None,
    cash: options.CashOption = 10_000,
    fees: options.FeesOption = "none",
    slippage: options.SlippageOption = "none",
    long_only: options.LongOnlyOption = False,
    tz: TimezoneOption = None,
    *,
    view: View,
) -> None:
    """Compare two strategies, sets of parameters, or results.

    Shows all statistics side by side, and the first decision and the first fill that differ.

    Example: stockctl backtest compare sma-cross,fast=5 sma-cross,fast=10 AAPL
    """
    from stockctl.backtest.compare import Compared, compare_files, compare_results, is_result_file

    files = [is_result_file(text) for text in (first, second)]
    if all(files):
        found = compare_files(Path(first), Path(second))
    elif any(files):
        raise UsageError(f"{first} and {second} are not alike", hint="compare two strategies, or two results")
    else:
        settings = settings_of(ctx, {"timezone": tz})
        terms = {"cash": cash, "fees": fees, "slippage": slippage, "long_only": long_only}
        run = _runner(settings, symbols or [], since, until, bars, terms)
        found = compare_results(run(first), run(second))
    write_rows((_record(one, view) for one in found), view, Compared._fields)


def _runner(
    settings: Any,
    symbols: list[str],
    since: str | None,
    until: str | None,
    bars: Path | None,
    terms: dict[str, Any],
) -> Callable[[str], BacktestResult]:
    """Runs a strategy that is written with its parameters."""
    from stockctl.backtest.bars_file import read_bars_file
    from stockctl.backtest.bars_run import Terms, run_bars
    from stockctl.backtest.lake.terms import LakeTerms
    from stockctl.backtest.lake_run import run_lake
    from stockctl.exchange.calendar import to_ms
    from stockctl.strategies.loading import load_strategy

    zone = ZoneInfo(settings.timezone)
    if bars is not None:
        if since or until:
            raise UsageError("--bars takes the whole file", hint="leave out --since and --until")
        of_file = read_bars_file(bars, symbols, zone)
    span = [None if each is None else to_ms(each) for each in (moment("--since", since, zone), moment("--until", until, zone))]

    def run(written: str) -> BacktestResult:
        reference, _, rest = written.partition(",")
        params = params_of(rest.split(",") if rest else [])
        if bars is not None:
            return run_bars(load_strategy(reference, params), of_file, Terms(**terms))
        chosen = symbols or settings.symbols
        return run_lake(settings, reference, chosen, params, since=span[0], until=span[1], terms=LakeTerms(**terms))

    return run


def _record(one: Any, view: View) -> dict[str, Any]:
    """A row; the values are of many types, so that Parquet has them as text."""
    record: dict[str, Any] = one._asdict()
    for name in ("first", "second"):
        value = record[name]
        if view.on_terminal and isinstance(value, int | float):
            record[name] = named(one.name, value)
        elif view.form is Format.parquet and value is not None:
            record[name] = str(value)
    return record
