"""Rollups of trades and coverage: minute bars, and each company's last trade and session.

Both are recomputed by aggregation from the stored documents, for the minutes and symbols of a batch: repeating that changes
nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from itertools import accumulate
from typing import NamedTuple

from stockctl.clients.mongo import Document, Mongo
from stockctl.exchange.calendar import Calendar, Hours, calendar_of, day_bounds, now_ms, sessions_of, trade_date
from stockctl.exchange.trade_sessions import Slot, hours_of, slots_of
from stockctl.intervals import Interval, intersect, length, subtract
from stockctl.mongo.aggregation import KIND, TRADE_ORDER, bars_pipeline, counts, in_slots, match_symbol, priced, when
from stockctl.mongo.allowed_sources import begun_with
from stockctl.mongo.coverage import connected_before, covered, stopped, through
from stockctl.mongo.documents import date_of, ms_of
from stockctl.mongo.schema import BARS, COMPANIES, TRADES
from stockctl.settings import Settings

Touched = Mapping[str, Collection[int]]
"""By symbol, the minutes (ms UTC) with new trades; none for a symbol of which only the coverage has changed."""

MINUTE_MS = 60_000
LONGEST_GAP = 30 * MINUTE_MS
VOLATILITY_TRADES = 100


class Session(NamedTuple):
    """One session of a market: its hours ``[since, until)`` in ms UTC, and the slots of its trades."""

    name: str
    day: date
    since: int
    until: int
    slots: tuple[Slot, ...]
    hours: Hours


class SessionBar(NamedTuple):
    """The part of the minute bar at ``ms`` (UTC) that belongs to a session: the number of trades that count, their volume and
    value, and the number of prices that count.
    """

    ms: int
    trades: int
    volume: float
    paid: float
    prices: int


def intervals_of(minutes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Intervals ``[since, until)`` of the minutes; short gaps are included, because a query costs more than some bars."""
    since = until = 0
    for minute in sorted(minutes):
        if minute > until + LONGEST_GAP or not until:
            if until:
                yield since, until
            since = minute
        until = minute + MINUTE_MS
    if until:
        yield since, until


def refresh(mongo: Mongo, settings: Settings, touched: Touched) -> None:
    """Recompute the bars and companies of ``touched`` from the stored trades and coverage."""
    for symbol, minutes in touched.items():
        for since, until in intervals_of(minutes):
            _bars(mongo, settings, symbol, since, until)
    days: dict[date, list[str]] = {}
    for symbol, minutes in touched.items():
        day = _newest_day(mongo, symbol, minutes)
        if day is not None:
            days.setdefault(day, []).append(symbol)
    calendar = calendar_of(begun_with(mongo))
    for day, symbols in days.items():
        _companies(mongo, settings, day, symbols, calendar)


def _bars(mongo: Mongo, settings: Settings, symbol: str, since: int, until: int) -> None:
    pipeline = bars_pipeline(symbol, since, until, settings.metrics.policy)
    retained_since = now_ms() - round(settings.mongo.retention * 1000) + MINUTE_MS
    if since >= retained_since:
        mongo.aggregate(TRADES, pipeline)
        return
    # Bars outlive their trades: the trades left of an expiring minute must not replace a bar of more trades.
    *without_merge, _ = pipeline
    stored = {
        bar["_id"]: bar["trades"] for bar in mongo.find(BARS, match_symbol(symbol, "bar", since, until)["$match"], ["trades"])
    }
    mongo.upsert(BARS, [bar for bar in mongo.aggregate(TRADES, without_merge) if bar["trades"] >= stored.get(bar["_id"], 0)])


def _newest_day(mongo: Mongo, symbol: str, minutes: Collection[int]) -> date | None:
    """The date of the symbol's newest trade."""
    known = mongo.get(COMPANIES, symbol)
    days = [trade_date(ms_of(known["last"]["ts_event"]))] if known is not None and known.get("last") else []
    return max([*days, *([trade_date(max(minutes))] if minutes else [])], default=None)


def session_on(day: date, choice: str, hours: Hours) -> Session | None:
    """The session ``choice`` of ``day`` in a market with these hours; None on a holiday."""
    if choice == "all" or hours != "exchange":
        return whole_day(day, hours)
    slots = tuple(slot for slot in slots_of(day) if slot.session == choice)
    named = [one for one in sessions_of(day) if one.name == choice]
    return Session(choice, day, named[0].since, named[0].until, slots, hours) if named else None


