"""Decodes frames into trades: each row of a frame becomes a trade or a dead letter. A bad row does not affect the others.

msgspec decodes a frame in one call and checks types and limits. Only if that fails, the frame is decoded row by row.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from stockctl.errors import quoted
from stockctl.exchange.trade_conditions import unknown_codes, updates_of
from stockctl.record_validation import MAX_AHEAD_MS, has_control, is_symbol, repeated_key
from stockctl.records import SYMBOL_LENGTH, UNREADABLE, Trade
from stockctl.stream.dead_letters.record import DeadLetter, dead_letter
from stockctl.validation_errors import decode_problem

log = logging.getLogger("stockctl.produce")

EARLIEST = 946_684_800_000
"""2000-01-01 in ms: a trade with an earlier time is rejected."""
LATEST_AHEAD = 86_400_000
"""A trade more than this many ms after its receipt is rejected."""
REMEMBERED_FRAMES = 32
"""Number of recent trade frames that a new one is compared with, to detect a server that sends frames again."""


class _Row(msgspec.Struct, gc=False):
    """A trade as Finnhub sends it. Other fields are ignored."""

    s: Annotated[str, Meta(min_length=1, max_length=SYMBOL_LENGTH)]
    p: Annotated[float, Meta(gt=0)]
    t: Annotated[int, Meta(ge=EARLIEST, le=2**53)]
    v: Annotated[float, Meta(ge=0)]
    c: Annotated[list[Annotated[str, Meta(max_length=8)]], Meta(max_length=64)] | msgspec.UnsetType | None = msgspec.UNSET


class _Wire(msgspec.Struct, gc=False):
    type: str
    data: list[_Row] | msgspec.UnsetType = msgspec.UNSET
    msg: str = ""


class _LooseWire(msgspec.Struct, gc=False):
    type: str
    data: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


_FIELD_NAMES = {"s": "symbol", "p": "price", "t": "time", "v": "volume", "c": "conditions"}
"""Names of a row's fields in the reason of a dead letter."""

_decode = msgspec.json.Decoder(_Wire).decode
_decode_loosely = msgspec.json.Decoder(_LooseWire).decode
_decode_row = msgspec.json.Decoder(_Row).decode


class Frame(NamedTuple):
    """One decoded frame. ``message`` is the text of an error frame."""

    kind: Literal["trade", "ping", "error", "malformed"]
    trades: list[Trade]
    dead_letters: list[DeadLetter]
    message: str = ""


class _InvalidRowError(Exception):
    """A row has the right types but fails a check that needs more than the row itself."""


class _NotAFrameError(Exception):
    """The text is not a trade frame."""


class Decoder:
    """Decodes the frames of one connection after another into trades.

    ``source`` is the source of the records. ``first_at`` (ms UTC) shifts all trades in time so that the first one is then.
    """

    def __init__(self, source: str, *, drop_repeated_frames: bool = False, first_at: int | None = None) -> None:
        self._source = source
        self._first_at = first_at
        self._shift = 0
        self.symbols: set[str] = set()
        """Symbols of all trades so far."""
        self.repeated_frames = 0
        """Trade frames received again, dropped or not."""
        self._drop_repeated = drop_repeated_frames
        self._updates: dict[str, str] = {}
        self._reported: set[str] = set()
        self.start("")

    def start(self, token: str) -> None:
        """Start a new connection with the id ``token``."""
        self.token = token
        self.rows = 0
        self._recent: deque[str | bytes] = deque(maxlen=REMEMBERED_FRAMES)

    def frame(self, text: str | bytes, ts_recv: int, origin: str = "") -> Frame:
        """Decode one frame received at ``ts_recv`` (ms UTC). Never raises, for any text.

        ``origin`` is the origin of dead letters; the connection's token if empty.
        """
        checked_for_repeat = False
        try:
            wire = _decode(text)
            if wire.type == "trade" and wire.data is not msgspec.UNSET and _has_keys_once(text, wire.data):
                if self._is_dropped(text, len(wire.data)):
                    return Frame("trade", [], [])
                checked_for_repeat = True
                return Frame("trade", self._trades(wire.data, ts_recv), [])
            if wire.type == "ping" and wire.data is msgspec.UNSET:
                return Frame("ping", [], [])
            if wire.type == "error" and wire.data is msgspec.UNSET:
                return Frame("error", [], [], wire.msg)
        except (*UNREADABLE, _InvalidRowError):
            pass
        return self._decode_rows(text, ts_recv, origin or self.token, checked_for_repeat=checked_for_repeat)

    def _is_dropped(self, text: str | bytes, rows: int) -> bool:
        """Whether to drop a trade frame because it is a repeat. Counts a repeat and remembers a new frame."""
        if text not in self._recent:
            self._recent.append(text)
            return False
        if not self.repeated_frames:
            log.warning(
                "the feed sent a frame again; repeated frames are %s (finnhub.drop_repeated_frames)",
                "dropped" if self._drop_repeated else "kept",
            )
        self.repeated_frames += 1
        if self._drop_repeated:
            self.rows += rows
        return self._drop_repeated

    def _trades(self, rows: list[_Row], ts_recv: int) -> list[Trade]:
        """The trades of ``rows``. _InvalidRowError if any row is invalid; then no row is counted."""
        latest, latest_shifted = ts_recv + LATEST_AHEAD, ts_recv + MAX_AHEAD_MS
        shift, token, source, number = self._shift, self.token, self._source, self.rows
        symbols, updates = self.symbols, self._updates
        trades = []
        for row in rows:
            symbol = row.s
            if row.t > latest:
                raise _InvalidRowError(f"time {row.t} is more than a day after the receipt")
            if symbol not in symbols:
                self._add_symbol(row)
                shift = self._shift
            at = row.t + shift
            if at > latest_shifted:
                raise _InvalidRowError(f"time {row.t}, shifted, is more than 7 days after the receipt")
            conditions = ",".join(row.c) if row.c else ""
            allowed = updates.get(conditions)
            if allowed is None:
                allowed = self._add_conditions(conditions)
            trades.append(
                Trade(f"{symbol}-{at}-{token}-{number:08d}", symbol, row.p, row.v, at, ts_recv, conditions, allowed, source)
            )
            number += 1
        self.rows = number
        return trades

    def _add_symbol(self, row: _Row) -> None:
        if not is_symbol(row.s):
            raise _InvalidRowError(f"symbol cannot be {quoted(row.s)}")
        if self._first_at is not None and not self.symbols:
            self._shift = self._first_at - row.t
        self.symbols.add(row.s)

    def _add_conditions(self, conditions: str) -> str:
        if has_control(conditions):
            raise _InvalidRowError("conditions hold a control character")
        unknown = unknown_codes(conditions.split(",")) - self._reported
        for code in sorted(unknown):
            log.warning("unknown trade condition %s: taken as allowing every update", code)
        self._reported |= unknown
        return self._updates.setdefault(conditions, updates_of(conditions))

    def _decode_rows(self, text: str | bytes, ts_recv: int, origin: str, *, checked_for_repeat: bool) -> Frame:
        """Decode row by row. Each bad row becomes a dead letter; a text that is no trade frame becomes one dead letter."""
        try:
            rows = _rows_of(text)
        except _NotAFrameError as error:
            return Frame("malformed", [], [self._dead_letter(text, str(error), ts_recv, origin)])
        if not checked_for_repeat and self._is_dropped(text, len(rows)):
            return Frame("trade", [], [])
        trades: list[Trade] = []
        dead_letters: list[DeadLetter] = []
        for raw in rows:
            try:
                row = _decode_row(raw)
                _check_keys(raw)
                trades += self._trades([row], ts_recv)
            except _InvalidRowError as error:
                dead_letters.append(self._dead_letter(bytes(raw), str(error), ts_recv, origin))
            except UNREADABLE as error:
                dead_letters.append(
                    self._dead_letter(bytes(raw), decode_problem(error, "the row", _FIELD_NAMES), ts_recv, origin)
                )
        return Frame("trade", trades, dead_letters)

    def _dead_letter(self, raw: str | bytes, reason: str, ts_recv: int, origin: str) -> DeadLetter:
        letter = dead_letter(
            reason, raw, ts_recv=ts_recv, source=self._source, origin=origin, id=f"{self.token}-{self.rows:08d}"
        )
        self.rows += 1
        return letter


