"""The query: which trades of which symbols and sessions, divided into spans. Each span is one line of the result.

A span is one symbol's session on one trade date. With ``across``, all dates of a symbol form one span; so do two dates that one
bar overlaps. Bars and grids start at midnight of the query's time zone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

from stockctl.errors import UsageError
from stockctl.exchange.calendar import DAYS_PER_YEAR, Hours, day_bounds, trade_date
from stockctl.exchange.time_parsing import parse_moment
from stockctl.exchange.trade_sessions import Slot, hours_on, slots_of
from stockctl.exchange.venues import has_venue
from stockctl.metrics.engines.registry import DEFAULT_ENGINE
from stockctl.metrics.trade_policies import Policy

SessionChoice = Literal["regular", "pre", "post", "all"]
SESSION_CHOICES: tuple[SessionChoice, ...] = get_args(SessionChoice)

DAY_MS = 86_400_000
ENDLESS_MS = 10_000_000_000_000
"""A duration longer than any span."""

SESSION_SECONDS: dict[str, int] = {"pre": 19_800, "regular": 23_400, "post": 14_400, "all": 57_600}
"""Seconds of each session on a full trading day."""


@dataclass(frozen=True)
class Query:
    """The trades to compute metrics from. Times are ms UTC, ``[since, until)``.

    ``every_ms`` is the length of bars or of a grid's steps; None for one value per span. ``as_of`` limits the query to what had
    been received by then. ``engine`` is a name in ``stockctl.metrics.engines.ENGINES``.

    With ``fall_back``, ``session`` is only a default: for a symbol without trades in it, its newest session with trades
    answers. With ``configured`` (the setting ``symbols``), ``symbols`` are as users write them, and a symbol that neither the
    setting nor the engine knows is an UnknownSymbolError. Otherwise symbols are used as they are.
    """

    symbols: tuple[str, ...]
    policy: Policy
    session: SessionChoice
    zone: ZoneInfo
    now: int
    since: int | None = None
    until: int | None = None
    day: date | None = None
    across: bool = False
    every_ms: int | None = None
    as_of: int | None = None
    engine: str = DEFAULT_ENGINE
    fall_back: bool = False
    configured: frozenset[str] | None = None

    @property
    def effective_now(self) -> int:
        """Now, or ``as_of`` if that is earlier."""
        return self.now if self.as_of is None else min(self.now, self.as_of)

    @property
    def received_by(self) -> int | None:
        """``as_of`` if it is in the past. Otherwise None: all stored data was received by now."""
        return self.as_of if self.effective_now < self.now else None

    @property
    def is_ahead(self) -> bool:
        """Whether all of the queried time is in the future."""
        if self.day is not None:
            return self.day > trade_date(self.now)
        return self.since is not None and self.since > self.now

    @property
    def is_over(self) -> bool:
        """Whether all of the queried time is in the past."""
        if self.received_by is not None:
            return True
        if self.day is not None:
            return self.day < trade_date(self.now)
        return self.until is not None and self.until <= self.now

    @property
    def is_bounded(self) -> bool:
        """Whether the query names a date or a time."""
        return self.day is not None or self.since is not None or self.until is not None


def bounds(
    zone: ZoneInfo, since: str | date | None, until: str | date | None, day: str | date | None
) -> tuple[int | None, int | None]:
    """``[since, until)`` in ms UTC, None for no bound; ``day`` is a date in exchange time.

    UsageError for text that is no time, for ``day`` together with another bound, and for an empty interval.
    """
    if day is not None:
        if since is not None or until is not None:
            raise UsageError("--date and --since/--until exclude each other", hint="use one of them")
        return day_bounds(trade_date(parse_moment(day)))
    first, last = (None if moment is None else parse_moment(moment, zone) for moment in (since, until))
    if first is not None and last is not None and first >= last:
        raise UsageError("--since is not before --until", hint="a span is [since, until)")
    return first, last


class SessionRange(NamedTuple):
    """The queried part of one trade date's session: its hours ``[since, until)`` in ms UTC, and the slots of its trades.

    Slots may extend beyond the hours, for late reports. On a day on which the market is closed, the hours are empty.
    """

    trade_date: date
    since: int
    until: int
    slots: tuple[Slot, ...]

    @property
    def trades_since(self) -> int:
        """Start of the earliest slot, in ms UTC."""
        return min(slot.since for slot in self.slots)

    @property
    def trades_until(self) -> int:
        """End of the latest slot, in ms UTC."""
        return max(slot.until for slot in self.slots)

    def contains(self, ms: int) -> bool:
        """Whether a plain trade at ``ms`` (UTC) lies in the range."""
        return any(slot.since <= ms < slot.until and "plain" in slot.kinds for slot in self.slots)


class Span(NamedTuple):
    """One line of the result: a symbol, its session, the session's parts in order, and the symbol's trading hours."""

    number: int
    symbol: str
    session: SessionChoice
    parts: tuple[SessionRange, ...]
    hours: Hours

    @property
    def since(self) -> int:
        """Start of the first part's hours, in ms UTC."""
        return self.parts[0].since

    @property
    def until(self) -> int:
        """End of the last part's hours, in ms UTC."""
        return self.parts[-1].until

    @property
    def trades_since(self) -> int:
        """No trade of the span is before this time, in ms UTC."""
        return self.parts[0].trades_since

    @property
    def trades_until(self) -> int:
        """No trade of the span is at or after this time, in ms UTC."""
        return max(self.parts[-1].trades_until, self.until)

    def date_of(self, row: dict[str, Any]) -> date:
        """The trade date of a row: that on which its bar begins, or the last one with trades before its time ``at_ms``."""
        if (bar := row.get("bar_ms")) is not None:
            return next((part.trade_date for part in self.parts if part.trades_until > bar), self.parts[-1].trade_date)
        if (at := row.get("at_ms")) is not None:
            return next((part.trade_date for part in reversed(self.parts) if part.trades_since < at), self.parts[0].trade_date)
        return self.parts[0].trade_date


