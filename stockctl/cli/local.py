"""``stockctl local``: the whole pipeline on this machine, without an account."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stockctl.cli.options import SymbolsArgument, seconds, settings_of
from stockctl.cli.output import Format, OutputOption, YesOption, confirm, say, write_rows
from stockctl.errors import UnhealthyError, UsageError

if TYPE_CHECKING:
    from stockctl.local.services import Mode
    from stockctl.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Run the whole pipeline on this machine: broker, feed, producer, lake writer.")


def _settings(ctx: typer.Context, symbols: list[str] | None = None, *, stack: bool = True) -> Settings:
    settings = settings_of(ctx, {"symbols": symbols or None}, stack=stack)
    if settings.profile != "local":
        raise UsageError(
            f"the local stack belongs to the profile local, and the profile is {settings.profile}",
            hint="stockctl -p local local …",
        )
    return settings


def _command(ctx: typer.Context) -> list[str]:
    """How to call this ``stockctl`` from any folder, with the configuration file that it found here."""
    config = ctx.obj.config or Path("stockctl.toml")
    return [sys.executable, "-P", "-m", "stockctl", *(["--config", str(config.absolute())] if config.is_file() else [])]


@app.command()
def up(
    ctx: typer.Context,
    symbols: SymbolsArgument = None,
    live: Annotated[bool, typer.Option("--live", help="Finnhub's real feed instead of the simulator; needs a key.")] = False,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and stop everything at Ctrl-C.")] = False,
) -> None:
    """Start the local stack, and leave when every part is ready.

    Running it again changes nothing.

    Example: stockctl local up AAPL MSFT
    """
    from stockctl.local import stack

    settings = _settings(ctx, symbols, stack=False)
    mode: Mode = "live" if live else "sim"
    if foreground:
        stack.serve(settings, mode, _command(ctx), ctx.obj.config)
        return
    state = stack.up(settings, mode, _supervisor(ctx, symbols, live), ctx.obj.config, say=say)
    for note in state["notes"]:
        say(f"note: {note}")
    _warn_of_others(ctx, state["settings"])
    say("the local stack is up:")
    for name, value in _places(settings, state).items():
        say(f"  {name:<8} {value}")
    _suggest(
        "metrics watch",
        "lake list",
        f"metrics vwap {state['settings']['symbols'][0]}",
        "local status",
        "local down",
    )


def _supervisor(ctx: typer.Context, symbols: list[str] | None, live: bool) -> list[str]:
    return [*_command(ctx), "local", "up", "--foreground", *(["--live"] if live else []), *(symbols or [])]


def _warn_of_others(ctx: typer.Context, shared: dict[str, Any]) -> None:
    """Say where other commands will go elsewhere, because something stronger than the stack's own file tells them so."""
    seen = settings_of(ctx)
    for name in ("kafka.bootstrap_servers", "lake.url"):
        section, key = name.split(".")
        if (value := getattr(getattr(seen, section), key)) != shared[name]:
            say(f"note: other commands use {name} = {value}, from {seen.origin(name)}, and not the stack's {shared[name]}")


def _places(settings: Settings, state: dict[str, Any]) -> dict[str, str]:
    shared = state["settings"]
    return {
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
    """What to type for this very command: a checkout's is not on the PATH."""
    own = Path(sys.argv[0])
    found = shutil.which("stockctl")
    if own.name != "stockctl" or not own.is_file() or (found and Path(found).samefile(own)):
        return "stockctl"
    return shlex.quote(os.path.relpath(own))


@app.command()
def demo(
    ctx: typer.Context,
    duration: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long the live table is shown.")] = "60s",
) -> None:
    """Show it all once: start, live table, stop, proof, figures.

    It fails if anything is not as it should be. A stack that runs already is used, and left running.

    Example: stockctl local demo --for 60s
    """
    from stockctl.local.demo import demo as run

    shown = seconds("--for", duration)
    settings = _settings(ctx, stack=False)
    symbol = run(settings, _command(ctx), ctx.obj.config, seconds=shown, say=say)[0]
    say("")
    _suggest(
        f"metrics vwap {symbol} --every 1m",
        'lake query "SELECT symbol, count(*) FROM trades GROUP BY symbol"',
        f"lake read {symbol} -o csv",
        "local up",
    )


@app.command()
def down(ctx: typer.Context) -> None:
    """Stop the local stack; its data stays.

    The feed stops first, and the broker when all of its records are in the lake.

    Example: stockctl local down
    """
    from stockctl.local import stack

    for note in stack.down(_settings(ctx, stack=False), say=say):
        say(f"note: {note}")


@app.command()
def status(ctx: typer.Context, output: OutputOption = Format.table) -> None:
    """Show each part; exit 10 if one is not running.

    Example: stockctl local status
    """
    from stockctl.local import stack
    from stockctl.local.process_state import remedy
    from stockctl.units import format_duration

    settings = _settings(ctx, stack=False)
    rows = stack.status(settings)
    shown: list[dict[str, Any]] = [row._asdict() for row in rows]
    if output is Format.table:
        for row in shown:
            row["uptime"] = None if row["uptime"] is None else format_duration(row["uptime"])
    write_rows(shown, output)
    dying = [row.part for row in rows if row.state == "running" and row.detail]
    stopped = [row.part for row in rows if row.state != "running"]
    if stopped or dying:
        words = {"not running": stopped, "dies again and again": dying}
        raise UnhealthyError(
            "the local stack is not running"
            if len(stopped) == len(rows)
            else "; ".join(f"{what}: {', '.join(parts)}" for what, parts in words.items() if parts),
            hint=next(filter(None, (remedy(row.state, row.pid) for row in rows)), "`stockctl local up`")
            + f"; the logs are in {stack.files_of(settings).folder / 'logs'}",
        )


@app.command()
def reset(ctx: typer.Context, yes: YesOption = False) -> None:
    """Delete the local stack's data and its lakes.

    Example: stockctl local reset --yes
    """
    from stockctl.local import stack
    from stockctl.units import format_size

    settings = _settings(ctx, stack=False)
    folders = stack.contents(settings)
    if not folders:
        say(f"there is nothing to delete in {settings.state_dir.absolute()}")
        return
    for folder, size in folders:
        say(f"  {folder}  {format_size(size)}")
    confirm("Delete these folders?", "stockctl local reset", yes=yes)
    stack.reset(settings)
    say("deleted")
