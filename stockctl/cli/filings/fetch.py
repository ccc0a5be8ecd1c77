"""``stockctl filings fetch``."""

from __future__ import annotations

from typing import Annotated

import typer

from stockctl.cli.options import (
    IN_THE_FUTURE,
    DryRunOption,
    HealthPortOption,
    SinceDateOption,
    SymbolsArgument,
    day,
    seconds,
    settings_of,
)
from stockctl.cli.output import View, progress, row_options, say, write_rows
from stockctl.errors import UsageError
from stockctl.symbols import parse_symbols
from stockctl.units import counted


@row_options()
def fetch(
    ctx: typer.Context,
    symbols: SymbolsArgument = None,
    all_us: Annotated[bool, typer.Option("--all-us", help="All common stock of NYSE and Nasdaq in dollars.")] = False,
    since: SinceDateOption = None,
    full: Annotated[bool, typer.Option("--full", help="Request the complete history again, even of fresh symbols.")] = False,
    dry_run: DryRunOption = False,
    repeat: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Keep running, and fetch each symbol again after this long: 7d.")
    ] = None,
    health_port: HealthPortOption = None,
    *,
    view: View,
) -> None:
    """Fetch annual and quarterly reports.

    Into the lake, and into MongoDB if there is one.

    Stored reports are not fetched again, so an interrupted fetch resumes where it stopped.

    Example: stockctl filings fetch AAPL MSFT --since 2020-01-01
    """
    if symbols and all_us:
        raise UsageError("--all-us and symbols exclude each other", hint="leave out one of them")
    if repeat is not None and dry_run:
        raise UsageError("--repeat and --dry-run exclude each other", hint="leave out one of them")
    if health_port is not None and repeat is None:
        raise UsageError("--health-port needs a fetch that keeps running", hint="add --repeat 7d")
    first = day("--since", since)
    interval = None if repeat is None else seconds("--repeat", repeat, least=0.001)
    settings = settings_of(ctx)

    from stockctl.company.filing_fields import refresh_filings
    from stockctl.exchange.calendar import now_ms, trade_date
    from stockctl.filings.collect.collector import Outcome
    from stockctl.filings.collect.plan import FetchRequest
    from stockctl.filings.collect.schedule import FetchSchedule
    from stockctl.filings.collect.symbol_selection import SymbolSelection
    from stockctl.service import running

    view.check(Outcome._fields)
    if first is not None and first > trade_date(now_ms()):
        say(IN_THE_FUTURE)
    request = FetchRequest(since=first, full=full, dry_run=dry_run)
    with (
        running(settings, health_port=health_port, leave_within=10.0) as service,
        FetchSchedule(
            settings, SymbolSelection(parse_symbols(symbols or ()), all_us), request, service.stop, refresh_filings
        ) as schedule,
    ):
        if interval is not None:
            schedule.repeat(service, interval)
            return
        with progress("filings") as bar:
            task = bar.add_task("symbols", total=None)
            result = schedule.once(lambda done, total: bar.update(task, completed=done, total=total))
    write_rows((outcome._asdict() for outcome in result.outcomes), view, Outcome._fields)
    new = sum(outcome.new for outcome in result.outcomes)
    counts = f"{counted(len(result.outcomes), 'symbol')}, {counted(new, 'new report')}"
    say(f"{counts} {'to store' if dry_run else 'stored'} in {settings.lake.url}")
    if result.note:
        say(f"note: {result.note}")
    if result.failure is not None:
        raise result.failure