def session_range(day: date, session: SessionChoice, hours: Hours, query: Query) -> SessionRange | None:
    """The queried part of ``session`` on ``day``; None if there is none. ``all`` is the calendar day in exchange time."""
    session_hours = hours_on(day, session, hours)
    if session_hours is None:
        return None
    slots = [slot for slot in slots_of(day, hours) if session in ("all", slot.session)]
    since, until = session_hours
    first = query.since if query.since is not None else slots[0].since
    end = query.until if query.until is not None else ENDLESS_MS
    clipped = tuple(
        slot._replace(since=max(slot.since, first), until=min(slot.until, end))
        for slot in slots
        if slot.since < end and slot.until > first
    )
    since = min(max(since, first), until)
    return SessionRange(day, since, max(since, min(until, end)), clipped) if clipped and first < end else None


def newest_session_range(session: SessionChoice, hours: Hours, query: Query) -> SessionRange:
    """The newest session of that name that has begun, with or without trades."""
    now = query.effective_now
    day = trade_date(now)
    while (part := session_range(day, session, hours, query)) is None or part.since == part.until or part.since > now:
        day -= timedelta(days=1)
    return part


def group_into_spans(parts: Sequence[SessionRange], query: Query) -> list[tuple[SessionRange, ...]]:
    """The parts of each span of a symbol. Each part is a span, unless ``across`` is set or one bar overlaps two parts."""
    groups: list[tuple[SessionRange, ...]] = []
    for part in parts:
        if groups and (query.across or _share_bar(groups[-1][-1].trades_until - 1, part.trades_since, query)):
            groups[-1] = (*groups[-1], part)
        else:
            groups.append((part,))
    return groups


def _share_bar(before: int, after: int, query: Query) -> bool:
    """Whether both times, in ms UTC, lie in one bar."""
    every = query.every_ms
    if every is None or trade_date(before, query.zone) != trade_date(after, query.zone):
        return False
    midnight = midnight_before(after, query.zone)
    return every == DAY_MS or (before - midnight) // every == (after - midnight) // every


def seconds_per_year(span: Span) -> int:
    """Seconds of trading in a year, for annualised volatility."""
    return DAYS_PER_YEAR[span.hours] * (SESSION_SECONDS[span.session] if span.hours == "exchange" else 86_400)


class Slice(NamedTuple):
    """A row of the relation ``slices``: a time of a span. Its trades of the ``kinds`` (initials) belong to ``session``.

    Bars of ``every_ms`` start at ``origin_ms``. With ``quotes``, the prices of updates without volume count.
    """

    span: int
    part: int
    symbol: str
    session: str
    kinds: str
    quotes: int
    since_ms: int
    until_ms: int
    origin_ms: int
    every_ms: int


def slices(span: Span, query: Query) -> Iterator[Slice]:
    """The slots of the span's parts, divided where bars restart."""
    quotes = int(has_venue(span.symbol))
    for part in span.parts:
        ordinal = part.trade_date.toordinal()
        for slot in part.slots:
            kinds = "".join(kind[0] for kind in slot.kinds)
            for piece in bar_pieces(span, slot.since, slot.until, query):
                yield Slice(span.number, ordinal, span.symbol, slot.session, kinds, quotes, *piece)


def bar_pieces(span: Span, since: int, until: int, query: Query) -> Iterator[tuple[int, int, int, int]]:
    """``[since, until)`` of the span, divided at each midnight of the query's zone: bars restart there.

    Yields since, until, the origin of the piece's bars, and their length, all in ms.
    """
    every = query.every_ms
    if every is None:
        yield since, until, span.trades_since, ENDLESS_MS
        return
    while since < until:
        origin, following = day_bounds(trade_date(since, query.zone), query.zone)
        end = min(until, following)
        # A one-day bar is as long as its day: 23 or 25 hours where the clocks change.
        yield since, end, origin, ENDLESS_MS if every == DAY_MS else every
        since = end


def midnight_before(ms: int, zone: ZoneInfo) -> int:
    """The last midnight of ``zone`` at or before ``ms``, in ms UTC."""
    return day_bounds(trade_date(ms, zone), zone)[0]
