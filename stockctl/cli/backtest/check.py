"""``stockctl backtest check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
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
from stockctl.cli.options.backtests import BacktestSymbolsArgument, BarsOption
from stockctl.cli.output import View, row_options, say, write_rows
from stockctl.errors import UnhealthyError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stockctl.backtest.check.tape import Tape
    from stockctl.settings import Settings
    from stockctl.strategies import LoadedStrategy


@row_options()
def check(
    ctx: typer.Context,
    strategy: StrategyArgument,
    symbols: BacktestSymbolsArgument = None,
    since: SinceOption = None,
    until: UntilOption = None,
    bars: BarsOption = None,
    param: ParamOption = None,
    cuts: Annotated[
        int, typer.Option(metavar="COUNT", min=1, max=10_000, help="Cuts of each symbol at random, and at decisions.")
    ] = 10,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Place the cuts as a check with this seed did.")] = None,
    tz: TimezoneOption = None,
    *,
    view: View,
) -> None:
    """Check that a strategy sees nothing but its records so far.

    Runs it in fresh processes under other conditions, and compares all decisions. Without --since, on the lake's newest two
    dates. Exit code 10 if a check fails.

    Example: stockctl backtest check my_strategy.py AAPL,MSFT --since 2026-11-23
    """
    from secrets import randbelow

    from stockctl.backtest.check.checks import CheckRow, check_strategy
    from stockctl.strategies.loading import load_strategy
    from stockctl.units import counted

    settings = settings_of(ctx, {"timezone": tz})
    params = params_of(param)
    loaded = load_strategy(strategy, params)
    tapes = _tapes(settings, loaded, symbols or [], since, until, bars)
    seed = randbelow(1_000_000) if seed is None else seed
    records = counted(sum(tape.size for tape in tapes), "record")
    say(f"checking {loaded.name} on {records} of {', '.join(tape.symbol for tape in tapes)}, with --seed {seed}")
    rows = check_strategy(loaded, params, tapes, seed=seed, cuts=cuts)
    write_rows((row._asdict() for row in rows), view, CheckRow._fields)
    if failed := [row.check for row in rows if row.result == "failed"]:
        raise UnhealthyError(
            f"{loaded.name} failed {counted(len(failed), 'check')}: {', '.join(failed)}",
            hint="docs/backtest.md explains each check",
        )


def _tapes(
    settings: Settings,
    strategy: LoadedStrategy,
    symbols: Sequence[str],
    since: str | None,
    until: str | None,
    bars: Path | None,
) -> list[Tape]:
    from stockctl.backtest.bars_file import read_bars_file
    from stockctl.backtest.check.reading import tapes_of_bars, tapes_of_lake
    from stockctl.exchange.calendar import to_ms

    zone = ZoneInfo(settings.timezone)
    if bars is not None:
        if since or until:
            raise UsageError("--bars takes the whole file", hint="leave out --since and --until")
        if not hasattr(strategy.kind, "on_bar"):
            raise UsageError(f"the strategy {strategy.name} has no on_bar, and a file has bars alone", hint="leave out --bars")
        return tapes_of_bars(read_bars_file(bars, symbols, zone))
    first, last = moment("--since", since, zone), moment("--until", until, zone)
    return tapes_of_lake(
        settings,
        strategy,
        symbols or settings.symbols,
        None if first is None else to_ms(first),
        None if last is None else to_ms(last),
    )
