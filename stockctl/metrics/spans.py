"""What is asked: which trades of which symbols and sessions, cut into spans, each a line of the answer.

A span is one symbol's session on one trade date; with ``across``, all asked dates of one symbol together. Bars and grids
start at midnight of the zone they are shown in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

from stockctl.errors import UsageError
from stockctl.metrics.policy import Policy
from stockctl.sessions import EXCHANGE_ZONE, from_ms, parse_moment, sessions_of, to_ms, trade_date

SessionChoice = Literal["regular", "pre", "post", "all"]
SESSION_CHOICES: tuple[SessionChoice, ...] = get_args(SessionChoice)

DAY_MS = 86_400_000
ENDLESS_MS = 10_000_000_000_000
"""A length of time that no span reaches."""

SESSION_SECONDS: dict[str, int] = {"pre": 19_800, "regular": 23_400, "post": 14_400, "all": 57_600}
"""Seconds of each session on a whole trading day."""


@dataclass(frozen=True)
class Question:
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
        return day_around(parse_moment(day), EXCHANGE_ZONE)
    first, last = (None if moment is None else parse_moment(moment, zone) for moment in (since, until))
    if first is not None and last is not None and first >= last:
        raise UsageError("--since is not before --until", hint="a span is [since, until)")
    return first, last


class Part(NamedTuple):
    """The asked part ``[since, until)`` of one trade date's session, in ms UTC."""

    trade_date: date
    since: int
    until: int


class Span(NamedTuple):
    """One line of the answer: a symbol, the session that counts for it, its parts in order, and whether it never closes."""

    number: int
    symbol: str
    session: SessionChoice
    parts: tuple[Part, ...]
    around_the_clock: bool

    @property
    def since(self) -> int:
        """Start of the first part, in ms UTC."""
        return self.parts[0].since

    @property
    def until(self) -> int:
        """End of the last part, in ms UTC."""
        return self.parts[-1].until


def part_on(day: date, session: SessionChoice, question: Question) -> Part | None:
    """The asked part of ``session`` on ``day``; None if there is none. ``all`` is the whole calendar day of the exchange."""
    if session == "all":
        since, until = _midnight(day, EXCHANGE_ZONE), _midnight(day + timedelta(days=1), EXCHANGE_ZONE)
    else:
        hours = [(found.since, found.until) for found in sessions_of(day) if found.name == session]
        if not hours:
            return None
        since, until = hours[0]
    since = max(since, question.since if question.since is not None else since)
    until = min(until, question.until if question.until is not None else until)
    return Part(day, since, until) if since < until else None


def newest_part(session: SessionChoice, question: Question) -> Part:
    """The newest session of that name that has begun, whether or not anything has traded in it."""
    day = trade_date(question.then)
    while (part := part_on(day, session, question)) is None or part.since > question.then:
        day -= timedelta(days=1)
    return part


def year_seconds(span: Span) -> int:
    """Seconds of trading in a year, by which returns are annualised: 252 sessions, or 365 days around the clock."""
    return 365 * 86_400 if span.around_the_clock else 252 * SESSION_SECONDS[span.session]


def session_edges(span: Span) -> list[int]:
    """Times in ms UTC at which a session begins or ends within the span; no return crosses them."""
    if span.around_the_clock:
        return []
    return sorted({edge for part in span.parts for s in sessions_of(part.trade_date) for edge in (s.since, s.until)})


class Piece(NamedTuple):
    """A row of the relation ``pieces``: time of a span with the origin from which its bars of ``every_ms`` are counted."""

    span: int
    part: int
    symbol: str
    since_ms: int
    until_ms: int
    origin_ms: int
    every_ms: int


def pieces(span: Span, question: Question) -> Iterator[Piece]:
    """The span's parts; cut at each midnight of the zone when there are bars, for they start anew there."""
    every = question.every_ms
    for part in span.parts:
        ordinal = part.trade_date.toordinal()
        if every is None:
            yield Piece(span.number, ordinal, span.symbol, part.since, part.until, span.since, ENDLESS_MS)
            continue
        since = part.since
        while since < part.until:
            origin, following = day_around(since, question.zone)
            until = min(part.until, following)
            # A bar of a day is as long as its day, be it one of 23 or 25 hours.
            yield Piece(span.number, ordinal, span.symbol, since, until, origin, ENDLESS_MS if every == DAY_MS else every)
            since = until


def day_around(ms: int, zone: ZoneInfo) -> tuple[int, int]:
    """The midnights around ``ms`` in ``zone``: the last at or before it, and the next."""
    day = from_ms(ms, zone).date()
    return _midnight(day, zone), _midnight(day + timedelta(days=1), zone)


def _midnight(day: date, zone: ZoneInfo) -> int:
    return to_ms(datetime.combine(day, time(), zone))
