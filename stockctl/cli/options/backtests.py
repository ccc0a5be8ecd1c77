"""The options of a backtest over the lake. None is the default of ``stockctl.backtest.lake.terms``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class FillsAt(StrEnum):
    """The trades at which orders are filled."""

    prints = "prints"
    next_open = "next-open"
    open_auction = "open-auction"
    close_auction = "close-auction"


class GapPolicy(StrEnum):
    """What a gap in the feed's coverage does."""

    mark = "mark"
    refuse = "refuse"
    ignore = "ignore"


class FilingTime(StrEnum):
    """When a strategy sees a filing."""

    known = "known"
    stored = "stored"


class Order(StrEnum):
    """The order of the trades."""

    log = "log"
    event = "event"


FillsOption = Annotated[
    FillsAt | None, typer.Option("--fills", help="Where orders are filled; default: prints, or next-open with --bars.")
]
LatencyOption = Annotated[
    str | None,
    typer.Option("--latency", metavar="DURATION", help="From a decision until it can be filled: 500ms; auctions 2m and 10m."),
]
ParticipationOption = Annotated[
    str | None, typer.Option("--participation", metavar="SHARE", help="Most of a print's volume that an order takes: 10%.")
]
SpreadOption = Annotated[
    str | None,
    typer.Option("--spread", metavar="SPREAD", help="Half of it is paid: estimate from prints, none, 0.02, or 'bps 3'."),
]
GapsOption = Annotated[
    GapPolicy | None, typer.Option("--gaps", help="Mark what lies beside a gap (default), refuse to run, or ignore gaps.")
]
FilingTimeOption = Annotated[
    FilingTime | None, typer.Option("--filing-time", help="Show a filing when it was public (known, default), or stored.")
]
SplitsOption = Annotated[
    list[str] | None,
    typer.Option("--splits", metavar="SPLITS", help="AAPL=2020-08-31:4, a CSV file, or ignore; repeatable."),
]
OrderOption = Annotated[
    Order | None, typer.Option("--order", help="event sorts by trade time, only to measure how far that looks ahead.")
]
WorkersOption = Annotated[int | None, typer.Option("--workers", metavar="COUNT", help="Processes that share the symbols: 1.")]
