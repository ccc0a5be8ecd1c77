"""Finnhub's words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.sim import wire_format


@given(st.text())
def test_any_symbol_makes_a_valid_error_frame(symbol: str) -> None:
    """Quotes and controls in a symbol are escaped."""
    assert json.loads(wire_format.invalid_symbol(symbol)) == {"msg": f"Invalid symbol {symbol}", "type": "error"}


def test_the_error_frames_are_those_captured() -> None:
    """Byte for byte."""
    assert wire_format.invalid_symbol("FX:EURUSD") == '{"msg":"Invalid symbol FX:EURUSD","type":"error"}'
    assert wire_format.TOO_MANY_SYMBOLS == '{"msg":"Subscribing to too many symbols","type":"error"}'
    assert wire_format.PING == '{"type":"ping"}'


@given(st.one_of(st.text(), st.binary()))
def test_nonsense_is_no_request(message: str | bytes) -> None:
    """Whatever a client sends, reading it does not raise."""
    assert wire_format.read_request(message) is None


def test_a_request_may_have_more_fields() -> None:
    """What is not known is ignored."""
    assert wire_format.read_request('{"type":"subscribe","symbol":"AAPL","x":1}') == wire_format.Request("subscribe", "AAPL")
    assert wire_format.read_request('{"type":"hello","symbol":"AAPL"}') is None


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('{"data":[{"p":1},{}],"type":"trade"}', 2),
        ('{"type":"trade","data":[]}', 0),
        (wire_format.PING, 0),
        (wire_format.TOO_MANY_SYMBOLS, 0),
        (wire_format.MALFORMED, 0),
    ],
)
def test_rows_are_counted_in_trade_frames_alone(text: str, rows: int) -> None:
    """In either order of the keys."""
    assert wire_format.rows_in(text) == rows


@pytest.mark.parametrize("symbol", ["AAPL", "F", "BRK.B", "BF-A", "BINANCE:BTCUSDT", "OANDA:EUR_USD"])
def test_symbols_that_look_right_trade(symbol: str) -> None:
    """Without a list every one of them does; with a list only those on it."""
    assert wire_format.is_traded(symbol, None)
    assert wire_format.is_traded(symbol, [symbol])
    assert not wire_format.is_traded(symbol, ["IBM"])


@pytest.mark.parametrize("symbol", ["aapl", "NOSUCH", "", "FX:EURUSD", "123"])
def test_symbols_that_look_wrong_do_not(symbol: str) -> None:
    """Lower case, more than five letters, an unknown venue."""
    assert not wire_format.is_traded(symbol, None)
