"""Fees and slippage: as text, and two known answers of the models that the field uses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.backtest.costs import (
    Available,
    FeeBasisPoints,
    FeePerShare,
    Fees,
    FixedSlippage,
    NoFees,
    OrderFees,
    Slippage,
    VolumeShareSlippage,
    parse_fees,
    parse_slippage,
)
from stockctl.errors import UsageError

SHARES = st.integers(1, 10_000_000)
PRICES = st.floats(0.0001, 100_000)
FEES = st.sampled_from(["none", "per-share 0.005 min 1", "per-share 0.01", "bps 5", "bps 0.1"]).map(parse_fees)
SLIPPAGE = st.sampled_from(["none", "bps 5", "bps 5,20%", "volume-share 2.5%,0.1", "volume-share 1,0.5"]).map(parse_slippage)


def test_volume_share_known_answer() -> None:
    """2.5 % of 2,000 shares at 3.5, with impact 0.1: the rest waits."""
    assert VolumeShareSlippage(0.025, 0.1).fill(100, 3.5, 2000) == (50, 3.50021875)
    assert parse_slippage("volume-share 2.5%,0.1").fill(-100, 3.5, 2000) == (-50, 3.49978125)


def test_fixed_basis_points_known_answer() -> None:
    """5 basis points and 20 % of 200 shares at 3: the rest waits."""
    assert parse_slippage("bps 5,20%").fill(100, 3.0, 200) == (40, 3.0015)
    assert parse_slippage("bps 5,0.2").fill(-100, 3.0, 200) == (-40, 2.9985)


def test_what_was_taken_of_the_volume_counts() -> None:
    assert parse_slippage("bps 5,20%").fill(100, 3.0, 200, taken=30) == (10, 3.0015)
    assert parse_slippage("bps 5,20%").fill(100, 3.0, 200, taken=40).quantity == 0
    slippage = VolumeShareSlippage(0.1, 1.0)
    assert slippage.fill(10, 100.0, 1000, taken=40) == (10, 100.0 + 0.05**2 * 100)
    assert slippage.fill(5, 100.0, 0) == (0, 100.0)


@pytest.mark.parametrize(
    ("text", "fees"),
    [
        ("none", NoFees()),
        ("per-share 0.005 min 1", FeePerShare(0.005, 1.0)),
        (" Per-Share  .01 ", FeePerShare(0.01)),
        ("bps 5", FeeBasisPoints(5.0)),
    ],
)
def test_fees_as_text(text: str, fees: Fees) -> None:
    assert parse_fees(text) == fees


@pytest.mark.parametrize(
    ("text", "slippage"),
    [
        ("none", FixedSlippage()),
        ("bps 5", FixedSlippage(5.0)),
        ("bps 5, 20%", FixedSlippage(5.0, 0.2)),
        ("volume-share 2.5%,0.1", VolumeShareSlippage(0.025, 0.1)),
        ("VOLUME-SHARE 0.025, 0.1", VolumeShareSlippage(0.025, 0.1)),
    ],
)
def test_slippage_as_text(text: str, slippage: Slippage) -> None:
    assert parse_slippage(text) == slippage


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5 bps", "'5 bps' are no fees"),
        ("", "'' are no fees"),
        ("per-share", "'per-share' are no fees"),
        ("per-share -1", "'per-share -1' are no fees"),
        ("per-share 0.005 min", "'per-share 0.005 min' are no fees"),
        ("bps nan", "'bps nan' are no fees"),
        ("bps 5,20%", "'bps 5,20%' are no fees"),
        ("bps 10000", "'bps 10000' is the whole price or more"),
    ],
)
def test_wrong_fees(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_fees(text)
    assert str(caught.value) == message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("low", "'low' is no slippage"),
        ("per-share 1", "'per-share 1' is no slippage"),
        ("volume-share 2.5%", "'volume-share 2.5%' is no slippage"),
        ("volume-share 0%,0.1", "'volume-share 0%,0.1': 0% is not a share of the volume"),
        ("volume-share 25,0.1", "'volume-share 25,0.1': 25 is not a share of the volume"),
        ("bps 5,101%", "'bps 5,101%': 101% is not a share of the volume"),
        ("volume-share 1,1", "'volume-share 1,1' moves the price of a sale to zero"),
        ("bps 99999", "'bps 99999' is the whole price or more"),
    ],
)
def test_wrong_slippage(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_slippage(text)
    assert str(caught.value) == message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "fees"),
    [("none", [0.0, 0.0, 0.0]), ("per-share 0.005 min 1", [1.0, 0.0, 0.5]), ("bps 10", [1.0, 1.0, 1.0])],
)
def test_an_order_pays_its_least_fee_once(text: str, fees: list[float]) -> None:
    """Three fills of 100 shares at 10."""
    order = OrderFees(parse_fees(text))
    assert [order.charge(100, 10.0) for _ in range(3)] == pytest.approx(fees)


@given(FEES, st.lists(SHARES, min_size=1, max_size=20), PRICES)
def test_parts_of_an_order_pay_what_the_whole_pays(fees: Fees, parts: list[int], price: float) -> None:
    order = OrderFees(fees)
    paid = [order.charge(part, price) for part in parts]
    assert min(paid) >= 0
    assert sum(paid) == pytest.approx(fees.of(sum(parts), sum(parts) * price))


@given(SLIPPAGE, SHARES, st.booleans(), PRICES, st.floats(0, 1e9), st.integers(0, 1_000_000))
def test_slippage_never_helps(slippage: Slippage, shares: int, sells: bool, price: float, volume: float, taken: int) -> None:
    """A fill is never more than the order, on the order's side, and at no better price; never worse than the worst price."""
    quantity = -shares if sells else shares
    filled: Available = slippage.fill(quantity, price, volume, taken)
    sign = -1 if sells else 1
    assert 0 <= filled.quantity * sign <= shares
    assert filled.price > 0
    assert price * sign <= filled.price * sign <= slippage.worst_price(quantity, price) * sign
