"""Market status from the frames of the feed, and from their absence. Each message is logged once until the status changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from stockctl.exchange.calendar import EXCHANGE, Calendar, from_ms, is_open, next_open, session_at
from stockctl.feed.decoder import Frame
from stockctl.units import format_duration

CLOSED_AFTER = 90_000
"""Only pings for this many ms outside trading hours: the market is closed. Longer than the minute between two pings."""
QUIET_AFTER = 300_000
"""No trade for this many ms although a market is open: worth a message."""


class MarketStatus:
    """Watches the trades of ``symbols`` by ``calendar``. All times are ms UTC, passed by the caller."""

    def __init__(self, symbols: Sequence[str], calendar: Calendar = EXCHANGE) -> None:
        self._symbols = symbols
        self._always_open = calendar.always_open
        self._hours = list(calendar.one_of_each(symbols))
        self._state: Literal["trading", "closed", "quiet"] = "trading"
        self._unseen_reported = False
        self.connected(0)

    def connected(self, at: int) -> None:
        """A new connection has subscribed ``at`` this time."""
        self._since = self._last_trade = at
        self._pinged = False

    def frame(self, frame: Frame, at: int) -> Iterator[str]:
        """Process a frame. Yields a message if trades arrive again after a reported pause."""
        if frame.trades:
            self._last_trade = at
            if self._state != "trading":
                self._state = "trading"
                yield "trades arrive again"
        elif frame.kind == "ping":
            self._pinged = True

    def messages(self, at: int, seen: set[str]) -> Iterator[str]:
        """New messages ``at`` this time; call it about every second. ``seen`` are the symbols that have traded."""
        session = session_at(at)
        opened = session.since if session is not None and session.name == "regular" else 0 if self._always_open else None
        idle = at - self._last_trade
        if self._state == "trading" and self._pinged:
            open_hours = [hours for hours in self._hours if is_open(hours, at)]
            if self._hours and not open_hours and idle > CLOSED_AFTER:
                self._state = "closed"
                opens, market = min(next_open(hours, at) for hours in self._hours)
                yield (
                    f"market closed: only pings arrive; {market} opens "
                    f"{from_ms(opens):%a %Y-%m-%d %H:%M} New York time, in {format_duration((opens - at) / 1000)}"
                )
            elif idle > QUIET_AFTER and (opened is not None or any(hours != "exchange" for hours in open_hours)):
                self._state = "quiet"
                yield f"pings arrive, but no trade for {format_duration(idle / 1000)}, though the market is open"
        if opened is not None and not self._unseen_reported and at - max(self._since, opened) > QUIET_AFTER:
            unseen = [symbol for symbol in self._symbols if symbol not in seen]
            if unseen and len(unseen) < len(self._symbols):
                self._unseen_reported = True
                yield (
                    f"no trade yet of {', '.join(unseen)}: an unknown US ticker gets silence from the feed, as one that "
                    "rarely trades does"
                )