def _has_keys_once(text: str | bytes, rows: list[_Row]) -> bool:
    """Whether no row of the frame has a repeated key, for certain. The decoder would silently take the last one.

    Without escapes, each string has two quotes, and a frame has two keys and a type. If every row has all keys, the expected
    number of quotes, and of nulls for rows without conditions, proves that each key occurs once.
    """
    quote, escape, null = ('"', "\\", '"c":null') if isinstance(text, str) else (b'"', b"\\", b'"c":null')
    codes = [row.c for row in rows]
    without = codes.count(None)
    conditions = sum(len(some) for some in codes if some)
    return (
        msgspec.UNSET not in codes
        and text.count(quote) == 6 + 12 * len(rows) + 2 * conditions  # type: ignore[arg-type]  # both are of one kind
        and escape not in text  # type: ignore[operator]
        and (not without or text.count(null) == without)  # type: ignore[arg-type]
    )


def _check_keys(raw: msgspec.Raw) -> None:
    """_InvalidRowError if the row has a repeated key. A valid record has none either."""
    if (repeated := repeated_key(bytes(raw), _FIELD_NAMES)) is not None:
        raise _InvalidRowError(f"{_FIELD_NAMES[repeated]} is there more than once")


def _rows_of(text: str | bytes) -> list[msgspec.Raw]:
    """The raw rows of a trade frame. _NotAFrameError with the reason if ``text`` is not one."""
    try:
        wire = _loose(text)
        repeated = _repeated_frame_key(text)
    except (*UNREADABLE, json.JSONDecodeError) as error:
        raise _NotAFrameError(decode_problem(error, "the frame")) from None
    if repeated is not None:
        raise _NotAFrameError(f"{repeated} is there more than once")
    if wire.type != "trade":
        raise _NotAFrameError(f"unknown type of frame {quoted(wire.type)}")
    if wire.data is msgspec.UNSET:
        raise _NotAFrameError("a trade frame without data")
    return wire.data


def _repeated_frame_key(text: str | bytes) -> str | None:
    """The frame's own key that is repeated, if any. The decoder would take the last one and lose the first."""
    plain = text if isinstance(text, str) else text.decode(errors="replace")
    if "\\" not in plain and plain.count('"data"') <= 1 and plain.count('"type"') <= 1:
        return None
    return repeated_key(plain, ("type", "data"))


def _loose(text: str | bytes) -> _LooseWire:
    try:
        return _decode_loosely(text)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # NaN and Infinity are not JSON, but some writers emit them. As strings, they fail their own row, not the whole frame.
        return _decode_loosely(json.dumps(json.loads(text, parse_constant=str, parse_int=_integer)))


def _integer(digits: str) -> int | str:
    # Python converts at most 4,300 digits. A longer number fails its own row too.
    return int(digits) if len(digits) <= 4_300 else digits
