"""The result of a backtest: decisions, fills and equity as Arrow, statistics, and one hash over what was decided and filled.

The hash is the SHA-256 over the symbols in their order; of each symbol over its decisions (record, n, side, target) and its
fills, each as ``repr`` writes it. So it is equal for one worker and for many, and changes when any figure does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from math import fsum
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stockctl.backtest import statistics
from stockctl.backtest.account import Account, Fill, RoundTrip
from stockctl.backtest.gaps import SymbolCoverage
from stockctl.backtest.statistics import EquityPoint, Statistics
from stockctl.exchange.calendar import EXCHANGE, EXCHANGE_TIMEZONE, Calendar, trade_date
from stockctl.figures.sampling import Point
from stockctl.strategies.symbol_run import Decision

if TYPE_CHECKING:
    import pyarrow as pa


_FILLS = {
    "symbol": "text",
    "time": "time",
    "quantity": "count",
    "price": "number",
    "fee": "number",
    "slippage": "number",
    "record": "text",
    "gap": "flag",
}
_ROUND_TRIPS = {
    "symbol": "text",
    "opened": "time",
    "closed": "time",
    "shares": "count",
    "entry_price": "number",
    "exit_price": "number",
    "profit": "number",
    "fees": "number",
    "gap": "flag",
}
_DECISIONS = {
    "symbol": "text",
    "n": "count",
    "side": "text",
    "target": "number",
    "strength": "number",
    "reason": "text",
    "ts_decided": "time",
    "ts_event": "time",
    "record": "text",
    "inputs": "text",
}
_EQUITY = {
    "time": "time",
    "equity": "number",
    "drawdown": "number",
}


class SymbolResult(NamedTuple):
    """What the backtest of one symbol gave.

    ``equity`` has a point before the first order and one at each close. ``held`` is how much of ``span`` shares were held, in
    bars or in ms. ``open_shares`` are those that no fill has closed. ``prices`` are for the report: times in ms UTC with
    prices, as ``figures.sampling.SeriesSampler`` keeps them; none where no report is wanted. They and ``coverage`` are not in
    the hash.
    """

    symbol: str
    cash: float
    decisions: Sequence[Decision]
    fills: Sequence[Fill]
    round_trips: Sequence[RoundTrip]
    equity: Sequence[EquityPoint]
    held: float
    span: float
    open_shares: int = 0
    prices: Sequence[Point] = ()
    coverage: SymbolCoverage = SymbolCoverage()

    @classmethod
    def of(
        cls,
        account: Account,
        decisions: Sequence[Decision],
        fills: Sequence[Fill],
        equity: Sequence[EquityPoint],
        held: float,
        span: float,
        *,
        prices: Sequence[Point] = (),
        coverage: SymbolCoverage = SymbolCoverage(),  # noqa: B008  # it is immutable
    ) -> SymbolResult:
        """The result in ``account`` at the end."""
        return cls(
            *(account.symbol, account.start, decisions, fills, account.round_trips, equity, held, span, account.shares),
            prices=prices,
            coverage=coverage,
        )

    @property
    def hash(self) -> str:
        """The SHA-256 of the decisions and fills, in hexadecimal digits."""
        digest = hashlib.sha256()
        for decision in self.decisions:
            digest.update(repr((decision.record, decision.n, decision.side, decision.target)).encode() + b"\n")
        for fill in self.fills:
            digest.update(repr(tuple(fill)).encode() + b"\n")
        return digest.hexdigest()


@dataclass(frozen=True)
class BacktestResult:
    """The result of a backtest over all its symbols, in the order of their names.

    ``settings`` is what fills depend on, by name: fees, slippage and so on. ``notes`` are sentences for people.
    ``without_gaps`` and ``equity_without_gaps`` are the statistics and the equity without what was filled beside a gap in the
    feed, where something was. ``source`` names the file that the prices are from, if they are from one.
    """

    strategy: str
    version: str
    params: Mapping[str, Any]
    settings: Mapping[str, Any]
    symbols: Sequence[SymbolResult]
    statistics: Statistics
    notes: Sequence[str] = field(default=())
    without_gaps: Statistics | None = None
    equity_without_gaps: Sequence[EquityPoint] = ()
    source: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """The hash over the decisions and fills of all symbols, in hexadecimal digits."""
        return hash_of((one.symbol, one.hash) for one in self.symbols)

    def report(self, path: str | Path, *, command: str | None = None) -> None:
        """Write the report to the file ``path``, in place of what it holds: one HTML file that needs nothing else.

        ``command`` is shown as what makes the result again. UsageError if the file cannot be written.
        """
        from stockctl.backtest.report import report_html
        from stockctl.backtest.report_file import write_report

        write_report(Path(path), report_html(self, command=command))

    def _repr_html_(self) -> str:
        """The statistics and the equity, for a notebook."""
        from stockctl.backtest.report import summary_html

        return summary_html(self)

    @property
    def record(self) -> dict[str, Any]:
        """What was run, the statistics and the hash, in one record."""
        times = [one.equity[place].time for one in self.symbols if one.equity for place in (0, -1)]
        return {
            "strategy": self.strategy,
            "params": dict(self.params),
            "symbols": [one.symbol for one in self.symbols],
            "since": trade_date(min(times)) if times else None,
            "until": trade_date(max(times)) if times else None,
            "settings": dict(self.settings),
            **self.source,
            "decisions": sum(len(one.decisions) for one in self.symbols),
            "fills": sum(len(one.fills) for one in self.symbols),
            **self.statistics._asdict(),
            "version": self.version,
            "hash": self.hash,
        }

    @cached_property
    def fills(self) -> pa.Table:
        """Every fill, symbol by symbol in the order of time, with its costs in money."""
        return _table([fill._asdict() for one in self.symbols for fill in one.fills], _FILLS)

    @cached_property
    def round_trips(self) -> pa.Table:
        """Every round trip, symbol by symbol."""
        return _table([trip._asdict() for one in self.symbols for trip in one.round_trips], _ROUND_TRIPS)

    @cached_property
    def decisions(self) -> pa.Table:
        """Every decision, symbol by symbol in their order."""
        return _table([decision._asdict() for one in self.symbols for decision in one.decisions], _DECISIONS)

    @cached_property
    def equity(self) -> pa.Table:
        """The equity of all symbols together at each time at which one of them has a point, with the fall from its peak."""
        points = total_equity(self.symbols)
        falls: list[float] = []
        peak = 0.0
        for point in points:
            peak = max(peak, point.equity)
            falls.append(point.equity / peak - 1)
        rows = [{**point._asdict(), "drawdown": fall} for point, fall in zip(points, falls, strict=True)]
        return _table(rows, _EQUITY)


def hash_of(symbols: Iterable[tuple[str, str]]) -> str:
    """The hash of a result, from the symbols in the order of their names, each with its hash."""
    digest = hashlib.sha256()
    for symbol, one in symbols:
        digest.update(f"{symbol} {one}\n".encode())
    return digest.hexdigest()


def combine(
    strategy: str,
    version: str,
    params: Mapping[str, Any],
    settings: Mapping[str, Any],
    results: Iterable[SymbolResult],
    *,
    calendar: Calendar = EXCHANGE,
    notes: Sequence[str] = (),
) -> BacktestResult:
    """The result over the ``results`` of all symbols, in whatever order they come."""
    ordered = sorted(results, key=lambda one: one.symbol)
    return BacktestResult(strategy, version, params, settings, ordered, measure(ordered, calendar), notes)


def total_equity(results: Sequence[SymbolResult]) -> list[EquityPoint]:
    """The sum of the symbols' equity, at each time at which one of them has a point. Before its first, it has its cash."""
    if len(results) == 1:
        return list(results[0].equity)
    events = sorted((point.time, index, point.equity) for index, one in enumerate(results) for point in one.equity)
    latest = [one.cash for one in results]
    total: list[EquityPoint] = []
    for time, group in groupby(events, key=itemgetter(0)):
        for _, index, equity in group:
            latest[index] = equity
        # Not the built-in sum, which rounds otherwise before Python 3.12.
        total.append(EquityPoint(time, fsum(latest)))
    return total


