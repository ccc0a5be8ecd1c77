"""The definition of a valid record, shared by writers, readers, replays and ``lake verify``.

A record is one JSON object in UTF-8, nested at most ``DEPTH`` deep. It has each of its columns once, of the type and within the
limits that ``stockctl.records`` gives; a trade's ``conditions`` and ``updates`` may be absent or null, which means empty. No
text holds a control character (``reason`` and ``details`` may, except NUL), no symbol a comma or a space at its ends, and no
time is more than 7 days ahead. Other keys are dropped.

The converter of Kafka Connect (``images/connect``) repeats this definition in Java.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from stockctl.exchange.calendar import from_ms, now_ms
from stockctl.records import SYMBOL_LENGTH, UNREADABLE, FeedEvent, SignalRecord, Trade, column_types, encode, time_columns
from stockctl.validation_errors import decode_problem

MAX_AHEAD_MS = 7 * 86_400_000
"""A record's time may be at most this many ms after now. Several days, so that a wrong clock rejects no valid record."""
DEPTH = 64
"""Deepest nesting of what a record holds beside its columns: JSON readers have limits of their own, further out."""

_OPTIONAL = ("conditions", "updates")
_FREE = ("reason", "details")
"""Texts that may hold control characters."""
_CONTROL, _NUL = re.compile(r"[\x00-\x1f\x7f-\x9f]"), re.compile("\x00")
_UTC = ZoneInfo("UTC")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)

Kind = TypeVar("Kind", bound=msgspec.Struct)


class InvalidRecordError(ValueError):
    """A record is not valid; the text says why."""


class Validator(Generic[Kind]):
    """Validates records of one kind."""

    def __init__(self, kind: type[Kind]) -> None:
        self._kind = kind
        self.columns = kind.__struct_fields__
        types = column_types(kind)
        self._texts = [name for name, type_ in types.items() if type_ is str]
        self._times = time_columns(kind)
        self._time_getters = [attrgetter(name) for name in self._times]
        self._has_symbol = "symbol" in types
        self._quotes = 2 * (len(self.columns) + len(self._texts))
        self._exact: Callable[[bytes | None], Kind] = msgspec.json.Decoder(kind).decode  # type: ignore[assignment]  # it refuses None
        self._exact_unlimited = _decoder(kind, limits=False, exact=True)
        self._limited = _decoder(kind, limits=True, exact=False)
        self._unlimited = _decoder(kind, limits=False, exact=False)

    def all(self, values: Sequence[bytes | None]) -> list[Kind] | None:
        """The records of ``values`` where all are valid and each is, as it stands, a line that every reader reads.

        None if any of them may not be. Then call ``record`` and ``line`` for each.
        """
        try:
            records: list[Kind] = list(map(self._exact, values))
        except (*UNREADABLE, TypeError):
            return None
        if not records:
            return records
        latest = now_ms() + MAX_AHEAD_MS
        if any(max(map(time, records)) > latest for time in self._time_getters):
            return None
        if self._has_symbol and any(map(_wrong_symbol, set(map(_symbol, records)))):
            return None
        return records if self._are_lines(values) else None  # type: ignore[arg-type]  # the decoder has refused None

    def record(self, value: bytes | None) -> Kind:
        """The record that ``value`` holds. InvalidRecordError with the reason if it holds none."""
        if records := self.all((value,)):
            return records[0]
        if value is None:
            raise InvalidRecordError("no value")
        try:
            value.decode()
        except UnicodeDecodeError as error:
            raise InvalidRecordError(f"not UTF-8: {error.reason} at byte {error.start}") from None
        if _depth(value) > DEPTH:
            raise InvalidRecordError(f"nested more than {DEPTH} deep")
        try:
            record = self._build(self._limited(value))
        except UNREADABLE as error:
            raise InvalidRecordError(decode_problem(error, "the record")) from None
        if (reason := self._reason(record)) is not None:
            raise InvalidRecordError(reason)
        if (twice := repeated_key(value, self.columns)) is not None:
            raise InvalidRecordError(f"{twice} is there more than once")
        return record

    def line(self, value: bytes) -> bytes:
        """``value``, which holds a valid record, as a line that every reader reads: as it stands, or the columns encoded again.

        It follows from ``value`` alone, whatever the limits are, so that a repeat at any time makes the same line. One of
        ``records.UNREADABLE`` where it does not have the columns and their types.
        """
        with suppress(*UNREADABLE):
            self._exact_unlimited(value)
            if self._are_lines((value,)):
                return value
        return encode(self._build(self._unlimited(value)))

    def _build(self, found: msgspec.Struct) -> Kind:
        values = msgspec.structs.asdict(found)
        return self._kind(**values | {name: values[name] or "" for name in _OPTIONAL if name in values})

    def _are_lines(self, values: Sequence[bytes]) -> bool:
        """Whether ``values``, which have all columns and no other keys, are lines without a repeated key."""
        joined = b"\n".join(values)
        # Without escapes each text has two quotes. Each value has all keys, and no others: as many quotes in all as these take
        # means each key once.
        return (
            b"\\" not in joined
            and joined.count(b'"') == self._quotes * len(values)
            and joined.count(b"\n") == len(values) - 1
            and b"\r" not in joined
            and (b"\x7f" not in joined if joined.isascii() else _DELETE_TO_C1.search(joined.decode()) is None)
        )

    def _reason(self, record: Kind) -> str | None:
        """Why ``record``, which has its types and limits, is not valid."""
        for name in self._texts:
            if (found := (_NUL if name in _FREE else _CONTROL).search(getattr(record, name))) is not None:
                return f"{name} holds the control character U+{ord(found[0]):04X}"
        if self._has_symbol and _wrong_symbol(_symbol(record)):
            return "symbol holds a comma, or a space at its ends"
        for name in self._times:
            if (at := getattr(record, name)) > now_ms() + MAX_AHEAD_MS:
                return f"{name} is more than 7 days ahead: {from_ms(at, _UTC):%Y-%m-%d %H:%M:%S} UTC"
        return None


