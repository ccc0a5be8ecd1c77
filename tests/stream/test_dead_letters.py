"""Dead letters: raw text, reason, and an id that identifies the record when it is read again."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stockctl.stream.dead_letters.record import RAW_LIMIT, DeadLetter, as_message, dead_letter


def test_a_record_from_kafka_has_the_same_id_each_time_it_is_read() -> None:
    one, again = (
        dead_letter("no trade", b"{}", ts_recv=now, source="finnhub", topic="trades", partition=2, offset=17) for now in (1, 2)
    )
    assert one.id == again.id == "trades-2-17"
    assert (one.topic, one.partition, one.offset, one.origin) == ("trades", 2, 17, "")


def test_a_letter_that_is_not_from_kafka_has_its_origin() -> None:
    letter = dead_letter("no frame", "{", ts_recv=1, source="replay", origin="frames.jsonl:7", id="k3f9a2-00000001")
    assert (letter.id, letter.origin, letter.partition, letter.offset) == ("k3f9a2-00000001", "frames.jsonl:7", -1, -1)


def test_bytes_that_are_not_utf_8_stay_readable() -> None:
    assert dead_letter("no text", b"a\xffb", ts_recv=1, source="sim", id="x").raw == "a\\xffb"


def test_long_text_is_truncated_and_the_reason_says_so() -> None:
    letter = dead_letter("too long", "x" * (RAW_LIMIT + 1), ts_recv=1, source="sim", id="x")
    assert len(letter.raw) == RAW_LIMIT
    assert letter.reason == f"too long (raw text truncated: {RAW_LIMIT + 1} characters, {RAW_LIMIT} stored)"


@given(st.text(max_size=30), st.one_of(st.text(), st.binary()))
def test_a_message_carries_the_whole_letter_under_its_id(reason: str, raw: str | bytes) -> None:
    letter = dead_letter(reason, raw, ts_recv=1, source="sim", id="k3f9a2-00000001")
    value, key = as_message(letter)
    assert msgspec.json.decode(value, type=DeadLetter) == letter
    assert key == b"k3f9a2-00000001"
