"""The account of a symbol: what goes in comes out, whole shares, and never more than the target."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.backtest.account import Account, Fill, RoundTrip
from stockctl.backtest.costs import Fees, parse_fees
from stockctl.errors import UsageError

PRICES = st.floats(0.01, 10_000)
QUANTITIES = st.integers(-1000, 1000).filter(bool)
FILLS = st.lists(st.tuples(QUANTITIES, PRICES, st.floats(0, 10)), max_size=30)
FEES = st.sampled_from(["none", "per-share 0.005 min 1", "bps 5", "bps 500", "per-share 0.01 min 25"]).map(parse_fees)


def filled(*fills: tuple[int, float, float], cash: float = 10_000) -> Account:
    account = Account("AAPL", cash)
    for time, (quantity, price, fee) in enumerate(fills):
        account.fill(Fill("AAPL", time, quantity, price, fee))
    return account


def test_a_round_trip() -> None:
    account = filled((100, 10.0, 1.0), (-100, 12.0, 1.0))
    assert account.round_trips == [RoundTrip("AAPL", 0, 1, 100, 10.0, 12.0, 198.0, 2.0, False)]
    assert (account.cash, account.shares, account.fees, account.equity(99.0)) == (10_198.0, 0, 2.0, 10_198.0)
    assert account.round_trips[0].price_return == pytest.approx(0.2)


def test_a_short_round_trip_earns_when_the_price_falls() -> None:
    account = filled((-100, 10.0, 0.0))
    assert (account.cash, account.equity(10.0), account.equity(9.0)) == (11_000.0, 10_000.0, 10_100.0)
    account.fill(Fill("AAPL", 1, 100, 9.0))
    (trip,) = account.round_trips
    assert (trip.shares, trip.profit) == (-100, 100.0)
    assert trip.price_return == pytest.approx(0.1)


def test_one_fill_that_reverses_ends_a_round_trip_and_begins_another() -> None:
    account = filled((100, 10.0, 1.0), (-150, 11.0, 3.0))
    assert account.round_trips == [RoundTrip("AAPL", 0, 1, 100, 10.0, 11.0, 97.0, 3.0, False)]
    account.fill(Fill("AAPL", 2, 50, 11.0, gap=True))
    assert account.round_trips[1] == RoundTrip("AAPL", 1, 2, -50, 11.0, 11.0, -1.0, 1.0, True)


def test_parts_of_a_position_are_one_round_trip_with_average_prices() -> None:
    account = filled((100, 10.0, 0.0), (100, 12.0, 0.0), (-50, 13.0, 0.0), (-150, 15.0, 0.0))
    assert account.round_trips == [RoundTrip("AAPL", 0, 3, 200, 11.0, 14.5, 700.0, 0.0, False)]


def test_shares_are_closed_first_in_first_out() -> None:
    account = filled((100, 10.0, 0.0), (100, 20.0, 0.0), (-100, 20.0, 0.0))
    assert (account.shares, account.cash, account.equity(20.0)) == (100, 9_000.0, 11_000.0)


@pytest.mark.parametrize("cash", [0, -1, math.inf, math.nan])
def test_an_account_needs_cash(cash: float) -> None:
    with pytest.raises(UsageError, match="an account needs cash"):
        Account("AAPL", cash)


@pytest.mark.parametrize("fill", [Fill("AAPL", 0, 0, 1.0), Fill("AAPL", 0, 1, 0.0), Fill("AAPL", 0, 1, math.nan)])
def test_a_fill_needs_shares_and_a_price(fill: Fill) -> None:
    with pytest.raises(ValueError, match="shares and a price"):
        Account("AAPL", 1.0).fill(fill)


@given(FILLS, PRICES)
def test_nothing_is_lost(fills: list[tuple[int, float, float]], price: float) -> None:
    """Cash is what fills left of it, computed here without rounding; equity is cash and the value of the shares."""
    account = filled(*fills)
    cash, shares = Fraction(10_000), 0
    for quantity, paid, fee in fills:
        cash -= quantity * Fraction(paid) + Fraction(fee)
        shares += quantity
    assert account.shares == shares
    scale = 1e-12 * (10_000 + sum(abs(quantity) * (paid + price) + fee for quantity, paid, fee in fills))
    assert account.cash == pytest.approx(float(cash), abs=scale)
    assert account.equity(price) == pytest.approx(float(cash + shares * Fraction(price)), abs=scale)


@given(FILLS, PRICES)
def test_round_trips_and_the_open_position_make_the_equity(fills: list[tuple[int, float, float]], price: float) -> None:
    account = filled(*fills)
    if account.shares:
        account.fill(Fill("AAPL", 99, -account.shares, price))
    scale = 1e-9 * (10_000 + sum(abs(quantity) * (paid + price) + fee for quantity, paid, fee in fills))
    assert account.equity(1.0) == pytest.approx(10_000 + sum(trip.profit for trip in account.round_trips), abs=scale)
    assert account.fees == pytest.approx(sum(trip.fees for trip in account.round_trips))
    assert all(trip.shares for trip in account.round_trips)


@given(FILLS, st.floats(-1, 1), PRICES, FEES)
def test_an_order_never_goes_beyond_its_target(
    fills: list[tuple[int, float, float]], target: float, price: float, fees: Fees
) -> None:
    """After the order at that price, the position is at most the target's share of the equity, on the target's side."""
    account = filled(*fills)
    before = account.equity(price)
    quantity = account.quantity(target, price, fees)
    assert isinstance(quantity, int)
    if quantity:
        account.fill(Fill("AAPL", 99, quantity, price, fees.of(abs(quantity), abs(quantity) * price)))
    if account.shares:
        assert account.shares * target > 0
        assert before > 0
        rounding = 1e-9 * (abs(before) + sum(abs(quantity) * (paid + price) + fee for quantity, paid, fee in fills))
        assert abs(account.shares) * price <= abs(target) * account.equity(price) + rounding


@given(FILLS, st.floats(-1, 1).filter(bool), PRICES)
def test_an_order_without_fees_comes_as_close_to_its_target_as_a_share(
    fills: list[tuple[int, float, float]], target: float, price: float
) -> None:
    account = filled(*fills)
    equity = account.equity(price)
    shares = abs(account.shares + account.quantity(target, price))
    if equity > 0:
        assert shares * price <= abs(target) * equity <= (shares + 1) * price
    else:
        assert shares == 0


@given(PRICES, FEES)
def test_a_target_that_is_reached_needs_no_order(price: float, fees: Fees) -> None:
    account = Account("AAPL", 10_000)
    if quantity := account.quantity(1.0, price, fees):
        account.fill(Fill("AAPL", 0, quantity, price, fees.of(quantity, quantity * price)))
        assert account.quantity(1.0, price, fees) == 0


@given(st.floats(0.01, 100), FEES)
def test_a_full_target_leaves_no_debt(price: float, fees: Fees) -> None:
    account = Account("AAPL", 10_000)
    if quantity := account.quantity(1.0, price, fees):
        account.fill(Fill("AAPL", 0, quantity, price, fees.of(quantity, quantity * price)))
    assert account.cash >= -1e-9


def test_an_account_without_equity_can_only_close() -> None:
    account = filled((-100, 10.0, 0.0), cash=100)
    assert account.equity(12.0) == -100.0
    assert account.quantity(-1.0, 12.0) == 100
    assert account.quantity(1.0, 12.0) == 100
