"""What follows from trades and coverage: minute bars, and each company's last trade and session.

Both are recomputed by aggregation from what MongoDB holds, for what a batch has touched: repeating it changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from itertools import accumulate
from typing import Any, NamedTuple

from stockctl.clients.mongo import Document, Mongo
from stockctl.conditions import NEVER_PRICE_FORMING
from stockctl.mongo.documents import date_of, ms_of
from stockctl.mongo.schema import BARS, COMPANIES, TRADES
from stockctl.mongo.source import begun_with
from stockctl.mongo.watched import connected_before, covered, stopped, through
from stockctl.sessions import EXCHANGE, EXCHANGE_ZONE, Calendar, calendar_of, now_ms, sessions_of, to_ms, trade_date
from stockctl.settings import Settings
from stockctl.timespans import Span, intersect, length, subtract

Touched = Mapping[str, Collection[int]]
"""By symbol, the minutes (ms UTC) in which trades have come; none for a symbol whose coverage alone has changed."""

MINUTE_MS = 60_000
LONGEST_HOLE = 30 * MINUTE_MS
VOLATILITY_TRADES = 100

_NEVER = f"(^|,)({'|'.join(sorted(NEVER_PRICE_FORMING))})(,|$)"
# Documents compare field by field, so the least is the first by time, receipt and id in byte order.
_PLACE = {"t": "$ts_event", "r": "$ts_recv", "i": "$_id", "price": "$price", "volume": "$volume"}


class Hours(NamedTuple):
    """One session ``[since, until)`` in ms UTC."""

    name: str
    day: date
    since: int
    until: int


def _may(update: str) -> Document:
    return {"$gte": [{"$indexOfBytes": ["$updates", update]}, 0]}


def counts(policy: str) -> Document:
    """The expression that tells whether a trade counts: ``sql/metrics/placed.sql`` in MongoDB's words."""
    rules: list[Document] = [{"$gt": ["$volume", 0]}, _may("v")]
    if policy != "all":
        rules.append({"$not": [{"$regexMatch": {"input": "$conditions", "regex": _NEVER}}]})
    if policy == "price-forming":
        rules.append({"$or": [_may("l"), _may("h")]})
    return {"$and": rules}


def _if(condition: Document, value: Any, otherwise: Any = "$$REMOVE") -> Document:
    return {"$cond": [condition, value, otherwise]}


def _of(symbol: str, field: str, since: int, until: int) -> Document:
    """The first stage: alone it is answered by an index."""
    return {"$match": {"symbol": symbol, field: {"$gte": date_of(since), "$lt": date_of(until)}}}


def bars_pipeline(symbol: str, since: int, until: int, policy: str) -> list[Document]:
    """Put the minute bars of ``[since, until)`` in the place of what was there."""
    counted, last, high_low = {"$eq": ["$c", True]}, {"$eq": ["$l", True]}, {"$eq": ["$h", True]}
    return [
        _of(symbol, "ts_event", since, until),
        # Each trade is judged once.
        {
            "$project": dict.fromkeys(("ts_event", "ts_recv", "price", "volume"), 1)
            | {"c": counts(policy), "l": _may("l"), "h": _may("h")}
        },
        {
            "$group": {
                "_id": {"$dateTrunc": {"date": "$ts_event", "unit": "minute"}},
                "first": {"$min": _if(last, _PLACE)},
                "last": {"$max": _if(last, _PLACE)},
                "high": {"$max": _if(high_low, "$price")},
                "low": {"$min": _if(high_low, "$price")},
                "volume": {"$sum": _if(counted, "$volume", 0.0)},
                "paid": {"$sum": _if(counted, {"$multiply": ["$price", "$volume"]}, 0.0)},
                "trades": {"$sum": _if(counted, 1, 0)},
            }
        },
        {
            "$project": {
                "_id": {"$concat": [{"$literal": symbol}, "-", {"$toString": {"$toLong": "$_id"}}]},
                "symbol": {"$literal": symbol},
                "bar": "$_id",
                "open": {"$ifNull": ["$first.price", None]},
                "high": {"$ifNull": ["$high", None]},
                "low": {"$ifNull": ["$low", None]},
                "close": {"$ifNull": ["$last.price", None]},
                "volume": _if({"$gt": ["$trades", 0]}, "$volume", None),
                "vwap": _if(
                    {"$gt": ["$trades", 0]}, {"$divide": ["$paid", _if({"$gt": ["$trades", 0]}, "$volume", 1.0)]}, None
                ),
                "trades": {"$toLong": "$trades"},
                "policy": {"$literal": policy},
            }
        },
        {"$merge": {"into": BARS, "on": "_id", "whenMatched": "replace", "whenNotMatched": "insert"}},
    ]


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


