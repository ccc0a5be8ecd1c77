"""The report of a backtest: one HTML file with what was run, the statistics, the figures, and the fills.

It has no time of its own and nothing of the machine: the same result gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from math import isfinite
from typing import Any

from stockctl import __version__
from stockctl.backtest.account import Fill, RoundTrip
from stockctl.backtest.gaps import MissedTime
from stockctl.backtest.result import BacktestResult, total_equity
from stockctl.backtest.statistics import DEFINITIONS, Statistics, daily
from stockctl.exchange.calendar import EXCHANGE, Hours
from stockctl.figures.figure import Band, Figure, Table
from stockctl.figures.markup import Markup, tag
from stockctl.figures.page import figure_block, fragment, page, pairs, section, subsection, table
from stockctl.figures.series import FillPoint, drawdown_figure, equity_figure, price_figure
from stockctl.figures.time_axis import time_text
from stockctl.figures.value_axis import value_text
from stockctl.units import counted, format_percent

MOST_SYMBOLS = 12
"""Symbols whose prices the report shows: those with the most fills."""
MOST_ROWS = 500
"""Rows of the tables of round trips and of fills."""

_SHARES = {"total_return", "annual_return", "annual_volatility", "max_drawdown", "exposure", "win_rate"}
_FACTS = ("total_return", "annual_return", "sharpe", "max_drawdown", "win_rate", "round_trips")
_HEADER = {"strategy", "params", "symbols", "since", "until", "settings", "version", "hash", "without_gaps", "coverage"}
"""Names of the record that have a place of their own."""


def report_html(result: BacktestResult, *, command: str | None = None) -> str:
    """The report as one HTML page. ``command`` is shown as what makes it again."""
    title = f"Backtest of {result.strategy} on {_listed([one.symbol for one in result.symbols])}"
    body = [
        tag("h1", title),
        _facts(result.statistics),
        *(tag("p", note, class_="warning") for note in result.notes),
        section("What was run", *_run(result, command)),
        section("Equity", *(figure_block(figure, name) for name, figure in _equity_figures(result)), _sampling(result)),
        section("Statistics", table(_statistics(result), with_title=False)),
        section("Coverage", *_coverage(result)),
        section("Prices and fills", *_prices(result)),
        section("Round trips", _round_trips(result)),
        section("Fills", _fills(result)),
        tag("footer", tag("p", f"Made by stockctl {__version__}. Past results are no promise of later ones.", class_="note")),
    ]
    return page(title, body)


def summary_html(result: BacktestResult) -> str:
    """The main statistics and the equity, for a page that is there already, such as a notebook."""
    # Two results in one notebook have other ids.
    name, figure = next(_equity_figures(result))
    title = tag("strong", f"{result.strategy} on {_listed([one.symbol for one in result.symbols])}")
    return fragment([title, _facts(result.statistics), figure_block(figure, f"{name}-{result.hash[:12]}", with_tables=False)])


def _facts(statistics: Statistics) -> Markup:
    """The statistics that are looked at first."""
    values = statistics._asdict()
    items = (tag("li", tag("b", _statistic(name, values[name])), tag("span", _name(name))) for name in _FACTS)
    return tag("ul", *items, class_="facts")


def _run(result: BacktestResult, command: str | None) -> Iterator[Markup]:
    record = result.record
    rest = {name: value for name, value in record.items() if name not in _HEADER and name not in Statistics._fields}
    yield pairs(
        [
            ("strategy", result.strategy),
            ("parameters", _words(result.params) or "none"),
            ("symbols", ", ".join(record["symbols"])),
            ("span", f"{record['since']} to {record['until']}" if record["since"] else "no data"),
            *((_name(name), _words(value)) for name, value in rest.items()),
            ("version of the strategy", tag("code", result.version)),
            ("hash of decisions and fills", tag("code", result.hash)),
        ]
    )
    yield subsection("Options")
    yield pairs((_name(name), _words(value)) for name, value in result.settings.items() if value is not None)
    if command:
        yield subsection("The command that makes it again")
        yield tag("pre", tag("code", command))


def _equity_figures(result: BacktestResult) -> Iterator[tuple[str, Figure]]:
    """The equity and its falls, each with its name in the page."""
    points = total_equity(result.symbols)
    gaps = _gaps([gap for one in result.symbols for gap in one.coverage.gaps]) if len(result.symbols) == 1 else []
    hours = _common_hours(result)
    yield "equity", equity_figure(points, without_gaps=result.equity_without_gaps, gaps=gaps, hours=hours)
    yield "drawdown", drawdown_figure(points, gaps=gaps, hours=hours)


def _sampling(result: BacktestResult) -> Markup:
    """Why a figure can show a deeper fall than the statistics have."""
    points = total_equity(result.symbols)
    if len(daily(points)) == len(points):
        return Markup()
    return tag("p", "The figures have every value of the equity; the statistics take the last one of each date.", class_="note")


def _common_hours(result: BacktestResult) -> Hours:
    """The hours of all symbols; those of a market that never closes where they differ."""
    hours = {EXCHANGE.hours(one.symbol) for one in result.symbols}
    return hours.pop() if len(hours) == 1 else "always"


def _statistics(result: BacktestResult) -> Table:
    values = result.statistics._asdict()
    clean = {} if result.without_gaps is None else result.without_gaps._asdict()
    columns = ["statistic", "value", *(["without gaps"] if clean else []), "definition"]
    rows = [
        [
            _name(name),
            _statistic(name, value),
            *([_statistic(name, clean[name])] if clean else []),
            DEFINITIONS.get(name, ""),
        ]
        for name, value in values.items()
    ]
    note = "without gaps: without what was filled beside a gap in the feed" if clean else ""
    return Table("Statistics", columns, rows, sentences=["definition"], note=note)


def _coverage(result: BacktestResult) -> Iterator[Markup]:
    known = [one for one in result.symbols if one.coverage.expected]
    if not known:
        yield tag("p", "It is not known what the feed covered: there are no feed events of these prices, or gaps were ignored.")
        return
    fills = [fill for one in result.symbols for fill in one.fills]
    beside = sum(fill.gap for fill in fills)
    share = f" ({format_percent(100 * beside / len(fills))})" if fills else ""
    yield tag("p", f"{beside:,} of {counted(len(fills), 'fill')}{share} lie beside a gap in the feed.")
    rows = [
        [
            one.symbol,
            format_percent(one.coverage.percent or 0.0),
            f"{len(one.coverage.gaps):,}",
            f"{len(one.fills):,}",
            f"{sum(fill.gap for fill in one.fills):,}",
        ]
        for one in known[:MOST_ROWS]
    ]
    title = "Session time that the feed covered"
    yield table(Table(title, ["symbol", "covered", "gaps", "fills", "beside a gap"], rows, note=_more(len(known), "symbol")))


def _prices(result: BacktestResult) -> Iterator[Markup]:
    with_prices = [one for one in result.symbols if one.prices]
    most = sorted(with_prices, key=lambda one: -len(one.fills))[:MOST_SYMBOLS]
    if not most:
        yield tag("p", "No prices were kept for this report; in Python, keep_prices=True keeps them.")
    elif len(most) < len(with_prices):
        yield tag("p", f"The {len(most)} of {len(with_prices):,} symbols with the most fills; run a symbol alone to see it.")
    for index, one in enumerate(sorted(most)):
        trades = [FillPoint(fill.time, fill.quantity, fill.price, fill.gap) for fill in one.fills]
        gaps, hours = _gaps(one.coverage.gaps), EXCHANGE.hours(one.symbol)
        yield figure_block(price_figure(one.symbol, one.prices, trades, gaps=gaps, hours=hours), f"price-{index}")


def _gaps(gaps: Sequence[MissedTime]) -> list[Band]:
    return [Band(gap.since, gap.until, gap.reason) for gap in gaps]


def _round_trips(result: BacktestResult) -> Markup:
    columns = ["symbol", "opened", "closed", "shares", "entry price", "exit price", "profit", "fees", "beside a gap"]
    trips = [trip for one in result.symbols for trip in one.round_trips]
    title = "Positions that were opened and closed; times in New York"
    rows = [_round_trip(trip) for trip in trips[:MOST_ROWS]]
    return table(Table(title, columns, rows, ["opened", "closed", "beside a gap"], note=_more(len(trips), "round trip")))


def _round_trip(trip: RoundTrip) -> list[str]:
    prices = [value_text(price, "price") for price in (trip.entry_price, trip.exit_price)]
    money = [value_text(amount, "money") for amount in (trip.profit, trip.fees)]
    return [
        *(trip.symbol, time_text(trip.opened), time_text(trip.closed), _whole(trip.shares), *prices, *money),
        "yes" if trip.gap else "",
    ]


def _fills(result: BacktestResult) -> Markup:
    columns = ["symbol", "time", "shares", "price", "fee", "slippage", "beside a gap", "decided on record", "reason"]
    fills = [fill for one in result.symbols for fill in one.fills]
    reasons = {(one.symbol, each.record): each.reason for one in result.symbols for each in one.decisions}
    rows = [_fill(fill, reasons.get((fill.symbol, fill.record), "")) for fill in fills[:MOST_ROWS]]
    title = "Shares that were bought, and sold (−); times in New York"
    words = ["time", "beside a gap", "decided on record"]
    return table(Table(title, columns, rows, words, ["reason"], _more(len(fills), "fill")))


def _fill(fill: Fill, reason: str) -> list[str]:
    price, fee, slippage = (value_text(value, "price") for value in (fill.price, fill.fee, fill.slippage))
    gap = "yes" if fill.gap else ""
    return [fill.symbol, time_text(fill.time), _whole(fill.quantity), price, fee, slippage, gap, fill.record, reason]


def _more(number: int, noun: str) -> str:
    return f"The first {MOST_ROWS:,} of {counted(number, noun)}; the command writes all of them." if number > MOST_ROWS else ""


def _whole(number: int) -> str:
    return f"{number:,}".replace("-", "−")


def _statistic(name: str, value: Any) -> str:
    """A statistic as text, by its name."""
    if value is None:
        return "–"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int):
        return _whole(value)
    if not isfinite(value):
        return "infinite" if value > 0 else "–"
    return value_text(value, "percent" if name in _SHARES else "money")


def _name(name: str) -> str:
    return name.replace("_", " ")


def _words(value: Any) -> str:
    """A value of the record as text: names with their values, or a list, on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_words, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "–" if value is None else f"{value:,.10g}" if isinstance(value, float) else str(value)


def _listed(symbols: Sequence[str]) -> str:
    """A few symbols by name, many by their number."""
    return ", ".join(symbols) if len(symbols) <= 5 else f"{len(symbols):,} symbols"
