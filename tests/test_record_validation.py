"""What a valid record is: the kinds of records that were met in the field, and what must hold for any text at all."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stockctl.exchange.calendar import now_ms
from stockctl.record_validation import DEPTH, FEED_EVENTS, MAX_AHEAD_MS, SIGNALS, TRADES, InvalidRecordError
from stockctl.records import FeedEvent, SignalRecord, Trade, encode
from tests.conftest import examples
from tests.lakes import signal

AT = 1_795_444_200_000
TRADE = Trade("AAPL-1795444200000-abcdef-00000001", "AAPL", 164.06, 4.0, AT, AT + 50, "1,12", "v", "sim")
EVENT = FeedEvent("abcdef-covered-000001", "covered", AT, AT + 10_000, "AAPL,MSFT", "", "abcdef", AT + 10_050, "sim")
SIGNAL = signal("AAPL", AT, strength=-2.3, partition=2, offset=2**53 - 1, source="sim")
LINE = encode(TRADE)


def changed(**values: Any) -> bytes:
    """The trade with other values, as somebody's JSON library would write it."""
    return json.dumps(msgspec.structs.asdict(TRADE) | values).encode()


def nested(deep: int) -> bytes:
    """A trade with something beside its columns, which makes it ``deep`` levels deep in all."""
    return LINE.replace(b'"id"', b'"more":' + b"[" * (deep - 1) + b"]" * (deep - 1) + b',"id"')


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(LINE, id="as it is written"),
        pytest.param(changed(), id="with spaces"),
        pytest.param(json.dumps(msgspec.structs.asdict(TRADE), indent=2).encode(), id="over several lines"),
        pytest.param(LINE.replace(b',"', b'\r,"'), id="carriage returns"),
        pytest.param(LINE.replace(b'"id"', b'"i\\u0064"'), id="an escaped key"),
        pytest.param(LINE.replace(b'"price":', b'"price" :'), id="a space before a colon"),
        pytest.param(LINE.replace(b'"id"', b'"Symbol":"X","SYMBOL":[1],"id"'), id="keys equal but for case"),
        pytest.param(LINE.replace(b'"id"', b'"other":1,"other":2,"id"'), id="another key twice"),
        pytest.param(LINE.replace(b'"id"', b'"digits":' + b"9" * 5000 + b',"id"'), id="very many digits"),
        pytest.param(nested(DEPTH), id="nested as deep as may be"),
    ],
)
def test_what_is_valid_is_one_line_without_anything_beside_its_columns(value: bytes) -> None:
    assert TRADES.record(value) == TRADE
    line = TRADES.line(value)
    assert b"\n" not in line
    assert json.loads(line) == json.loads(LINE)
    assert TRADES.all([line]) == [TRADE], "it needs no second look"


