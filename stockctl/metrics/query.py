"""What is asked: which trades of which symbols and sessions, cut into spans, each a line of the answer.

A span is one symbol's session on one trade date; with ``across``, all asked dates of one symbol together, and dates that a bar
lies across are together too. Bars and grids start at midnight of the zone they are shown in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

from stockctl.errors import UsageError
from stockctl.exchange.calendar import Hours, day_bounds, parse_moment, trade_date
from stockctl.exchange.trade_sessions import Slot, hours_on, slots_of
from stockctl.exchange.venues import has_venue
from stockctl.metrics.trade_filter import Policy

SessionChoice = Literal["regular", "pre", "post", "all"]
SESSION_CHOICES: tuple[SessionChoice, ...] = get_args(SessionChoice)

DAY_MS = 86_400_000
ENDLESS_MS = 10_000_000_000_000
"""A length of time that no span reaches."""

SESSION_SECONDS: dict[str, int] = {"pre": 19_800, "regular": 23_400, "post": 14_400, "all": 57_600}
"""Seconds of each session on a whole trading day."""


@dataclass(frozen=True)
class Query:
    """What is asked of the trades. Times are ms UTC, ``[since, until)``; ``every_ms`` cuts bars or a grid, None for none.

    ``as_of`` keeps what had been received by then. ``engine`` is where the trades come from. With ``fall_back`` the session is
    a default: a symbol that has no trades in it is answered from its newest session that has some. Symbols are taken as they
    stand; beside ``configured`` ones they are as people write them, and one that neither these nor the engine know is refused.
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
    engine: Literal["lake", "mongo", "redshift"] = "lake"
    fall_back: bool = False
    configured: frozenset[str] | None = None

    @property
    def then(self) -> int:
        """The moment whose knowledge answers: now, or ``as_of`` where that is earlier."""
        return self.now if self.as_of is None else min(self.now, self.as_of)

    @property
    def received_by(self) -> int | None:
        """``as_of`` if it is over; None otherwise, as whatever is held was received by now."""
        return self.as_of if self.then < self.now else None

    @property
    def is_over(self) -> bool:
        """Whether all of the asked time is over."""
        if self.received_by is not None:
            return True
        if self.day is not None:
            return self.day < trade_date(self.now)
        return self.until is not None and self.until <= self.now