def measure(results: Sequence[SymbolResult], calendar: Calendar = EXCHANGE) -> Statistics:
    """The statistics over all symbols; equity is sampled at the last point of each date."""
    points = statistics.daily(total_equity(results))
    start = fsum(one.cash for one in results)
    final = points[-1].equity if points else start
    year = statistics.samples_per_year(points, {calendar.hours(one.symbol) for one in results})
    equity = [point.equity for point in points]
    returns = statistics.returns_of(equity)
    annual = statistics.annual_return(returns, year)
    fall = statistics.max_drawdown(points)
    fills = [fill for one in results for fill in one.fills]
    profits = [trip.profit for one in results for trip in one.round_trips]
    span = fsum(one.span for one in results)
    return Statistics(
        start_equity=start,
        final_equity=final,
        total_return=final / start - 1 if start else 0.0,
        annual_return=annual,
        annual_volatility=statistics.volatility(returns, year),
        sharpe=statistics.sharpe(returns, year),
        sortino=statistics.sortino(returns, year),
        max_drawdown=fall.depth if fall else 0.0,
        drawdown_peak=trade_date(fall.peak) if fall else None,
        drawdown_trough=trade_date(fall.trough) if fall else None,
        drawdown_recovered=trade_date(fall.recovered) if fall and fall.recovered is not None else None,
        calmar=statistics.calmar(annual, fall.depth if fall else 0.0),
        exposure=fsum(one.held for one in results) / span if span else None,
        turnover=statistics.turnover([fill.quantity * fill.price for fill in fills], equity, len(returns) / year),
        round_trips=len(profits),
        win_rate=statistics.win_rate(profits),
        profit_factor=statistics.profit_factor(profits),
        fees=fsum(fill.fee for fill in fills),
        slippage=fsum(fill.slippage for fill in fills),
    )


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pa.Table:
    """``rows`` as an Arrow table with these columns, each with the name of its type."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "text": pa.string(),
        "time": pa.timestamp("ms", EXCHANGE_TIMEZONE),
        "count": pa.int64(),
        "number": pa.float64(),
        "flag": pa.bool_(),
    }
    return pa.Table.from_pylist(rows, pa.schema({name: types[kind] for name, kind in columns.items()}))
