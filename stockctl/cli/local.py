"""``stockctl local``: the whole pipeline on this machine, without an account."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stockctl.cli.options import DryRunOption, Group, SymbolsArgument, seconds, settings_of
from stockctl.cli.output import View, YesOption, confirm, row_options, say, say_dry_run, write_rows
from stockctl.errors import UnhealthyError, UsageError

if TYPE_CHECKING:
    from stockctl.local.services import Mode
    from stockctl.settings import Settings

app = Group(help="Run the whole pipeline on this machine.")


def _settings(ctx: typer.Context, symbols: list[str] | None = None, *, stack: bool = True) -> Settings:
    settings = settings_of(ctx, {"symbols": symbols or None}, stack=stack)
    if settings.profile != "local":
        raise UsageError(
            f"the local stack needs the profile local, but the profile is {settings.profile}",
            hint="stockctl -p local local …",
        )
    return settings


def _command(ctx: typer.Context) -> list[str]:
    """How to call this ``stockctl`` from any folder, with the configuration file found here."""
    config = ctx.obj.config or Path("stockctl.toml")
    return [sys.executable, "-P", "-m", "stockctl", *(["--config", str(config.absolute())] if config.is_file() else [])]


@app.command()
def up(
    ctx: typer.Context,
    symbols: SymbolsArgument = None,
    live: Annotated[
        bool, typer.Option("--live", help="Use Finnhub's real feed instead of the simulator; needs a key.")
    ] = False,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay in the foreground; Ctrl-C stops everything.")] = False,
) -> None:
    """Start the local stack, and wait until every service is ready.

    Running it again changes nothing.

    Example: stockctl local up AAPL MSFT
    """
    from stockctl.local.serve import serve
    from stockctl.local.start import start
    from stockctl.local.status import page_of

    settings = _settings(ctx, symbols, stack=False)
    mode: Mode = "live" if live else "sim"
    if foreground:
        serve(settings, mode, _command(ctx), ctx.obj.config)
        return
    state = start(settings, mode, _supervisor(ctx, symbols, live), ctx.obj.config, notify=say)
    for note in state["notes"]:
        say(f"note: {note}")
    _note_overrides(ctx, state["settings"])
    say("the local stack is up:")
    for name, value in _addresses(settings, state).items():
        say(f"  {name:<9} {value}")
    _suggest(
        *(["open"] if page_of(state) else []),
        "metrics watch",
        *(["signals watch"] if settings.signals.strategy else []),
        "lake list",
        f"metrics vwap {state['settings']['symbols'][0]}",
        "local status",
        "local down",
    )


def _supervisor(ctx: typer.Context, symbols: list[str] | None, live: bool) -> list[str]:
    return [*_command(ctx), "local", "up", "--foreground", *(["--live"] if live else []), *(symbols or [])]


def _note_overrides(ctx: typer.Context, shared: dict[str, Any]) -> None:
    """Note the settings of other commands that override the stack's addresses."""
    others = settings_of(ctx)
    for name in ("kafka.bootstrap_servers", "lake.url"):
        section, key = name.split(".")
        if (value := getattr(getattr(others, section), key)) != shared[name]:
            say(f"note: other commands use {name} = {value} from {others.origin(name)}, not the stack's {shared[name]}")


def _addresses(settings: Settings, state: dict[str, Any]) -> dict[str, str]:
    from stockctl.local.status import page_of

    shared = state["settings"]
    page = page_of(state)
    return ({"dashboard": page} if page else {}) | {
        "broker": shared["kafka.bootstrap_servers"],
        "feed": f"{shared['finnhub.url']}, {', '.join(shared['symbols'])}",
        "lake": shared["lake.url"],
        "MongoDB": shared["mongo.url"],
        "logs": str(settings.state_dir.absolute() / "local" / "logs"),
    }


def _suggest(*commands: str) -> None:
    say("try next:")
    for command in commands:
        say(f"  {_called()} {command}")


