"""The options of ``stockctl`` itself, and the settings that they and a command's flags lead to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stockctl.errors import UsageError

if TYPE_CHECKING:
    import typer

    from stockctl.settings import Settings


@dataclass(frozen=True)
class Globals:
    """Options of ``stockctl`` itself; every command finds them in ``ctx.obj``."""

    profile: str | None = None
    config: Path | None = None
    debug: bool = False
    log_level: str | None = None
    """The level of -q or -v, in place of the setting log.level."""


def settings_of(ctx: typer.Context, flags: dict[str, Any] | None = None, *, stack: bool = True) -> Settings:
    """The settings of the active profile, with ``flags`` (dotted name to value, None for not given) over all else.

    Without ``stack`` the addresses that ``local up`` left are not read.
    """
    from stockctl.settings import COMMAND_LINE, BadSettingError, load_settings

    given: Globals = ctx.obj
    flags = {"log.level": given.log_level} | (flags or {})
    try:
        return load_settings(profile=given.profile, config=given.config, flags=flags, stack=stack)
    except BadSettingError as error:
        if error.origin != COMMAND_LINE:
            raise
        option = _option(ctx, error.name, flags[error.name])
        raise UsageError(f"{option}: {error.problem}", hint=f"`{ctx.command_path} --help`") from None


def _option(ctx: typer.Context, name: str, value: Any) -> str:
    """The option that gave the setting ``name`` its value."""
    given = {one.name: one.opts[0] for one in ctx.command.params if ctx.params.get(one.name or "") is value}
    return given.get(name.rpartition(".")[2], next(iter(given.values()), name))
