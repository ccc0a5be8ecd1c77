"""A view's day that live trades are added to, with the definitions of ``sql/metrics``: equal to them within 1e-9.

A trade counts once, however often it is reported: since ``exact_since`` its id is known. A trade before that changes a bar that
is no longer kept by trades; the bar is ``late``, and the owner of the day reads it again.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from stockctl.dashboard.view.day import RECENT_MS, Day, Row, bar_start, empty_bar
from stockctl.exchange.calendar import from_ms
from stockctl.exchange.trade_conditions import trade_kind
from stockctl.exchange.venues import has_venue
from stockctl.intervals import Interval, merge
from stockctl.metrics.definitions import LAST_HUNDRED
from stockctl.metrics.query import midnight_before
from stockctl.metrics.trade_policies import Policy, counts
from stockctl.records import Trade

MINUTE_MS = 60_000
_MOST_PRICES = LAST_HUNDRED.trades or 0

_Order = tuple[int, int, str]
"""Time, receipt and id: the order of trades."""


@dataclass
class _Bar:
    """The sums of a bar's trades."""

    first: tuple[_Order, float] | None = None
    last: tuple[_Order, float] | None = None
    high: float | None = None
    low: float | None = None
    trades: int = 0
    volume: float = 0.0
    anchor: float = 0.0
    products: float = 0.0

    def add(self, trade: Trade, *, counted: bool) -> None:
        price, order = trade.price, (trade.ts_event, trade.ts_recv, trade.id)
        if "l" in trade.updates:
            if self.first is None or order < self.first[0]:
                self.first = order, price
            if self.last is None or order > self.last[0]:
                self.last = order, price
        if "h" in trade.updates:
            self._range(price, price)
        if counted:
            self._sum(1, trade.volume, price)

    def add_row(self, row: Row, before: int) -> None:
        """Add the trades that ``row`` sums up: all before ``before`` (ms UTC), and later than those added by rows before."""
        if row["open"] is not None:
            self.first = self.first or ((0, 0, ""), row["open"])
            self.last = (before - 1, 0, ""), row["close"]
        if row["high"] is not None:
            self._range(row["high"], row["low"])
        if row["vwap"] is not None:
            self._sum(row["trades"], row["volume"], row["vwap"])

    def _range(self, high: float, low: float) -> None:
        self.high = high if self.high is None else max(self.high, high)
        self.low = low if self.low is None else min(self.low, low)

    def _sum(self, trades: int, volume: float, price: float) -> None:
        if not self.trades:
            self.anchor = price
        self.trades += trades
        self.volume += volume
        self.products += (price - self.anchor) * volume

    def values(self) -> Row:
        return {
            "open": self.first and self.first[1],
            "high": self.high,
            "low": self.low,
            "close": self.last and self.last[1],
            "volume": _finite(self.volume) if self.trades else None,
            "vwap": _finite(self.anchor + self.products / self.volume) if self.trades else None,
            "trades": self.trades,
        }


def _finite(value: float) -> float | None:
    """``value``; None if prices and volumes were too large to compute it."""
    return value if math.isfinite(value) else None


