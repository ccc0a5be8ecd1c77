"""Of a value that is wrong, people read which field it is and what is wrong with it, and no word of a decoder's own."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from stockctl.records import UNREADABLE, FeedEvent
from stockctl.stream.dead_letters.record import DeadLetter
from stockctl.validation_errors import decode_problem

FOREIGN = re.compile(r"`|\$|Expected|Invalid|Object|malformed|truncated|codec|recursion|RFC|\b(int|str|float|bool|array)\b")


class Row(msgspec.Struct):
    """One field for each kind of thing that can be wrong."""

    s: Annotated[str, Meta(min_length=1, max_length=3)] = "A"
    p: Annotated[float, Meta(gt=0)] = 1
    t: Annotated[int, Meta(ge=0, le=10)] = 1
    c: Annotated[list[str], Meta(max_length=2)] | None = None
    kind: Literal["a", "b"] = "a"
    counts: dict[str, int] = {}
    days: dict[date, int] = {}
    code: Annotated[str, Meta(pattern="^x+$")] = "x"
    on: bool = True


class Whole(msgspec.Struct, forbid_unknown_fields=True):
    """Rows within something, and nothing beside them."""

    rows: list[Row]


class Pair(msgspec.Struct, array_like=True):
    """Written as a list."""

    low: int
    high: int


def problem(kind: Any, text: bytes | str) -> str:
    with pytest.raises(UNREADABLE) as raised:
        msgspec.json.decode(text, type=kind)
    return decode_problem(raised.value, names={"p": "price"})


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (Row, b'{"p":0}', "price is not above 0"),
        (Row, b'{"p":null}', "price is not a number, but null"),
        (Row, b'{"p":1e999}', "price is out of range"),
        (Row, b'{"t":-1}', "t is below 0"),
        (Row, b'{"t":11}', "t is above 10"),
        (Row, b'{"t":1.5}', "t is not a whole number, but a number with a fraction"),
        (Row, b'{"s":""}', "s is empty"),
        (Row, b'{"s":"ABCD"}', "s has more than 3 characters"),
        (Row, b'{"c":"a"}', "c is not a list or null, but a text"),
        (Row, b'{"c":["a","b","c"]}', "c has more than 2 items"),
        (Row, b'{"c":["a",1]}', "c[1] is not a text, but a whole number"),
        (Row, b'{"kind":"z"}', "kind cannot be 'z'"),
        (Row, b'{"kind":"%s"}' % (b"z" * 90), f"kind cannot be '{'z' * 39}…"),
        (Row, b'{"code":"y"}', "code does not match '^x+$'"),
        (Row, b'{"on":1}', "on is not true or false, but a whole number"),
        (Row, b'{"counts":{"a":{}}}', "a value of counts is not a whole number, but an object"),
        (Row, b'{"days":{"a":1}}', "a key of days is not a date"),
        (Row, b"[]", "it is not an object, but a list"),
        (Whole, b"{}", "rows is missing"),
        (Whole, b'{"rows":[],"x":1}', "x is not a field that is known"),
        (Whole, b'{"rows":[{},{"p":0}]}', "rows[1].price is not above 0"),
        (Pair, b"[1]", "it has 1 item, not at least 2"),
        (dict[str, int], b'{"a":null}', "a value of it is not a whole number, but null"),
        (Row, b'{"p":', "it is not JSON: it ends too early"),
        (Row, b'{"p":NaN}', "it is not JSON: invalid character (byte 5)"),
        (Row, b'{"s":"\xff"}', "it is not UTF-8"),
        (Row, '{"s":"\ud800"}', "it is not UTF-8"),
        (Row, b'{"x":' + b"[" * 100_000, "it is nested too deeply"),
    ],
)
def test_a_decoders_error_is_reported_in_plain_words_that_name_the_field(kind: Any, text: bytes | str, words: str) -> None:
    assert problem(kind, text) == words


def test_the_text_as_a_whole_has_the_name_that_its_reader_gives_it() -> None:
    with pytest.raises(UNREADABLE) as raised:
        msgspec.json.decode(b"[]", type=Row)
    assert decode_problem(raised.value, "the claim") == "the claim is not an object, but a list"


@pytest.mark.parametrize(
    "error",
    [msgspec.DecodeError("Invalid UTF-8 encoded string"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")],
)
def test_bytes_that_are_not_utf_8_have_the_same_words_by_each_version_of_the_decoder(error: Exception) -> None:
    assert decode_problem(error, "the claim") == "the claim is not UTF-8"


def test_pythons_own_decoder_is_reported_in_the_same_words() -> None:
    with pytest.raises(json.JSONDecodeError) as raised:
        json.loads("{'a': 1}")
    assert decode_problem(raised.value).startswith("it is not JSON: expecting property name")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-20, 2**80) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["p", "rows", "low"]) | st.text(max_size=3), inner)
    ),
    max_leaves=5,
)
FIELDS = (*Row.__struct_fields__, *DeadLetter.__struct_fields__, *FeedEvent.__struct_fields__, "rows")


@given(st.sampled_from([Row, Whole, Pair, DeadLetter, FeedEvent]), st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4))
def test_no_word_of_a_decoders_own_is_left(kind: Any, value: dict[str, Any]) -> None:
    try:
        msgspec.json.decode(json.dumps(value), type=kind)
    except UNREADABLE as error:
        words = decode_problem(error)
        # The value, the field or the pattern that a message shows may be any text.
        shown = any(part in str(error) for part in ("Invalid enum value", "field", "matching regex"))
        assert shown or not FOREIGN.search(words), words
