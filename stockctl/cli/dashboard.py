"""``stockctl dashboard`` and ``stockctl open``: the live page, and the browser that shows it."""

from __future__ import annotations

from typing import Annotated

import typer

from stockctl.cli.options import HealthPortOption, settings_of
from stockctl.cli.output import say
from stockctl.extras import missing_extra, missing_packages


def dashboard(
    ctx: typer.Context,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, metavar="PORT", help="Port; 0 takes a free one.")
    ] = None,
    bind: Annotated[
        str | None, typer.Option("--bind", metavar="ADDRESS", help="Address to listen on; not loopback: needs a token.")
    ] = None,
    health_port: HealthPortOption = None,
) -> None:
    """Serve the live page of the pipeline until stopped.

    Its address goes to stdout. The default port is 8765.

    Example: stockctl dashboard --port 8765
    """
    settings = settings_of(ctx, {"dashboard.port": port, "dashboard.bind": bind})
    if missing := missing_packages("dashboard"):
        raise missing_extra("the dashboard", "dashboard", missing)

    from stockctl.dashboard.serve import serve
    from stockctl.service import running

    with running(settings, health_port=health_port) as service:
        serve(settings, service, notify=lambda address: print(address, flush=True))


def open_page(
    ctx: typer.Context,
    only_print: Annotated[bool, typer.Option("--print", help="Print the address, and open no browser.")] = False,
) -> None:
    """Open the dashboard that is running in the browser.

    Its address goes to stdout. It is that of the local stack, or of `dashboard.bind` and `dashboard.port`.

    Example: stockctl open
    """
    import webbrowser

    from stockctl.dashboard.health import reach

    settings = settings_of(ctx)
    reach(settings)
    address = settings.dashboard.address
    print(address, flush=True)
    if only_print:
        return
    try:
        opened = webbrowser.open(address)
    except webbrowser.Error:
        opened = False
    if not opened:
        say("no browser was found: open the address yourself")
