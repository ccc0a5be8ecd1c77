"""Frames into trades: each row of a frame becomes a trade or a dead letter, and no row stops another.

A frame is decoded in one go with its types and limits checked by msgspec. Only when that fails is it taken apart row by row.
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
from stockctl.records import SYMBOL_LENGTH, UNREADABLE, DeadLetter, Trade
from stockctl.stream.dead_letters import dead_letter
from stockctl.validation import decode_problem

log = logging.getLogger("stockctl.produce")

EARLIEST = 946_684_800_000
"""2000-01-01 in ms: an older time of a trade is absurd."""
LATEST_AHEAD = 86_400_000
"""A trade's time more than this many ms after its receipt is absurd."""
REMEMBERED_FRAMES = 32
"""So many of the last trade frames are compared with a new one, to notice a server that sends frames again."""


class _Row(msgspec.Struct, gc=False):
    """A trade as Finnhub sends it; fields that are not named here are ignored."""

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


_NAMES = {"s": "symbol", "p": "price", "t": "time", "v": "volume", "c": "conditions"}
"""What the fields of a row are called in the reason why it is refused."""

_decode = msgspec.json.Decoder(_Wire).decode
_decode_loosely = msgspec.json.Decoder(_LooseWire).decode
_decode_row = msgspec.json.Decoder(_Row).decode


class Frame(NamedTuple):
    """One frame, normalised. ``message`` is what an error frame says."""

    kind: Literal["trade", "ping", "error", "malformed"]
    trades: list[Trade]
    dead_letters: list[DeadLetter]
    message: str = ""


class _AbsurdRowError(Exception):
    """A row passes its types but not the checks that need more than the row."""


class _NoFrameError(Exception):
    """A text is no frame of trades."""


class Decoder:
    """Turns the frames of one connection after another into trades.

    ``source`` is what the records carry. With ``first_at`` (ms UTC) all trades are shifted in time so that the first one
    happened then.
    """

    def __init__(self, source: str, *, drop_repeated_frames: bool = False, first_at: int | None = None) -> None:
        self._source = source
        self._first_at = first_at
        self._shift = 0
        self.symbols: set[str] = set()
        """Symbols of all trades so far."""
        self.repeated_frames = 0
        """Trade frames that came again, dropped or not."""
        self._drop_repeated = drop_repeated_frames
        self._updates: dict[str, str] = {}
        self._reported: set[str] = set()
        self.start("")

    def start(self, token: str) -> None:
        """Begin with the rows of a new connection, which ``token`` names."""
        self.token = token
        self.rows = 0
        self._recent: deque[str | bytes] = deque(maxlen=REMEMBERED_FRAMES)

    def frame(self, text: str | bytes, ts_recv: int, origin: str = "") -> Frame:
        """Normalise one frame, received at ``ts_recv`` (ms UTC). Never raises, whatever the text.

        ``origin`` tells in a dead letter where its text came from; the connection's token when empty.
        """
        looked_for = False
        try:
            wire = _decode(text)
            if wire.type == "trade" and wire.data is not msgspec.UNSET and _has_keys_once(text, wire.data):
                if self._is_dropped(text, len(wire.data)):
                    return Frame("trade", [], [])
                looked_for = True
                return Frame("trade", self._trades(wire.data, ts_recv), [])
            if wire.type == "ping" and wire.data is msgspec.UNSET:
                return Frame("ping", [], [])
            if wire.type == "error" and wire.data is msgspec.UNSET:
                return Frame("error", [], [], wire.msg)
        except (*UNREADABLE, _AbsurdRowError):
            pass
        return self._apart(text, ts_recv, origin or self.token, looked_for=looked_for)

    def _is_dropped(self, text: str | bytes, rows: int) -> bool:
        """Whether a trade frame is to be dropped because it came before. One that did is counted, a new one remembered."""
        if text not in self._recent:
            self._recent.append(text)
            return False
        if not self.repeated_frames:
            log.warning(
                "the feed sent a frame again; such frames are %s (finnhub.drop_repeated_frames)",
                "dropped" if self._drop_repeated else "kept",
            )
        self.repeated_frames += 1
        if self._drop_repeated:
            self.rows += rows
        return self._drop_repeated

    def _trades(self, rows: list[_Row], ts_recv: int) -> list[Trade]:
        """The trades of rows that are all good, or _AbsurdRowError with nothing counted."""
        latest, latest_shifted = ts_recv + LATEST_AHEAD, ts_recv + MAX_AHEAD_MS
        shift, token, source, number = self._shift, self.token, self._source, self.rows
        symbols, updates = self.symbols, self._updates
        trades = []
        for row in rows:
            symbol = row.s
            if row.t > latest:
                raise _AbsurdRowError(f"time {row.t} is more than a day after the receipt")
            if symbol not in symbols:
                self._meet_symbol(row)
                shift = self._shift
            at = row.t + shift
            if at > latest_shifted:
                raise _AbsurdRowError(f"time {row.t}, shifted, is more than 7 days after the receipt")
            conditions = ",".join(row.c) if row.c else ""
            allowed = updates.get(conditions)
            if allowed is None:
                allowed = self._meet_conditions(conditions)
            trades.append(
                Trade(f"{symbol}-{at}-{token}-{number:08d}", symbol, row.p, row.v, at, ts_recv, conditions, allowed, source)
            )
            number += 1
        self.rows = number
        return trades

    def _meet_symbol(self, row: _Row) -> None:
        if not is_symbol(row.s):
            raise _AbsurdRowError(f"symbol cannot be {quoted(row.s)}")
        if self._first_at is not None and not self.symbols:
            self._shift = self._first_at - row.t
        self.symbols.add(row.s)

    def _meet_conditions(self, conditions: str) -> str:
        if has_control(conditions):
            raise _AbsurdRowError("conditions hold a control character")
        unknown = unknown_codes(conditions.split(",")) - self._reported
        for code in sorted(unknown):
            log.warning("unknown trade condition %s: taken as allowing every update", code)
        self._reported |= unknown
        return self._updates.setdefault(conditions, updates_of(conditions))

    def _apart(self, text: str | bytes, ts_recv: int, origin: str, *, looked_for: bool) -> Frame:
        """The frame row by row, each bad one a dead letter; the whole text one where it is no trade frame at all."""
        try:
            rows = _rows_of(text)
        except _NoFrameError as error:
            return Frame("malformed", [], [self._dead(text, str(error), ts_recv, origin)])
        if not looked_for and self._is_dropped(text, len(rows)):
            return Frame("trade", [], [])
        trades: list[Trade] = []
        dead: list[DeadLetter] = []
        for raw in rows:
            try:
                row = _decode_row(raw)
                _check_keys(raw)
                trades += self._trades([row], ts_recv)
            except _AbsurdRowError as error:
                dead.append(self._dead(bytes(raw), str(error), ts_recv, origin))
            except UNREADABLE as error:
                dead.append(self._dead(bytes(raw), decode_problem(error, "the row", _NAMES), ts_recv, origin))
        return Frame("trade", trades, dead)

    def _dead(self, raw: str | bytes, reason: str, ts_recv: int, origin: str) -> DeadLetter:
        made = dead_letter(reason, raw, ts_recv=ts_recv, source=self._source, origin=origin, id=f"{self.token}-{self.rows:08d}")
        self.rows += 1
        return made


