"""``stockctl sim``: the Finnhub simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stockctl.cli.options import seconds, settings_of
from stockctl.symbols import require_symbols


def sim(
    ctx: typer.Context,
    rate: Annotated[
        float, typer.Option("--rate", metavar="NUMBER", help="Rows per second over all symbols, on average.")
    ] = 20.0,
    symbols: Annotated[
        str | None,
        typer.Option(
            "--symbols", metavar="SYMBOLS", help="Symbols that exist, joined by commas.", show_default="all that look right"
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="The same seed gives the same rows in the same order.")] = 1,
    replay: Annotated[
        Path | None, typer.Option("--replay", metavar="FILE", help="Send these captured frames, one JSON a line, as they are.")
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, metavar="PORT", help="Port; 0 takes a free one.")] = 0,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option("--token", metavar="TOKEN", help="The only API key that is taken.", show_default="any that is not empty"),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="FAULT",
            help="KIND@WHEN[:ARGUMENT], as drop@30s, silent@1m:20s, triple@500frames, refuse@10s:429x3.",
        ),
    ] = None,
    real_hours: Annotated[
        bool, typer.Option("--real-hours/--always-open", help="Stocks trade in exchange hours only, or at any hour.")
    ] = False,
    ping_interval: Annotated[
        str, typer.Option("--ping-interval", metavar="DURATION", help="Time between ping frames.")
    ] = "60s",
    symbol_limit: Annotated[
        int, typer.Option("--symbol-limit", min=0, metavar="N", help="Symbols allowed on one connection.")
    ] = 50,
    filings: Annotated[
        Path | None, typer.Option("--filings", metavar="DIR", help="Serve the filings in this folder's *.json.")
    ] = None,
    rest_errors: Annotated[
        float, typer.Option("--rest-errors", min=0, max=1, metavar="NUMBER", help="Share of REST requests that fail with 502.")
    ] = 0.0,
    per_minute: Annotated[
        int, typer.Option("--requests-per-minute", min=1, metavar="N", help="REST requests that a key may make per minute.")
    ] = 60,
    per_second: Annotated[
        int, typer.Option("--requests-per-second", min=1, metavar="N", help="REST requests that a key may make per second.")
    ] = 30,
) -> None:
    """Simulate Finnhub's WebSocket and REST API.

    The address of the server goes to stdout.

    The REST API is at /api/v1 of the same port. A running simulator takes commands and returns its counters over HTTP:
    GET /control/drop, silent, resume, triple, malformed, refuse:429x3, rest:502x3; GET /counters.

    Example: stockctl sim --port 8765 --rate 50 --fault drop@1m
    """
    import logging

    from stockctl.service import running
    from stockctl.sim import Simulator

    ping_seconds = seconds("--ping-interval", ping_interval)
    if symbols is not None:
        require_symbols(symbols)
    settings = settings_of(ctx)
    simulator = Simulator(
        symbols=symbols,
        rate=rate,
        seed=seed,
        replay=replay,
        host=host,
        port=port,
        token=token,
        faults=fault or (),
        real_hours=real_hours,
        ping_interval=ping_seconds,
        symbol_limit=symbol_limit,
        filings=filings,
        rest_errors=rest_errors,
        requests_per_minute=per_minute,
        requests_per_second=per_second,
    )
    with running(settings) as service, simulator:
        print(simulator.url, flush=True)
        while not service.stop.wait(settings.log.every):
            simulator.check()
            counters = simulator.counters
            logging.getLogger("stockctl.sim").info(
                "%d connections open, %d frames with %d rows sent", counters.open, counters.frames, counters.rows
            )
