"""What a backtest of the checked records earns if each decision takes effect later: a strategy that needs the very next price
earns nothing with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from stockctl.backtest.account import Account
from stockctl.backtest.check.tape import Tape
from stockctl.backtest.costs import FixedSlippage, NoFees
from stockctl.backtest.fills.next_open import NextOpen
from stockctl.backtest.fills.prints import FillRules, PrintFills
from stockctl.backtest.gaps import GapMarks
from stockctl.metrics.trade_policies import counts
from stockctl.records import Trade
from stockctl.strategies import Bar, Decision
from stockctl.strategies.bars import bar_length
from stockctl.units import format_percent

_CASH = 10_000.0
"""The default of ``backtest run``, for all symbols."""
_EVERY = "1m"
"""The bar of strategies that see none."""

_trade = msgspec.msgpack.Decoder(Trade)
_bar = msgspec.msgpack.Decoder(Bar)


class Delay(NamedTuple):
    """Decisions take effect this many records and this many ms later."""

    name: str
    records: int
    ms: int


def returns_by_delay(
    tapes: Sequence[Tape], decisions: Mapping[str, Sequence[Decision]], every: str | None
) -> dict[str, float] | None:
    """The total return without a delay (named by the empty text) and with each, as fractions; None if nothing was filled.

    The terms are the defaults of ``backtest run``. ``every`` is the length of a bar. Over
    finished bars, a bar is the only delay.
    """
    if all(tape.bars for tape in tapes):
        delays = [Delay("", 0, 0), Delay("a bar", 1, 0)]
        equity: Callable[..., tuple[float, bool]] = _over_bars
    else:
        length = every or _EVERY
        delays = [Delay("", 0, 0), Delay("a print", 1, 0), Delay("a second", 0, 1000)]
        delays.append(Delay(f"a bar of {length}", 0, bar_length(length)))
        equity = _over_trades
    found = {}
    for delay in delays:
        ends = [equity(tape, Account(tape.symbol, _CASH / len(tapes)), decisions[tape.symbol], delay) for tape in tapes]
        if not delay.name and not any(has_filled for _, has_filled in ends):
            return None
        found[delay.name] = sum(end for end, _ in ends) / _CASH - 1
    return found


def describe(returns: Mapping[str, float] | None) -> str:
    """``returns`` in words."""
    if returns is None:
        return "no order would be filled"
    (_, undelayed), *others = returns.items()
    later = ", ".join(f"{format_percent(100 * value)} {name} later" for name, value in others)
    return f"total return {format_percent(100 * undelayed)}; if decisions take effect later: {later}"


def _over_trades(tape: Tape, account: Account, decisions: Sequence[Decision], delay: Delay) -> tuple[float, bool]:
    """The equity at the last price that was formed, and whether anything was filled."""
    fills = PrintFills(account, FillRules(), GapMarks())
    waiting = list(decisions)[::-1]
    start, price = 0, 0.0
    for day in tape.span:
        trades = [_trade.decode(raw) for raw in day.trades]
        end = start + len(trades)
        taken = []
        while waiting and waiting[-1].position + delay.records < end:
            one = waiting.pop()
            at = one.ts_decided + delay.ms
            if delay.records:
                # It is decided when that record is there.
                record = trades[one.position + delay.records - start]
                at = max(at, record.ts_event if record.source == "replay" else record.ts_recv)
            taken.append(one._replace(position=one.position + delay.records - start, ts_decided=at))
        fills.feed(trades, taken)
        price = next((one.price for one in reversed(trades) if _forms_price(one)), price)
        start = end
    fills.end()
    return account.equity(price), bool(fills.fills)


def _forms_price(trade: Trade) -> bool:
    return trade.volume > 0 and counts("price-forming", trade.conditions, trade.updates)


def _over_bars(tape: Tape, account: Account, decisions: Sequence[Decision], delay: Delay) -> tuple[float, bool]:
    """The equity at the last close, and whether anything was filled."""
    orders = NextOpen(account, NoFees(), FixedSlippage())
    latest = {one.position + delay.records: one for one in decisions}
    has_filled, close = False, 0.0
    for index, raw in enumerate(tape.bars):
        bar = _bar.decode(raw)
        has_filled |= orders.open(bar) is not None
        if index in latest:
            orders.decide(latest[index].target, latest[index].record)
        close = bar.close
    return account.equity(close), has_filled
