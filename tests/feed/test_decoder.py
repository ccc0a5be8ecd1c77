"""Decoding frames: rows become trades, invalid rows become dead letters, and no row affects the others."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.feed.decoder import EARLIEST, LATEST_AHEAD, Decoder, Frame
from stockctl.records import Trade

NOW = 1_680_286_538_120
ROW: dict[str, Any] = {"c": ["1", "8", "12"], "p": 164.06, "s": "AAPL", "t": 1_680_286_538_064, "v": 4}


def decoder(**options: Any) -> Decoder:
    under_test = Decoder("finnhub", **options)
    under_test.start("k3f9a2")
    return under_test


def frame(*rows: Any) -> bytes:
    return json.dumps({"data": list(rows), "type": "trade"}).encode()


def take(*rows: Any, **options: Any) -> Frame:
    return decoder(**options).frame(frame(*rows), NOW)


def test_a_row_becomes_a_trade_with_all_its_fields() -> None:
    assert take(ROW).trades == [
        Trade(
            id="AAPL-1680286538064-k3f9a2-00000000",
            symbol="AAPL",
            price=164.06,
            volume=4.0,
            ts_event=1_680_286_538_064,
            ts_recv=NOW,
            conditions="1,8,12",
            updates="v",
            source="finnhub",
        )
    ]


def test_equal_rows_are_trades_of_their_own() -> None:
    trades = take(ROW, ROW, ROW).trades
    assert [trade.id[-8:] for trade in trades] == ["00000000", "00000001", "00000002"]


def test_rows_are_counted_over_the_frames_of_a_connection_and_from_0_on_the_next() -> None:
    under_test = decoder()
    under_test.frame(frame(ROW, ROW), NOW)
    assert under_test.frame(frame(ROW | {"v": 5}), NOW).trades[0].id == "AAPL-1680286538064-k3f9a2-00000002"
    under_test.start("zzzzzz")
    assert under_test.frame(frame(ROW), NOW).trades[0].id == "AAPL-1680286538064-zzzzzz-00000000"


@pytest.mark.parametrize("codes", [{"c": None}, {"c": []}, {}])
def test_no_codes_are_an_empty_text_and_allow_everything(codes: dict[str, Any]) -> None:
    row = {key: value for key, value in ROW.items() if key != "c"} | codes
    (trade,) = take(row).trades
    assert (trade.conditions, trade.updates) == ("", "vhl")


def test_volume_zero_is_a_price_update_and_is_kept() -> None:
    assert take(ROW | {"v": 0}).trades[0].volume == 0.0


def test_integers_become_floats_and_unknown_fields_are_ignored() -> None:
    (trade,) = take(ROW | {"p": 164, "x": {"new": [1]}}).trades
    assert (type(trade.price), trade.price) == (float, 164.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"p": 0}, "price is not above 0"),
        ({"p": -1.5}, "price is not above 0"),
        ({"p": "164"}, "price is not a number, but a text"),
        ({"p": None}, "price is not a number, but null"),
        ({"p": True}, "price is not a number, but true or false"),
        ({"v": -1}, "volume is below 0"),
        ({"v": float("nan")}, "volume is not a number"),
        ({"p": float("inf")}, "price is not a number"),
        ({"t": EARLIEST - 1}, "time is below 946684800000"),
        ({"t": NOW + LATEST_AHEAD + 1}, "more than a day after"),
        ({"t": 10**30}, "time is above"),
        ({"t": int("9" * 4_000)}, "time is "),
        ({"t": "1680286538064"}, "time is not a whole number"),
        ({"s": ""}, "symbol is empty"),
        ({"s": " A"}, "symbol cannot be ' A'"),
        ({"s": "A\0"}, "symbol cannot be 'A<U+0000>'"),
        ({"c": ["1\0"]}, "conditions hold a control character"),
        ({"s": "A,B"}, "symbol cannot be 'A,B'"),
        ({"s": "A" * 65}, "symbol has more than 64 characters"),
        ({"c": "1"}, "conditions is not a list or null"),
        ({"c": [1]}, "conditions[0] is not a text"),
    ],
)
def test_a_bad_row_becomes_a_dead_letter_and_the_others_are_taken(change: dict[str, Any], reason: str) -> None:
    decoded = take(ROW, ROW | change, ROW)
    assert [trade.id[-8:] for trade in decoded.trades] == ["00000000", "00000002"]
    (letter,) = decoded.dead_letters
    assert reason in letter.reason
    assert letter.id == "k3f9a2-00000001"
    assert letter.origin == "k3f9a2"
    assert json.loads(letter.raw).keys() == (ROW | change).keys()


@pytest.mark.parametrize(("field", "name"), [("p", "price"), ("s", "symbol"), ("t", "time"), ("v", "volume")])
def test_a_row_without_a_field_is_no_trade(field: str, name: str) -> None:
    (letter,) = take({key: value for key, value in ROW.items() if key != field}).dead_letters
    assert letter.reason == f"{name} is missing"


def test_a_row_without_conditions_does_not_hide_one_that_has_them_twice() -> None:
    twice = b'{"c":null,"c":["1"],"p":1.0,"s":"AAPL","t":1795447800000,"v":1}'
    without = b'{"p":3.0,"s":"MSFT","t":1795447800000,"v":1}'
    found = Decoder("finnhub").frame(b'{"data":[%s,%s],"type":"trade"}' % (twice, without), 1_795_447_800_050)
    assert [trade.price for trade in found.trades] == [3.0]
    assert [letter.reason for letter in found.dead_letters] == ["conditions is there more than once"]


@pytest.mark.parametrize("convert", [bytes, bytes.decode], ids=["bytes", "text"])
@pytest.mark.parametrize(
    ("frame", "name"),
    [
        (b'{"data":[%s],"data":[%s],"type":"trade"}', "data"),
        (b'{"data":[%s],"d\\u0061ta":[%s],"type":"trade"}', "data"),
        (b'{"data":[%s,%s],"type":"trade","type":"trade"}', "type"),
        (b'{"type":"trade","data":[%s,%s],"type":"ping"}', "type"),
        (b'{"type":"trade","data":[%s,%s],"type":"error","msg":"no"}', "type"),
        (b'{"data":[%s],"data":[%s,{"p":NaN}],"type":"trade"}', "data"),
    ],
)
def test_a_frame_that_has_a_key_twice_is_a_dead_letter(
    frame: bytes, name: str, convert: Callable[[bytes], str | bytes]
) -> None:
    row = json.dumps(ROW).encode()
    found = Decoder("finnhub").frame(convert(frame % (row, row)), NOW)
    assert (found.kind, found.trades) == ("malformed", [])
    assert [letter.reason for letter in found.dead_letters] == [f"{name} is there more than once"]


@pytest.mark.parametrize("convert", [bytes, bytes.decode], ids=["bytes", "text"])
@pytest.mark.parametrize(
    ("row", "name"),
    [
        ('{"c":["1"],"p":1.0,"p":2.0,"s":"AAPL","t":1795447800000,"v":1}', "price"),
        ('{"c":["1"],"p":1.0,"p" :2.0,"s":"AAPL","t":1795447800000,"v":1}', "price"),
        ('{"c":["1"],"p":1.0,"\\u0070":2.0,"s":"AAPL","t":1795447800000,"v":1}', "price"),
        ('{"p":1.0,"p":2.0,"s":"AAPL","t":1795447800000,"v":1}', "price"),
        ('{"c":null,"c":["1"],"p":1.0,"s":"AAPL","t":1795447800000,"v":1}', "conditions"),
        ('{"c":["1"],"p":1.0,"s":"MSFT","s":"AAPL","t":1795447800000,"v":1}', "symbol"),
        ('{"c":["1"],"p":1.0,"s":"AAPL","t":1795447800000,"t":1795447800001,"v":1}', "time"),
        ('{"c":["1"],"p":1.0,"s":"AAPL","t":1795447800000,"v":1,"v":2,"x":3}', "volume"),
    ],
)
def test_a_row_with_one_key_twice_is_a_dead_letter_and_the_others_are_taken(
    row: str, name: str, convert: Callable[[bytes], str | bytes]
) -> None:
    """As for records: which value is meant is unknown. Unknown keys may be repeated."""
    good = '{"c":null,"p":3.0,"s":"MSFT","t":1795447800000,"v":1,"x":1,"x":2}'
    text = f'{{"data":[{row},{good}],"type":"trade"}}'.encode()
    found = Decoder("finnhub").frame(convert(text), 1_795_447_800_050)
    assert [trade.price for trade in found.trades] == [3.0]
    assert [(letter.reason, letter.raw) for letter in found.dead_letters] == [(f"{name} is there more than once", row)]


def test_a_number_of_more_digits_than_python_converts_costs_its_row_beside_what_is_no_json_too() -> None:
    rows = json.dumps(ROW).encode() + b',{"p":NaN,"t":' + b"9" * 5_000 + b"}"
    decoded = decoder().frame(b'{"data":[' + rows + b'],"type":"trade"}', NOW)
    assert len(decoded.trades) == len(decoded.dead_letters) == 1


def test_a_dead_letter_keeps_the_row_as_it_stood() -> None:
    raw = '{"p":-1,   "s":"AAPL","t":1680286538064,"v":1}'
    text = '{"data":[' + raw + '],"type":"trade"}'
    assert decoder().frame(text, NOW).dead_letters[0].raw == raw


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "the frame is not JSON: expecting value"),
        (b'{"data":[{"c":["1"],"p":1', "the frame is not JSON: expecting"),
        (b"[1]", "the frame is not an object, but a list"),
        (b'{"type":"trade"}', "without data"),
        (b'{"type":"trade","data":null}', "data is not a list, but null"),
        (b'{"type":"news","data":[]}', "unknown type of frame 'news'"),
        (b"\xff\xfe\xff", "the frame is not UTF-8"),
        (b'{"a":' * 100_000, "the frame is nested too deeply"),
    ],
)
def test_what_is_no_frame_is_a_dead_letter_as_a_whole(text: bytes, reason: str) -> None:
    under_test = decoder()
    decoded = under_test.frame(text, NOW, "file.jsonl:7")
    assert (decoded.kind, decoded.trades) == ("malformed", [])
    (letter,) = decoded.dead_letters
    assert reason in letter.reason
    assert letter.origin == "file.jsonl:7"
    assert under_test.frame(frame(ROW), NOW).trades[0].id[-8:] == "00000001"


def test_ping_and_error_frames_are_no_trades() -> None:
    under_test = decoder()
    assert under_test.frame(b'{"type":"ping"}', NOW) == Frame("ping", [], [])
    decoded = under_test.frame(b'{"msg":"Invalid symbol FX:EURUSD","type":"error"}', NOW)
    assert decoded == Frame("error", [], [], "Invalid symbol FX:EURUSD")


def test_a_repeated_frame_is_counted_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    under_test = decoder()
    with caplog.at_level(logging.WARNING, "stockctl"):
        decoded = [len(under_test.frame(frame(ROW, ROW), NOW).trades) for _ in range(3)]
    assert (decoded, under_test.repeated_frames) == ([2, 2, 2], 2)
    assert caplog.text.count("sent a frame again") == 1


def test_a_repeated_frame_with_a_bad_row_is_dropped_too() -> None:
    under_test = decoder(drop_repeated_frames=True)
    text = '{"data":[{"p":1.5,"s":"AAPL","t":1680286537580,"v":1},{"p":0,"s":"AAPL","t":1680286537580,"v":1}],"type":"trade"}'
    decoded = [under_test.frame(text, NOW) for _ in range(3)]
    assert [(len(frame.trades), len(frame.dead_letters)) for frame in decoded] == [(1, 1), (0, 0), (0, 0)]
    assert under_test.repeated_frames == 2


def test_a_repeated_frame_is_dropped_when_that_is_asked_for() -> None:
    under_test = decoder(drop_repeated_frames=True)
    decoded = [len(under_test.frame(frame(ROW, ROW), NOW).trades) for _ in range(3)]
    assert (decoded, under_test.repeated_frames) == ([2, 0, 0], 2)
    assert len(under_test.frame(frame(ROW, ROW, ROW), NOW).trades) == 3


def test_an_unknown_code_is_reported_once_and_allows_everything(caplog: pytest.LogCaptureFixture) -> None:
    under_test = decoder()
    with caplog.at_level(logging.WARNING, "stockctl"):
        for codes in (["99"], ["1", "99"], ["98", "99"]):
            (trade,) = under_test.frame(frame(ROW | {"c": codes}), NOW).trades
            assert trade.updates == "vhl"
    assert [record.getMessage()[:26] for record in caplog.records] == [
        "unknown trade condition 99",
        "unknown trade condition 98",
    ]


def test_times_are_shifted_so_that_the_first_trade_happened_then() -> None:
    rows = [ROW | {"t": NOW + 2 * LATEST_AHEAD}, ROW, ROW | {"t": ROW["t"] - 40}, ROW | {"t": ROW["t"] + 90, "s": "MSFT"}]
    decoded = take(*rows, first_at=NOW)
    assert [trade.ts_event for trade in decoded.trades] == [NOW, NOW - 40, NOW + 90]
    assert decoded.trades[0].id.startswith(f"AAPL-{NOW}-")


NUMBERS = st.one_of(st.integers(), st.floats(), st.none(), st.booleans(), st.text(max_size=5))
ANYTHING = st.recursive(NUMBERS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))
ROWS = st.one_of(
    st.fixed_dictionaries(
        {
            "s": st.text(max_size=5),
            "p": st.floats(),
            "t": st.integers(EARLIEST - 9, NOW + LATEST_AHEAD + 9),
            "v": st.floats(-1, 9),
        },
        optional={"c": st.none() | st.lists(st.sampled_from(["1", "12", "99"]), max_size=3), "x": ANYTHING},
    ),
    st.fixed_dictionaries({"s": NUMBERS, "p": NUMBERS, "t": NUMBERS, "v": NUMBERS}, optional={"c": ANYTHING}),
    ANYTHING,
)


@given(st.lists(ROWS, max_size=12))
def test_every_row_is_either_a_trade_or_a_dead_letter(rows: list[Any]) -> None:
    under_test = decoder()
    decoded = under_test.frame(frame(*rows), NOW)
    assert len(decoded.trades) + len(decoded.dead_letters) == len(rows) == under_test.rows
    numbers = [trade.id.rsplit("-")[-1] for trade in decoded.trades] + [letter.id[-8:] for letter in decoded.dead_letters]
    assert sorted(numbers) == [f"{number:08d}" for number in range(len(rows))]
    for trade in decoded.trades:
        assert 0 < trade.price < float("inf")
        assert 0 <= trade.volume < float("inf")
        assert EARLIEST <= trade.ts_event <= NOW + LATEST_AHEAD


@given(st.one_of(ANYTHING.map(lambda value: json.dumps(value).encode()), st.binary(), st.text().map(str.encode)))
def test_no_text_raises(text: bytes) -> None:
    under_test = decoder()
    decoded = under_test.frame(text, NOW)
    assert decoded.trades == []
    assert len(decoded.dead_letters) == (decoded.kind == "malformed")
