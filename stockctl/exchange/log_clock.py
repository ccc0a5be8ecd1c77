"""The time of a symbol's log: which trade date a record belongs to where records are taken in the order of Kafka's log."""

from __future__ import annotations

from datetime import date

from stockctl.exchange.calendar import EXCHANGE_ZONE, day_bounds, trade_date


class LogClock:
    """The running maximum of ``min(ts_event, ts_recv)`` over the records of one symbol, in log order.

    It never goes back, so a record that comes late belongs to the date on which it came; and a record dated in the future does
    not advance it past its receipt. Replayed history was all received later, so there it is the maximum of ``ts_event``.
    """

    __slots__ = ("_until", "day", "ms")

    def __init__(self) -> None:
        self.ms = -1
        """The time of the log in ms UTC; -1 before the first record."""
        self.day = date.min
        """The exchange's date at that time."""
        self._until = -1

    def advance(self, ts_event: int, ts_recv: int) -> bool:
        """Take the times of the next record, in ms UTC; whether it is the first of a trade date."""
        at = ts_event if ts_event < ts_recv else ts_recv
        if at <= self.ms:
            return False
        self.ms = at
        if at < self._until:
            return False
        self.day = trade_date(at)
        _, self._until = day_bounds(self.day, EXCHANGE_ZONE)
        return True
