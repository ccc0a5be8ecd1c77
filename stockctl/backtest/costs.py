"""What an order costs beside its price: fees, and slippage, each parsed from text such as ``bps 5``.

Prices are per share, quantities whole shares with a sign (a sale is negative), costs are money of the prices' currency and
never negative.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from stockctl.errors import UsageError, quoted

BASIS_POINT = 1e-4

FEES = "write none, per-share 0.005 min 1, or bps 5"
"""How fees are written."""
SLIPPAGES = "write none, bps 5, bps 5,20%, or volume-share 2.5%,0.1"
"""How slippage is written."""

_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_SHARE = rf"{_NUMBER}(%?)"
_PER_SHARE = re.compile(rf"per-share {_NUMBER}(?: min {_NUMBER})?", re.ASCII)
_BPS = re.compile(rf"bps {_NUMBER}(?: ?, ?{_SHARE})?", re.ASCII)
_VOLUME_SHARE = re.compile(rf"volume-share {_SHARE} ?, ?{_NUMBER}", re.ASCII)


class Fees(Protocol):
    """The fee of an order, which may be filled in parts."""

    def of(self, shares: int, value: float) -> float:
        """The fee for ``shares`` that were bought or sold for ``value``; 0 for no shares."""
        ...


@dataclass(frozen=True)
class NoFees:
    """No fee."""

    def of(self, shares: int, value: float) -> float:
        """0."""
        return 0.0


@dataclass(frozen=True)
class FeePerShare:
    """An amount for each share, with a least amount per order."""

    rate: float
    least: float = 0.0

    def of(self, shares: int, value: float) -> float:
        """The rate for each share, or the least amount."""
        return max(shares * self.rate, self.least) if shares else 0.0


@dataclass(frozen=True)
class FeeBasisPoints:
    """A share of the traded value, in basis points (1/10,000)."""

    points: float

    def of(self, shares: int, value: float) -> float:
        """The share of the value."""
        return value * (self.points * BASIS_POINT)


class OrderFees:
    """The fees of one order: each fill pays what the order's fee grows by, so that a least amount is paid once."""

    def __init__(self, fees: Fees) -> None:
        self._fees = fees
        self._shares = 0
        self._value = 0.0
        self._paid = 0.0

    def charge(self, quantity: int, price: float) -> float:
        """The fee of a fill of ``quantity`` shares at ``price``."""
        self._shares += abs(quantity)
        self._value += abs(quantity) * price
        fee = max(self._fees.of(self._shares, self._value) - self._paid, 0.0)
        self._paid += fee
        return fee


class Available(NamedTuple):
    """What of an order is filled, and at which price."""

    quantity: int
    price: float


class Slippage(Protocol):
    """How far the price moves against an order, and how much of it the volume allows."""

    def fill(self, quantity: int, price: float, volume: float, taken: int = 0) -> Available:
        """What of ``quantity`` is filled where ``volume`` shares trade at ``price``, of which orders of ours took ``taken``."""
        ...

    def worst_price(self, quantity: int, price: float) -> float:
        """The worst price that an order of the sign of ``quantity`` can get where others trade at ``price``."""
        ...


@dataclass(frozen=True)
class FixedSlippage:
    """Each fill is ``points`` basis points worse; at most the share ``limit`` of the volume is filled (None: any quantity)."""

    points: float = 0.0
    limit: float | None = None

    def fill(self, quantity: int, price: float, volume: float, taken: int = 0) -> Available:
        """All of it, or what the limit leaves."""
        filled = quantity if self.limit is None else _within(quantity, self.limit * volume, taken)
        return Available(filled, self.worst_price(quantity, price))

    def worst_price(self, quantity: int, price: float) -> float:
        """The price with the basis points."""
        return price * (1 + math.copysign(self.points * BASIS_POINT, quantity))


@dataclass(frozen=True)
class VolumeShareSlippage:
    """At most the share ``limit`` of the volume is filled; the price moves by ``impact`` × (share of the volume)² of itself."""

    limit: float
    impact: float

    def fill(self, quantity: int, price: float, volume: float, taken: int = 0) -> Available:
        """What the limit leaves, at a price moved by all that was taken of the volume."""
        filled = _within(quantity, self.limit * volume, taken)
        share = min((taken + abs(filled)) / volume, self.limit) if filled else 0.0
        return Available(filled, price + math.copysign(share**2 * self.impact, quantity) * price)

    def worst_price(self, quantity: int, price: float) -> float:
        """The price moved by the limit's share of the volume."""
        return price + math.copysign(self.limit**2 * self.impact, quantity) * price


def _within(quantity: int, most: float, taken: int) -> int:
    """Of ``quantity`` what ``most`` shares leave after ``taken``, with its sign."""
    return int(math.copysign(min(max(int(most) - taken, 0), abs(quantity)), quantity))


def parse_fees(text: str) -> Fees:
    """The fees that ``text`` writes: ``none``, ``per-share RATE [min LEAST]``, ``bps POINTS``. UsageError otherwise."""
    words = _words(text)
    if words == "none":
        return NoFees()
    if match := _PER_SHARE.fullmatch(words):
        return FeePerShare(float(match[1]), float(match[2] or 0))
    if (match := _BPS.fullmatch(words)) and match[2] is None:
        return FeeBasisPoints(_points(match[1], text))
    raise UsageError(f"{quoted(text)} are no fees", hint=FEES)


def parse_slippage(text: str) -> Slippage:
    """The slippage that ``text`` writes: ``none``, ``bps POINTS[,LIMIT]``, ``volume-share LIMIT,IMPACT``. UsageError otherwise.

    LIMIT is a share of the volume: ``2.5%`` or ``0.025``.
    """
    words = _words(text)
    if words == "none":
        return FixedSlippage()
    if match := _BPS.fullmatch(words):
        return FixedSlippage(_points(match[1], text), None if match[2] is None else _share(match[2], match[3], text))
    if match := _VOLUME_SHARE.fullmatch(words):
        slippage = VolumeShareSlippage(_share(match[1], match[2], text), float(match[3]))
        if slippage.limit**2 * slippage.impact >= 1:
            raise UsageError(f"{quoted(text)} moves the price of a sale to zero", hint="use a smaller impact, such as 0.1")
        return slippage
    raise UsageError(f"{quoted(text)} is no slippage", hint=SLIPPAGES)


def _words(text: str) -> str:
    return " ".join(text.lower().split())


def _points(number: str, text: str) -> float:
    points = float(number)
    if points * BASIS_POINT >= 1:
        raise UsageError(
            f"{quoted(text)} is the whole price or more", hint="a basis point is a hundredth of a percent: bps 5 is 0.05%"
        )
    return points


def _share(number: str, percent: str, text: str) -> float:
    share = float(number) / 100 if percent else float(number)
    if not 0 < share <= 1:
        raise UsageError(
            f"{quoted(text)}: {number}{percent} is not a share of the volume",
            hint="write 2.5% or 0.025: more than 0, at most 1",
        )
    return share
