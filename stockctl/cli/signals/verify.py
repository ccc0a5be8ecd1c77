"""``stockctl signals verify``."""

from __future__ import annotations

from typing import Annotated

import typer

from stockctl.cli.options import AnySymbolsArgument, DateOption, ParamOption, TimezoneOption, day, params_of, settings_of
from stockctl.cli.output import View, row_options, say, write_rows
from stockctl.errors import UnhealthyError


@row_options()
def verify(
    ctx: typer.Context,
    symbols: AnySymbolsArgument = None,
    date: DateOption = None,
    strategy: Annotated[str | None, typer.Option("--strategy", metavar="NAME", help="Only this strategy.")] = None,
    code: Annotated[
        str | None, typer.Option("--code", metavar="STRATEGY", help="Replay this file or class, not that of the run.")
    ] = None,
    param: ParamOption = None,
    tz: TimezoneOption = None,
    *,
    view: View,
) -> None:
    """Prove that the lake's trades give the signals that ran live.

    Replays a date through the same strategy, and compares id by id. Exit code 10 if anything differs.

    Example: stockctl signals verify --date last-session
    """
    from stockctl.exchange.calendar import from_ms, known_zone
    from stockctl.signals.verification import Finding, Overrides
    from stockctl.signals.verification import verify as check
    from stockctl.units import counted

    settings = settings_of(ctx, {"timezone": tz})
    zone = known_zone(settings.timezone)
    chosen = list(symbols) if symbols else None
    overrides = Overrides(code, params_of(param))
    verified, found = check(settings, day("--date", date), strategy=strategy, symbols=chosen, overrides=overrides)
    write_rows(
        (finding._asdict() | {"at": None if finding.at is None else from_ms(finding.at, zone)} for finding in found.findings),
        view,
        Finding._fields,
    )
    for note in found.notes:
        say(note)
    say(found.summary(verified))
    if found.findings:
        raise UnhealthyError(
            f"{counted(len(found.findings), 'finding')} on {verified}: what ran live is not what the lake gives",
            hint="docs/signals.md explains each finding",
        )
