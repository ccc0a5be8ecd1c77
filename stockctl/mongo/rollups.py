"""What follows from trades and coverage: minute bars, and each company's last trade and session.

Both are recomputed by aggregation from what MongoDB holds, for what a batch has touched: repeating it changes nothing.
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
from stockctl.mongo.bars import PLACE, bars_pipeline, counts, if_, of, priced, within
from stockctl.mongo.coverage import connected_before, covered, stopped, through
from stockctl.mongo.documents import date_of, ms_of
from stockctl.mongo.schema import BARS, COMPANIES, TRADES
from stockctl.mongo.source_guard import begun_with
from stockctl.settings import Settings

Touched = Mapping[str, Collection[int]]
"""By symbol, the minutes (ms UTC) in which trades have come; none for a symbol whose coverage alone has changed."""

MINUTE_MS = 60_000
LONGEST_HOLE = 30 * MINUTE_MS
VOLATILITY_TRADES = 100


class Session(NamedTuple):
    """One session of a market: its hours ``[since, until)`` in ms UTC, and the slots that hold its trades."""

    name: str
    day: date
    since: int
    until: int
    slots: tuple[Slot, ...]
    hours: Hours


class Share(NamedTuple):
    """What of the minute bar at ``ms`` (UTC) belongs to a session: trades, volume and value that count, and prices that do."""

    ms: int
    trades: int
    volume: float
    paid: float
    prices: int


def runs(minutes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The minutes as stretches ``[since, until)``; short holes are covered, for a question costs more than some bars."""
    since = until = 0
    for minute in sorted(minutes):
        if minute > until + LONGEST_HOLE or not until:
            if until:
                yield since, until
            since = minute
        until = minute + MINUTE_MS
    if until:
        yield since, until


def refresh(mongo: Mongo, settings: Settings, touched: Touched) -> None:
    """Bring bars and companies up to date with the trades and the coverage that MongoDB holds."""
    for symbol, minutes in touched.items():
        for since, until in runs(minutes):
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
    kept_since = now_ms() - round(settings.mongo.retention * 1000) + MINUTE_MS
    if since >= kept_since:
        mongo.aggregate(TRADES, pipeline)
        return
    # Bars outlive their trades: of a minute that expires, what is left must not take the place of what was more.
    *made, _ = pipeline
    held = {bar["_id"]: bar["trades"] for bar in mongo.find(BARS, of(symbol, "bar", since, until)["$match"], ["trades"])}
    mongo.upsert(BARS, [bar for bar in mongo.aggregate(TRADES, made) if bar["trades"] >= held.get(bar["_id"], 0)])


def _newest_day(mongo: Mongo, symbol: str, minutes: Collection[int]) -> date | None:
    """The date of the symbol's newest trade."""
    known = mongo.get(COMPANIES, symbol)
    days = [trade_date(ms_of(known["last"]["ts_event"]))] if known is not None and known.get("last") else []
    return max([*days, *([trade_date(max(minutes))] if minutes else [])], default=None)


def session_on(day: date, choice: str, hours: Hours) -> Session | None:
    """The session of a market with these hours that counts on ``day``; None on a holiday."""
    if choice == "all" or hours != "exchange":
        return all_of(day, hours)
    slots = tuple(slot for slot in slots_of(day) if slot.session == choice)
    named = [one for one in sessions_of(day) if one.name == choice]
    return Session(choice, day, named[0].since, named[0].until, slots, hours) if named else None


def all_of(day: date, hours: Hours) -> Session:
    """All hours of ``day``."""
    return Session("all", day, *hours_of(day, hours), slots_of(day, hours), hours)


def told(bar: Document) -> list[Document]:
    """The sums of a bar by what its trades' codes tell; one that was made without them holds plain trades."""
    volume = bar["volume"] or 0.0
    whole = {"trades": bar["trades"], "volume": volume, "paid": (bar["vwap"] or 0.0) * volume, "prices": bar["trades"]}
    return bar.get("told") or [{"told": "plain"} | whole]


def shares(bars: Iterable[Document], session: Session) -> list[Share]:
    """What of the minute bars belongs to ``session``, in order."""
    found: list[Share] = []
    for bar in bars:
        ms = ms_of(bar["bar"])
        kinds = {kind for slot in session.slots if slot.since <= ms < slot.until for kind in slot.kinds}
        parts = [part for part in told(bar) if part["told"] in kinds]
        if parts:
            sums = (sum(part[name] for part in parts) for name in ("trades", "volume", "paid", "prices"))
            found.append(Share(ms, *sums))
    return found


def _companies(mongo: Mongo, settings: Settings, day: date, symbols: list[str], calendar: Calendar) -> None:
    watched = covered(mongo, symbols, *day_bounds(day))
    policy = settings.metrics.policy
    for symbol in symbols:
        hours = calendar.hours(symbol)
        bars = list(mongo.find(BARS, of(symbol, "bar", *day_bounds(day))["$match"]))
        bars.sort(key=lambda bar: bar["bar"])
        fields: Document = {"symbol": symbol, "policy": policy}
        last = _last_trade(mongo, symbol, bars, policy)
        if last is not None:
            fields["last"] = last
        session = session_on(day, settings.metrics.session, hours)
        inside = shares(bars, session) if session is not None else []
        if session is None or not any(share.prices for share in inside):
            # Nothing in the session yet: better all that the day has brought than nothing.
            session = all_of(day, hours)
            inside = shares(bars, session)
        spans = intersect(watched[symbol], [(session.since, session.until)])
        fields["session"] = _session(mongo, settings, symbol, session, inside, spans)
        # Of a whole day nobody can say which hours should have been covered, unless the symbol trades in all of them.
        if session.name != "all" or hours != "exchange":
            fields["session"]["coverage"] = _coverage(mongo, symbol, session, spans, calendar)
        mongo.set_fields(COMPANIES, symbol, fields)


