"""Figures of what a strategy earned: equity, drawdown, and its fills on the price. Times are ms UTC."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from stockctl.exchange.calendar import Hours, trade_date
from stockctl.figures.figure import Band, Figure, Line, Mark, Marks, Shape, Table
from stockctl.figures.sampling import Point
from stockctl.figures.time_axis import shown_time, time_text
from stockctl.figures.value_axis import is_drawable, value_text
from stockctl.units import counted, format_duration

_MOST_ROWS = 400
_PERIODS: tuple[tuple[str, int], ...] = (("date", 10), ("month", 7), ("year", 4))
"""Names of periods, each with the length of its text in an ISO date."""


class FillPoint(NamedTuple):
    """A fill on the figure of the price. ``quantity`` is negative for what was sold."""

    time: int
    quantity: int
    price: float
    gap: bool = False


def equity_figure(
    points: Sequence[Point],
    *,
    without_gaps: Sequence[Point] = (),
    gaps: Sequence[Band] = (),
    hours: Hours = "exchange",
) -> Figure:
    """The equity (money) over time; with ``without_gaps``, also that without the fills beside a gap."""
    lines = [Line("equity", points)]
    if without_gaps:
        lines.append(Line("without fills beside a gap", without_gaps, "second"))
    known = [(at, value) for at, value in points if is_drawable(value)]
    if known:
        low, high = (choose(known, key=lambda point: point[1]) for choose in (min, max))
        description = f"From {_money(known[0])} to {_money(known[-1])}; lowest {_money(low)}, highest {_money(high)}."
    else:
        description = "There is no equity to show."
    series = [points, *([without_gaps] if without_gaps else [])]
    table = _last_values("Equity", [line.name for line in lines], series, lambda value: value_text(value, "money"))
    return Figure(
        title="Equity",
        description=description,
        unit="money",
        shown=shown_time((at for line in lines for at, _ in line.points), hours),
        lines=lines,
        gaps=gaps,
        tables=[table],
    )


def drawdowns(points: Sequence[Point]) -> list[tuple[int, float | None]]:
    """The fall of each value from the highest one before, as a fraction, 0 or less. None before a value above 0."""
    falls: list[tuple[int, float | None]] = []
    peak = -math.inf
    for at, value in points:
        if math.isfinite(value):
            peak = max(peak, value)
        falls.append((at, value / peak - 1 if peak > 0 and math.isfinite(value) else None))
    return falls


def drawdown_figure(points: Sequence[Point], *, gaps: Sequence[Band] = (), hours: Hours = "exchange") -> Figure:
    """The fall of the equity in ``points`` from its peak, as a share of the peak."""
    falls = drawdowns(points)
    known = [(at, fall) for at, fall in falls if is_drawable(fall)]
    deepest = min(known, key=lambda point: point[1], default=None)
    if deepest is None:
        description = "There is no equity to show."
    elif deepest[1] == 0:
        description = "The equity never fell."
    else:
        description = (
            f"Deepest {value_text(deepest[1], 'percent')} on {trade_date(deepest[0])}; {_percent(known[-1])} at the end."
        )
    return Figure(
        title="Drawdown",
        description=description,
        unit="percent",
        shown=shown_time((at for at, _ in points), hours),
        lines=[Line("drawdown", falls, "loss", filled=True)],
        gaps=gaps,
        tables=[_last_values("Drawdown", ["drawdown"], [known], lambda value: value_text(value, "percent"))],
    )


def price_figure(
    symbol: str,
    prices: Sequence[Point],
    trades: Sequence[FillPoint] = (),
    *,
    gaps: Sequence[Band] = (),
    hours: Hours = "exchange",
) -> Figure:
    """The price of ``symbol`` with what was bought and sold. The line is interrupted where the feed had a gap."""
    bought, sold = ([trade for trade in trades if trade.quantity * sign > 0] for sign in (1, -1))
    span = (min(gap.since for gap in gaps), max(gap.until for gap in gaps)) if gaps else None
    times = [at for at, _ in prices] + [trade.time for trade in trades]
    known = [(at, value) for at, value in prices if is_drawable(value)]
    missed = f"; {counted(len(gaps), 'gap')} in the feed" if gaps else ""
    words = [f"{len(bought):,} times bought, {len(sold):,} times sold{missed}."]
    if known:
        low, high = (choose(known, key=lambda point: point[1]) for choose in (min, max))
        words.insert(0, f"From {_price(known[0])} to {_price(known[-1])}; lowest {_price(low)}, highest {_price(high)}.")
    return Figure(
        title=f"{symbol}: price and fills",
        description=" ".join(words),
        unit="price",
        shown=shown_time(times, hours, span),
        lines=[Line("price", prices, cut=True)],
        marks=[one for one in (_marks("bought", "up", bought), _marks("sold", "down", sold)) if one.marks],
        gaps=gaps,
        tables=[_prices(known, bought, sold), *([_gap_table(gaps)] if gaps else [])],
    )


def _marks(name: str, shape: Shape, trades: Sequence[FillPoint]) -> Marks:
    return Marks(name, shape, [_mark(trade) for trade in trades])


def _mark(trade: FillPoint) -> Mark:
    word = "bought" if trade.quantity > 0 else "sold"
    gap = ", beside a gap" if trade.gap else ""
    text = f"{word} {abs(trade.quantity):,} at {value_text(trade.price, 'price')}, {time_text(trade.time)}{gap}"
    return Mark(trade.time, trade.price, text)


def _period(times: Iterable[int]) -> tuple[str, Callable[[int], str]]:
    """The shortest period with which a table of ``times`` is short enough: its name, and what gives its text of a time."""
    days = sorted({trade_date(at).isoformat() for at in times})
    name, length = next(
        ((name, length) for name, length in _PERIODS if len({day[:length] for day in days}) <= _MOST_ROWS), _PERIODS[-1]
    )
    return name, lambda at: trade_date(at).isoformat()[:length]


def _last_values(title: str, names: Sequence[str], series: Sequence[Sequence[Point]], text_of: Callable[[float], str]) -> Table:
    """A row per date, or per month or year where there are many, with the last value of each series."""
    period, period_of = _period(at for points in series for at, _ in points)
    columns = [{period_of(at): value for at, value in points} for points in series]
    rows = [
        [key, *(text_of(column[key]) if key in column else "" for column in columns)]
        for key in sorted({key for column in columns for key in column})
    ]
    return Table(f"{title} at the end of each {period}", [period, *names], rows)


def _prices(points: Sequence[Point], bought: Sequence[FillPoint], sold: Sequence[FillPoint]) -> Table:
    """A row per date, or per month or year where there are many: the prices, and the shares bought and sold."""
    period, period_of = _period(at for at, _ in points)
    shares = [Counter[str](), Counter[str]()]
    for trades, shares_of in zip((bought, sold), shares, strict=True):
        for trade in trades:
            shares_of[period_of(trade.time)] += abs(trade.quantity)
    rows: list[list[str]] = []
    for key, group in groupby(points, key=lambda point: period_of(point[0])):
        values = [value for _, value in group]
        prices = (values[0], max(values), min(values), values[-1])
        rows.append([key, *(value_text(price, "price") for price in prices), *(f"{each[key]:,}" for each in shares)])
    return Table(f"Prices and shares by {period}", [period, "first", "high", "low", "last", "bought", "sold"], rows)


def _gap_table(gaps: Sequence[Band]) -> Table:
    rows = [
        [time_text(gap.since), time_text(gap.until), format_duration((gap.until - gap.since) / 1000), gap.reason]
        for gap in gaps[:_MOST_ROWS]
    ]
    more = len(gaps) - len(rows)
    note = f"{more:,} more gaps are not listed." if more else ""
    return Table("Gaps", ["since", "until", "length", "reason"], rows, ["until", "length"], ["reason"], note)


def _money(point: Point) -> str:
    return f"{value_text(point[1], 'money')} on {trade_date(point[0])}"


def _price(point: Point) -> str:
    return f"{value_text(point[1], 'price')} on {trade_date(point[0])}"


def _percent(point: Point) -> str:
    return value_text(point[1], "percent")
