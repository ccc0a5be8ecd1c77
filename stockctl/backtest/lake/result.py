"""The result of a backtest over the lake: beside that of every backtest, what the feed missed and which claims were read."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from stockctl.backtest.fills.prints import OrderCounts
from stockctl.backtest.gaps import SymbolCoverage
from stockctl.backtest.result import BacktestResult, SymbolResult
from stockctl.backtest.statistics import Statistics
from stockctl.lake.reader.log_order import ReadClaims
from stockctl.units import counted, format_percent

if TYPE_CHECKING:
    import pyarrow as pa


class SymbolOutcome(NamedTuple):
    """What the run of one symbol gave. ``clean`` is its result without the round trips that have a fill beside a gap.

    ``marked`` says of each decision whether it lies beside a gap; ``days`` are those with rows, and on the ``muted`` ones too
    few came before. ``unproven`` are the reasons why the order may not be that of the log. ``undated`` filings were left out.
    """

    result: SymbolResult
    clean: SymbolResult
    marked: Sequence[bool]
    orders: OrderCounts
    days: Sequence[date]
    muted: Sequence[date]
    sources: frozenset[str]
    claims: Sequence[ReadClaims]
    unproven: Sequence[str]
    undated: int
    lost: bool


@dataclass(frozen=True)
class LakeResult(BacktestResult):
    """The result of a backtest over the lake.

    ``coverage`` is by symbol, empty where gaps are ignored. ``without_gaps`` are the statistics without the round trips that
    have a fill beside a gap; None where there is none.
    """

    outcomes: Sequence[SymbolOutcome] = ()
    coverage: dict[str, SymbolCoverage] | None = None
    without_gaps: Statistics | None = None

    @property
    def coverage_percent(self) -> float | None:
        """Session time that the feed covered, in percent; None where no time was expected, or gaps are ignored."""
        found = (self.coverage or {}).values()
        return SymbolCoverage(sum(one.covered for one in found), sum(one.expected for one in found)).percent

    @property
    def decisions_beside_gaps(self) -> int:
        """Decisions that were made in a gap, or are the first after one."""
        return sum(sum(one.marked) for one in self.outcomes)

    @property
    def fills_beside_gaps(self) -> int:
        """Fills of such decisions, and those with a gap between decision and fill."""
        return sum(fill.gap for one in self.outcomes for fill in one.result.fills)

    @property
    def claims(self) -> int:
        """Claims that were read."""
        return sum(read.claims for one in self.outcomes for read in one.claims)

    @cached_property
    def claims_hash(self) -> str:
        """The SHA-256 of which claims were read, by symbol, in hexadecimal digits."""
        read = [(one.result.symbol, [tuple(claims) for claims in one.claims]) for one in self.outcomes]
        return hashlib.sha256(repr(read).encode()).hexdigest()

    @property
    def half_spreads(self) -> dict[str, float]:
        """By symbol, the median of the half spreads that its orders paid, in the currency of the price."""
        paid = {one.result.symbol: [half or 0.0 for half in one.orders.half_spreads] for one in self.outcomes}
        return {symbol: median(halves) for symbol, halves in paid.items() if halves}

    @property
    def record(self) -> dict[str, Any]:
        """The record of the backtest, with what the feed missed."""
        record = super().record
        version, whole = record.pop("version"), record.pop("hash")
        return record | {
            "half_spreads": self.half_spreads,
            "coverage": self.coverage_percent,
            "decisions_beside_gaps": self.decisions_beside_gaps,
            "fills_beside_gaps": self.fills_beside_gaps,
            "without_gaps": None if self.without_gaps is None else self.without_gaps._asdict(),
            "claims": self.claims,
            "claims_hash": self.claims_hash,
            "version": version,
            "hash": whole,
        }

    @cached_property
    def decisions(self) -> pa.Table:
        """Every decision, symbol by symbol in their order; ``gap`` says whether it lies beside one."""
        import pyarrow as pa

        marked = [gap for one in self.outcomes for gap in one.marked]
        return super().decisions.append_column("gap", pa.array(marked, pa.bool_()))


def notes_of(outcomes: Sequence[SymbolOutcome]) -> Iterator[str]:
    """What a reader of the result must know, in sentences."""
    for one in outcomes:
        symbol = one.result.symbol
        if not one.days:
            yield f"{symbol}: the lake has no trades of it in these dates; its share of the cash lies idle"
        if one.muted:
            yield (
                f"{symbol}: no signals on {counted(len(one.muted), 'date')} from {one.muted[0]} on, "
                "because fewer dates with trades come before than the strategy needs"
            )
        if one.lost:
            yield f"{symbol}: its equity was lost; later decisions are not followed"
        if one.undated:
            yield f"{symbol}: {counted(one.undated, 'filing')} without a time at which to show it left out"
    if any("replay" in one.sources for one in outcomes):
        yield "replayed history has no receipts: a record counts as received at the newest trade time before it in the log"
    for reason in dict.fromkeys(reason for one in outcomes for reason in one.unproven):
        yield f"the order is not proven to be that of the log: {reason}"
    orders: Counter[str] = Counter()
    for one in outcomes:
        counts = one.orders
        orders.update(
            {
                "left unfilled, in whole or in part": counts.orders - counts.filled - counts.below_a_share,
                "for less than a share": counts.below_a_share,
                "without half a spread, as no price had changed before": sum(half is None for half in counts.half_spreads),
            }
        )
    total = sum(one.orders.orders for one in outcomes)
    for what, count in orders.items():
        if count:
            yield f"{count} of {counted(total, 'order')} ({format_percent(100 * count / total)}) {what}"
