"""The records that flow through the pipeline: one flat JSON object per Kafka message and per line of the lake.

Times are milliseconds since the epoch, UTC. Floats are always written as floats (``4.0``), because crawlers infer a column's
type from what they meet. No field is a list, because Spectrum cannot filter inside one.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta

from stockctl.intervals import Interval, merge, subtract

Kind = TypeVar("Kind")
Source = Literal["finnhub", "sim", "replay"]
"""The sources of our own producers; a store takes others only where a setting names them."""

MAX_MS = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp()) * 1000
"""No time of a record is later: midnights and sessions around it can still be computed."""

SYMBOL_LENGTH = 64
"""Most characters of a symbol."""

_Name = Annotated[str, Meta(min_length=1, max_length=1024)]
_Ms = Annotated[int, Meta(ge=0, le=MAX_MS)]
_Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_Place = Annotated[int, Meta(ge=-1, le=2**53 - 1)]
"""A partition or an offset of Kafka; -1 where there is none. No reader of JSON rounds it."""


class Trade(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One received row. The types hold its limits; ``stockctl.record_validation`` holds what no type can say.

    ``id`` names the row as received (connection token and row number), not its content: equal rows are real trades.
    ``price`` is in the symbol's currency, ``volume`` in shares or units (0 is a price update). ``conditions`` are Finnhub's
    codes joined by commas; ``updates`` the statistics they allow it to update, letters of ``vhl``.
    """

    id: _Name
    symbol: Annotated[str, Meta(min_length=1, max_length=SYMBOL_LENGTH)]
    price: Annotated[float, Meta(gt=0)]
    volume: Annotated[float, Meta(ge=0)]
    ts_event: _Ms
    ts_recv: _Ms
    conditions: Annotated[str, Meta(max_length=1024)]
    updates: Annotated[str, Meta(max_length=16)]
    source: Annotated[str, Meta(min_length=1, max_length=64)]


EventKind = Literal["connected", "subscribed", "refused", "silent", "disconnected", "covered"]


class FeedEvent(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What the feed did in ``[span_start, span_end)``; a span that no ``covered`` event covers is a gap.

    ``symbols`` are joined by commas. ``connection`` is the token that the ids of that connection's trades carry.
    """

    id: _Name
    kind: _Name
    span_start: _Ms
    span_end: _Ms
    symbols: str
    reason: Annotated[str, Meta(max_length=65_535)]
    connection: Annotated[str, Meta(max_length=1024)]
    ts_recv: _Ms
    source: Annotated[str, Meta(min_length=1, max_length=64)]


SignalKind = Literal["signal", "run", "heartbeat"]
Side = Literal["buy", "sell", "exit"]


class SignalRecord(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What a strategy decided about ``symbol``, or what is needed to repeat it: one record of the topic of signals.

    ``kind`` is ``signal``; ``run``, the beginning of a run with its parameters (``symbol`` is empty); or ``heartbeat``, the
    state of ``inputs`` between signals. A text that a kind does not need is empty.

    ``id`` follows from strategy, symbol, ``record`` and ``n`` alone, so that a repeated decision has the same. ``run`` names
    the run and ``version`` is the hash of the strategy's code. ``n`` counts the signals of one deciding record, from 0.
    ``target`` is a share of the symbol's account. ``ts_decided`` and ``ts_event`` are those of the deciding record, ``record``
    its id, ``partition`` and ``offset`` its place in the topic of trades; ``inputs`` is the running hash of all ids that the
    strategy has seen. ``details`` is a JSON text. ``ts_recv`` is when the record was published.
    """

    kind: _Name
    id: _Name
    symbol: Annotated[str, Meta(max_length=SYMBOL_LENGTH)]
    strategy: _Name
    version: _Name
    run: _Name
    n: _Count
    side: Annotated[str, Meta(max_length=1024)]
    target: Annotated[float, Meta(ge=-1, le=1)]
    strength: float
    reason: Annotated[str, Meta(max_length=65_535)]
    ts_decided: _Ms
    ts_event: _Ms
    record: Annotated[str, Meta(max_length=1024)]
    inputs: Annotated[str, Meta(max_length=1024)]
    partition: _Place
    offset: _Place
    details: str
    ts_recv: _Ms
    source: Annotated[str, Meta(min_length=1, max_length=64)]


_EVER = 10_000_000_000_000
CONNECTING = frozenset({"connected", "subscribed", "covered"})
"""The kinds of events that only a connection makes."""
STOPPED = "stopped"
"""The reason of a ``disconnected`` event of a producer that was stopped."""


def covered_time(events: Iterable[Mapping[str, Any]]) -> list[Interval]:
    """The covered time that these events of one symbol report."""
    return merge((event["span_start"], event["span_end"]) for event in events if event["kind"] == "covered")


def from_subscription(events: Collection[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """These events of one symbol without ``connected`` ones of connections that were subscribed: until then none was missed."""
    subscribed = {event["connection"] for event in events if event["kind"] == "subscribed"}
    return [event for event in events if event["kind"] != "connected" or event["connection"] not in subscribed]


def stopped_time(events: Collection[Mapping[str, Any]]) -> list[Interval]:
    """The intervals in which, by these events of one symbol, nobody listened to the feed because the producer was stopped."""
    stopped: list[Interval] = []
    since = None
    for event in sorted(from_subscription(events), key=lambda event: event["span_start"]):
        if event["kind"] in CONNECTING and since is not None:
            stopped.append((since, event["span_start"]))
            since = None
        elif event["kind"] == "disconnected" and event["reason"] == STOPPED:
            since = event["span_start"]
    if since is not None:
        stopped.append((since, _EVER))
    # Another producer may have listened meanwhile.
    return subtract(merge(stopped), covered_time(events))


def column_types(record: type[msgspec.Struct]) -> dict[str, type]:
    """The columns of ``record`` in their order, each with its type: str, int or float."""
    return {field.name: next(iter(get_args(field.type)), field.type) for field in msgspec.structs.fields(record)}


def time_columns(record: type[msgspec.Struct]) -> list[str]:
    """The columns of ``record`` that hold times in ms."""
    return [field.name for field in msgspec.structs.fields(record) if field.type == _Ms]


def column_limits(record: type[msgspec.Struct]) -> dict[str, Meta]:
    """The limits of the columns of ``record`` that have some."""
    arguments = {field.name: get_args(field.type) for field in msgspec.structs.fields(record)}
    return {name: found[1] for name, found in arguments.items() if len(found) > 1 and isinstance(found[1], Meta)}


def connection_token() -> str:
    """A new token that distinguishes the rows of one connection from all others: 6 characters, about 10⁹ possibilities."""
    alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
    return "".join(secrets.choice(alphabet) for _ in range(6))


UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for what is no JSON, or not of the type; broken UTF-8 and deep nesting have errors of their own."""

encode = msgspec.json.Encoder().encode
"""A record as one line of JSON, without its newline."""

_building = threading.Lock()


def decode(data: bytes | str, kind: type[Kind]) -> Kind:
    """What ``data`` holds as JSON of the type ``kind``. One of ``UNREADABLE`` if it holds none. Usable from several threads."""
    # msgspec looks at a type when it first meets it, and crashes the interpreter where two threads do so at once.
    with _building:
        decode: Callable[[bytes | str], Kind] = _decoder(kind).decode  # type: ignore[arg-type]  # a type is hashable
    return decode(data)


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
