"""A backtest over finished bars, such as those of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stockctl.backtest.account import Account, Fill
from stockctl.backtest.costs import parse_fees, parse_slippage
from stockctl.backtest.fills.next_open import NextOpen
from stockctl.backtest.result import BacktestResult, SymbolResult, combine
from stockctl.backtest.statistics import EquityPoint
from stockctl.errors import UsageError
from stockctl.exchange.calendar import EXCHANGE, Calendar
from stockctl.figures import SeriesSampler
from stockctl.strategies import Bar
from stockctl.strategies.loading import LoadedStrategy
from stockctl.strategies.symbol_run import Decision, SymbolRun


class Terms(NamedTuple):
    """What fills depend on. ``cash`` is split equally over the symbols; fees and slippage are text, as ``costs`` parses it.

    With ``close_at_end``, what is open at the end is closed at the open of the last bar; otherwise it is valued at the close.
    """

    cash: float = 10_000.0
    fees: str = "none"
    slippage: str = "none"
    long_only: bool = False
    close_at_end: bool = False


def run_bars(
    strategy: LoadedStrategy,
    bars: Mapping[str, Sequence[Bar]],
    terms: Terms = Terms(),  # noqa: B008  # it is immutable
    *,
    calendar: Calendar = EXCHANGE,
) -> BacktestResult:
    """The backtest of ``strategy`` on ``bars`` by symbol: decided at a bar's close, filled at the next bar's open.

    UsageError for a strategy that sees no bars, and without a bar. StrategyError where its code fails.
    """
    if not hasattr(strategy.kind, "on_bar"):
        raise UsageError(f"the strategy {strategy.name} has no on_bar, and a file has bars alone", hint="leave out --bars")
    if not bars or not all(bars.values()):
        raise UsageError("a backtest needs bars of each symbol", hint="give at least one bar of each")
    results = [run_symbol_bars(strategy, symbol, each, terms, terms.cash / len(bars)) for symbol, each in bars.items()]
    notes = [
        f"{one.symbol}: its equity was lost; later decisions are not followed" for one in results if one.equity[-1].equity <= 0
    ]
    settings = {"fills": "next-open", **terms._asdict()}
    params = strategy.params.model_dump(mode="json")
    return combine(strategy.name, strategy.version, params, settings, results, calendar=calendar, notes=notes)


def run_symbol_bars(
    strategy: LoadedStrategy, symbol: str, bars: Sequence[Bar], terms: Terms, cash: float, *, keep_prices: bool = True
) -> SymbolResult:
    """The backtest of one symbol. A strategy does not see its fills, so all its decisions come first.

    Without ``keep_prices`` the result has no prices for figures.
    """
    decisions = SymbolRun(strategy, symbol).bars(bars)
    # Of several decisions on one bar, the last one is the position that the strategy wants.
    latest: dict[int, Decision] = {decision.position: decision for decision in decisions}
    account = Account(symbol, cash)
    orders = NextOpen(account, parse_fees(terms.fees), parse_slippage(terms.slippage), long_only=terms.long_only)
    fills: list[Fill | None] = []
    equity: list[EquityPoint] = []
    prices = SeriesSampler() if keep_prices else None
    held, is_lost = 0, False
    for index, bar in enumerate(bars):
        fills.append(orders.open(bar))
        if terms.close_at_end and index == len(bars) - 1:
            fills.append(orders.close_out(bar))
        if prices is not None:
            prices.add(bar.start, bar.open)
            prices.add(bar.end - 1, bar.close)
        value = account.equity(bar.close)
        # The last millisecond of the bar: its end is the next date where bars are days.
        equity.append(EquityPoint(bar.end - 1, value))
        held += account.shares != 0
        if value <= 0 and not is_lost:
            is_lost = True
            orders.decide(0.0, "loss")
        elif not is_lost and (decision := latest.get(index)) is not None:
            orders.decide(decision.target, decision.record)
    known = [fill for fill in fills if fill is not None]
    return SymbolResult.of(account, decisions, known, equity, held, len(bars), prices=prices.points() if prices else ())
