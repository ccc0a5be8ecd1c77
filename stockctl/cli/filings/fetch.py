"""``stockctl filings fetch``."""

from __future__ import annotations

from datetime import date as Date
from typing import TYPE_CHECKING, Annotated

import typer

from stockctl.cli.options import seconds_of, settings_of
from stockctl.cli.output import Format, OutputOption, progress, say, write_rows
from stockctl.errors import UsageError
from stockctl.symbols import parse_symbols, require_symbols
from stockctl.units import counted

if TYPE_CHECKING:
    pass


def fetch(
    ctx: typer.Context,
    symbols: Annotated[list[str] | None, typer.Argument(metavar="[SYMBOL]…", help="Instead of the setting symbols.")] = None,
    all_us: Annotated[bool, typer.Option("--all-us", help="All common stock of NYSE and Nasdaq in dollars.")] = False,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Only reports of periods that end from here on.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Ask for everything again, however lately it was fetched.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask, and tell what would be kept; put nothing.")] = False,
    every: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Stay, and fetch each symbol again after this long: 7d.")
    ] = None,
    health_port: Annotated[int | None, typer.Option("--health-port", help="With --every: serve /healthz and /metrics.")] = None,
    output: OutputOption = Format.table,
) -> None:
    """Fetch annual and quarterly reports into the lake, and into MongoDB if there is one.

    What is kept is not fetched again, so a fetch that was interrupted goes on where it stopped.

    Example: stockctl filings fetch AAPL MSFT --since 2020-01-01
    """
    if symbols and all_us:
        raise UsageError("--all-us and symbols exclude each other", hint="leave out one of them")
    if every is not None and dry_run:
        raise UsageError("--every and --dry-run exclude each other", hint="leave out one of them")
    if health_port is not None and every is None:
        raise UsageError("--health-port is for a fetch that stays", hint="add --every 7d")
    day, pause = _day(since), None if every is None else seconds_of("--every", every, least=0.001)
    if symbols:
        require_symbols(symbols)
    settings = settings_of(ctx)

    from stockctl.company.fundamentals import refresh_filings
    from stockctl.filings.collect.collector import FetchRequest, Outcome
    from stockctl.filings.collect.schedule import Runs, SymbolSelection
    from stockctl.service import running

    order = FetchRequest(since=day, full=full, dry_run=dry_run)
    with (
        running(settings, health_port=health_port, leave_within=10.0) as service,
        Runs(settings, SymbolSelection(parse_symbols(symbols or ()), all_us), order, service.stop, refresh_filings) as runs,
    ):
        if pause is not None:
            runs.repeat(service, pause)
            return
        with progress("filings") as bar:
            task = bar.add_task("symbols", total=None)
            run = runs.once(lambda done, total: bar.update(task, completed=done, total=total))
    write_rows((outcome._asdict() for outcome in run.outcomes), output, Outcome._fields)
    new = sum(outcome.new for outcome in run.outcomes)
    done = f"{counted(len(run.outcomes), 'symbol')}, {counted(new, 'new report')}"
    say(f"{done} {'to keep' if dry_run else 'kept'} in {settings.lake.url}")
    if run.note:
        say(f"note: {run.note}")
    if run.failure is not None:
        raise run.failure


def _day(text: str | None) -> Date | None:
    try:
        return None if text is None else Date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since {text} is no date", hint="write 2020-01-01") from None
