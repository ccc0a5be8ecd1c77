"""What the result of a backtest over the lake depends on beside the strategy and the trades, as people write it."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, get_args

from stockctl.backtest.costs import parse_fees, parse_slippage
from stockctl.backtest.fills.prints import FILLS_AT, LATENCY_MS, FillRules
from stockctl.backtest.fills.spread import parse_spread
from stockctl.backtest.gaps import GAP_POLICIES
from stockctl.errors import UsageError, quoted
from stockctl.strategies.lake_filings import FilingTime
from stockctl.units import format_duration, parse_duration

FILING_TIMES: tuple[FilingTime, ...] = get_args(FilingTime)
"""When a strategy sees a filing: when it was surely public, or when it was put into the lake."""

Order = Literal["log", "event"]
ORDERS: tuple[Order, ...] = get_args(Order)
"""The order of trades: that of Kafka's log, or by the time of the trade, which nobody had."""

_SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(%?)", re.ASCII)


class LakeTerms(NamedTuple):
    """The terms of a backtest over the lake. ``cash`` is split equally over the symbols.

    ``fees``, ``slippage``, ``spread``, ``latency`` (None: the default of ``fills``), ``participation`` and each of ``splits``
    are text, as the command takes it.
    """

    cash: float = 10_000.0
    fees: str = "none"
    slippage: str = "none"
    spread: str = "estimate"
    latency: str | None = None
    participation: str = "10%"
    fills: str = "prints"
    long_only: bool = False
    gaps: str = "mark"
    filing_time: str = "known"
    splits: tuple[str, ...] = ()
    order: str = "log"

    def rules(self) -> FillRules:
        """The rules of fills. UsageError if a term is not one of those that exist, or is written wrongly."""
        for name, value, known in (
            ("fills", self.fills, FILLS_AT),
            ("gaps", self.gaps, GAP_POLICIES),
            ("filing_time", self.filing_time, FILING_TIMES),
            ("order", self.order, ORDERS),
        ):
            if value not in known:
                raise UsageError(f"{quoted(value)} is no value of {name}", hint=f"{name} is one of {', '.join(known)}")
        return FillRules(
            at=next(at for at in FILLS_AT if at == self.fills),
            latency_ms=None if self.latency is None else _latency(self.latency),
            participation=_participation(self.participation),
            spread=parse_spread(self.spread),
            fees=parse_fees(self.fees),
            slippage=parse_slippage(self.slippage),
            long_only=self.long_only,
        )

    @property
    def written(self) -> dict[str, str | float | bool]:
        """The terms by name, for the result: the default latency in words, and the splits as one text."""
        terms = self._asdict() | {"splits": ", ".join(self.splits) or "none"}
        if self.latency is None and self.fills in LATENCY_MS:
            terms["latency"] = format_duration(self.rules().latency / 1000)
        return terms


def _latency(text: str) -> int:
    try:
        return round(parse_duration(text) * 1000)
    except ValueError as error:
        raise UsageError(f"latency: {error}", hint="use 0s, 500ms, 2s or 10m") from None


def _participation(text: str) -> float:
    match = _SHARE.fullmatch(text.strip())
    share = 0.0 if match is None else float(match[1]) / (100 if match[2] else 1)
    if not 0 < share <= 1:
        raise UsageError(f"{quoted(text)} is no share of a print's volume", hint="write 10% or 0.1: more than 0, at most 1")
    return share
