"""A view that is kept up to date: its day, the trades that come while it is read again, and its frames."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

from stockctl.dashboard.live.channel import Channel
from stockctl.dashboard.view.combined_engine import OVERLAP_MS
from stockctl.dashboard.view.day import Day, Row
from stockctl.dashboard.view.live_day import LiveDay
from stockctl.dashboard.view.snapshot import change, traces
from stockctl.dashboard.view.views import View
from stockctl.errors import StockctlError
from stockctl.metrics.engines.lake import LakeEngine
from stockctl.records import Trade

SOONEST = 5.0
"""Seconds between two readings of a view, at least."""
_QUIET = 60.0
"""Seconds after which a view is read again although nothing came: rate, coverage and ``through`` go on without trades."""


class LiveView:
    """The state of ``view``. The caller holds the lock of the hub, except for ``ready`` and ``failure``."""

    def __init__(self, view: View, channel: Channel) -> None:
        self.view = view
        self.channel = channel
        self.ready = threading.Event()
        self.failure: StockctlError | None = None
        self.used_at = time.monotonic()
        self.live: LiveDay | None = None
        self.read_due = 0.0
        """When it may be read again, by the monotonic clock."""
        self.bars_due = 0.0
        self.is_dirty = False
        """Whether something changed that only another reading shows: coverage, or a record that was replaced."""
        self._waiting: list[Trade] = []
        self._is_reading = True

    @property
    def day(self) -> Day:
        """The day, once it was read."""
        assert self.live is not None  # noqa: S101  # who waits for ``ready`` knows it
        return self.live.day

    def rows(self) -> list[Row]:
        """The bars, in order."""
        return [] if self.live is None else self.live.sorted_rows()

    def add(self, trade: Trade) -> None:
        """Add a trade of the view's symbol in any case."""
        if self._is_reading:
            self._waiting.append(trade)
        if self.live is not None and (self.live.day.span is None or trade.symbol == self.live.day.span.symbol):
            self.live.add(trade)

    def wants_reading(self, now: float) -> bool:
        """Whether it is time to read the view again."""
        live = self.live
        return (
            live is not None
            and not self._is_reading
            and now >= self.read_due
            and bool(self.is_dirty or live.is_over or live.added or now >= self.read_due + _QUIET - SOONEST)
        )

    def has_late_bars(self, now: float) -> bool:
        """Whether bars are to be read again. The lake alone lacks newer trades: then the whole view is."""
        if self.live is None or not self.live.late or now < self.bars_due:
            return False
        if self.live.day.store is LakeEngine:
            self.live.late.clear()
            self.is_dirty = True
            return False
        return True

    def begin_reading(self) -> None:
        """Keep the trades that come from now on: the reading may have missed them."""
        self._is_reading, self._waiting, self.is_dirty = True, [], False

    def end_reading(self, day: Day | None, recent: Iterable[Trade]) -> LiveDay | None:
        """Take ``day``, and of ``recent`` trades those that it may not have; the state before. None: the reading failed."""
        before = self.live
        self._is_reading = False
        self.read_due = time.monotonic() + SOONEST
        if day is None:
            self.is_dirty = True
        else:
            self.live = LiveDay(day)
            since = (day.through or 0) - OVERLAP_MS
            newer = [trade for trade in recent if trade.ts_recv > since and trade.symbol.upper() == self.view.symbol.upper()]
            for trade in [*newer, *self._waiting]:
                if day.span is None or trade.symbol == day.span.symbol:
                    self.live.add(trade)
        self._waiting = []
        return before

    def fail(self, failure: StockctlError) -> None:
        """End it: from now on it has no frames, and who asks for it gets ``failure``."""
        self.failure, self.live, self._is_reading, self._waiting = failure, None, False, []

    def frame(self) -> dict[str, Any] | None:
        """What changed since the last frame; None if nothing did."""
        if self.live is None or not (starts := self.live.changed()):
            return None
        return self._frame_of(starts)

    def _frame_of(self, starts: list[int], *, gaps_changed: bool = False) -> dict[str, Any]:
        """The frame of the bars that start at ``starts``, which are in order."""
        assert self.live is not None  # noqa: S101  # only a view that was read has frames
        live = self.live
        rows = [live.rows[start] for start in starts]
        numbers = live.numbers()
        return {
            "numbers": numbers | change(live.day, numbers),
            "bars": rows,
            "traces": traces(live, rows, gaps_changed=gaps_changed),
        }

    def difference(self, before: LiveDay | None) -> dict[str, Any] | None:
        """The frame from ``before`` to what was read; None if a browser must start again."""
        live = self.live
        if live is None or before is None:
            return None
        old, new = before.day, live.day
        live.changed()
        if _session_of(old) != _session_of(new) or not before.rows.keys() <= live.rows.keys():
            return None
        gaps_changed = old.gaps != new.gaps
        starts = sorted(start for start, row in live.rows.items() if before.rows.get(start) != row)
        frame = self._frame_of(starts, gaps_changed=gaps_changed) | {"notes": new.notes}
        if gaps_changed:
            frame |= {"gaps": new.gaps}
        for name, known, found in (("filings", old.filings, new.filings), ("signals", old.signals, new.signals)):
            if known != found:
                frame[name] = found
        return frame


def _session_of(day: Day) -> object:
    return None if day.span is None else (day.span.session, day.span.parts, day.empty)