def _last_trade(mongo: Mongo, symbol: str, bars: list[Document], policy: str) -> Document | None:
    """The newest trade, or price update, whose price counts."""
    closing = next((ms_of(bar["bar"]) for bar in reversed(bars) if any(part["prices"] for part in told(bar))), None)
    if closing is None:
        return None
    rows = mongo.aggregate(
        TRADES,
        [
            of(symbol, "ts_event", closing, closing + MINUTE_MS),
            {"$group": {"_id": None, "last": {"$max": if_(priced(symbol, policy), PLACE | {"source": "$source"})}}},
        ],
    )
    last = rows[0].get("last") if rows else None
    if last is None:
        return None
    return {"price": last["price"], "volume": last["volume"], "ts_event": last["t"], "id": last["i"], "source": last["source"]}


def _session(
    mongo: Mongo, settings: Settings, symbol: str, session: Session, inside: list[Share], watched: list[Interval]
) -> Document:
    """The session's figures; what cannot be told is null. ``watched`` is what the feed covered of the session."""
    trades = sum(share.trades for share in inside)
    volume = sum(share.volume for share in inside)
    return {
        "name": session.name,
        "trade_date": session.day.isoformat(),
        "since": date_of(session.since),
        "until": date_of(session.until),
        "trades": trades,
        "volume": volume if trades else None,
        "vwap": sum(share.paid for share in inside) / volume if trades else None,
        "volatility": _volatility(mongo, settings, symbol, session, inside),
        "rate": _rate(mongo, settings, symbol, session, inside, watched) if watched else None,
        "coverage": None,
    }


def _coverage(mongo: Mongo, symbol: str, session: Session, watched: list[Interval], calendar: Calendar) -> float | None:
    """Per cent of the session that the feed watched, from its start or from the feed's first connection for the symbol on."""
    if not watched:
        return None
    since, until = watched[0][0], watched[-1][1]
    if calendar.always_open:
        return 100 * length(watched) / length(subtract([(since, until)], stopped(mongo, symbol, since, until)))
    if since > session.since and connected_before(mongo, {symbol}, session.since):
        since = session.since
    return 100 * length(watched) / (until - since)


def _rate(
    mongo: Mongo, settings: Settings, symbol: str, session: Session, inside: list[Share], watched: list[Interval]
) -> float | None:
    """Counted trades in covered time a covered second, as ``sql/metrics/rate.sql`` has it; null without a trade."""
    # Coverage comes by another partition than trades, and proves nothing of how far these are stored.
    received = through(mongo, symbol, day_bounds(session.day)[0]) or 0
    stored = min(max(received, _newest(mongo, symbol, session) + 1), now_ms())
    known = intersect(watched, [(session.since, stored)])
    starts, sums = [share.ms for share in inside], [0, *accumulate(share.trades for share in inside)]

    def held(since: int, until: int) -> int:
        """Trades of the bars that begin in ``[since, until)``."""
        return sums[bisect_left(starts, until)] - sums[bisect_left(starts, since)]

    trades = 0
    edges: list[Interval] = []
    for since, until in known:
        # Bars tell of whole minutes; of the others the trades themselves.
        first, last = -(-since // MINUTE_MS) * MINUTE_MS, until // MINUTE_MS * MINUTE_MS
        if first <= last:
            trades += held(first, last)
            edges += [(since, first), (last, until)]
        else:
            edges.append((since, until))
    edges = [(since, until) for since, until in edges if since < until and held(since // MINUTE_MS * MINUTE_MS, until)]
    if edges:
        reach = of(symbol, "ts_event", edges[0][0], edges[-1][1])["$match"]
        parts = [{"ts_event": {"$gte": date_of(since), "$lt": date_of(until)}} for since, until in edges]
        rows = mongo.aggregate(
            TRADES,
            [
                {"$match": reach | {"$or": parts}},
                {"$match": {"$expr": {"$and": [counts(settings.metrics.policy), within(session.slots)]}}},
                {"$count": "trades"},
            ],
        )
        trades += sum(row["trades"] for row in rows)
    return trades * 1000 / sum(until - since for since, until in known) if trades else None


def _newest(mongo: Mongo, symbol: str, session: Session) -> int:
    """Time of the session's newest trade in ms UTC, -1 without one: a replay may shift it behind its receipt."""
    inside = of(symbol, "ts_event", session.slots[0].since, session.slots[-1].until)["$match"]
    found = mongo.find(TRADES, inside, ["ts_event"], sort=[("ts_event", -1)], limit=1)
    return max((ms_of(trade["ts_event"]) for trade in found), default=-1)


def _volatility(mongo: Mongo, settings: Settings, symbol: str, session: Session, inside: list[Share]) -> float | None:
    """Sample standard deviation of the session's last prices that count."""
    since, held = session.slots[0].since, 0
    for share in reversed(inside):
        held += share.prices
        if held >= VOLATILITY_TRADES:
            since = share.ms
            break
    if held < 2:
        return None
    rows = mongo.aggregate(
        TRADES,
        [
            of(symbol, "ts_event", since, max(slot.until for slot in session.slots)),
            {"$match": {"$expr": {"$and": [priced(symbol, settings.metrics.policy), within(session.slots)]}}},
            {"$sort": {"ts_event": -1, "ts_recv": -1, "_id": -1}},
            {"$limit": VOLATILITY_TRADES},
            {"$group": {"_id": None, "deviation": {"$stdDevSamp": "$price"}}},
        ],
    )
    return rows[0]["deviation"] if rows else None