def _called() -> str:
    """How to call this command: in a checkout it is not on the PATH."""
    own = Path(sys.argv[0])
    on_path = shutil.which("stockctl")
    if own.name != "stockctl" or not own.is_file() or (on_path and Path(on_path).samefile(own)):
        return "stockctl"
    return shlex.quote(os.path.relpath(own))


@app.command()
def demo(
    ctx: typer.Context,
    duration: Annotated[str, typer.Option("--for", metavar="DURATION", help="Stop after this long: 90s, 5m.")] = "60s",
) -> None:
    """Run the whole pipeline once, and verify its data.

    Start, live table, stop, verification, metrics.

    It fails if a step fails. A running stack is used, and left running.

    Example: stockctl local demo --for 60s
    """
    from stockctl.local.demo import demo as run

    shown = seconds("--for", duration)
    settings = _settings(ctx, stack=False)
    symbol = run(settings, _command(ctx), ctx.obj.config, seconds=shown, notify=say)[0]
    say("")
    _suggest(
        f"metrics vwap {symbol} --every 1m",
        'lake query "SELECT symbol, count(*) FROM trades GROUP BY symbol"',
        f"lake read {symbol} -o csv",
        "local up",
    )


@app.command()
def down(ctx: typer.Context) -> None:
    """Stop the local stack and keep its data.

    The feed stops first, and the broker once all of its records are in the lake.

    Example: stockctl local down
    """
    from stockctl.local.stop import stop

    for note in stop(_settings(ctx, stack=False), notify=say):
        say(f"note: {note}")


@app.command()
@row_options()
def status(ctx: typer.Context, *, view: View) -> None:
    """Show each service; exit 10 if one is not running.

    Example: stockctl local status
    """
    from stockctl.local.files import stack_files
    from stockctl.local.process_state import fix_for
    from stockctl.local.status import status as statuses_of
    from stockctl.units import format_duration

    settings = _settings(ctx, stack=False)
    statuses = statuses_of(settings)
    shown: list[dict[str, Any]] = [each._asdict() for each in statuses]
    if view.is_table:
        for row in shown:
            row["uptime"] = None if row["uptime"] is None else format_duration(row["uptime"])
    write_rows(shown, view, main=("service", "state", "uptime", "address", "detail"))
    looping = [each.service for each in statuses if each.state == "running" and each.detail]
    stopped = [each.service for each in statuses if each.state != "running"]
    if stopped or looping:
        problems = {"not running": stopped, "in a restart loop": looping}
        raise UnhealthyError(
            "the local stack is not running"
            if len(stopped) == len(statuses)
            else "; ".join(f"{problem}: {', '.join(names)}" for problem, names in problems.items() if names),
            hint=next(filter(None, (fix_for(each.state, each.pid) for each in statuses)), "`stockctl local up`")
            + f"; see the logs in {stack_files(settings).folder / 'logs'}",
        )


@app.command()
@row_options()
def reset(ctx: typer.Context, yes: YesOption = False, dry_run: DryRunOption = False, *, view: View) -> None:
    """Delete the local stack's data and its lakes.

    Example: stockctl local reset --yes
    """
    from stockctl.local.reset import DataFolder, data_folders, require_stopped
    from stockctl.local.reset import reset as delete
    from stockctl.units import counted, format_size

    view.check(DataFolder._fields)
    settings = _settings(ctx, stack=False)
    folders = data_folders(settings)
    if folders:
        require_stopped(settings)
    shown = view if dry_run or yes else view.unlimited
    write_rows((folder._asdict() for folder in folders), shown, DataFolder._fields if folders or not view.is_table else None)
    if not folders:
        say(f"nothing to delete in {settings.state_dir.absolute()}")
        return
    if dry_run:
        say_dry_run()
        return
    size = format_size(sum(folder.bytes for folder in folders))
    confirm(f"Delete {counted(len(folders), 'folder')} of {size}?", "stockctl local reset", yes=yes)
    delete(settings)
    say("deleted")
