"""Which session a trade belongs to: by its time, unless its codes tell better. Every engine reads it here.

The closing auction is told some ms to minutes after the bell, and other sales of regular hours may be reported late too: after
the close, their codes keep them in the regular session. A trade that says within regular hours that it is of extended hours is
a late report of the pre-market. Nothing leaves its date, and no record is changed: a trade's session is derived as it is read.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from stockctl.exchange.calendar import EXCHANGE_ZONE, Hours, SessionName, currency_time, sessions_of, to_ms, trade_date
from stockctl.exchange.trade_conditions import Told, told_of
from stockctl.intervals import Span

TradeSession = SessionName | Literal["none"]
"""The session of a trade; ``none`` outside every session of the exchange, and in other markets."""

ALL_TOLD: tuple[Told, ...] = get_args(Told)
_SESSION_OF: dict[SessionName, dict[Told, SessionName]] = {
    "pre": {"plain": "pre", "regular": "pre", "extended": "pre"},
    "regular": {"plain": "regular", "regular": "regular", "extended": "pre"},
    "post": {"plain": "post", "regular": "regular", "extended": "post"},
}
"""The session of a trade, by the exchange's session at its time and by what its codes tell."""


class Slot(NamedTuple):
    """Time ``[since, until)`` in ms UTC whose trades of the kinds ``told`` belong to ``session``."""

    session: TradeSession
    since: int
    until: int
    told: tuple[Told, ...]


@lru_cache(maxsize=1024)
def slots_of(day: date, hours: Hours = "exchange") -> tuple[Slot, ...]:
    """The calendar day of the exchange in slots, for a market with these hours: each moment and kind lies in exactly one."""
    since, until = day_bounds(day)
    slots: list[Slot] = []
    for session in sessions_of(day) if hours == "exchange" else ():
        if since < session.since:
            slots.append(Slot("none", since, session.since, ALL_TOLD))
        by_kind = _SESSION_OF[session.name]
        for name in dict.fromkeys(by_kind.values()):
            slots.append(Slot(name, session.since, session.until, tuple(told for told in ALL_TOLD if by_kind[told] == name)))
        since = session.until
    return (*slots, Slot("none", since, until, ALL_TOLD))


def hours_on(day: date, session: SessionName | Literal["all"], hours: Hours = "exchange") -> Span | None:
    """The hours of ``session`` on ``day`` in ms UTC, None if the exchange has none; ``all`` is as in ``hours_of``."""
    if session == "all":
        return hours_of(day, hours)
    return next(((one.since, one.until) for one in sessions_of(day) if one.name == session), None)


def hours_of(day: date, hours: Hours) -> Span:
    """The calendar day of the exchange in ms UTC; of the currency market what it trades of it, empty where that is nothing."""
    whole = day_bounds(day)
    return whole if hours != "currency" else (currency_time(*whole) or [(whole[0], whole[0])])[0]


def session_of(ms: int, conditions: str) -> TradeSession:
    """The session of a trade at ``ms`` (UTC) with these comma-joined condition codes."""
    told = told_of(conditions)
    return next(slot.session for slot in slots_of(trade_date(ms)) if slot.since <= ms < slot.until and told in slot.told)


def day_bounds(day: date) -> tuple[int, int]:
    """The midnights of the exchange around ``day``, in ms UTC."""
    since, until = (to_ms(datetime.combine(one, time(), EXCHANGE_ZONE)) for one in (day, day + timedelta(days=1)))
    return since, until
