"""The options of backtests. None is the default of ``stockctl.backtest.lake.terms``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stockctl.symbols import require_symbols


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


def _split(written: list[str] | None) -> list[str] | None:
    """The symbols that the user wrote, each once. UsageError where arguments hold none, such as a lone comma."""
    return require_symbols(written) if written else None


BacktestSymbolsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SYMBOL]...",
        help="Symbols, such as AAPL,MSFT; default: the setting symbols, or all in --bars.",
        callback=_split,
    ),
]
BarsOption = Annotated[Path | None, typer.Option("--bars", metavar="PATH", help="Take bars from this file, .csv or .parquet.")]
CashOption = Annotated[float, typer.Option("--cash", metavar="AMOUNT", help="Starting cash, split equally over the symbols.")]
FeesOption = Annotated[
    str, typer.Option("--fees", metavar="FEES", help="none, 'per-share 0.005 min 1', or 'bps 5'; per order.")
]
SlippageOption = Annotated[
    str,
    typer.Option(
        "--slippage", metavar="SLIPPAGE", help="none, 'bps 5', 'bps 5,20%' of the volume at most, or 'volume-share 2.5%,0.1'."
    ),
]
LongOnlyOption = Annotated[bool, typer.Option("--long-only", help="Exit instead of going short.")]
CloseAtEndOption = Annotated[
    bool,
    typer.Option("--close-at-end", help="Close what is open at the last bar's open, instead of valuing it at its close."),
]
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
ReportOption = Annotated[
    Path | None,
    typer.Option("--report", metavar="PATH", help="Also write an HTML report with figures, over an existing file."),
]