def _has_keys_once(text: str | bytes, rows: list[_Row]) -> bool:
    """Whether it is certain that no row of the frame has a key twice, of which the decoder takes the last.

    Without escapes each text has two quotes, and a frame has two keys and a type. Where each row has all keys, as many quotes
    in all as these take, and as many nulls as there are rows without conditions, mean each key once.
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
    """_AbsurdRowError for a row that has one of its keys twice: the definition of a valid record refuses that too."""
    if (twice := repeated_key(bytes(raw), _NAMES)) is not None:
        raise _AbsurdRowError(f"{_NAMES[twice]} is there more than once")


def _rows_of(text: str | bytes) -> list[msgspec.Raw]:
    """The rows of a trade frame as they stand in ``text``; _NoFrameError with the reason if it is none."""
    try:
        wire = _loose(text)
        twice = _key_twice(text)
    except (*UNREADABLE, json.JSONDecodeError) as error:
        raise _NoFrameError(decode_problem(error, "the frame")) from None
    if twice is not None:
        raise _NoFrameError(f"{twice} is there more than once")
    if wire.type != "trade":
        raise _NoFrameError(f"unknown type of frame {quoted(wire.type)}")
    if wire.data is msgspec.UNSET:
        raise _NoFrameError("a trade frame without data")
    return wire.data


def _key_twice(text: str | bytes) -> str | None:
    """Which of the frame's own keys stands there twice, if any: the decoder takes the last, and the first is lost."""
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
        # NaN and Infinity are no JSON, though some writers emit them: as strings they cost their own row, not the frame.
        return _decode_loosely(json.dumps(json.loads(text, parse_constant=str, parse_int=_integer)))


def _integer(digits: str) -> int | str:
    # Python converts no more digits than 4,300; such a number costs its own row too.
    return int(digits) if len(digits) <= 4_300 else digits
