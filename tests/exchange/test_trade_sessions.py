"""The session of a trade, by its time and its condition codes."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.exchange.calendar import Hours, day_bounds, session_at, trade_date
from stockctl.exchange.trade_conditions import table, trade_kind
from stockctl.exchange.trade_sessions import TRADE_KINDS, TradeSession, hours_on, slots_of
from tests.lakes import at

days = st.integers(0, 6000).map(lambda number: date(2015, 1, 1) + timedelta(number))
codes = st.lists(st.sampled_from(sorted(table())), max_size=4).map(",".join)


def session_of(ms: int, conditions: str) -> TradeSession:
    """The session of a trade at ``ms`` (UTC) with these comma-joined condition codes: that of its slot."""
    kind = trade_kind(conditions)
    return next(slot.session for slot in slots_of(trade_date(ms)) if slot.since <= ms < slot.until and kind in slot.kinds)


def test_other_markets_have_no_session_of_the_exchange() -> None:
    day = date(2026, 11, 20)
    assert hours_on(day, "regular", "exchange") == (at("2026-11-20 09:30"), at("2026-11-20 16:00"))
    assert hours_on(day, "regular", "currency") is None
    assert hours_on(date(2026, 11, 21), "regular", "exchange") is None


@pytest.mark.parametrize(
    ("moment", "conditions", "session"),
    [
        # The closing auction, by either tape's code, ms to minutes after the bell; a correction of its price.
        ("2026-11-20 16:00:00.000", "1,35", "regular"),
        ("2026-11-20 16:00:00.120", "1,36", "regular"),
        ("2026-11-20 16:09:30", "1,28,36,41", "regular"),
        ("2026-11-20 16:20:00", "39", "regular"),
        ("2026-11-20 15:59:59.990", "1,36", "regular"),
        ("2026-11-27 13:00:00.200", "1,36", "regular"),
        ("2026-11-27 13:04:00", "1,35", "regular"),
        # Other late reports of regular hours.
        ("2026-11-20 16:00:30", "1,30", "regular"),
        ("2026-11-20 16:00:30", "1,15", "regular"),
        # Plain trades, extended-hours trades and official reports.
        ("2026-11-20 16:00:00.050", "1", "post"),
        ("2026-11-20 16:00:00.050", "", "post"),
        ("2026-11-20 16:00:00.050", "1,28", "post"),
        ("2026-11-20 16:00:05", "1,12,24", "post"),
        ("2026-11-20 16:00:05", "1,24,36", "post"),
        ("2026-11-20 16:00:00.100", "16", "post"),
        ("2026-11-27 13:00:05", "1", "post"),
        # Late reports of extended hours.
        ("2026-11-20 15:45:00", "1,24", "pre"),
        ("2026-11-20 09:30:00", "25", "pre"),
        ("2026-11-27 12:59:00", "25", "pre"),
        # Opening auctions, before and after the bell.
        ("2026-11-20 09:29:59.990", "1,19", "pre"),
        ("2026-11-20 09:30:00.050", "1,19", "regular"),
        ("2026-11-20 09:34:00", "1,18", "regular"),
        # No session: at night, on a holiday, on a weekend.
        ("2026-11-20 20:00:00", "1,36", "none"),
        ("2026-11-26 16:00:00.100", "1,36", "none"),
        ("2026-11-21 12:00:00", "1,24", "none"),
    ],
)
def test_codes_decide_the_session_and_otherwise_time_does(moment: str, conditions: str, session: str) -> None:
    assert session_of(at(moment), conditions) == session


@given(days, st.integers(0, 90_000_000), codes, st.sampled_from(["exchange", "currency", "always"]))
def test_each_moment_and_kind_of_a_day_lies_in_one_slot(day: date, after: int, conditions: str, hours: Hours) -> None:
    since, until = day_bounds(day)
    ms = min(since + after, until - 1)
    matching = [slot for slot in slots_of(day, hours) if slot.since <= ms < slot.until and trade_kind(conditions) in slot.kinds]
    assert len(matching) == 1
    assert slots_of(day, hours)[0].since == since
    assert slots_of(day, hours)[-1].until == until
    assert matching[0].session == "none" or hours == "exchange"


@given(days, st.integers(0, 90_000_000), codes)
def test_plain_trades_follow_their_time_and_no_trade_leaves_its_date(day: date, after: int, conditions: str) -> None:
    ms = day_bounds(day)[0] + after
    session = session_at(ms)
    assert session_of(ms, "1") == (session.name if session else "none")
    assert (session_of(ms, conditions) == "none") == (session is None)
    assert {kind for slot in slots_of(trade_date(ms)) for kind in slot.kinds} == set(TRADE_KINDS)
