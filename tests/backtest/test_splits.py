"""Splits: a position has other shares and the same value, and a jump that looks like one is named."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.backtest.account import Account, Fill
from stockctl.backtest.splits import check_jump, parse_splits
from stockctl.errors import UnhealthyError, UsageError


def filled(*fills: tuple[int, float]) -> Account:
    account = Account("AAPL", 100_000)
    for time, (quantity, price) in enumerate(fills):
        account.fill(Fill("AAPL", time, quantity, price))
    return account


def test_a_split_changes_the_shares_and_not_the_value() -> None:
    account = filled((10, 400.0), (5, 500.0))
    account.split(4, 125.0, 2)
    assert (account.shares, account.cash, account.equity(125.0)) == (60, 93_500.0, 101_000.0)
    account.fill(Fill("AAPL", 3, -60, 125.0))
    (trip,) = account.round_trips
    assert (trip.shares, trip.exit_price, trip.profit) == (60, 125.0, 1000.0)
    assert trip.entry_price == pytest.approx(6500 / 60)
    assert account.cash == 101_000.0


def test_a_fraction_of_a_share_is_paid_in_cash() -> None:
    account = filled((105, 2.0))
    account.split(1 / 10, 20.0, 1)
    assert account.shares == 10
    assert account.cash == pytest.approx(100_000 - 210 + 10)
    assert account.equity(20.0) == pytest.approx(100_000)
    few = filled((-5, 2.0))
    few.split(1 / 10, 30.0, 1)
    assert few.shares == 0
    assert few.cash == pytest.approx(100_000 - 5)
    assert few.round_trips[0].profit == pytest.approx(-5)


@given(
    st.lists(st.tuples(st.integers(-300, 300).filter(bool), st.floats(1, 500)), max_size=8),
    st.sampled_from([2.0, 4.0, 1.5, 1 / 3, 1 / 10, 20.0]),
    st.floats(0.5, 500),
)
def test_the_equity_stays_and_profits_add_up(fills: list[tuple[int, float]], ratio: float, price: float) -> None:
    account = filled(*fills)
    before, held = account.equity(price * ratio), account.shares
    account.split(ratio, price, 9)
    assert account.equity(price) == pytest.approx(before)
    assert abs(account.shares - held * ratio) < 1
    if account.shares:
        account.fill(Fill("AAPL", 10, -account.shares, price))
    assert account.cash == pytest.approx(before)
    assert sum(trip.profit for trip in account.round_trips) == pytest.approx(before - 100_000, abs=1e-6)


def test_splits_as_people_write_them(tmp_path: Path) -> None:
    file = tmp_path / "splits.csv"
    file.write_text("symbol,date,ratio\nNVDA,2024-06-10,10\nGE,2021-08-02,1/8\n")
    assert parse_splits(["AAPL=2020-08-31:4", "BINANCE:X=2020-01-02:1.5", str(file)]) == {
        "AAPL": {date(2020, 8, 31): 4.0},
        "BINANCE:X": {date(2020, 1, 2): 1.5},
        "NVDA": {date(2024, 6, 10): 10.0},
        "GE": {date(2021, 8, 2): 0.125},
    }
    assert parse_splits(["ignore"]) is None
    assert parse_splits([]) == {}


@pytest.mark.parametrize(
    "text", ["AAPL=2020-08-31", "AAPL=2020-13-31:4", "AAPL=2020-08-31:0", "=2020-08-31:4", "AAPL=2020-08-31:4:1"]
)
def test_what_is_no_split_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="is no split"):
        parse_splits([text])


def test_a_file_of_splits_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "splits.csv"
    file.write_text("symbol,date,ratio\nNVDA,2024-06-10,10\nGE,2021-08-02\n")
    with pytest.raises(UsageError, match=r"splits.csv, line 3' is no split"):
        parse_splits([str(file)])
    with pytest.raises(UsageError, match="cannot read"):
        parse_splits([str(tmp_path / "none.csv")])
    with pytest.raises(UsageError, match="excludes"):
        parse_splits(["ignore", str(file)])


@pytest.mark.parametrize(("last", "first", "ratio"), [(500.0, 126.0, "4"), (1.0, 9.9, "1/10")])
def test_a_jump_that_looks_like_a_split_is_named(last: float, first: float, ratio: str) -> None:
    before, day = date(2020, 8, 28), date(2020, 8, 31)
    with pytest.raises(UnhealthyError, match="between 2020-08-28 and 2020-08-31, which looks like a split") as found:
        check_jump("AAPL", last, before, first, day)
    assert f"--splits AAPL=2020-08-31:{ratio}" in (found.value.hint or "")
    check_jump("AAPL", last, before, last * 1.3, day)
