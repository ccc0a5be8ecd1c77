"""Lakes for tests: records laid down with the writer's own batches and claims, without a broker."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from stockctl.clients.object_store import open_store
from stockctl.exchange.time_parsing import parse_moment
from stockctl.exchange.trade_conditions import updates_of
from stockctl.lake.format.claims import Claim, Start, put_claim, put_start
from stockctl.lake.format.keys import Layout, Table
from stockctl.lake.writer.batch import OpenBatch
from stockctl.records import EventKind, FeedEvent, SignalRecord, Trade, encode
from stockctl.settings import Settings

_numbers = itertools.count()

TOO_DEEP = b"[" * 20_000 + b"]" * 20_000
"""JSON deeper than any decoder goes: each Python has a limit of its own, 3.13.0 one between 9,000 and 11,000 levels."""


def at(text: str) -> int:
    """Milliseconds of an exchange time such as ``2026-11-23 09:30:00``."""
    return parse_moment(text)


def trade(symbol: str, moment: str | int, price: float, volume: float = 100.0, conditions: str = "1", **other: Any) -> Trade:
    """A trade, received 50 ms after its time unless ``ts_recv`` says otherwise; ids count up."""
    ts = at(moment) if isinstance(moment, str) else moment
    fields: dict[str, Any] = {
        "id": f"{symbol}-{ts}-test00-{next(_numbers):08d}",
        "ts_recv": ts + 50,
        "source": "finnhub",
    } | other
    return Trade(
        symbol=symbol,
        price=price,
        volume=volume,
        ts_event=ts,
        conditions=conditions,
        updates=updates_of(conditions),
        **fields,
    )


def covered(symbols: str, since: str | int, until: str | int, kind: EventKind = "covered", reason: str = "") -> FeedEvent:
    """A feed event for the exchange times given."""
    first, last = (at(moment) if isinstance(moment, str) else moment for moment in (since, until))
    return FeedEvent(f"test00-{kind}-{next(_numbers):06d}", kind, first, last, symbols, reason, "test00", last, "finnhub")


def signal(symbol: str, moment: str | int, side: str = "buy", target: float = 1.0, **other: Any) -> SignalRecord:
    """A signal of a trade at that exchange time, published 60 ms after it; ids count up. ``kind`` makes it another record."""
    ts = at(moment) if isinstance(moment, str) else moment
    number = next(_numbers)
    fields: dict[str, Any] = {
        "kind": "signal",
        "id": f"{number:032x}",
        "strategy": "vwap-reversion",
        "version": "5eed",
        "run": "run00",
        "n": 0,
        "strength": 2.3,
        "reason": "price 264.1 is 2.3 sd below vwap 265.0",
        "ts_decided": ts + 50,
        "record": f"{symbol}-{ts}-test00-{number:08d}",
        "inputs": "c0ffee",
        "partition": 0,
        "offset": number,
        "details": "",
        "ts_recv": ts + 60,
        "source": "finnhub",
    } | other
    return SignalRecord(symbol=symbol, side=side, target=target, ts_event=ts, **fields)


def lay(
    settings: Settings,
    records: Iterable[Trade] | Iterable[FeedEvent] | Iterable[SignalRecord],
    *,
    table: Table = "trades",
    partition: int = 0,
    start: int = 0,
    batches: int = 1,
    compression: Literal["gzip", "zstd"] = "gzip",
    partition_by: Literal["ticker", "bucket", "none"] = "ticker",
    leave_out: Sequence[str] = (),
    generation: int = 1,
    created: str = "2026-11-23T00:00:00Z",
) -> list[Claim]:
    """Write ``records`` as ``batches`` claims of one partition from the offset ``start`` on; the claims.

    Objects whose key contains one of ``leave_out`` are not put: a writer that died between its claim and its objects.
    """
    store = open_store(settings)
    layout = Layout(table, settings.lake.timezone, partition_by if table == "trades" else "none", compression, 4, "normalized")
    same: dict[str, Any] = {
        "cluster_id": "test",
        "topic_id": "",
        "topic": table,
        "table": table,
        "generation": generation,
        "partition": partition,
    }
    put_start(store, Start(**same, start=start, reason="first"))
    held: list[Trade | FeedEvent | SignalRecord] = list(records)
    size = max(1, -(-len(held) // batches))
    claims = []
    for first in range(0, len(held), size):
        chunk = held[first : first + size]
        batch = OpenBatch(layout, generation, partition, start + first)
        offsets = range(batch.start, batch.start + len(chunk))
        values = [encode(record) for record in chunk]
        batch.add(offsets, values, batch.heads(values), chunk[-1].ts_recv)
        built = batch.build(2)
        claim = Claim(
            **same,
            nonce="test",
            writer="test",
            created=created,
            start=batch.start,
            end=batch.end,
            reason="age",
            layout=layout,
            last=batch.last,
            rows=len(chunk),
            gaps=0,
            objects=[item.claimed for item in built],
            switches=batch.switches,
        )
        claims.append(put_claim(store, claim))
        for item in built:
            if not any(part in item.claimed.key for part in leave_out):
                store.put_new(item.claimed.key, item.data)
    return claims