class LiveDay:
    """``day`` with the trades that were added since. Not safe for several threads at once."""

    def __init__(self, day: Day) -> None:
        self.day = day
        self.rows = day.bars
        self.late: set[int] = set()
        """Starts of bars (ms UTC) that must be read again."""
        self.is_over = False
        """Whether a trade came that belongs to a later session than the day's: the view shows another day now."""
        self.added = 0
        """Trades added, or waiting in late bars, since the day was read."""
        self._policy: Policy = day.view.policy
        self._every = day.view.every_ms
        self._changed: set[int] = set()
        self._ids: dict[int, set[str]] = {}
        self._piece_ms = min(self._every, MINUTE_MS)
        self._pieces: dict[int, _Bar] = {}
        """By their start, the trades since ``exact_since``, in bars of at most a minute."""
        self._openings: dict[int, Row] = {}
        """By the start of a bar that has pieces, its part before them."""
        self._exact_since = day.exact_since
        self._newest: list[tuple[_Order, float]] = []
        self._left_out = 0
        self._last = 0
        self._received = 0
        self._midnight = (0, 0)
        self._settled: Row | None = None
        if day.span is None:
            return
        self._slots = day.span.parts[0].slots
        self._quotes = has_venue(day.span.symbol)
        for row in reversed(day.newest):
            self._newest.append(((row["ts_event"], row["ts_recv"], row["id"]), row["price"]))
        if day.opening is not None:
            self._openings[bar_start(self._exact_since, self._every, day.zone)] = day.opening
        for row in day.recent:
            values = {name: value for name, value in row.items() if name != "span"}
            self._add(Trade(symbol=day.span.symbol, **values))
        self._changed.clear()
        self._left_out, self.added = 0, 0

    def add(self, trade: Trade) -> None:
        """Add one trade of the view's symbol. Trades may come in any order, and more than once."""
        if self.day.span is None:
            self.is_over = True
            return
        if not self._is_inside(trade):
            self.is_over = self.is_over or (self.day.view.date is None and trade.ts_event >= self.day.span.trades_until)
            return
        self._add(trade)

    def changed(self) -> list[int]:
        """The starts of the bars that changed since the last call, in order."""
        starts = sorted(self._changed)
        self._changed.clear()
        kept = self._kept_bars() if starts else {}
        for start in starts:
            if start in kept:
                self.rows.setdefault(start, empty_bar(start)).update(self._values_of(start, kept[start]))
        if kept:
            newest = max(kept)
            self.rows[newest]["volatility"] = self._volatility()
            if starts[-1] < newest:
                starts.append(newest)
        if self._exact_since < (oldest := (self._last - RECENT_MS) // MINUTE_MS * MINUTE_MS):
            self._forget(oldest)
        return starts

    def take_late(self) -> tuple[list[Interval], int]:
        """The intervals to be read again because of late trades, and ``exact_since``, which ``replace`` is given too."""
        starts, self.late = sorted(self.late), set()
        return merge((start, min(start + self._every, self._exact_since)) for start in starts), self._exact_since

    def replace(self, rows: Mapping[int, Row], exact_since: int) -> None:
        """Take bars that were read again: prices, volume, VWAP and trades of their part before ``exact_since``."""
        kept = self._kept_bars()
        for start, row in rows.items():
            values = {name: row[name] for name in ("open", "high", "low", "close", "volume", "vwap", "trades")}
            if start in self._openings or start in kept:
                if exact_since != self._exact_since:
                    # Meanwhile trades were added to the part that was read.
                    self.late.add(start)
                    continue
                self._openings[start] = values
            if start not in kept:
                self.rows.setdefault(start, empty_bar(start)).update(values)
            self._changed.add(start)
        self._settled = None

    def numbers(self) -> Row:
        """The row of ``stockctl metrics summary``: as read, with the sums of the bars once trades were added.

        Rate, coverage and annual volatility are as they were read: they need the feed's coverage, which comes later.
        """
        numbers = dict(self.day.numbers)
        if not self.added or self.day.span is None:
            return numbers
        kept = self._kept_bars()
        numbers |= sum_of([self._settled_bars(kept), *(self._values_of(start, kept[start]) for start in sorted(kept))])
        numbers |= {"volatility": self._volatility(), "left_out": numbers["left_out"] + self._left_out}
        zone = self.day.zone
        if self._newest:
            numbers["last_trade"] = from_ms(self._newest[-1][0][0], zone).isoformat()
        numbers["through"] = from_ms(self.through, zone).isoformat() if self.through else None
        return numbers

    @property
    def through(self) -> int | None:
        """Receipt time in ms UTC up to which the day has every trade."""
        if self.day.span is None or not self._received:
            return self.day.through
        return max(self.day.through or 0, min(self._received, self.day.span.until))

    def sorted_rows(self) -> list[Row]:
        """Every bar, in order."""
        return [self.rows[start] for start in sorted(self.rows)]

    def _is_inside(self, trade: Trade) -> bool:
        kind = trade_kind(trade.conditions)
        return any(slot.since <= trade.ts_event < slot.until and kind in slot.kinds for slot in self._slots)

    def _add(self, trade: Trade) -> None:
        is_update = trade.volume <= 0
        allowed = counts(self._policy, trade.conditions, trade.updates, update=is_update)
        counted, priced = allowed and not is_update, allowed and (self._quotes or not is_update)
        if priced:
            self._add_price(((trade.ts_event, trade.ts_recv, trade.id), trade.price))
        if trade.ts_event < self._exact_since:
            self.late.add(self._bar_start(trade.ts_event))
            self.added += 1
            return
        ids = self._ids.setdefault(trade.ts_event // MINUTE_MS, set())
        if trade.id in ids:
            return
        ids.add(trade.id)
        self.added += 1
        # Clocks differ: a trade from the future must not make those of now late.
        self._last = max(self._last, min(trade.ts_event, trade.ts_recv))
        self._received = max(self._received, trade.ts_recv)
        self._left_out += not counted and not priced
        self._piece_of(trade.ts_event).add(trade, counted=counted)

    def _add_price(self, price: tuple[_Order, float]) -> None:
        place = bisect_left(self._newest, price)
        if place == len(self._newest) or self._newest[place] != price:
            self._newest.insert(place, price)
            if len(self._newest) > _MOST_PRICES:
                del self._newest[0]

    def _piece_of(self, ms: int) -> _Bar:
        self._changed.add(self._bar_start(ms))
        start = ms // self._piece_ms * self._piece_ms
        if start not in self._pieces:
            self._pieces[start] = _Bar()
            self._settled = None
        return self._pieces[start]

    def _bar_start(self, ms: int) -> int:
        midnight, following = self._midnight
        if not midnight <= ms < following:
            midnight = midnight_before(ms, self.day.zone)
            # A day has 23 hours at least.
            self._midnight = midnight, midnight + 23 * 3_600_000
        return midnight + (ms - midnight) // self._every * self._every

    def _kept_bars(self) -> dict[int, list[_Bar]]:
        """The pieces of each bar that has any, in order."""
        bars: dict[int, list[_Bar]] = {}
        for start in sorted(self._pieces):
            bars.setdefault(self._bar_start(start), []).append(self._pieces[start])
        return bars

    def _values_of(self, start: int, pieces: list[_Bar]) -> Row:
        opening = self._openings.get(start)
        if opening is None and len(pieces) == 1:
            return pieces[0].values()
        return sum_of([*([] if opening is None else [opening]), *(piece.values() for piece in pieces)])

    def _forget(self, until: int) -> None:
        """Keep no trade before ``until`` (ms UTC) by its id: its piece becomes a part of what was read."""
        for start, pieces in self._kept_bars().items():
            old = [piece for at, piece in self._pieces.items() if at < until and self._bar_start(at) == start]
            if len(old) < len(pieces) or start + self._every > until:
                self._openings[start] = self._values_of(start, old)
            else:
                self._openings.pop(start, None)
        self._exact_since = until
        self._pieces = {start: piece for start, piece in self._pieces.items() if start >= until}
        self._ids = {minute: ids for minute, ids in self._ids.items() if minute * MINUTE_MS >= until}
        self._settled = None

    def _settled_bars(self, kept: Collection[int]) -> Row:
        """One row of all bars that are not kept by trades."""
        if self._settled is None:
            self._settled = sum_of(self.rows[start] for start in sorted(self.rows) if start not in kept)
        return self._settled

    def _volatility(self) -> float | None:
        prices = [price for _, price in self._newest]
        try:
            return statistics.stdev(prices) if len(prices) > 1 else None
        except OverflowError:
            return None


def sum_of(rows: Iterable[Row]) -> Row:
    """One row of several bars, which are in order."""
    total = _Bar()
    for number, row in enumerate(rows):
        total.add_row(row, number)
    return total.values()
