"""``stockctl signals run``: run a strategy on live trades."""

from __future__ import annotations

from typing import Annotated

import typer

from stockctl.cli.options import HealthPortOption, ParamOption, SymbolsArgument, params_of, settings_of
from stockctl.errors import UsageError
from stockctl.units import counted


def run(
    ctx: typer.Context,
    strategy: Annotated[
        str | None,
        typer.Argument(
            metavar="[STRATEGY]", help="Name, file.py or module:Class of the strategy; default: the setting signals.strategy."
        ),
    ] = None,
    symbols: SymbolsArgument = None,
    param: ParamOption = None,
    once: Annotated[bool, typer.Option("--once", help="Stop at the current end of the topics.")] = False,
    health_port: HealthPortOption = None,
) -> None:
    """Run a strategy on live trades, and publish its signals.

    Example: stockctl signals run vwap-reversion AAPL --param enter=2.5
    """
    from stockctl.cli.output import say
    from stockctl.service import running
    from stockctl.settings import require
    from stockctl.signals.service import SignalsService
    from stockctl.strategies.loading import load_strategy
    from stockctl.stream.consumer_loop import LEAVE_WITHIN

    settings = settings_of(ctx, {"symbols": symbols or None})
    reference = strategy or settings.signals.strategy
    if not reference:
        raise UsageError("no strategy is named", hint="name one, or set signals.strategy: `stockctl strategies list`")
    loaded = load_strategy(reference, params_of(param))
    names = require(settings, "symbols")
    with running(settings, health_port=health_port, leave_within=LEAVE_WITHIN) as service:
        signals = SignalsService(settings, service, loaded, names, once=once)
        signals.run()
    failed = f", failed on {counted(signals.errors, 'record')}" if signals.errors else ""
    say(f"published {counted(signals.signals, 'signal')} to {settings.topics.signals.name}{failed}")