def bounds(
    zone: ZoneInfo, since: str | date | None, until: str | date | None, day: str | date | None
) -> tuple[int | None, int | None]:
    """``[since, until)`` in ms UTC as people write it, None for no bound; ``day`` is a whole date of the exchange.

    UsageError for what is no time, for ``day`` beside one of the others, and for an empty span.
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
    """The asked part of one trade date's session: its hours ``[since, until)`` in ms UTC, and the slots that hold its trades.

    The slots may reach beyond the hours, for late reports. Hours may be empty, as those of a day on which the market is closed.
    """

    trade_date: date
    since: int
    until: int
    slots: tuple[Slot, ...]

    @property
    def first(self) -> int:
        """Before this time, in ms UTC, the part holds no trade."""
        return min(slot.since for slot in self.slots)

    @property
    def end(self) -> int:
        """From this time on, in ms UTC, the part holds no trade."""
        return max(slot.until for slot in self.slots)

    def holds(self, ms: int) -> bool:
        """Whether a trade at ``ms`` (UTC) lies in the part unless its codes tell otherwise."""
        return any(slot.since <= ms < slot.until and "plain" in slot.kinds for slot in self.slots)


class Span(NamedTuple):
    """One line of the answer: a symbol, the session that counts for it, its parts in order, and the hours that it trades by."""

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
    def first(self) -> int:
        """Before this time, in ms UTC, the span holds no trade."""
        return self.parts[0].first

    @property
    def end(self) -> int:
        """From this time on, in ms UTC, the span holds no trade."""
        return max(self.parts[-1].end, self.until)

    def date_of(self, row: dict[str, Any]) -> date:
        """The trade date of a row: the one on which its bar begins, or whose trades an edge ``at_ms`` tells last."""
        if (bar := row.get("bar_ms")) is not None:
            return next((part.trade_date for part in self.parts if part.end > bar), self.parts[-1].trade_date)
        if (at := row.get("at_ms")) is not None:
            return next((part.trade_date for part in reversed(self.parts) if part.first < at), self.parts[0].trade_date)
        return self.parts[0].trade_date


def part_on(day: date, session: SessionChoice, hours: Hours, question: Query) -> SessionRange | None:
    """The asked part of ``session`` on ``day``; None if there is none. ``all`` is the whole calendar day of the exchange."""
    found = hours_on(day, session, hours)
    if found is None:
        return None
    slots = [slot for slot in slots_of(day, hours) if session in ("all", slot.session)]
    since, until = found
    first = question.since if question.since is not None else slots[0].since
    end = question.until if question.until is not None else ENDLESS_MS
    kept = tuple(
        slot._replace(since=max(slot.since, first), until=min(slot.until, end))
        for slot in slots
        if slot.since < end and slot.until > first
    )
    since = min(max(since, first), until)
    return SessionRange(day, since, max(since, min(until, end)), kept) if kept and first < end else None


def newest_part(session: SessionChoice, hours: Hours, question: Query) -> SessionRange:
    """The newest session of that name that has begun, whether or not anything has traded in it."""
    day = trade_date(question.then)
    while (part := part_on(day, session, hours, question)) is None or part.since == part.until or part.since > question.then:
        day -= timedelta(days=1)
    return part


def joined(parts: Sequence[SessionRange], question: Query) -> list[tuple[SessionRange, ...]]:
    """The parts of a symbol as those of its spans: each on its own, but for two that a bar lies across, and with ``across``."""
    spans: list[tuple[SessionRange, ...]] = []
    for part in parts:
        if spans and (question.across or _bar_across(spans[-1][-1].end - 1, part.first, question)):
            spans[-1] = (*spans[-1], part)
        else:
            spans.append((part,))
    return spans


def _bar_across(before: int, after: int, question: Query) -> bool:
    """Whether both times, in ms UTC, lie in one bar."""
    every = question.every_ms
    if every is None:
        return False
    (midnight, _), (same, _) = (day_bounds(trade_date(ms, question.zone), question.zone) for ms in (before, after))
    return midnight == same and (every == DAY_MS or (before - midnight) // every == (after - midnight) // every)


def year_seconds(span: Span) -> int:
    """Seconds of trading in a year, by which returns are annualised."""
    if span.hours == "always":
        return 365 * 86_400
    return 260 * 86_400 if span.hours == "currency" else 252 * SESSION_SECONDS[span.session]


class Slice(NamedTuple):
    """A row of the relation ``slices``: time of a span, whose trades of the kinds ``told`` (initials) are of ``session``.

    ``origin_ms`` is where its bars of ``every_ms`` are counted from. With ``quotes`` a price update counts as a price.
    """

    span: int
    part: int
    symbol: str
    session: str
    told: str
    quotes: int
    since_ms: int
    until_ms: int
    origin_ms: int
    every_ms: int


def slices(span: Span, question: Query) -> Iterator[Slice]:
    """The slots of the span's parts, cut where its bars start anew."""
    quotes = int(has_venue(span.symbol))
    for part in span.parts:
        ordinal = part.trade_date.toordinal()
        for slot in part.slots:
            same = (span.number, ordinal, span.symbol, slot.session, "".join(told[0] for told in slot.kinds), quotes)
            for cut in cuts(span, slot.since, slot.until, question):
                yield Slice(*same, *cut)


def cuts(span: Span, since: int, until: int, question: Query) -> Iterator[tuple[int, int, int, int]]:
    """``[since, until)`` of the span, cut at each midnight of the zone when there are bars, for they start anew there.

    Each with the time from which its bars are counted, and their length, in ms.
    """
    every = question.every_ms
    if every is None:
        yield since, until, span.first, ENDLESS_MS
        return
    while since < until:
        origin, following = day_bounds(trade_date(since, question.zone), question.zone)
        end = min(until, following)
        # A bar of a day is as long as its day, be it one of 23 or 25 hours.
        yield since, end, origin, ENDLESS_MS if every == DAY_MS else every
        since = end
