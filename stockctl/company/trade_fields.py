"""The trade part of company documents: ``last``, the newest trade, and ``session``, the figures of its date's session.

Both are recomputed from the stored trades, bars and coverage: repeating that changes nothing. Unknown values are null.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable
from datetime import date
from itertools import accumulate
from typing import Literal, NamedTuple

from stockctl.clients.mongo import Document, Mongo
from stockctl.company.filing_fields import refresh_together
from stockctl.exchange.calendar import Calendar, Hours, calendar_of, day_bounds, now_ms, trade_date
from stockctl.exchange.trade_sessions import Slot, hours_of, hours_on, slots_of
from stockctl.intervals import Interval, intersect, length, subtract
from stockctl.mongo.aggregation import KIND, TRADE_ORDER, counts, in_slots, match_symbol, priced, when
from stockctl.mongo.allowed_sources import begun_with
from stockctl.mongo.bars import MINUTE_MS, Touched, sums_by_kind
from stockctl.mongo.coverage import connected_before, covered, stopped, through
from stockctl.mongo.documents import date_of, ms_of
from stockctl.mongo.schema import BARS, COMPANIES, TRADES
from stockctl.settings import Settings

VOLATILITY_TRADES = 100


class SessionBar(NamedTuple):
    """The part of the minute bar at ``ms`` (UTC) that belongs to a session: the number of trades that count, their volume and
    value, and the number of prices that count.
    """

    ms: int
    trades: int
    volume: float
    paid: float
    prices: int


class Session(NamedTuple):
    """One session of a symbol: its hours ``[since, until)`` in ms UTC, the slots of its trades, and its bars in order."""

    name: str
    day: date
    since: int
    until: int
    slots: tuple[Slot, ...]
    bars: list[SessionBar]


def refresh_trades(mongo: Mongo, settings: Settings, touched: Touched, check: Callable[[], None]) -> None:
    """Update the company documents of ``touched`` from the stored trades, bars and coverage. Idempotent.

    What ``check`` raises, between two companies, ends it.
    """
    days: dict[date, list[str]] = {}
    for symbol, minutes in touched.items():
        day = _newest_day(mongo, symbol, minutes)
        if day is not None:
            days.setdefault(day, []).append(symbol)
    calendar, policy = calendar_of(begun_with(mongo)), settings.metrics.policy
    for day, symbols in days.items():
        covered_spans = covered(mongo, symbols, *day_bounds(day))
        for symbol in symbols:
            check()
            found = mongo.find(BARS, match_symbol(symbol, "bar", *day_bounds(day))["$match"])
            bars = sorted(found, key=lambda bar: bar["bar"])
            fields: Document = {"symbol": symbol, "policy": policy}
            if (last := _last_trade(mongo, symbol, bars, policy)) is not None:
                fields["last"] = last
            session = _session_of(bars, day, settings.metrics.session, calendar.hours(symbol))
            spans = intersect(covered_spans[symbol], [(session.since, session.until)])
            fields["session"] = _SessionFigures(mongo, symbol, policy, session, spans).fields(calendar)
            mongo.set_fields(COMPANIES, symbol, fields)
    refresh_together(mongo, settings.valuation, touched.keys(), check)


def _newest_day(mongo: Mongo, symbol: str, minutes: Collection[int]) -> date | None:
    """The date of the symbol's newest trade."""
    known = mongo.get(COMPANIES, symbol)
    days = [trade_date(ms_of(known["last"]["ts_event"]))] if known is not None and known.get("last") else []
    return max([*days, *([trade_date(max(minutes))] if minutes else [])], default=None)


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


def _session_of(bars: Iterable[Document], day: date, choice: Literal["regular", "pre", "post", "all"], hours: Hours) -> Session:
    """The session ``choice`` of ``day`` in a market with these hours.

    The whole day where it does not exist or has no price yet: that is more useful than nothing.
    """
    if choice != "all" and (interval := hours_on(day, choice, hours)) is not None:
        slots = tuple(slot for slot in slots_of(day) if slot.session == choice)
        session = Session(choice, day, *interval, slots, _bars_in(bars, slots))
        if any(bar.prices for bar in session.bars):
            return session
    slots = slots_of(day, hours)
    return Session("all", day, *hours_of(day, hours), slots, _bars_in(bars, slots))


def _bars_in(bars: Iterable[Document], slots: Collection[Slot]) -> list[SessionBar]:
    """The parts of the minute bars that belong to ``slots``, in order."""
    inside: list[SessionBar] = []
    for bar in bars:
        ms = ms_of(bar["bar"])
        kinds = {kind for slot in slots if slot.since <= ms < slot.until for kind in slot.kinds}
        parts = [part for part in sums_by_kind(bar) if part[KIND] in kinds]
        if parts:
            sums = (sum(part[name] for part in parts) for name in ("trades", "volume", "paid", "prices"))
            inside.append(SessionBar(ms, *sums))
    return inside