def _midnights(day: date) -> tuple[int, int]:
    since, until = (to_ms(datetime.combine(one, time(), EXCHANGE_ZONE)) for one in (day, day + timedelta(days=1)))
    return since, until


def hours_on(symbol: str, day: date, choice: str, calendar: Calendar = EXCHANGE) -> Hours | None:
    """The session that counts for ``symbol`` on ``day``; None on a holiday."""
    if choice == "all" or calendar.is_around_the_clock(symbol):
        return Hours("all", day, *_midnights(day))
    return next((Hours(choice, day, one.since, one.until) for one in sessions_of(day) if one.name == choice), None)


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
    held = {bar["_id"]: bar["trades"] for bar in mongo.find(BARS, _of(symbol, "bar", since, until)["$match"], ["trades"])}
    mongo.upsert(BARS, [bar for bar in mongo.aggregate(TRADES, made) if bar["trades"] >= held.get(bar["_id"], 0)])


def _newest_day(mongo: Mongo, symbol: str, minutes: Collection[int]) -> date | None:
    """The date of the symbol's newest trade."""
    known = mongo.get(COMPANIES, symbol)
    days = [trade_date(ms_of(known["last"]["ts_event"]))] if known is not None and known.get("last") else []
    return max([*days, *([trade_date(max(minutes))] if minutes else [])], default=None)


def _companies(mongo: Mongo, settings: Settings, day: date, symbols: list[str], calendar: Calendar) -> None:
    found = {symbol: hours_on(symbol, day, settings.metrics.session, calendar) for symbol in symbols}
    watched = covered(mongo, symbols, *_midnights(day))
    for symbol, hours in found.items():
        bars = list(mongo.find(BARS, _of(symbol, "bar", *_midnights(day))["$match"]))
        bars.sort(key=lambda bar: bar["bar"])
        fields: Document = {"symbol": symbol, "policy": settings.metrics.policy}
        last = _last_trade(mongo, symbol, bars, settings.metrics.policy)
        if last is not None:
            fields["last"] = last
        inside = [bar for bar in bars if hours is not None and hours.since <= ms_of(bar["bar"]) < hours.until]
        if hours is None or not any(bar["trades"] for bar in inside):
            # Nothing in the session yet: better all that the day has brought than nothing.
            hours, inside = Hours("all", day, *_midnights(day)), bars
        spans = intersect(watched[symbol], [(hours.since, hours.until)])
        fields["session"] = _session(mongo, settings, symbol, hours, inside, spans)
        # Of a whole day nobody can say which hours should have been covered, unless the symbol trades in all of them.
        if hours.name != "all" or calendar.is_around_the_clock(symbol):
            fields["session"]["coverage"] = _coverage(mongo, symbol, hours, spans, calendar)
        mongo.set_fields(COMPANIES, symbol, fields)


def _last_trade(mongo: Mongo, symbol: str, bars: list[Document], policy: str) -> Document | None:
    """The newest trade that counts."""
    closing = next((ms_of(bar["bar"]) for bar in reversed(bars) if bar["trades"]), None)
    if closing is None:
        return None
    rows = mongo.aggregate(
        TRADES,
        [
            _of(symbol, "ts_event", closing, closing + MINUTE_MS),
            {"$group": {"_id": None, "last": {"$max": _if(counts(policy), _PLACE | {"source": "$source"})}}},
        ],
    )
    last = rows[0].get("last") if rows else None
    if last is None:
        return None
    return {"price": last["price"], "volume": last["volume"], "ts_event": last["t"], "id": last["i"], "source": last["source"]}


