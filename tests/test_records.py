"""The records as they are written."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.records import MAX_MS, FeedEvent, SignalRecord, Trade, connection_token, encode
from stockctl.stream.dead_letters.record import DeadLetter

TRADE = Trade("AAPL-1680286538064-k3f9a2-00000017", "AAPL", 164.06, 4.0, 1680286538064, 1680286538120, "1,8,12", "v", "finnhub")


def test_a_trade_is_one_flat_line_of_json_with_floats_as_floats() -> None:
    """``4.0`` and never ``4``: crawlers take a column's type from what they meet."""
    assert encode(TRADE) == (
        b'{"id":"AAPL-1680286538064-k3f9a2-00000017","symbol":"AAPL","price":164.06,"volume":4.0,"ts_event":1680286538064,'
        b'"ts_recv":1680286538120,"conditions":"1,8,12","updates":"v","source":"finnhub"}'
    )


number = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
text = st.text(min_size=1, max_size=16)
millis = st.integers(min_value=0, max_value=MAX_MS)


@given(st.builds(Trade, text, text, number, number, millis, millis, text, text, text))
def test_any_trade_comes_back_as_it_was(trade: Trade) -> None:
    line = encode(trade)
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=Trade) == trade
    written = json.loads(line)
    assert all(isinstance(written[name], float) for name in ("price", "volume"))


@pytest.mark.parametrize("kind", [Trade, FeedEvent, SignalRecord, DeadLetter])
def test_no_record_holds_a_list_or_a_table(kind: type) -> None:
    """Spectrum cannot filter inside one."""
    for field in msgspec.structs.fields(kind):
        kind_of_field = field.type.__origin__ if hasattr(field.type, "__metadata__") else field.type
        assert kind_of_field in (str, int, float), field


def test_connection_tokens_are_short_plain_and_not_repeated() -> None:
    tokens = [connection_token() for _ in range(2000)]
    assert all(
        len(token) == 6 and token.isascii() and token.isalnum() and token.islower() | token.isdigit() for token in tokens
    )
    # 2000 of 36⁶ collide with a probability of 0.1%; two collisions would be a defect.
    assert len(set(tokens)) >= 1999
