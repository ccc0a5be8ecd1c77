"""The time axis of a figure: closed hours are left out, and labels are in exchange time. Times are ms UTC."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from itertools import accumulate, groupby
from typing import NamedTuple

from stockctl.exchange.calendar import (
    EXCHANGE_ZONE,
    Hours,
    SessionName,
    day_bounds,
    from_ms,
    is_trading_day,
    sessions_between,
    to_ms,
    trade_date,
)
from stockctl.intervals import Interval, intersect, merge

ZONE_LABEL = "New York time"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""In English whatever the locale is, so that the same figure is the same text."""

_HOUR = 3_600_000
_CHOICES: tuple[tuple[SessionName, ...], ...] = (("regular",), ("pre", "regular", "post"))
_MOST_CLOCK_DAYS = 4
"""With more days, the labels are dates."""
_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720)


def shown_time(times: Iterable[int], hours: Hours = "exchange", span: Interval | None = None) -> list[Interval]:
    """The time that an axis has for points at ``times``: from the first to the last, without hours that have no points.

    Those are what lies outside the regular sessions, outside all sessions, or outside the trading days, whichever has no
    point. Of a market that never closes, and of currencies, all time is shown. ``span`` is shown even where it has no point.
    """
    at = sorted(set(times))
    if not at:
        return []
    since, until = (min(at[0], span[0]), max(at[-1], span[1])) if span else (at[0], at[-1])
    if since == until:
        return [(since - _HOUR // 2, since + _HOUR // 2)]
    if hours == "exchange":
        for names in _CHOICES:
            sessions = merge((one.since, one.until) for one in sessions_between(since - 1, until + 1, names))
            if _hold(sessions, at):
                return intersect(sessions, [(since, until)])
        days = list(dict.fromkeys(map(trade_date, at)))
        if all(map(is_trading_day, days)):
            each = (days[0] + timedelta(index) for index in range((days[-1] - days[0]).days + 1))
            return intersect(merge(day_bounds(day) for day in each if is_trading_day(day)), [(since, until)])
    return [(since, until)]


def _hold(intervals: Sequence[Interval], times: Sequence[int]) -> bool:
    """Whether each of ``times`` lies in one of ``intervals``, or at its end."""
    starts = [since for since, _ in intervals]
    places = [bisect_right(starts, at) - 1 for at in times]
    return all(place >= 0 and at <= intervals[place][1] for place, at in zip(places, times, strict=True))


class Tick(NamedTuple):
    """A label at a ``position`` in [0, 1], with one below it where the date or the year changes."""

    position: float
    label: str
    below: str


class TimeAxis:
    """Positions in [0, 1] of times, over the intervals that are shown."""

    def __init__(self, shown: Sequence[Interval]) -> None:
        self.shown = shown
        self._starts = [since for since, _ in shown]
        self._before = [0, *accumulate(until - since for since, until in shown)]
        self.length = self._before[-1]
        """ms that are shown."""

    def position(self, at: int) -> float:
        """Where ``at`` lies; what is left out lies where it was left out."""
        place = bisect_right(self._starts, at) - 1
        if place < 0 or not self.length:
            return 0.0
        since, until = self.shown[place]
        return (self._before[place] + min(at, until) - since) / self.length

    @property
    def breaks(self) -> list[float]:
        """Where hours are left out."""
        return [before / self.length for before in self._before[1:-1]] if self.length else []

    def ticks(self, most: int) -> list[Tick]:
        """At most ``most`` labels, or few more, at round times."""
        if not self.shown:
            return []
        days = self._days()
        for minutes in _MINUTES if len(days) <= _MOST_CLOCK_DAYS else ():
            if self.length / (minutes * 60_000) <= most:
                return self._thinned(self._clock_ticks(minutes), most)
        return self._thinned(self._day_ticks(days, most), most)

    def _clock_ticks(self, minutes: int) -> list[Tick]:
        ticks: list[Tick] = []
        labelled: date | None = None
        for day, _ in self._days():
            clock = [time(*divmod(minute, 60)) for minute in range(0, 1440, minutes)]
            for at in sorted({to_ms(datetime.combine(day, each, EXCHANGE_ZONE)) for each in clock}):
                if not self._shows(at):
                    continue
                below = "" if labelled == day else f"{MONTHS[day.month - 1]} {day.day}"
                ticks.append(Tick(self.position(at), clock_text(at), below))
                labelled = day
        return ticks

    def _shows(self, at: int) -> bool:
        place = bisect_right(self._starts, at) - 1
        return place >= 0 and at < self.shown[place][1]

    def _days(self) -> list[tuple[date, int]]:
        """The dates that are shown, each with the first time of it."""
        first: dict[date, int] = {}
        for since, until in self.shown:
            day = trade_date(since)
            first.setdefault(day, since)
            while (midnight := day_bounds(day)[1]) < until:
                day = trade_date(midnight)
                first.setdefault(day, midnight)
        return list(first.items())

    def _day_ticks(self, days: Sequence[tuple[date, int]], most: int) -> list[Tick]:
        """The first date of each day, week, month or year, whichever are few enough."""

        def firsts_of(group: Callable[[date], Hashable]) -> list[tuple[date, int]]:
            return [next(each) for _, each in groupby(days, key=lambda day: group(day[0]))]

        group, label = next((level for level in _LEVELS if len(firsts_of(level[0])) <= most), _LEVELS[-1])
        ticks: list[Tick] = []
        labelled = 0
        for day, at in firsts_of(group):
            if label is not _day_label and group(day) == group(day - timedelta(days=5)):
                continue  # the first month or year, of which the beginning is not shown
            below = "" if labelled == day.year or label is _year_label else str(day.year)
            ticks.append(Tick(self.position(at), label(day), below))
            labelled = day.year
        return ticks

    @staticmethod
    def _thinned(ticks: Sequence[Tick], most: int) -> list[Tick]:
        """``ticks`` without those that would lie on the one before."""
        kept: list[Tick] = []
        for tick in ticks:
            if kept and tick.position - kept[-1].position < 0.7 / most:
                if not tick.below:
                    continue
                kept.pop()
            kept.append(tick)
        return kept


def clock_text(at: int) -> str:
    """``09:30`` in exchange time."""
    return f"{from_ms(at):%H:%M}"


def time_text(at: int) -> str:
    """``2026-03-03 09:30:05`` in exchange time; with milliseconds where it has some."""
    moment = from_ms(at)
    return moment.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds" if at % 1000 else "seconds")


def _day_label(day: date) -> str:
    return f"{MONTHS[day.month - 1]} {day.day}"


def _month_label(day: date) -> str:
    return MONTHS[day.month - 1]


def _year_label(day: date) -> str:
    return str(day.year)


def _years(count: int) -> Callable[[date], Hashable]:
    return lambda day: day.year // count


_LEVELS: tuple[tuple[Callable[[date], Hashable], Callable[[date], str]], ...] = (
    (lambda day: day, _day_label),
    (lambda day: day.toordinal() // 2, _day_label),
    (lambda day: day.isocalendar()[:2], _day_label),
    (lambda day: (day.year, day.month), _month_label),
    (lambda day: (day.year, (day.month - 1) // 3), _month_label),
    (lambda day: (day.year, (day.month - 1) // 6), _month_label),
    *((_years(count), _year_label) for count in (1, 2, 5, 10, 20, 50, 100, 1000, 10_000)),
)
"""Groups of dates whose first one has a label, and how that is written."""
