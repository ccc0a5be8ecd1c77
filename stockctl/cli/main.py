"""The ``stockctl`` command: its groups, its global options, and the one place where errors become words and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stockctl import __version__
from stockctl.cli import (
    backtest,
    company,
    config,
    connect,
    consume,
    dlq,
    filings,
    infra,
    lake,
    local,
    metrics,
    mongo,
    signals,
    strategies,
    topics,
)
from stockctl.cli.dashboard import dashboard, open_page
from stockctl.cli.doctor import doctor
from stockctl.cli.options import Globals, Group, is_help, usage_error
from stockctl.cli.output import reader_may_leave, report_error, set_quiet
from stockctl.cli.produce import produce
from stockctl.cli.sim import sim
from stockctl.cli.status import status
from stockctl.cli.warehouse import glue, spectrum
from stockctl.errors import EXIT_CODES, TRY, StockctlError, UsageError

ORDER = (
    "local",
    "config",
    "doctor",
    "status",
    "produce",
    "consume",
    "topics",
    "dlq",
    "connect",
    "lake",
    "mongo",
    "company",
    "metrics",
    "strategies",
    "backtest",
    "signals",
    "dashboard",
    "open",
)
"""The order of --help: what a new user needs first, then the path of the data. Other commands follow as they are registered."""


class _Root(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return [name for name in ORDER if name in names] + [name for name in names if name not in ORDER]

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        # Around this and `invoke`, Typer would make exit code 1 of a reader that leaves.
        with reader_may_leave():
            return super().make_context(info_name, args, parent, **extra)
        raise typer.Exit  # the help or the version, of which nobody reads the rest

    def invoke(self, ctx: Any) -> Any:
        try:
            with reader_may_leave():
                return super().invoke(ctx)
        except typer.BadParameter as error:
            # Typer leaves the words to pydantic, which writes for programmers.
            from pydantic import ValidationError

            from stockctl.validation_errors import setting_problem

            if isinstance(error.__cause__, ValidationError):
                error.message = "; ".join(setting_problem(problem) for problem in error.__cause__.errors())
            raise


app = Group(
    name="stockctl",
    cls=_Root,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + ".",
)
app.add_typer(config.app, name="config")
app.add_typer(local.app, name="local")
app.add_typer(topics.app, name="topics")
app.add_typer(dlq.app, name="dlq")
app.add_typer(connect.app, name="connect")
app.add_typer(consume.app, name="consume")
app.add_typer(lake.app, name="lake")
app.add_typer(mongo.app, name="mongo")
app.add_typer(filings.app, name="filings")
app.add_typer(company.app, name="company")
app.add_typer(metrics.app, name="metrics")
app.add_typer(strategies.app, name="strategies")
app.add_typer(backtest.app, name="backtest")
app.add_typer(signals.app, name="signals")
app.add_typer(glue.app, name="glue")
app.add_typer(spectrum.app, name="spectrum")
app.add_typer(infra.app, name="infra")
app.command()(dashboard)
app.command()(doctor)
app.command("open")(open_page)
app.command()(produce)
app.command()(sim)
app.command()(status)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"stockctl {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    profile: Annotated[
        str | None, typer.Option("--profile", "-p", envvar="STOCKCTL_PROFILE", metavar="NAME", help="Profile to use.")
    ] = None,
    config_file: Annotated[
        Path | None, typer.Option("--config", envvar="STOCKCTL_CONFIG", metavar="PATH", help="Configuration file to read.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show only errors; services log warnings.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Services log at level DEBUG.")] = False,
    debug: Annotated[bool, typer.Option("--debug", envvar="STOCKCTL_DEBUG", help="Show tracebacks.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Operate a real-time stock data pipeline: Finnhub to Kafka to an S3 lake, with metrics."""
    if quiet and verbose:
        raise UsageError("--quiet and --verbose exclude each other", hint="use one of them")
    set_quiet(quiet)
    log_level = "WARNING" if quiet else "DEBUG" if verbose else None
    ctx.obj = Globals(profile=profile, config=config_file, debug=debug, log_level=log_level)


def main() -> None:
    """Run the command and leave with its exit code."""
    debug = "--debug" in sys.argv or os.environ.get("STOCKCTL_DEBUG", "").lower() in ("1", "true", "t", "yes", "y", "on")
    if sys.stdout is None:  # closed, as in `stockctl lake list >&-`
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # for the rest of the process
    code = 0
    try:
        code = app(standalone_mode=False) or 0
    except typer.TyperException as error:
        if is_help(error):
            print(error.format_message(), file=sys.stderr)
            code = error.exit_code
        else:
            code = _report(usage_error(error))
    except typer.Abort:
        report_error("aborted")
        code = 1
    except StockctlError as error:
        if debug:
            traceback.print_exc()
        code = _report(error)
    except Exception as error:  # noqa: BLE001  # the last resort: anything unexpected still ends in words
        report_error(f"error: unexpected {type(error).__name__}: {error}")
        if debug:
            traceback.print_exc()
        else:
            report_error(f"{TRY}the same with `stockctl --debug …`, and report what it shows: this is a defect of stockctl")
        code = 1
    with reader_may_leave():
        sys.stdout.flush()
    sys.exit(code)


def _report(error: StockctlError) -> int:
    """Write the error with its hint; return the exit code."""
    report_error(f"error: {error}")
    if error.hint:
        report_error(f"{TRY}{error.hint}")
    return error.exit_code