def whole_day(day: date, hours: Hours) -> Session:
    """All hours of ``day``."""
    return Session("all", day, *hours_of(day, hours), slots_of(day, hours), hours)


def sums_by_kind(bar: Document) -> list[Document]:
    """The sums of a bar by kind of trade; a bar of an earlier version, without them, counts as plain trades."""
    volume = bar["volume"] or 0.0
    total = {"trades": bar["trades"], "volume": volume, "paid": (bar["vwap"] or 0.0) * volume, "prices": bar["trades"]}
    return bar.get(KIND) or [{KIND: "plain"} | total]


def session_bars(bars: Iterable[Document], session: Session) -> list[SessionBar]:
    """The parts of the minute bars that belong to ``session``, in order."""
    inside: list[SessionBar] = []
    for bar in bars:
        ms = ms_of(bar["bar"])
        kinds = {kind for slot in session.slots if slot.since <= ms < slot.until for kind in slot.kinds}
        parts = [part for part in sums_by_kind(bar) if part[KIND] in kinds]
        if parts:
            sums = (sum(part[name] for part in parts) for name in ("trades", "volume", "paid", "prices"))
            inside.append(SessionBar(ms, *sums))
    return inside


def _companies(mongo: Mongo, settings: Settings, day: date, symbols: list[str], calendar: Calendar) -> None:
    covered_spans = covered(mongo, symbols, *day_bounds(day))
    policy = settings.metrics.policy
    for symbol in symbols:
        hours = calendar.hours(symbol)
        bars = list(mongo.find(BARS, match_symbol(symbol, "bar", *day_bounds(day))["$match"]))
        bars.sort(key=lambda bar: bar["bar"])
        fields: Document = {"symbol": symbol, "policy": policy}
        last = _last_trade(mongo, symbol, bars, policy)
        if last is not None:
            fields["last"] = last
        session = session_on(day, settings.metrics.session, hours)
        inside = session_bars(bars, session) if session is not None else []
        if session is None or not any(bar.prices for bar in inside):
            # Nothing in the session yet: the whole day is more useful than nothing.
            session = whole_day(day, hours)
            inside = session_bars(bars, session)
        spans = intersect(covered_spans[symbol], [(session.since, session.until)])
        fields["session"] = _session(mongo, settings, symbol, session, inside, spans)
        # Which hours of a whole day should be covered is unknown, unless the symbol trades in all of them.
        if session.name != "all" or hours != "exchange":
            fields["session"]["coverage"] = _coverage(mongo, symbol, session, spans, calendar)
        mongo.set_fields(COMPANIES, symbol, fields)


def _last_trade(mongo: Mongo, symbol: str, bars: list[Document], policy: str) -> Document | None:
    """The newest trade, or price update, whose price counts."""
    closing = next((ms_of(bar["bar"]) for bar in reversed(bars) if any(part["prices"] for part in sums_by_kind(bar))), None)
    if closing is None:
        return None
    rows = mongo.aggregate(
        TRADES,
        [
            match_symbol(symbol, "ts_event", closing, closing + MINUTE_MS),
            {"$group": {"_id": None, "last": {"$max": when(priced(symbol, policy), TRADE_ORDER | {"source": "$source"})}}},
        ],
    )
    last = rows[0].get("last") if rows else None
    if last is None:
        return None
    return {"price": last["price"], "volume": last["volume"], "ts_event": last["t"], "id": last["i"], "source": last["source"]}


def _session(
    mongo: Mongo, settings: Settings, symbol: str, session: Session, inside: list[SessionBar], covered_spans: list[Interval]
) -> Document:
    """The session's figures, null where unknown. ``covered_spans`` is the time of the session that the feed covered."""
    trades = sum(bar.trades for bar in inside)
    volume = sum(bar.volume for bar in inside)
    return {
        "name": session.name,
        "trade_date": session.day.isoformat(),
        "since": date_of(session.since),
        "until": date_of(session.until),
        "trades": trades,
        "volume": volume if trades else None,
        "vwap": sum(bar.paid for bar in inside) / volume if trades else None,
        "volatility": _volatility(mongo, settings, symbol, session, inside),
        "rate": _rate(mongo, settings, symbol, session, inside, covered_spans) if covered_spans else None,
        "coverage": None,
    }


