"""What the options before the command say, and the settings they lead to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stockctl.cli.output import say
from stockctl.errors import UsageError, unreadable
from stockctl.symbols import require_symbols
from stockctl.validation import decode_problem

if TYPE_CHECKING:
    import typer

    from stockctl.clients.mongo import Mongo
    from stockctl.settings import Settings


@dataclass(frozen=True)
class Globals:
    """Options of ``stockctl`` itself; every command finds them in ``ctx.obj``."""

    profile: str | None = None
    config: Path | None = None
    debug: bool = False


def settings_of(ctx: typer.Context, flags: dict[str, Any] | None = None, *, stack: bool = True) -> Settings:
    """The settings of the active profile, with ``flags`` (dotted name to value, None for not given) over all else.

    Without ``stack`` the addresses that ``local up`` left are not read.
    """
    from stockctl.settings import COMMAND_LINE, BadSettingError, load_settings

    if (flags or {}).get("symbols") is not None:
        require_symbols(flags["symbols"])  # type: ignore[index]  # it has symbols
    given: Globals = ctx.obj
    try:
        return load_settings(profile=given.profile, config=given.config, flags=flags, stack=stack)
    except BadSettingError as error:
        if error.origin != COMMAND_LINE:
            raise
        option = _option(ctx, error.name, (flags or {})[error.name])
        raise UsageError(f"{option}: {error.problem}", hint=f"`{ctx.command_path} --help`") from None


def _option(ctx: typer.Context, name: str, value: Any) -> str:
    """The option that gave the setting ``name`` its value."""
    given = {one.name: one.opts[0] for one in ctx.command.params if ctx.params.get(one.name or "") is value}
    return given.get(name.rpartition(".")[2], next(iter(given.values()), name))


def seconds_of(option: str, text: str, *, least: float = 0) -> float:
    """The duration that the ``option`` names, in seconds. UsageError for none, and for less than ``least``."""
    from stockctl.units import DURATIONS, format_duration, parse_duration

    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {str(error).removesuffix(f': {DURATIONS}')}", hint=DURATIONS) from None
    if seconds < least:
        raise UsageError(f"{option} {text} is too short", hint=f"use {format_duration(least)} or more")
    return seconds


@contextmanager
def mongo_of(settings: Settings) -> Iterator[Mongo]:
    """MongoDB, once it answers; a wait for it is said."""
    from stockctl.clients.mongo import Mongo

    with Mongo(settings) as mongo:
        mongo.wait(say=say)
        yield mongo


def say_next_batch(settings: Settings, store: Literal["lake", "mongo"], until: int | None = None) -> None:
    """Say what waits in Kafka for the store, of which nothing could be answered; nothing of a time before ``until`` (ms UTC)
    that is over.
    """
    from stockctl.exchange.calendar import now_ms
    from stockctl.stream.lag import lake_writer, mongo_writer
    from stockctl.stream.pending import next_batch

    if until is not None and until <= now_ms():
        return
    line = next_batch(settings, lake_writer(settings) if store == "lake" else mongo_writer(settings))
    if line is not None:
        say(line)


def text_of(file: str, hint: str) -> str:
    """The text in ``file``, or on stdin where that is ``-``. UsageError with ``hint`` where there is none to read."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise unreadable(file, error, hint) from error
    except UnicodeDecodeError as error:
        raise UsageError(decode_problem(error, file), hint=hint) from None
