"""Minute bars, recomputed by aggregation from the stored trades for the minutes of a batch: repeating that changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from stockctl.clients.mongo import Document, Mongo
from stockctl.exchange.calendar import now_ms
from stockctl.mongo.aggregation import KIND, bars_pipeline, match_symbol
from stockctl.mongo.schema import BARS, TRADES
from stockctl.settings import Settings

Touched = Mapping[str, Collection[int]]
"""By symbol, the minutes (ms UTC) with new trades; none for a symbol of which only the coverage has changed."""

MINUTE_MS = 60_000
LONGEST_GAP = 30 * MINUTE_MS


def refresh_bars(mongo: Mongo, settings: Settings, touched: Touched, check: Callable[[], None]) -> None:
    """Recompute the bars of ``touched`` from the stored trades. What ``check`` raises, between two queries, ends it."""
    for symbol, minutes in touched.items():
        for since, until in intervals_of(minutes):
            check()
            _refresh_interval(mongo, settings, symbol, since, until)


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


def _refresh_interval(mongo: Mongo, settings: Settings, symbol: str, since: int, until: int) -> None:
    pipeline = bars_pipeline(symbol, since, until, settings.metrics.policy)
    retained_since = now_ms() - round(settings.mongo.retention * 1000) + MINUTE_MS
    if since >= retained_since:
        mongo.aggregate(TRADES, pipeline)
        return
    # Bars outlive their trades: the trades left of an expiring minute must not replace a bar of more trades.
    *without_merge, _ = pipeline
    inside = match_symbol(symbol, "bar", since, until)["$match"]
    stored = {bar["_id"]: bar["trades"] for bar in mongo.find(BARS, inside, ["trades"])}
    mongo.upsert(BARS, [bar for bar in mongo.aggregate(TRADES, without_merge) if bar["trades"] >= stored.get(bar["_id"], 0)])


def sums_by_kind(bar: Document) -> list[Document]:
    """The sums of a bar by kind of trade; a bar of an earlier version, without them, counts as plain trades."""
    volume = bar["volume"] or 0.0
    total = {"trades": bar["trades"], "volume": volume, "paid": (bar["vwap"] or 0.0) * volume, "prices": bar["trades"]}
    return bar.get(KIND) or [{KIND: "plain"} | total]
