"""The session of a trade: by its time, unless its condition codes name another. Every engine uses this rule.

The closing auction is reported milliseconds to minutes after the bell, and other regular-hours trades may be reported late
too: after the close, their codes keep them in the regular session. A trade within regular hours with an extended-hours code is
a late report of the pre-market. No trade leaves its date. The session is derived on read; stored records do not change.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from stockctl.exchange.calendar import Hours, SessionName, currency_time, day_bounds, sessions_of
from stockctl.exchange.trade_conditions import TradeKind
from stockctl.intervals import Interval

TradeSession = SessionName | Literal["none"]
"""The session of a trade; ``none`` outside all sessions of the exchange, and in other markets."""

TRADE_KINDS: tuple[TradeKind, ...] = get_args(TradeKind)
_SESSION_OF: dict[SessionName, dict[TradeKind, SessionName]] = {
    "pre": {"plain": "pre", "regular": "pre", "extended": "pre"},
    "regular": {"plain": "regular", "regular": "regular", "extended": "pre"},
    "post": {"plain": "post", "regular": "regular", "extended": "post"},
}
"""The session of a trade, by the exchange's session at its time and by its kind."""


class Slot(NamedTuple):
    """Trades in ``[since, until)`` (ms UTC) of these ``kinds`` belong to ``session``."""

    session: TradeSession
    since: int
    until: int
    kinds: tuple[TradeKind, ...]


@lru_cache(maxsize=1024)
def slots_of(day: date, hours: Hours = "exchange") -> tuple[Slot, ...]:
    """The slots of the calendar ``day`` in exchange time, for a market with these hours.

    Each combination of time and kind lies in exactly one slot.
    """
    since, until = day_bounds(day)
    slots: list[Slot] = []
    for session in sessions_of(day) if hours == "exchange" else ():
        if since < session.since:
            slots.append(Slot("none", since, session.since, TRADE_KINDS))
        by_kind = _SESSION_OF[session.name]
        for name in dict.fromkeys(by_kind.values()):
            slots.append(Slot(name, session.since, session.until, tuple(kind for kind in TRADE_KINDS if by_kind[kind] == name)))
        since = session.until
    return (*slots, Slot("none", since, until, TRADE_KINDS))


def hours_on(day: date, session: SessionName | Literal["all"], hours: Hours) -> Interval | None:
    """The hours of ``session`` on ``day`` in ms UTC; None if the market has no such session. ``all``: see ``hours_of``."""
    if session == "all":
        return hours_of(day, hours)
    sessions = sessions_of(day) if hours == "exchange" else ()
    return next(((named.since, named.until) for named in sessions if named.name == session), None)


def hours_of(day: date, hours: Hours) -> Interval:
    """The calendar ``day`` in exchange time, in ms UTC. Currencies: its trading hours, empty if the market is closed."""
    since, until = day_bounds(day)
    if hours != "currency":
        return since, until
    return next(iter(currency_time(since, until)), (since, since))
