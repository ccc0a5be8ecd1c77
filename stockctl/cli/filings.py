"""``stockctl filings``: what companies report, fetched, kept and shown."""

from __future__ import annotations

import sys
from datetime import date as Date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stockctl.cli import statements
from stockctl.cli.context import seconds_of, settings_of
from stockctl.cli.output import Format, OutputOption, progress, say, write_object, write_rows
from stockctl.errors import UsageError
from stockctl.symbols import parse_symbols, some_symbols
from stockctl.units import counted

if TYPE_CHECKING:
    from stockctl.filings.filing import Filing, Statement

app = typer.Typer(no_args_is_help=True, help="Fetch, keep and show what companies report.")

STATEMENTS: dict[str, Statement] = {"balance": "bs", "income": "ic", "cashflow": "cf"}


@app.callback()
def group() -> None:
    """Fetch, keep and show what companies report."""


@app.command()
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
        some_symbols(symbols)
    settings = settings_of(ctx)

    from stockctl.filings.fetch import Order, Outcome
    from stockctl.filings.runs import Choice, Runs
    from stockctl.roles import running

    order = Order(since=day, full=full, dry_run=dry_run)
    with (
        running(settings, health_port=health_port, leave_within=10.0) as role,
        Runs(settings, Choice(parse_symbols(symbols or ()), all_us), order, role.stop) as runs,
    ):
        if pause is not None:
            runs.repeat(role, pause)
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


@app.command("list")
def list_(
    ctx: typer.Context,
    symbols: Annotated[list[str] | None, typer.Argument(metavar="[SYMBOL]…", help="Instead of the setting symbols.")] = None,
    form: Annotated[str | None, typer.Option(help="Only this form, such as 10-K.")] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only so many of each symbol, the newest.")] = None,
    tz: Annotated[str | None, typer.Option("--tz", help="Zone of times; default: exchange time.")] = None,
    output: OutputOption = Format.table,
) -> None:
    """List the filings that the lake holds, the newest first.

    Example: stockctl filings list AAPL --form 10-K
    """
    from stockctl.filings.fetch import configured, named
    from stockctl.filings.listing import LISTED, listed
    from stockctl.filings.stored import asked_symbols

    settings = settings_of(ctx, {"timezone": tz})
    wanted = asked_symbols(settings, named(symbols)) if symbols else configured(settings)
    rows = [row for symbol in wanted for row in listed(settings, symbol, form=form, last=last)]
    write_rows(rows, output, LISTED)
    if not rows:
        say(f"the lake at {settings.lake.url} holds no such filing; `stockctl filings fetch` fetches some")


@app.command()
def show(
    ctx: typer.Context,
    filing: Annotated[str, typer.Argument(metavar="SYMBOL|ACCESSION", help="A symbol, or the number of a filing.")],
    accession: Annotated[str, typer.Argument(metavar="[ACCESSION|latest]", help="Which filing of the symbol.")] = "latest",
    statement: Annotated[str, typer.Option("--statement", "-s", help="income, balance, cashflow or all.")] = "all",
    tz: Annotated[str | None, typer.Option("--tz", help="Zone of times; default: exchange time.")] = None,
    output: OutputOption = Format.table,
) -> None:
    """Show the statements of one filing as they were reported; with -o json, all of it as it was received.

    Example: stockctl filings show AAPL latest -s income
    """
    from stockctl.filings.filing import lines
    from stockctl.filings.listing import find, row_of

    if statement not in (*STATEMENTS, "all"):
        raise UsageError(f"there is no statement {statement}", hint=f"one of {', '.join(STATEMENTS)}, all")
    settings = settings_of(ctx, {"timezone": tz})
    found = find(settings, filing, accession)
    names = list(STATEMENTS) if statement == "all" else [statement]
    if output is Format.json:
        sys.stdout.write(found.raw.decode("utf-8", errors="replace").rstrip("\n") + "\n")
    elif output is Format.table:
        write_object(row_of(settings, found.filing, found.state), output)
        for name in names:
            _write_statement(found.filing, name)
    else:
        kinds = {STATEMENTS[name] for name in names}
        write_rows((line for line in lines(found.filing) if line["statement"] in kinds), output)


app.command("statement")(statements.statement)
app.command("kpis")(statements.kpis)
app.command("check")(statements.check)


def _write_statement(filing: Filing, name: str) -> None:
    items = filing.statement(STATEMENTS[name])
    sys.stdout.write(f"\n{name}, as reported{'' if items else ': not in this filing'}\n")
    texts = ["" if item.value is None else f"{item.value:,.10g}" if item.value % 1 else f"{item.value:,.0f}" for item in items]
    width = max(map(len, texts), default=0)
    rows: list[dict[str, Any]] = [
        {
            "item": item.label or item.name,
            "value": text.rjust(width),
            "unit": item.measure or item.unit,
            "concept": item.concept,
        }
        for item, text in zip(items, texts, strict=True)
    ]
    write_rows(rows, Format.table)


def _day(text: str | None) -> Date | None:
    try:
        return None if text is None else Date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--since {text} is no date", hint="write 2020-01-01") from None