@pytest.mark.parametrize(
    "value", [changed(conditions=None, updates=None), LINE.replace(b',"conditions":"1,12","updates":"v"', b"")]
)
def test_conditions_and_updates_may_be_null_or_absent_which_means_none(value: bytes) -> None:
    record = TRADES.record(value)
    assert (record.conditions, record.updates) == ("", "")
    assert TRADES.line(value) == encode(record)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(None, "no value", id="a tombstone"),
        pytest.param(b"", "the record is not JSON: it ends too early", id="empty"),
        pytest.param(LINE + LINE, "the record is not JSON: trailing characters", id="two at once"),
        pytest.param(LINE.replace(b'"price":', b'"price":1.0,"price":'), "price is there more than once", id="twice"),
        pytest.param(
            LINE.replace(b'"price":', b'"pric\\u0065" :2.0,"price":').replace(b',"updates":"v"', b""),
            "price is there more than once",
            id="twice in place of another",
        ),
        pytest.param(LINE.replace(b'"1,12"', b'"\xff"'), "not UTF-8", id="no UTF-8"),
        pytest.param(LINE.replace(b'"id"', b'"more":"\xff","id"'), "not UTF-8", id="no UTF-8 where nobody reads"),
        pytest.param(LINE.replace(b'"1,12"', b'"\xed\xa0\x80"'), "not UTF-8", id="a surrogate"),
        pytest.param(LINE.replace(b'"1,12"', b'"\\ud800"'), "the record is not JSON", id="an escaped surrogate"),
        pytest.param(LINE.decode().encode("utf-16"), "not UTF-8", id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf" + LINE, "the record is not JSON", id="a byte order mark"),
        pytest.param(nested(DEPTH + 1), f"nested more than {DEPTH} deep", id="too deep"),
        pytest.param(changed(symbol=""), "symbol is empty", id="no symbol"),
        pytest.param(changed(symbol="A" * 3000), "symbol has more than 64 characters", id="a long symbol"),
        pytest.param(changed(symbol="A\0B"), "symbol holds the control character U+0000", id="NUL"),
        pytest.param(changed(conditions="1\x85"), "conditions holds the control character U+0085", id="a control character"),
        pytest.param(changed(symbol="A,B"), "symbol holds a comma, or a space at its ends", id="a comma"),
        pytest.param(changed(symbol=" A"), "symbol holds a comma, or a space at its ends", id="a space"),
        pytest.param(changed(price="164.06"), "price is not a number, but a text", id="a price in quotes"),
        pytest.param(changed(price=0), "price is not above 0", id="no price"),
        pytest.param(LINE.replace(b"164.06", b"1e999"), "price is out of range", id="a price without end"),
        pytest.param(LINE.replace(b"164.06", b"NaN"), "the record is not JSON", id="not a number"),
        pytest.param(changed(volume=-1), "volume is below 0", id="a volume below 0"),
        pytest.param(changed(ts_event=1.5), "ts_event is not a whole number", id="half a millisecond"),
        pytest.param(changed(ts_event=-1), "ts_event is below 0", id="before the epoch"),
        pytest.param(changed(ts_event=4_102_444_800_000), "ts_event is more than 7 days ahead: 2100-01-01", id="far ahead"),
        pytest.param(changed(ts_recv=4_102_444_800_000), "ts_recv is more than 7 days ahead", id="received far ahead"),
        pytest.param(changed(source=None), "source is not a text, but null", id="no source"),
        pytest.param(b"[" + LINE + b"]", "the record is not an object, but a list", id="a list"),
    ],
)
def test_what_is_not_valid_has_a_reason(value: bytes | None, reason: str) -> None:
    assert TRADES.all([LINE, value]) is None
    with pytest.raises(InvalidRecordError, match=r".*") as raised:
        TRADES.record(value)
    assert reason in str(raised.value)


def test_faults_of_two_records_do_not_make_up_for_each_other() -> None:
    """One key too many in one, and one too few in another: as many as two sound records have."""
    twice = LINE.replace(b'"price":', b'"price":1.0,"price":')
    assert TRADES.all([twice, LINE.replace(b',"updates":"v"', b"")]) is None
    assert TRADES.all([twice, LINE.replace(b'"sim"', b"null")]) is None


def test_a_week_ahead_is_the_limit() -> None:
    """A clock that is set wrong by days refuses no good record."""
    at = now_ms() + MAX_AHEAD_MS
    assert TRADES.record(changed(ts_event=at)).ts_event == at
    with pytest.raises(InvalidRecordError, match="7 days ahead"):
        TRADES.record(changed(ts_event=at + 60_000))


def test_an_events_reason_may_quote_anything_but_nul() -> None:
    messages = msgspec.structs.replace(EVENT, reason="the feed said:\n\t…")
    assert FEED_EVENTS.record(encode(messages)) == messages
    with pytest.raises(InvalidRecordError, match="reason holds the control character"):
        FEED_EVENTS.record(encode(msgspec.structs.replace(EVENT, reason="\0")))


EMPTY: dict[str, Any] = dict.fromkeys(("symbol", "side", "reason", "record", "inputs", "details"), "")
RUN = msgspec.structs.replace(SIGNAL, kind="run", target=0.0, strength=0.0, partition=-1, offset=-1, **EMPTY)


@pytest.mark.parametrize("record", [SIGNAL, RUN], ids=["signal", "run"])
def test_a_signal_is_valid_with_every_text_empty_that_not_all_kinds_need(record: SignalRecord) -> None:
    assert SIGNALS.all([encode(record), encode(SIGNAL)]) == [record, SIGNAL], "no second look"
    assert SIGNALS.record(encode(record)) == record


