"""``stockctl produce``: publish the feed's trades to Kafka."""

from __future__ import annotations

from typing import Annotated

import typer

from stockctl.cli.options import ForOption, HealthPortOption, SymbolsArgument, seconds, settings_of
from stockctl.cli.output import say
from stockctl.errors import UsageError


def produce(
    ctx: typer.Context,
    symbols: SymbolsArgument = None,
    replay: Annotated[
        str | None,
        typer.Option("--replay", metavar="FILE", help="Replay captured frames, one JSON text per line; gzip too; - is stdin."),
    ] = None,
    speed: Annotated[str, typer.Option("--speed", metavar="N|max", help="Pace of a replay: 1 as captured.")] = "max",
    retime: Annotated[bool, typer.Option("--retime", help="Shift a replay's times so that its first trade is now.")] = False,
    duration: ForOption = None,
    health_port: HealthPortOption = None,
) -> None:
    """Publish the feed's trades to Kafka until stopped.

    Example: stockctl produce AAPL MSFT
    """
    if replay is None and (retime or speed != "max"):
        raise UsageError("--speed and --retime are for a replay", hint="add --replay FILE")
    if replay is not None and symbols:
        raise UsageError("a replay takes all symbols of its file", hint="leave out the symbols, or --replay")
    pace = _speed(speed)
    stop_after = None if duration is None else seconds("--for", duration)
    settings = settings_of(ctx, {"symbols": symbols or None})

    from stockctl.feed.producer import produce_live, produce_replay
    from stockctl.service import running

    with running(settings, health_port=health_port) as service:
        if replay is None:
            say(produce_live(settings, service, seconds=stop_after))
        else:
            say(produce_replay(settings, service, replay, speed=pace, retime=retime, seconds=stop_after))


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise UsageError(
            f"--speed {text} is not a speed", hint="write max, 1 for the pace of the capture, or 10 for ten times that"
        )
    return speed
