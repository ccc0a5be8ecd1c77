"""Times and durations: every command declares them with these types and parses them with these functions.

stockctl metrics vwap AAPL --since 2026-11-23T09:30 --until now
stockctl lake gaps --date last-session
stockctl dlq list --since -2h
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeVar, overload

import typer

from stockctl.errors import UsageError

if TYPE_CHECKING:
    from datetime import date, datetime
    from zoneinfo import ZoneInfo

T = TypeVar("T")

LAST_MS = 253_402_200_000_000
"""9999-12-30, in any zone: no calendar has room for much later times."""

SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Start: 2026-11-23, 2026-11-23T09:30, today, last-session, -2h."),
]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="TIME", help="End, not included.")]
DateOption = Annotated[
    str | None, typer.Option("--date", metavar="DATE", help="One trade date: 2026-11-23, today, yesterday, last-session.")
]
SinceDateOption = Annotated[
    str | None, typer.Option("--since", metavar="DATE", help="First date: 2026-11-23, today, last-session, -7d; default: all.")
]
AsOfOption = Annotated[
    str | None,
    typer.Option("--as-of", metavar="TIME", help="Use only data received by this time; a date includes its whole day."),
]
TimezoneOption = Annotated[str | None, typer.Option("--tz", metavar="ZONE", help="Time zone; default: the setting timezone.")]
ForOption = Annotated[str | None, typer.Option("--for", metavar="DURATION", help="Stop after this long: 90s, 5m.")]


def moment(option: str, text: str | None, zone: ZoneInfo) -> datetime | None:
    """The time that ``option`` gives, in ``zone``, also where the text names no zone. UsageError names the option."""
    from stockctl.exchange.calendar import from_ms
    from stockctl.exchange.time_parsing import parse_moment

    return None if text is None else from_ms(_parsed(option, lambda: parse_moment(text, zone)), zone)


def as_of_moment(text: str | None, zone: ZoneInfo) -> datetime | None:
    """The time of ``--as-of``, in ``zone``; a date means its last millisecond on the exchange. UsageError names the option."""
    from stockctl.exchange.calendar import from_ms
    from stockctl.exchange.time_parsing import parse_as_of

    if text is None:
        return None
    # No zone has room for the end of the last day that there is.
    return from_ms(min(_parsed("--as-of", lambda: parse_as_of(text, zone)), LAST_MS), zone)


@overload
def day(option: str, text: str, zone: ZoneInfo | None = None) -> date: ...
@overload
def day(option: str, text: None, zone: ZoneInfo | None = None) -> None: ...
@overload
def day(option: str, text: str | None, zone: ZoneInfo | None = None) -> date | None: ...
def day(option: str, text: str | None, zone: ZoneInfo | None = None) -> date | None:
    """The date that ``option`` gives; today is that of ``zone``, by default the exchange's. UsageError names the option."""
    from stockctl.exchange.calendar import EXCHANGE_ZONE
    from stockctl.exchange.time_parsing import parse_date

    return None if text is None else _parsed(option, lambda: parse_date(text, zone or EXCHANGE_ZONE))


def seconds(option: str, text: str, *, least: float = 0) -> float:
    """The duration that ``option`` gives, in seconds. UsageError for less than ``least``; it names the option."""
    from stockctl.units import DURATIONS, format_duration, parse_duration

    try:
        parsed = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {str(error).removesuffix(f': {DURATIONS}')}", hint=DURATIONS) from None
    if parsed < least:
        raise UsageError(f"{option} {text} is too short", hint=f"use {format_duration(least)} or more")
    return parsed


def _parsed(option: str, parse: Callable[[], T]) -> T:
    try:
        return parse()
    except UsageError as error:
        raise UsageError(f"{option}: {error}", hint=error.hint) from None
