"""Finnhub's wire protocol: requests of a client, responses of the server, and known symbols."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

import msgspec

from stockctl.exchange.venues import CRYPTO_VENUES, CURRENCY_VENUES, has_venue

PING = '{"type":"ping"}'
TOO_MANY_SYMBOLS = '{"msg":"Subscribing to too many symbols","type":"error"}'
MALFORMED = '{"data":[{"c":["1","12"],"p":164.0601,"s":"AAPL","t":16802865'
"""A truncated trade frame."""

_TICKER = re.compile(r"[A-Z]{1,5}(?:[.\-][A-Z]{1,2})?")


class Request(msgspec.Struct):
    """A client's request. The server does not answer a valid one."""

    type: Literal["subscribe", "unsubscribe"]
    symbol: str


class _TradeFrame(msgspec.Struct, tag_field="type", tag="trade"):
    data: list[msgspec.Raw]


_read_request = msgspec.json.Decoder(Request).decode
_read_frame = msgspec.json.Decoder(_TradeFrame).decode


def read_request(text: str | bytes) -> Request | None:
    """The request in ``text``; None if it is invalid."""
    try:
        return _read_request(text)
    except msgspec.DecodeError:
        return None


def rows_in(text: str) -> int:
    """Number of rows in ``text``; 0 if it is not a trade frame."""
    try:
        return len(_read_frame(text).data)
    except msgspec.DecodeError:
        return 0


def invalid_symbol(symbol: str) -> str:
    """The error frame for a symbol that its venue does not know."""
    return msgspec.json.encode({"msg": f"Invalid symbol {symbol}", "type": "error"}).decode()


def is_traded(symbol: str, listed: Collection[str] | None) -> bool:
    """Whether ``symbol`` is one of ``listed``; with None, whether it looks like a US ticker or names a known venue."""
    if listed is not None:
        return symbol in listed
    if has_venue(symbol):
        return symbol.partition(":")[0] in (*CRYPTO_VENUES, *CURRENCY_VENUES)
    return _TICKER.fullmatch(symbol) is not None