class _SessionFigures(NamedTuple):
    """The figures of a symbol's ``session``; ``covered_spans`` is the time of the session that the feed covered."""

    mongo: Mongo
    symbol: str
    policy: str
    session: Session
    covered_spans: list[Interval]

    def fields(self, calendar: Calendar) -> Document:
        """The field ``session`` of the company document."""
        session = self.session
        trades = sum(bar.trades for bar in session.bars)
        volume = sum(bar.volume for bar in session.bars)
        return {
            "name": session.name,
            "trade_date": session.day.isoformat(),
            "since": date_of(session.since),
            "until": date_of(session.until),
            "trades": trades,
            "volume": volume if trades else None,
            "vwap": sum(bar.paid for bar in session.bars) / volume if trades else None,
            "volatility": self._volatility(),
            "rate": self._rate() if self.covered_spans else None,
            "coverage": self._coverage(calendar) if self.covered_spans else None,
        }

    def _coverage(self, calendar: Calendar) -> float | None:
        """Percentage of the session that the feed covered, from its start or the feed's first connection for the symbol on."""
        if self.session.name == "all" and calendar.hours(self.symbol) == "exchange":
            return None  # which hours of a whole day should be covered is unknown, unless the symbol trades in all of them
        since, until = self.covered_spans[0][0], self.covered_spans[-1][1]
        if calendar.always_open:
            stops = stopped(self.mongo, self.symbol, since, until)
            return 100 * length(self.covered_spans) / length(subtract([(since, until)], stops))
        if since > self.session.since and connected_before(self.mongo, {self.symbol}, self.session.since):
            since = self.session.since
        return 100 * length(self.covered_spans) / (until - since)

    def _rate(self) -> float | None:
        """Trades that count per second of covered time, by the rules of ``sql/metrics/rate.sql``; None without a trade."""
        # Coverage comes through another partition than trades, and does not prove how far these are stored.
        received = through(self.mongo, self.symbol, day_bounds(self.session.day)[0]) or 0
        stored = min(max(received, self._newest() + 1), now_ms())
        known = intersect(self.covered_spans, [(self.session.since, stored)])
        starts = [bar.ms for bar in self.session.bars]
        sums = [0, *accumulate(bar.trades for bar in self.session.bars)]

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
        edges = [
            (since, until) for since, until in edges if since < until and count_trades(since // MINUTE_MS * MINUTE_MS, until)
        ]
        if edges:
            reach = match_symbol(self.symbol, "ts_event", edges[0][0], edges[-1][1])["$match"]
            parts = [{"ts_event": {"$gte": date_of(since), "$lt": date_of(until)}} for since, until in edges]
            rows = self.mongo.aggregate(
                TRADES,
                [
                    {"$match": reach | {"$or": parts}},
                    {"$match": {"$expr": {"$and": [counts(self.policy), in_slots(self.session.slots)]}}},
                    {"$count": "trades"},
                ],
            )
            trades += sum(row["trades"] for row in rows)
        return trades * 1000 / length(known) if trades else None

    def _newest(self) -> int:
        """Time of the session's newest trade in ms UTC, -1 without one: a replay may shift it past its receipt."""
        inside = match_symbol(self.symbol, "ts_event", self.session.slots[0].since, self.session.slots[-1].until)["$match"]
        found = self.mongo.find(TRADES, inside, ["ts_event"], sort=[("ts_event", -1)], limit=1)
        return max((ms_of(trade["ts_event"]) for trade in found), default=-1)

    def _volatility(self) -> float | None:
        """Sample standard deviation of the session's last prices that count."""
        since, prices = self.session.slots[0].since, 0
        for bar in reversed(self.session.bars):
            prices += bar.prices
            if prices >= VOLATILITY_TRADES:
                since = bar.ms
                break
        if prices < 2:
            return None
        rows = self.mongo.aggregate(
            TRADES,
            [
                match_symbol(self.symbol, "ts_event", since, self.session.slots[-1].until),
                {"$match": {"$expr": {"$and": [priced(self.symbol, self.policy), in_slots(self.session.slots)]}}},
                {"$sort": {"ts_event": -1, "ts_recv": -1, "_id": -1}},
                {"$limit": VOLATILITY_TRADES},
                {"$group": {"_id": None, "deviation": {"$stdDevSamp": "$price"}}},
            ],
        )
        return rows[0]["deviation"] if rows else None