def _coverage(mongo: Mongo, symbol: str, session: Session, covered_spans: list[Interval], calendar: Calendar) -> float | None:
    """Per cent of the session that the feed covered, from its start or from the feed's first connection for the symbol on."""
    if not covered_spans:
        return None
    since, until = covered_spans[0][0], covered_spans[-1][1]
    if calendar.always_open:
        return 100 * length(covered_spans) / length(subtract([(since, until)], stopped(mongo, symbol, since, until)))
    if since > session.since and connected_before(mongo, {symbol}, session.since):
        since = session.since
    return 100 * length(covered_spans) / (until - since)


def _rate(
    mongo: Mongo, settings: Settings, symbol: str, session: Session, inside: list[SessionBar], covered_spans: list[Interval]
) -> float | None:
    """Trades that count per second of covered time, by the rules of ``sql/metrics/rate.sql``; None without a trade."""
    # Coverage comes through another partition than trades, and does not prove how far these are stored.
    received = through(mongo, symbol, day_bounds(session.day)[0]) or 0
    stored = min(max(received, _newest(mongo, symbol, session) + 1), now_ms())
    known = intersect(covered_spans, [(session.since, stored)])
    starts, sums = [bar.ms for bar in inside], [0, *accumulate(bar.trades for bar in inside)]

    def count_trades(since: int, until: int) -> int:
        """Trades of the bars that begin in ``[since, until)``."""
        return sums[bisect_left(starts, until)] - sums[bisect_left(starts, since)]

    trades = 0
    edges: list[Interval] = []
    for since, until in known:
        # Bars count whole minutes; the trades themselves are counted at the edges.
        first, last = -(-since // MINUTE_MS) * MINUTE_MS, until // MINUTE_MS * MINUTE_MS
        if first <= last:
            trades += count_trades(first, last)
            edges += [(since, first), (last, until)]
        else:
            edges.append((since, until))
    edges = [(since, until) for since, until in edges if since < until and count_trades(since // MINUTE_MS * MINUTE_MS, until)]
    if edges:
        reach = match_symbol(symbol, "ts_event", edges[0][0], edges[-1][1])["$match"]
        parts = [{"ts_event": {"$gte": date_of(since), "$lt": date_of(until)}} for since, until in edges]
        rows = mongo.aggregate(
            TRADES,
            [
                {"$match": reach | {"$or": parts}},
                {"$match": {"$expr": {"$and": [counts(settings.metrics.policy), in_slots(session.slots)]}}},
                {"$count": "trades"},
            ],
        )
        trades += sum(row["trades"] for row in rows)
    return trades * 1000 / sum(until - since for since, until in known) if trades else None


def _newest(mongo: Mongo, symbol: str, session: Session) -> int:
    """Time of the session's newest trade in ms UTC, -1 without one: a replay may shift it past its receipt."""
    inside = match_symbol(symbol, "ts_event", session.slots[0].since, session.slots[-1].until)["$match"]
    found = mongo.find(TRADES, inside, ["ts_event"], sort=[("ts_event", -1)], limit=1)
    return max((ms_of(trade["ts_event"]) for trade in found), default=-1)


def _volatility(mongo: Mongo, settings: Settings, symbol: str, session: Session, inside: list[SessionBar]) -> float | None:
    """Sample standard deviation of the session's last prices that count."""
    since, prices = session.slots[0].since, 0
    for bar in reversed(inside):
        prices += bar.prices
        if prices >= VOLATILITY_TRADES:
            since = bar.ms
            break
    if prices < 2:
        return None
    rows = mongo.aggregate(
        TRADES,
        [
            match_symbol(symbol, "ts_event", since, max(slot.until for slot in session.slots)),
            {"$match": {"$expr": {"$and": [priced(symbol, settings.metrics.policy), in_slots(session.slots)]}}},
            {"$sort": {"ts_event": -1, "ts_recv": -1, "_id": -1}},
            {"$limit": VOLATILITY_TRADES},
            {"$group": {"_id": None, "deviation": {"$stdDevSamp": "$price"}}},
        ],
    )
    return rows[0]["deviation"] if rows else None
