"""A backtest over bars: fills at the next open, costs, several symbols, and one hash."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.backtest.account import Fill
from stockctl.backtest.bars_run import Terms, run_bars
from stockctl.backtest.result import combine
from stockctl.errors import UsageError
from stockctl.strategies import Bar
from stockctl.strategies.loading import LoadedStrategy, load_strategy
from tests.backtest.waves import DAY, START, bar, walk, wave

PLAN = """
from stockctl.strategies import Bar, Signal, Strategy

class Plan(Strategy):
    def on_bar(self, bar: Bar):
        plan = {plan}
        for target in plan.get((bar.start - {start}) // {day}, ()):
            yield Signal("exit" if not target else "buy" if target > 0 else "sell", target)
"""
"""A strategy that decides by the number of the bar."""


@pytest.fixture
def planned(tmp_path: Path) -> type[Planner]:
    Planner.folder = tmp_path
    return Planner


class Planner:
    """Writes strategies: each decides on the bars of its plan."""

    folder: Path

    @classmethod
    def of(cls, plan: dict[int, list[float]]) -> LoadedStrategy:
        file = cls.folder / "plan.py"
        file.write_text(PLAN.format(plan=plan, start=START, day=DAY))
        return load_strategy(f"{file}:Plan")


BARS = [bar(0, 10.0, 10.0), bar(1, 11.0, 12.0), bar(2, 13.0, 14.0), bar(3, 15.0, 16.0)]


def fills_of(strategy: LoadedStrategy, bars: list[Bar], terms: Terms = Terms(1000.0)) -> list[tuple[int, int, float]]:  # noqa: B008  # immutable
    (symbol,) = run_bars(strategy, {"AAPL": bars}, terms).symbols
    return [((fill.time - START) // DAY, fill.quantity, fill.price) for fill in symbol.fills]


def test_an_order_fills_at_the_next_open(planned: type[Planner]) -> None:
    result = run_bars(planned.of({0: [1.0], 2: [0.0]}), {"AAPL": BARS}, Terms(1000.0))
    (symbol,) = result.symbols
    record = f"AAPL-{START}"
    assert symbol.fills[0] == Fill("AAPL", START + DAY, 90, 11.0, 0.0, 0.0, record)
    assert [(fill.quantity, fill.price) for fill in symbol.fills] == [(90, 11.0), (-90, 15.0)]
    assert [point.equity for point in symbol.equity] == [1000.0, 1090.0, 1270.0, 1360.0]
    assert (symbol.held, symbol.span, symbol.open_shares) == (2, 4, 0)
    assert result.statistics.exposure == 0.5


def test_a_decision_on_the_last_bar_is_not_filled(planned: type[Planner]) -> None:
    assert fills_of(planned.of({3: [1.0]}), BARS) == []


def test_what_is_open_at_the_end_is_valued_or_closed(planned: type[Planner]) -> None:
    strategy = planned.of({0: [1.0]})
    valued = run_bars(strategy, {"AAPL": BARS}, Terms(1000.0))
    assert (valued.statistics.final_equity, valued.statistics.round_trips, valued.symbols[0].open_shares) == (1450.0, 0, 90)
    closed = run_bars(strategy, {"AAPL": BARS}, Terms(1000.0, close_at_end=True))
    assert (closed.statistics.final_equity, closed.statistics.round_trips, closed.symbols[0].open_shares) == (1360.0, 1, 0)
    assert closed.symbols[0].fills[-1].record == "end"


def test_the_last_decision_on_a_bar_counts(planned: type[Planner]) -> None:
    assert fills_of(planned.of({0: [1.0, 0.5]}), BARS) == [(1, 45, 11.0)]


def test_a_reversal_is_one_fill(planned: type[Planner]) -> None:
    """Sized at the open: 90 shares are worth 1,170 there, and the cash is 10."""
    assert fills_of(planned.of({0: [1.0], 1: [-1.0]}), BARS) == [(1, 90, 11.0), (2, -90 - 90, 13.0)]


def test_long_only_exits_instead_of_going_short(planned: type[Planner]) -> None:
    terms = Terms(1000.0, long_only=True)
    assert fills_of(planned.of({0: [1.0], 1: [-1.0]}), BARS, terms) == [(1, 90, 11.0), (2, -90, 13.0)]
    assert fills_of(planned.of({0: [-1.0]}), BARS, terms) == []


def test_the_rest_of_an_order_waits(planned: type[Planner]) -> None:
    """A bar has 1,000 shares, of which 2 % are 20."""
    terms = Terms(1000.0, slippage="bps 0,2%")
    assert fills_of(planned.of({0: [1.0]}), BARS, terms) == [(1, 20, 11.0), (2, 20, 13.0), (3, 20, 15.0)]


def test_a_newer_decision_takes_the_place_of_an_order_that_waits(planned: type[Planner]) -> None:
    terms = Terms(1000.0, slippage="bps 0,2%")
    assert fills_of(planned.of({0: [1.0], 1: [0.0]}), BARS, terms) == [(1, 20, 11.0), (2, -20, 13.0)]


def test_fees_and_slippage_are_paid_and_counted(planned: type[Planner]) -> None:
    result = run_bars(planned.of({0: [1.0], 2: [0.0]}), {"AAPL": BARS}, Terms(1000.0, "per-share 0.01 min 2", "bps 100"))
    bought, sold = result.symbols[0].fills
    # 89 shares at 11.11 are 988.79, and 2 of fee; 90 would not be affordable.
    assert (bought.quantity, sold.quantity, bought.fee, sold.fee) == (89, -89, 2.0, 2.0)
    assert [bought.price, sold.price] == pytest.approx([11.11, 14.85])
    assert result.statistics.fees == 4.0
    assert result.statistics.slippage == pytest.approx(89 * (0.11 + 0.15))
    assert result.statistics.final_equity == pytest.approx(1000 + 89 * (14.85 - 11.11) - 4)


def test_a_lost_account_closes_and_stays_closed(planned: type[Planner]) -> None:
    bars = [bar(0, 10.0, 10.0), bar(1, 10.0, 25.0), bar(2, 26.0, 1.0), bar(3, 1.0, 1.0)]
    result = run_bars(planned.of({0: [-1.0], 1: [-1.0], 2: [1.0]}), {"AAPL": bars}, Terms(1000.0))
    (symbol,) = result.symbols
    assert [(fill.quantity, fill.price) for fill in symbol.fills] == [(-100, 10.0), (100, 26.0)]
    assert result.statistics.final_equity == -600.0
    assert result.statistics.annual_return == -1.0
    assert result.notes == ["AAPL: its equity was lost; later decisions are not followed"]


def test_symbols_have_accounts_of_their_own(planned: type[Planner]) -> None:
    bars = {"MSFT": [one._replace(symbol="MSFT") for one in BARS[1:]], "AAPL": BARS}
    result = run_bars(planned.of({1: [1.0]}), bars, Terms(2000.0))
    assert [one.symbol for one in result.symbols] == ["AAPL", "MSFT"]
    assert result.fills["quantity"].to_pylist() == [76, 76]
    assert result.statistics.start_equity == 2000.0
    # The first bar is of AAPL alone; MSFT has its cash.
    assert result.equity["equity"].to_pylist() == [2000.0, 2000.0, 2152.0, 2456.0]
    assert result.equity["drawdown"].to_pylist() == [0.0, 0.0, 0.0, 0.0]


def test_the_result_is_the_same_in_whatever_order_symbols_come() -> None:
    strategy = load_strategy("sma-cross", {"fast": 2, "slow": 5})
    bars = {name: [one._replace(symbol=name) for one in walk(seed)] for seed, name in enumerate("DCBA")}
    result = run_bars(strategy, bars)
    shuffled = list(result.symbols)
    random.Random(1).shuffle(shuffled)
    again = combine(result.strategy, result.version, result.params, result.settings, shuffled)
    assert (again.hash, again.statistics) == (result.hash, result.statistics)
    assert run_bars(strategy, dict(sorted(bars.items()))).hash == result.hash


@given(st.integers(1, 400), st.integers(0, 20))
def test_no_bar_after_a_decision_changes_it_or_the_fills_before(end: int, seed: int) -> None:
    """Cut at any bar: what came before it stays."""
    strategy = load_strategy("sma-cross", {"fast": 2, "slow": 5})
    bars = walk(seed)
    (whole,), (part,) = (run_bars(strategy, {"AAPL": each}).symbols for each in (bars, bars[:end]))
    assert [one for one in whole.decisions if one.position < end] == list(part.decisions)
    assert [fill for fill in whole.fills if fill.time <= bars[end - 1].start] == list(part.fills)
    assert list(whole.equity[:end]) == list(part.equity)


@given(
    st.integers(0, 1000),
    st.sampled_from(["none", "per-share 0.005 min 1", "bps 5"]),
    st.sampled_from(["none", "bps 5", "bps 5,1%", "volume-share 2.5%,0.1"]),
    st.booleans(),
)
def test_equity_is_cash_and_shares_less_costs(seed: int, fees: str, slippage: str, long_only: bool) -> None:
    bars = walk(seed, 100)
    terms = Terms(5000.0, fees, slippage, long_only)
    (symbol,) = run_bars(load_strategy("sma-cross", {"fast": 2, "slow": 5}), {"AAPL": bars}, terms).symbols
    cash, shares, left = 5000.0, 0, list(symbol.fills)
    for one, point in zip(bars, symbol.equity, strict=True):
        while left and left[0].time == one.start:
            fill = left.pop(0)
            cash -= fill.quantity * fill.price + fill.fee
            shares += fill.quantity
        assert point.equity == pytest.approx(cash + shares * one.close)
        assert shares >= 0 or not long_only
    assert not left


def test_what_cannot_be_run(planned: type[Planner]) -> None:
    with pytest.raises(UsageError, match="has no on_bar"):
        run_bars(load_strategy("vwap-reversion"), {"AAPL": wave()})
    nothing: list[dict[str, list[Bar]]] = [{}, {"AAPL": []}]
    for bars in nothing:
        with pytest.raises(UsageError, match="needs bars"):
            run_bars(planned.of({}), bars)


def test_the_tables_of_a_result(planned: type[Planner]) -> None:
    result = run_bars(planned.of({0: [1.0], 2: [0.0]}), {"AAPL": BARS}, Terms(1000.0))
    assert result.fills.num_rows == 2
    assert result.decisions["side"].to_pylist() == ["buy", "exit"]
    assert result.round_trips["profit"].to_pylist() == [360.0]
    assert str(result.fills.schema.field("time").type) == "timestamp[ms, tz=America/New_York]"
    empty = run_bars(planned.of({}), {"AAPL": BARS})
    assert empty.fills.schema == result.fills.schema
    assert (empty.fills.num_rows, empty.round_trips.num_rows, empty.decisions.num_rows, empty.equity.num_rows) == (0, 0, 0, 4)
    assert empty.statistics.sharpe is None
    assert empty.record["since"] == empty.record["until"].replace(day=25)
