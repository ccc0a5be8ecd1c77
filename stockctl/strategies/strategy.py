"""What a strategy is: a class that sees events of one symbol and yields signals.

A strategy decides from the events that it is given, its parameters and its own state. It never reads a clock, a file or the
network, draws no random numbers, and does not know its fills: then a backtest decides what the live service decided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict

Side = Literal["buy", "sell", "exit"]
SIDES: tuple[Side, ...] = get_args(Side)

REASON_LENGTH = 500
"""Most characters of a signal's reason."""


class Signal(NamedTuple):
    """A decision. ``buy``, ``sell`` and ``exit_`` make one.

    ``target`` is the position that the strategy wants, as a share of the symbol's account from -1 (short) to 1 (long); that of
    an exit is 0. ``strength`` is any number that the strategy gives, ``reason`` a sentence for people.
    """

    side: Side
    target: float = 0.0
    strength: float = 0.0
    reason: str = ""


def buy(target: float = 1.0, *, strength: float = 0.0, reason: str = "") -> Signal:
    """A signal to hold ``target`` of the account, more than before."""
    return Signal("buy", target, strength, reason)


def sell(target: float = -1.0, *, strength: float = 0.0, reason: str = "") -> Signal:
    """A signal to hold ``target`` of the account, less than before; below 0 is short."""
    return Signal("sell", target, strength, reason)


def exit_(*, strength: float = 0.0, reason: str = "") -> Signal:
    """A signal to close the position."""
    return Signal("exit", 0.0, strength, reason)


def signal_problem(signal: object) -> str | None:
    """Why ``signal`` is not a signal that can be recorded; None if it is one."""
    if not isinstance(signal, Signal):
        return f"it yielded {signal!r:.80}, which is not a Signal"
    if signal.side not in SIDES:
        return f"the side of its signal is {signal.side!r:.80}: it must be buy, sell or exit"
    for name, value, limit in (("target", signal.target, 1.0), ("strength", signal.strength, math.inf)):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"the {name} of its signal is {value!r:.80}, which is not a number"
        if not math.isfinite(value) or abs(value) > limit:
            return f"the {name} of its signal is {value!r}: it must be " + ("from -1 to 1" if limit == 1 else "finite")
    if signal.side == "exit" and signal.target != 0:
        return f"its exit has the target {signal.target!r}: that of an exit is 0"
    if not isinstance(signal.reason, str):
        return f"the reason of its signal is {signal.reason!r:.80}, which is not text"
    if len(signal.reason) > REASON_LENGTH:
        return f"the reason of its signal has {len(signal.reason)} characters: it must have at most {REASON_LENGTH}"
    if not signal.reason.isprintable():
        return f"the reason of its signal is {signal.reason!r:.80}: it must be one line without control characters"
    return None


class Bar(NamedTuple):
    """A bar ``[start, end)`` in ms UTC, made of the trades in the order in which they came.

    Open and close are of trades that update the last price, high and low of those that update the range. ``volume``, ``vwap``
    and ``trades`` are of trades that count under the policy ``standard``. A bar without a last price is left out.
    """

    symbol: str
    start: int
    end: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float
    trades: int


class Filing(NamedTuple):
    """A company's report. ``ts_known`` is when it was surely public, ``ts_stored`` when the lake got it (None: not recorded).

    Times are in ms UTC; ``figures`` are its standardized line items in the units of the report.
    """

    symbol: str
    accession: str
    form: str
    period_end: str
    ts_known: int
    ts_stored: int | None
    figures: Mapping[str, float]


class NoParams(BaseModel):
    """The parameters of a strategy that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Strategy:
    """The base of strategies. Each symbol and each trade date has an instance, which is first fed ``warmup_days`` dates before.

    Define any of these handlers, each of which yields signals (or returns None):

    - ``on_trade(self, trade: Trade)`` for each row of ``stockctl.records``, whatever its conditions are;
    - ``on_bar(self, bar: Bar)`` for each bar of the length ``every``, when a later trade closes it;
    - ``on_filing(self, filing: Filing)`` for each report, when it is known.
    """

    Params: ClassVar[type[BaseModel]] = NoParams
    every: str | None = None
    """Length of the bars, such as ``1m``; it divides a day evenly."""
    warmup_days: int = 0
    """Dates with trades that it must have seen before it may signal."""

    def __init__(self, params: BaseModel, symbol: str) -> None:
        self.params, self.symbol = params, symbol
