"""Finnhub's words on the wire: what a client may say, what the server answers, which symbols there are."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

import msgspec

from stockctl.exchange.venues import CRYPTO_VENUES, CURRENCY_VENUES, has_venue

PING = '{"type":"ping"}'
TOO_MANY_SYMBOLS = '{"msg":"Subscribing to too many symbols","type":"error"}'
MALFORMED = '{"data":[{"c":["1","12"],"p":164.0601,"s":"AAPL","t":16802865'
"""A trade frame that breaks off."""

_TICKER = re.compile(r"[A-Z]{1,5}(?:[.\-][A-Z]{1,2})?")


class Request(msgspec.Struct):
    """What a client sends; the server answers nothing to a good one."""

    type: Literal["subscribe", "unsubscribe"]
    symbol: str


class _TradeFrame(msgspec.Struct, tag_field="type", tag="trade"):
    data: list[msgspec.Raw]


_read_request = msgspec.json.Decoder(Request).decode
_read_frame = msgspec.json.Decoder(_TradeFrame).decode


def read_request(text: str | bytes) -> Request | None:
    """The request in ``text``; None if it is none."""
    try:
        return _read_request(text)
    except msgspec.DecodeError:
        return None


def rows_in(text: str) -> int:
    """How many rows ``text`` has: 0 if it is no trade frame."""
    try:
        return len(_read_frame(text).data)
    except msgspec.DecodeError:
        return 0


def invalid_symbol(symbol: str) -> str:
    """The error frame for a symbol whose venue does not know it."""
    return msgspec.json.encode({"msg": f"Invalid symbol {symbol}", "type": "error"}).decode()


def is_traded(symbol: str, listed: Collection[str] | None) -> bool:
    """Whether ``symbol`` is one of ``listed``; with None, whether it looks like a US ticker or names a known venue."""
    if listed is not None:
        return symbol in listed
    if has_venue(symbol):
        return symbol.partition(":")[0] in (*CRYPTO_VENUES, *CURRENCY_VENUES)
    return _TICKER.fullmatch(symbol) is not None
