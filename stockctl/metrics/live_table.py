"""The live view: a table that redraws in place on a terminal; in a pipe, one line per symbol and refresh."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from stockctl.exchange.calendar import from_ms
from stockctl.exchange.venues import has_venue
from stockctl.metrics.live import Snapshot
from stockctl.settings import Settings
from stockctl.units import counted, format_duration, format_price, format_quantity, format_significant

if TYPE_CHECKING:
    from rich.table import Table

_COLUMNS = ("symbol", "last", "vwap", "volatility", "trades/s", "volume", "trades", "age")


def watch(settings: Settings, snapshots: Iterable[Snapshot]) -> None:
    """Print each snapshot of ``live.follow`` on stdout as it comes."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    with ExitStack() as stack:
        live = stack.enter_context(Live(console=console, auto_refresh=False)) if console.is_terminal else None
        for snapshot in snapshots:
            if live is not None:
                live.update(_table(settings, snapshot, console.width), refresh=True)
            else:
                sys.stdout.writelines(_lines(settings, snapshot))
                sys.stdout.flush()


def rows(settings: Settings, snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    """The snapshot as rows: each symbol's metrics with their context."""
    zone = ZoneInfo(settings.timezone)
    for metrics in snapshot.metrics:
        yield {
            "time": from_ms(snapshot.now, zone),
            **metrics._asdict(),
            "policy": settings.metrics.policy,
            "since": None if snapshot.since is None else from_ms(snapshot.since, zone),
            "feed": ", ".join(sorted(snapshot.sources)) or None,
        }


def _cells(snapshot: Snapshot) -> Iterator[tuple[str, ...]]:
    for metrics in snapshot.metrics:
        yield (
            metrics.symbol,
            _text(_price, metrics.last),
            _text(_price, metrics.vwap),
            _text("{:.3g}".format, metrics.volatility),
            _text("{:.1f}".format, metrics.rate),
            _text(lambda volume: f"{volume:,.5g}" if volume < 10_000 else f"{volume:,.0f}", metrics.volume),
            str(metrics.trades),
            _text(lambda age: f"{age:.1f}s" if age < 60 else format_duration(age), metrics.age),
        )


def _terminal_cells(snapshot: Snapshot) -> Iterator[tuple[str, ...]]:
    """The numbers as other tables show them on a terminal."""
    for metrics in snapshot.metrics:
        price = partial(format_price, fine=has_venue(metrics.symbol))
        figure = partial(format_significant, digits=4)
        yield (
            metrics.symbol,
            _text(price, metrics.last),
            _text(price, metrics.vwap),
            _text(figure, metrics.volatility),
            _text(figure, metrics.rate),
            _text(format_quantity, metrics.volume),
            f"{metrics.trades:,}",
            _text(_age, metrics.age),
        )


def _text(write: Callable[[float], str], number: float | None) -> str:
    return "-" if number is None else write(number)


def _age(seconds: float) -> str:
    """Whole seconds, so that an age keeps its form as it grows."""
    whole = round(seconds)
    return f"{whole}s" if whole < 60 else format_duration(whole)


def _price(price: float) -> str:
    return f"{price:,.2f}" if price >= 1000 else f"{price:.4f}"


def _caption(settings: Settings, snapshot: Snapshot) -> str:
    zone = ZoneInfo(settings.timezone)
    parts = [f"{from_ms(snapshot.now, zone):%H:%M:%S %Z}"]
    if snapshot.since is not None:
        parts.append(f"trades received since {from_ms(snapshot.since, zone):%H:%M:%S}")
    parts.append(f"policy {settings.metrics.policy}, {sum(metrics.left_out for metrics in snapshot.metrics)} left out")
    parts.append(f"feed: {', '.join(sorted(snapshot.sources)) or 'nothing yet'}")
    if snapshot.unreadable:
        parts.append(counted(snapshot.unreadable, "message is no trade", "messages are no trades"))
    if snapshot.error is not None:
        parts.append(str(snapshot.error))
    return " · ".join(parts)


def _table(settings: Settings, snapshot: Snapshot, width: int) -> Table:
    from rich.table import Table

    lines = [_COLUMNS, *_terminal_cells(snapshot)]
    # A truncated number is a wrong number: columns that do not fit are left out, from the right.
    ends = accumulate(max(map(len, column)) + 2 for column in zip(*lines, strict=True))
    fitting = sum(end - 2 <= width for end in ends)
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="bold",
        caption=_caption(settings, snapshot),
        caption_justify="left",
    )
    for name in _COLUMNS[:fitting]:
        table.add_column(name, justify="left" if name == "symbol" else "right", no_wrap=True)
    for cells in lines[1:]:
        table.add_row(*cells[:fitting])
    return table


def _lines(settings: Settings, snapshot: Snapshot) -> Iterator[str]:
    """One line per symbol. Every value is labelled, because lines of a log are read one by one."""
    at = from_ms(snapshot.now, ZoneInfo(settings.timezone))
    for symbol, *cells in _cells(snapshot):
        named = "  ".join(f"{name} {cell}" for name, cell in zip(_COLUMNS[1:], cells, strict=True))
        yield f"{at:%H:%M:%S %Z}  {symbol}  {named}\n"