def test_only_times_of_a_signal_are_compared_with_the_clock() -> None:
    """Its counts and places are whole numbers too."""
    far = msgspec.structs.replace(SIGNAL, n=2**53 - 1, partition=2**53 - 1)
    assert SIGNALS.all([encode(far)]) == [far]
    for name in ("ts_decided", "ts_event", "ts_recv"):
        with pytest.raises(InvalidRecordError, match=f"{name} is more than 7 days ahead"):
            SIGNALS.record(encode(msgspec.structs.replace(SIGNAL, **{name: 4_102_444_800_000})))


def test_details_and_reason_of_a_signal_may_quote_anything_but_nul() -> None:
    record = msgspec.structs.replace(RUN, details='{\n\t"params": {"fast": "5"}\n}', reason="two\nlines")
    assert SIGNALS.record(encode(record)) == record
    assert SIGNALS.line(encode(record)) == encode(record), "one line"
    for name in ("details", "reason"):
        with pytest.raises(InvalidRecordError, match=f"{name} holds the control character U.0000"):
            SIGNALS.record(encode(msgspec.structs.replace(SIGNAL, **{name: "\0"})))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"target": 1.01}, "target is above 1"),
        ({"target": -1.01}, "target is below -1"),
        ({"n": -1}, "n is below 0"),
        ({"offset": -2}, "offset is below -1"),
        ({"offset": 2**53}, "offset is above 9007199254740991"),
        ({"symbol": "A,B"}, "symbol holds a comma, or a space at its ends"),
        ({"symbol": " "}, "symbol holds a comma, or a space at its ends"),
        ({"side": "b\tuy"}, "side holds the control character U+0009"),
        ({"strategy": ""}, "strategy is empty"),
        ({"version": ""}, "version is empty"),
        ({"run": ""}, "run is empty"),
        ({"inputs": None}, "inputs is not a text, but null"),
    ],
)
def test_a_signal_that_is_not_valid_has_a_reason(changes: dict[str, Any], reason: str) -> None:
    value = json.dumps(msgspec.structs.asdict(SIGNAL) | changes).encode()
    assert SIGNALS.all([value]) is None
    with pytest.raises(InvalidRecordError, match=r".*") as raised:
        SIGNALS.record(value)
    assert str(raised.value) == reason


pieces = st.sampled_from(
    [
        *(
            b'"',
            b"\\",
            b":",
            b",",
            b"{",
            b"}",
            b"[",
            b"]",
            b" ",
            b"\n",
            b"\t",
            b"\x00",
            b"\x7f",
            b"\xc2\x85",
            b"\xff",
            b"e",
            b"-",
            b"0",
        ),
        *(
            b'"price":1.0,',
            b'"Price":1.0,',
            b"null",
            b"1e5",
            b"\\u0000",
            b"\\ud83d\\ude00",
            "😀".encode(),
            b'"more":{"a":[1]},',
        ),
    ]
)
edits = st.lists(st.tuples(st.integers(0, len(LINE)), st.integers(0, 12), pieces), max_size=3)


@given(st.lists(edits, min_size=1, max_size=4))
@example([[(6, 0, b'"'), (7, 0, b"\\")]])  # a quote in the id, escaped
@settings(max_examples=examples(4))
def test_all_ways_to_look_at_records_agree(several: list[list[tuple[int, int, bytes]]]) -> None:
    """Whatever stands there: together or one by one, as it came or as it is written, a record is the same one."""
    values = []
    for some in several:
        value = LINE
        for at, cut, piece in some:
            value = value[:at] + piece + value[at + cut :]
        values.append(value)
    records: list[Trade | None] = []
    for value in values:
        try:
            records.append(TRADES.record(value))
        except InvalidRecordError:
            records.append(None)
    together = TRADES.all(values)
    assert together is None or together == records
    for value, record in zip(values, records, strict=True):
        if record is not None:
            line = TRADES.line(value)
            assert TRADES.record(line) == record
            # Where an escape is left, that of a quote, only ``record`` can say so.
            assert TRADES.all([line]) == (None if b"\\" in line else [record])
            assert json.loads(line) == json.loads(encode(record))
            assert TRADES.line(line) == line
