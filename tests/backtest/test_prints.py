"""Fills on prints: no order is filled by a trade that it could not have met, or by more of it than its share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.backtest.account import Account
from stockctl.backtest.costs import FeePerShare, parse_slippage
from stockctl.backtest.fills.prints import FillRules, PrintFills
from stockctl.backtest.fills.spread import Spread, estimate, parse_spread
from stockctl.backtest.gaps import GapMarks, MissedTime
from stockctl.errors import UsageError
from stockctl.records import Trade
from stockctl.strategies.strategy import Side
from stockctl.strategies.symbol_run import Decision
from tests.lakes import at, trade

OPEN = at("2026-11-23 10:00:00")
NO_SPREAD = Spread(amount=0.0)


def decision(trades: Sequence[Trade], position: int, target: float, **other: Any) -> Decision:
    """A decision on ``trades[position]``."""
    record = trades[position]
    side: Side = "exit" if target == 0 else "buy" if target > 0 else "sell"
    fields: dict[str, Any] = {"n": 0, "ts_decided": record.ts_recv} | other
    return Decision(
        *("AAPL", fields["n"], side, target, 0.0, "", fields["ts_decided"], record.ts_event, record.id, "", position),
    )


def tape(*rows: tuple[float, float] | tuple[float, float, str], every: int = 1000) -> list[Trade]:
    """Trades, each a second after the one before: price, volume, and condition codes."""
    return [trade("AAPL", OPEN + index * every, *row) for index, row in enumerate(rows)]


def run(
    trades: Sequence[Trade], decisions: Sequence[Decision], cash: float = 1000.0, gaps: Sequence[MissedTime] = (), **rules: Any
) -> PrintFills:
    """The fills of ``decisions`` on ``trades``."""
    fills = PrintFills(Account("AAPL", cash), FillRules(**{"spread": NO_SPREAD} | rules), GapMarks(gaps))
    fills.feed(trades, decisions)
    fills.end()
    return fills


def shares(fills: PrintFills) -> list[tuple[int, float]]:
    return [(fill.quantity, fill.price) for fill in fills.fills]


def test_an_order_takes_its_share_of_later_prints_and_the_rest_waits() -> None:
    trades = tape((100, 1000), (100, 50), (101, 20), (99, 1000), (99, 1000))
    assert shares(run(trades, [decision(trades, 0, 1.0)])) == [(5, 100.0), (2, 101.0), (3, 99.0)]


def test_what_the_account_can_no_longer_pay_waits() -> None:
    trades = tape((100, 1000), (100, 50), (125, 1000), (100, 1000), (100, 1000))
    fills = run(trades, [decision(trades, 0, 1.0)])
    assert shares(fills) == [(5, 100.0), (4, 125.0)]  # 500 of cash buys 4 at 125; then nothing is left for the tenth
    assert fills.account.cash == 0
    assert (fills.counts.orders, fills.counts.filled, fills.counts.partly) == (1, 0, 1)


def test_the_deciding_print_and_those_within_the_latency_fill_nothing() -> None:
    trades = tape((100, 10_000), (101, 10_000), (102, 10_000), every=300)
    # Decided 50 ms after the first: the second is 250 ms later, the third 550.
    assert shares(run(trades, [decision(trades, 0, 1.0)])) == [(9, 102.0)]
    assert shares(run(trades, [decision(trades, 0, 1.0)], latency_ms=550)) == []
    assert shares(run(trades, [decision(trades, 0, 1.0)], latency_ms=0)) == [(9, 101.0)]


def test_a_print_that_was_traded_before_and_came_later_fills_nothing() -> None:
    trades = tape((100, 10_000), (100, 10_000))
    late = trade("AAPL", OPEN - 5000, 90, 10_000, ts_recv=OPEN + 1500)
    ahead = trade("AAPL", OPEN + 86_400_000, 95, 10_000, ts_recv=OPEN + 400)
    trades = [trades[0], late, ahead, trades[1]]
    assert shares(run(trades, [decision(trades, 0, 1.0)])) == [(10, 100.0)]


@pytest.mark.parametrize("codes", ["12", "24", "21", "16", "1,37"])
def test_a_print_that_forms_no_price_fills_nothing(codes: str) -> None:
    trades = tape((100, 1000), (90, 10_000, codes), (90, 0), (100, 10_000))
    assert shares(run(trades, [decision(trades, 0, 1.0)])) == [(10, 100.0)]


def test_a_newer_decision_replaces_what_waits_and_an_equal_one_does_not() -> None:
    trades = tape((100, 100), (100, 30), (100, 30), (100, 1000), (100, 1000))
    fills = run(trades, [decision(trades, 0, 1.0), decision(trades, 1, 1.0), decision(trades, 2, 0.0)])
    # The second decision leaves the order with its 500 ms; the print that is decided on fills the older order.
    assert shares(fills) == [(3, 100.0), (3, 100.0), (-6, 100.0)]
    assert (fills.counts.orders, fills.counts.filled, fills.counts.partly) == (2, 1, 1)


def test_a_reversal_sells_what_is_held_and_goes_short() -> None:
    trades = tape((100, 100), (100, 10_000), (100, 10_000), (50, 10_000), (50, 10_000))
    decisions = [decision(trades, 0, 1.0), decision(trades, 1, -1.0), decision(trades, 3, 0.0)]
    assert shares(run(trades, decisions)) == [(10, 100.0), (-20, 100.0), (10, 50.0)]
    assert shares(run(trades, decisions, long_only=True)) == [(10, 100.0), (-10, 100.0)]


def test_auctions_are_filled_at_their_trades_alone() -> None:
    rows = [
        ("09:20:00", 99.0, 5000, "24"),
        ("09:30:00", 98.0, 5000, "1"),
        ("09:30:01", 100.0, 200, "18"),
        ("09:30:02", 97.0, 5000, "1"),
    ]
    rows += [
        ("15:49:00", 90.0, 5000, "1"),
        ("15:55:00", 91.0, 100, "1"),
        ("16:00:00", 92.0, 100, "16"),
        ("16:00:05", 93.0, 100, "1,35"),
    ]
    trades = [trade("AAPL", f"2026-11-23 {moment}", price, volume, codes) for moment, price, volume, codes in rows]
    bought = run(trades, [decision(trades, 0, 1.0)], at="open-auction")
    assert shares(bought) == [(10, 100.0)]
    assert shares(run(trades, [decision(trades, 4, 1.0)], at="close-auction")) == [(10, 93.0)]
    # The exchange takes no orders for the closing auction five minutes before it.
    assert shares(run(trades, [decision(trades, 5, 1.0)], at="close-auction")) == []
    # Half a spread is not paid in an auction, where all trade at one price.
    assert shares(run(trades, [decision(trades, 0, 1.0)], at="open-auction", spread=Spread(amount=1.0))) == [(10, 100.0)]


def test_half_the_spread_slippage_and_fees_are_paid() -> None:
    trades = tape((100, 100), (100, 40), (100, 10_000), (100, 10_000), (100, 10_000))
    rules: dict[str, Any] = {
        "spread": Spread(amount=0.2),
        "fees": FeePerShare(0.005, 1.0),
        "slippage": parse_slippage("bps 10"),
    }
    fills = run(trades, [decision(trades, 0, 1.0), decision(trades, 3, 0.0)], **rules)
    assert [fill.quantity for fill in fills.fills] == [4, 5, -9]
    assert [fill.price for fill in fills.fills] == pytest.approx([100.1 * 1.001, 100.1 * 1.001, 99.9 * 0.999])
    assert [fill.fee for fill in fills.fills] == [1.0, 0.0, 1.0]  # the least amount once an order
    assert [fill.slippage for fill in fills.fills] == pytest.approx([4 * 0.2001, 5 * 0.2001, 9 * 0.1999])
    assert fills.account.slippage == pytest.approx(18 * 0.2)


def test_the_spread_is_estimated_from_prints_before_the_decision() -> None:
    rows = [(100.0 + 0.04 * (index % 2), 100.0) for index in range(20)]
    trades = tape(*rows, (100, 10_000), (107, 10_000), (100, 10_000))
    fills = run(trades, [decision(trades, 20, 1.0)], spread=Spread())
    assert fills.counts.half_spreads == pytest.approx([0.02])
    assert fills.fills[0].price == pytest.approx(107.02)
    assert estimate([100.0, 100.0]) is None
    # The estimate does not depend on how the records are cut.
    parts = PrintFills(Account("AAPL", 1000), FillRules(), GapMarks())
    parts.feed(trades[:7], [])
    parts.feed(trades[7:13], [])
    parts.feed(trades[13:], [decision(trades, 20, 1.0)._replace(position=7)])
    assert parts.fills == fills.fills


@pytest.mark.parametrize(
    ("text", "spread"),
    [("none", Spread(0.0)), ("0.02", Spread(0.02)), ("BPS 3", Spread(points=3.0)), ("estimate", Spread())],
)
def test_a_spread_as_people_write_it(text: str, spread: Spread) -> None:
    assert parse_spread(text) == spread


@pytest.mark.parametrize("text", ["", "-1", "bps", "bps 10000", "1 2", "nan"])
def test_what_is_no_spread_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="is no spread"):
        parse_spread(text)


def test_decisions_and_fills_beside_a_gap_are_marked() -> None:
    trades = tape(*[(100, 10_000)] * 12)
    gap = MissedTime(OPEN + 3200, OPEN + 5200, "no feed events")
    decisions = [decision(trades, index, target) for index, target in ((0, 0.5), (3, 1.0), (6, 0.0), (8, 0.5), (10, 0.0))]
    trades = [*trades[:4], *trades[6:]]  # nothing came in the gap
    decisions = [one._replace(position=one.position if one.position < 4 else one.position - 2) for one in decisions]
    fills = run(trades, decisions, gaps=[gap])
    assert fills.marked == [False, False, True, False, False]
    assert [fill.gap for fill in fills.fills] == [False, True, True, False, False]


PRINTS = st.lists(
    st.tuples(
        st.integers(0, 900),
        st.integers(90_00, 110_00).map(lambda cents: cents / 100),
        st.integers(0, 500),
        st.sampled_from(["1", "", "12", "24", "35", "16"]),
        st.integers(-2000, 200),
    ),
    min_size=1,
    max_size=60,
)
DECISIONS = st.lists(st.tuples(st.integers(0, 59), st.sampled_from([-1.0, -0.5, 0.0, 0.3, 1.0])), max_size=12)


@given(PRINTS, DECISIONS, st.integers(0, 2000), st.sampled_from([0.05, 0.1, 0.29, 1.0]), st.booleans(), st.integers(1, 60))
def test_no_fill_that_nobody_could_have_had(
    rows: list[tuple[int, float, int, str, int]],
    wanted: list[tuple[int, float]],
    latency: int,
    participation: float,
    long_only: bool,
    cut: int,
) -> None:
    trades, now = [], OPEN
    for gap, price, volume, codes, late in rows:
        now += gap
        trades.append(trade("AAPL", now + late, price, float(volume), codes, ts_recv=now + 50))
    positions = {index % len(trades): target for index, target in wanted}
    decisions = [decision(trades, index, positions[index]) for index in sorted(positions)]
    rules: dict[str, Any] = {"latency_ms": latency, "participation": participation, "long_only": long_only}
    fills = run(trades, decisions, 20_000.0, **rules)

    by_record = {one.record: one for one in decisions}
    places = {id(one): index for index, one in enumerate(trades)}
    used: Counter[int] = Counter()
    remaining = list(trades)
    held = 0
    for fill in fills.fills:
        decided = by_record[fill.record]
        # The print that filled it: of those not yet passed with this time and price, the first that has so many shares left.
        same = [one for one in remaining if min(one.ts_event, one.ts_recv) == fill.time and one.price == fill.price]
        shares = abs(fill.quantity) - 1e-6
        printed = next((one for one in same if used[id(one)] + shares <= participation * one.volume), same[0])
        remaining = remaining[remaining.index(printed) :]
        assert places[id(printed)] > decided.position
        assert fill.time > decided.ts_decided + latency
        used[id(printed)] += abs(fill.quantity)
        assert used[id(printed)] <= participation * printed.volume + 1e-6
        held += fill.quantity
        assert not long_only or held >= 0
    assert held == fills.account.shares
    assert len(fills.marked) == len(decisions)

    # However the records are cut, and whatever comes after a fill, it is the same.
    cut = min(cut, len(trades))
    parts = PrintFills(Account("AAPL", 20_000.0), FillRules(**rules, spread=NO_SPREAD), GapMarks())
    parts.feed(trades[:cut], [one for one in decisions if one.position < cut])
    early = list(parts.fills)
    assert early == fills.fills[: len(early)]
    parts.feed(trades[cut:], [one._replace(position=one.position - cut) for one in decisions if one.position >= cut])
    assert parts.fills == fills.fills
