"""Decodes dead letters of ``produce`` again, or corrected texts of them."""

from __future__ import annotations

from stockctl.feed.decoder import Decoder
from stockctl.records import Trade
from stockctl.stream.dead_letters.record import DeadLetter


def redecode(letter: DeadLetter, text: str) -> list[Trade]:
    """The trades in ``text``, the original or corrected content of ``letter``: one of Finnhub's rows, or a whole frame.

    A row gets the id that it would have had at first; rows of a frame are numbered after the letter's id. The same letter
    always gives the same ids. ValueError with the reason if any part of the text is still no valid trade.
    """
    decoder = Decoder(letter.source)
    token, _, number = letter.id.rpartition("-")
    decoder.start(token)
    decoder.rows = int(number) if number.isdecimal() else 0
    row = decoder.frame(f'{{"type":"trade","data":[{text}]}}', letter.ts_recv)
    if len(row.trades) == 1 and not row.dead_letters:
        return row.trades
    decoder.start(letter.id)
    frame = decoder.frame(text, letter.ts_recv)
    if frame.trades and not frame.dead_letters:
        return frame.trades
    dead_letters = (frame if frame.kind == "trade" else row).dead_letters
    raise ValueError(f"still not a trade: {dead_letters[0].reason if dead_letters else 'it has no row'}")