def _session(
    mongo: Mongo, settings: Settings, symbol: str, hours: Hours, bars: list[Document], watched: list[Span]
) -> Document:
    """The session's figures; what cannot be told is null. ``watched`` is what the feed covered of the session."""
    trades = sum(bar["trades"] for bar in bars)
    volume = sum(bar["volume"] or 0.0 for bar in bars)
    return {
        "name": hours.name,
        "trade_date": hours.day.isoformat(),
        "since": date_of(hours.since),
        "until": date_of(hours.until),
        "trades": trades,
        "volume": volume if trades else None,
        "vwap": sum((bar["vwap"] or 0.0) * (bar["volume"] or 0.0) for bar in bars) / volume if trades else None,
        "volatility": _volatility(mongo, settings, symbol, hours, bars) if trades > 1 else None,
        "rate": _rate(mongo, settings, symbol, hours, bars, watched) if watched else None,
        "coverage": None,
    }


def _coverage(mongo: Mongo, symbol: str, hours: Hours, watched: list[Span], calendar: Calendar) -> float | None:
    """Per cent of the session that the feed watched, from its start or from the feed's first connection for the symbol on."""
    if not watched:
        return None
    since, until = watched[0][0], watched[-1][1]
    if calendar.always_open:
        return 100 * length(watched) / length(subtract([(since, until)], stopped(mongo, symbol, since, until)))
    if since > hours.since and connected_before(mongo, {symbol}, hours.since):
        since = hours.since
    return 100 * length(watched) / (until - since)


def _rate(
    mongo: Mongo, settings: Settings, symbol: str, hours: Hours, bars: list[Document], watched: list[Span]
) -> float | None:
    """Counted trades in covered time a covered second, as ``sql/metrics/rate.sql`` has it; null without a trade."""
    # Coverage comes by another partition than trades, and proves nothing of how far these are stored.
    received = through(mongo, symbol, _midnights(hours.day)[0]) or 0
    stored = min(max(received, _newest(mongo, symbol, hours) + 1), now_ms())
    known = intersect(watched, [(hours.since, stored)])
    starts, sums = [ms_of(bar["bar"]) for bar in bars], [0, *accumulate(int(bar["trades"]) for bar in bars)]

    def told(since: int, until: int) -> int:
        """Trades of the bars that begin in ``[since, until)``."""
        return sums[bisect_left(starts, until)] - sums[bisect_left(starts, since)]

    trades = 0
    edges: list[Span] = []
    for since, until in known:
        # Bars tell of whole minutes; of the others the trades themselves.
        first, last = -(-since // MINUTE_MS) * MINUTE_MS, until // MINUTE_MS * MINUTE_MS
        if first <= last:
            trades += told(first, last)
            edges += [(since, first), (last, until)]
        else:
            edges.append((since, until))
    edges = [(since, until) for since, until in edges if since < until and told(since // MINUTE_MS * MINUTE_MS, until)]
    if edges:
        reach = _of(symbol, "ts_event", edges[0][0], edges[-1][1])["$match"]
        parts = [{"ts_event": {"$gte": date_of(since), "$lt": date_of(until)}} for since, until in edges]
        rows = mongo.aggregate(
            TRADES,
            [
                {"$match": reach | {"$or": parts}},
                {"$match": {"$expr": counts(settings.metrics.policy)}},
                {"$count": "trades"},
            ],
        )
        trades += sum(row["trades"] for row in rows)
    return trades * 1000 / sum(until - since for since, until in known) if trades else None


def _newest(mongo: Mongo, symbol: str, hours: Hours) -> int:
    """Time of the session's newest trade in ms UTC, -1 without one: a replay may shift it behind its receipt."""
    inside = _of(symbol, "ts_event", hours.since, hours.until)["$match"]
    found = mongo.find(TRADES, inside, ["ts_event"], sort=[("ts_event", -1)], limit=1)
    return max((ms_of(trade["ts_event"]) for trade in found), default=-1)


def _volatility(mongo: Mongo, settings: Settings, symbol: str, hours: Hours, bars: list[Document]) -> float | None:
    """Sample standard deviation of the session's last prices that count."""
    since, held = hours.since, 0
    for bar in reversed(bars):
        held += bar["trades"]
        if held >= VOLATILITY_TRADES:
            since = ms_of(bar["bar"])
            break
    rows = mongo.aggregate(
        TRADES,
        [
            _of(symbol, "ts_event", since, hours.until),
            {"$match": {"$expr": counts(settings.metrics.policy)}},
            {"$sort": {"ts_event": -1, "ts_recv": -1, "_id": -1}},
            {"$limit": VOLATILITY_TRADES},
            {"$group": {"_id": None, "deviation": {"$stdDevSamp": "$price"}}},
        ],
    )
    return rows[0]["deviation"] if rows else None