def repeated_key(text: str | bytes, names: Iterable[str]) -> str | None:
    """The first of ``names`` that is more than once a key of the JSON object ``text``: a decoder takes the last of them."""
    # Numbers stay texts: Python converts none of more than 4,300 digits.
    keys = [key for key, _ in json.loads(text, object_pairs_hook=list, parse_int=str, parse_float=str)]
    return next((name for name in names if keys.count(name) > 1), None)


_DELETE_TO_C1 = re.compile(r"[\x7f-\x9f]")
_symbol: Callable[[Any], str] = attrgetter("symbol")


def is_symbol(text: str) -> bool:
    """Whether ``text`` can be a trade's symbol."""
    return 0 < len(text) <= SYMBOL_LENGTH and not _wrong_symbol(text) and not has_control(text)


def has_control(text: str) -> bool:
    """Whether ``text`` holds a control character."""
    return _CONTROL.search(text) is not None


def _wrong_symbol(symbol: str) -> bool:
    return "," in symbol or symbol.startswith(" ") or symbol.endswith(" ")


def _decoder(kind: type[msgspec.Struct], *, limits: bool, exact: bool) -> Callable[[bytes | None], Any]:
    """A decoder of the columns of ``kind``; ``exact`` wants all of them and no other keys."""
    limited: dict[str, Any] = {field.name: field.type for field in msgspec.structs.fields(kind)}
    fields: list[Any] = []
    for name, type_ in (limited if limits else column_types(kind)).items():
        fields.append((name, type_ | None, None) if not exact and name in _OPTIONAL else (name, type_))
    struct = msgspec.defstruct(kind.__name__, fields, kw_only=True, gc=False, forbid_unknown_fields=exact)
    decode: Callable[[bytes | None], Any] = msgspec.json.Decoder(struct).decode  # type: ignore[assignment]  # it refuses None
    return decode


def _depth(value: bytes) -> int:
    """How deep arrays and objects are nested in ``value``."""
    if value.count(b"{") + value.count(b"[") <= DEPTH:
        return 0
    deepest = depth = 0
    for byte in _STRING.sub(b"", value):
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest


TRADES = Validator(Trade)
FEED_EVENTS = Validator(FeedEvent)
SIGNALS = Validator(SignalRecord)
VALIDATORS: dict[str, Validator[Any]] = {"trades": TRADES, "feed_events": FEED_EVENTS, "signals": SIGNALS}
"""The validator of each of the lake's tables."""
