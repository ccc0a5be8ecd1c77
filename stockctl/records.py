"""The records that flow through the pipeline: one flat JSON object a Kafka message and a line of the lake.

Times are milliseconds since the epoch, UTC. Floats are always written as floats (``4.0``), because crawlers infer a column's
type from what they meet. No field is a list, because Spectrum cannot filter inside one.
"""

from __future__ import annotations

import secrets
from typing import Literal

import msgspec

Source = Literal["finnhub", "sim", "replay"]


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One received row.

    ``id`` names the row as received (connection token and row number), not its content: equal rows are real trades.
    ``price`` is in the symbol's currency, ``volume`` in shares or units (0 is a price update). ``conditions`` are Finnhub's
    codes joined by commas; ``updates`` the statistics they allow it to update, letters of ``vhl``.
    """

    id: str
    symbol: str
    price: float
    volume: float
    ts_event: int
    ts_recv: int
    conditions: str
    updates: str
    source: str


EventKind = Literal["connected", "subscribed", "refused", "silent", "disconnected", "covered"]


class FeedEvent(msgspec.Struct, frozen=True, gc=False):
    """What the feed did in ``[span_start, span_end)``; a span that no ``covered`` event covers is a gap.

    ``symbols`` are joined by commas. ``connection`` is the token that the ids of that connection's trades carry.
    """

    id: str
    kind: EventKind
    span_start: int
    span_end: int
    symbols: str
    reason: str
    connection: str
    ts_recv: int
    source: str


class DeadLetter(msgspec.Struct, frozen=True):
    """Something that could not be taken: its raw text, the reason, and where it was found.

    ``partition`` and ``offset`` are −1 for what never was in Kafka; ``origin`` then names the connection or the file and line.
    """

    id: str
    reason: str
    raw: str
    origin: str
    topic: str
    partition: int
    offset: int
    ts_recv: int
    source: str


def connection_token() -> str:
    """A fresh token that tells one connection's rows from every other's: 6 characters, about 10⁹ possibilities."""
    alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
    return "".join(secrets.choice(alphabet) for _ in range(6))


UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for what is no JSON, or not of the type; broken UTF-8 and deep nesting have errors of their own."""


def why_unreadable(error: Exception) -> str:
    """What is wrong, in words: Python's own of its own errors help nobody."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is no UTF-8"
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)


encode = msgspec.json.Encoder().encode
"""A record as one line of JSON, without its newline."""
