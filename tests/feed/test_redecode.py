"""Dead letters are decoded again, with the ids that their rows would have had."""

from __future__ import annotations

import pytest

from stockctl.feed.decoder import Decoder
from stockctl.feed.redecode import redecode
from stockctl.stream.dead_letters.record import DeadLetter

GOOD = '{"s":"AAPL","p":164.06,"t":1680286538064,"v":4,"c":["1"]}'
BAD = '{"s":"AAPL","p":-1,"t":1680286538064,"v":4}'


def refused(row: str) -> DeadLetter:
    """The letter of ``row`` between two good ones."""
    decoder = Decoder("finnhub")
    decoder.start("k3f9a2")
    [letter] = decoder.frame(f'{{"type":"trade","data":[{GOOD},{row},{GOOD}]}}', 1680286538120).dead_letters
    return letter


def test_a_corrected_row_gets_the_id_that_it_would_have_had() -> None:
    [trade] = redecode(refused(BAD), GOOD)
    assert trade.id == "AAPL-1680286538064-k3f9a2-00000001"
    assert (trade.price, trade.volume, trade.ts_recv, trade.source) == (164.06, 4.0, 1680286538120, "finnhub")


def test_a_row_that_still_is_bad_says_why() -> None:
    letter = refused(BAD)
    with pytest.raises(ValueError, match="still not a trade: price is "):
        redecode(letter, letter.raw)


def test_the_rows_of_a_frame_get_ids_of_their_own() -> None:
    """They must not meet the ids of the rows that came after the broken frame."""
    decoder = Decoder("sim")
    decoder.start("k3f9a2")
    [letter] = decoder.frame('{"type":"trade","data":[', 1680286538120).dead_letters
    trades = redecode(letter, f'{{"type":"trade","data":[{GOOD},{GOOD}]}}')
    assert [trade.id for trade in trades] == [f"AAPL-1680286538064-k3f9a2-00000000-0000000{row}" for row in (0, 1)]


@pytest.mark.parametrize(
    "text", ["", "no", "[]", "{}", '{"type":"ping"}', f"{GOOD},{GOOD}", f'{{"type":"trade","data":[{BAD}]}}']
)
def test_what_is_no_row_and_no_frame_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="still not a trade: "):
        redecode(refused(BAD), text)
