"""Rows that ``produce`` refused, taken again: what a dead letter holds, or a mended text of it, normalised once more."""

from __future__ import annotations

from stockctl.feed.decoder import Decoder
from stockctl.records import DeadLetter, Trade


def redecode(letter: DeadLetter, text: str) -> list[Trade]:
    """The trades of ``text``, which stands for what ``letter`` holds: one of Finnhub's rows, or a whole frame.

    A row gets the id that it would have had, had it been taken at first; rows of a frame are numbered behind the letter's id.
    So the same letter always makes the same ids. ValueError with the reason if a part of the text still is no trade.
    """
    normaliser = Decoder(letter.source)
    token, _, number = letter.id.rpartition("-")
    normaliser.start(token)
    normaliser.rows = int(number) if number.isdecimal() else 0
    row = normaliser.frame(f'{{"type":"trade","data":[{text}]}}', letter.ts_recv)
    if len(row.trades) == 1 and not row.dead_letters:
        return row.trades
    normaliser.start(letter.id)
    frame = normaliser.frame(text, letter.ts_recv)
    if frame.trades and not frame.dead_letters:
        return frame.trades
    wrong = (frame if frame.kind == "trade" else row).dead_letters
    raise ValueError(f"it still is no trade: {wrong[0].reason if wrong else 'there is no row in it'}")
