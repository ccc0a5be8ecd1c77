"""Cutting batches: nothing lost, nothing duplicated, and the same lines when a claim is replayed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockctl.errors import StockctlError
from stockctl.lake.format.keys import Layout
from stockctl.lake.writer.batch import BuiltObject, OpenBatch, compress, decompress
from stockctl.record_validation import TRADES
from stockctl.records import Trade, encode
from tests.conftest import examples
from tests.lakes import TOO_DEEP, covered

LAYOUT = Layout("trades", "America/New_York", "ticker", "gzip", lines="normalized")
DAY = 86_400_000


def trade(row: int, symbol: str = "AAPL", ts: int = 1_795_444_200_000) -> bytes:
    return encode(Trade(f"{symbol}-{ts}-abcdef-{row:08d}", symbol, 164.06, 4.0, ts, ts + 50, "1,12", "v", "sim"))


def fill(batch: OpenBatch, offsets: list[int], values: list[bytes | None], **more: Any) -> None:
    batch.add(offsets, values, batch.heads(values), 0, **more)


def lines(built: list[BuiltObject]) -> list[bytes]:
    return [line for item in built for line in decompress(item.data, item.claimed.key).splitlines()]


bad_values = st.sampled_from(
    [
        *(None, b"", b"garbage", b"{}", b"[]", b'{"symbol":"A"}', b'{"symbol":"","ts_event":1}'),
        trade(0).replace(b'"AAPL"', b'"A\xff"'),
        trade(0).replace(b'"1,12"', b'"\xed\xa0\x80"'),
        trade(0).replace(b'"1,12"', b'"\\ud800"'),
        trade(0).replace(b'"ts_recv":', b'"ts_recv":"soon","x":'),
        trade(0).replace(b'"price":', b'"price":1.0,"price":'),
        trade(0).replace(b'"price":', b'"unknown":[1],"price":'),
        trade(0).replace(b',"conditions":"1,12"', b""),
    ]
)
values = st.one_of(
    st.builds(
        trade,
        st.integers(0, 10**6),
        st.sampled_from(["AAPL", "MSFT", "a/b", "a:b", "BINANCE:BTCUSDT"]),
        st.integers(1_795_444_200_000 - DAY, 1_795_444_200_000 + DAY),
    ),
    bad_values,
)


@st.composite
def records(draw: st.DrawFn) -> tuple[list[int], list[bytes | None]]:
    """Ascending offsets with gaps, as transactions leave them, and values of which some are no rows."""
    found = draw(st.lists(st.tuples(st.integers(1, 3), values), min_size=1, max_size=60))
    offset, offsets = -1, []
    for step, _ in found:
        offset += step
        offsets.append(offset)
    return offsets, [value for _, value in found]


@given(records(), st.integers(1, 20))
@settings(max_examples=examples(2))
def test_every_record_is_a_row_once_or_rejected_once(given_records: tuple[list[int], list[bytes | None]], chunk: int) -> None:
    """However the records come in chunks, each stands in one object or among the rejected, and the counts add up."""
    offsets, found = given_records
    batch = OpenBatch(LAYOUT, 1, 0, 0)
    for first in range(0, len(offsets), chunk):
        fill(batch, offsets[first : first + chunk], found[first : first + chunk])
    built = batch.build(1)
    rejected = [item.offset for item, _ in batch.rejected]
    rows = [value for offset, value in zip(offsets, found, strict=True) if offset not in rejected]
    assert sorted(lines(built)) == sorted(TRADES.line(row) for row in rows if row is not None)
    assert sum(item.claimed.rows for item in built) + len(rejected) == len(offsets) == batch.records
    assert batch.end == offsets[-1] + 1
    assert len({item.claimed.key for item in built}) == len(built)
    for item in built:
        assert offsets[0] <= item.claimed.first_offset <= item.claimed.last_offset < batch.end


@given(records(), st.integers(1, 20), st.integers(1, 20))
@settings(max_examples=examples(2))
def test_a_repeat_gives_the_same_lines_however_they_come(
    given_records: tuple[list[int], list[bytes | None]], first_chunk: int, second_chunk: int
) -> None:
    """The same records in other chunks, refused by the first cut's list, make the same objects."""
    offsets, found = given_records
    once, again = OpenBatch(LAYOUT, 1, 0, 0), OpenBatch(LAYOUT, 1, 0, 0)
    for first in range(0, len(offsets), first_chunk):
        fill(once, offsets[first : first + first_chunk], found[first : first + first_chunk])
    refuse = frozenset(item.offset for item, _ in once.rejected)
    for first in range(0, len(offsets), second_chunk):
        fill(again, offsets[first : first + second_chunk], found[first : first + second_chunk], refuse=refuse)
    assert [item.claimed for item in once.build(1)] == [item.claimed for item in again.build(1)]
    assert [item.offset for item, _ in again.rejected] == sorted(refuse)


def test_symbols_of_one_slug_share_an_object() -> None:
    """Two symbols whose folders have one name make one object, not two of the same key."""
    batch = OpenBatch(LAYOUT, 1, 0, 0)
    fill(batch, [0, 1, 2], [trade(0, "a:b"), trade(1, "a/b"), trade(2, "a:b")])
    built = batch.build(1)
    assert [item.claimed.rows for item in built] == [3]


@pytest.mark.parametrize("value", [None, b"", b"{}"])
def test_rejected_records_count_with_what_they_take(value: bytes | None) -> None:
    """However small they are: a batch of nothing else is cut before it fills the memory."""
    batch = OpenBatch(LAYOUT, 1, 0, 0)
    fill(batch, list(range(1000)), [value] * 1000)
    assert len(batch.rejected) == 1000
    assert batch.bytes >= 300_000


def test_the_reason_stays_short_whatever_the_value() -> None:
    """Claims and dead letters carry it, and a Kafka message has its bound."""
    batch = OpenBatch(LAYOUT, 1, 0, 0)
    fill(batch, [0], [trade(0).replace(b'"AAPL"', b'"A' + b"," * 60 + b'"') + b"[" * 900_000])
    ((rejected, _),) = batch.rejected
    assert rejected.reason.startswith("nested more than")
    assert len(rejected.reason) < 1000


@pytest.mark.parametrize("line_break", [b"\n", b"\r"])
def test_a_record_over_several_lines_is_written_as_one(line_break: bytes) -> None:
    """JSON may contain line breaks, a line of the lake may not."""
    batch = OpenBatch(LAYOUT, 1, 0, 0)
    fill(batch, [0, 1], [trade(0), trade(1).replace(b',"', b"," + line_break + b'"')])
    assert batch.rejected == []
    assert lines(batch.build(1)) == [trade(0), trade(1)]


@pytest.mark.parametrize("field", [b'"AAPL"', b'"1,12"'])
def test_text_that_is_no_utf8_is_rejected(field: bytes) -> None:
    """Wherever it stands in the record: readers would stumble over it."""
    batch = OpenBatch(LAYOUT, 1, 0, 0)
    fill(batch, [0, 1], [trade(0), trade(1).replace(field, b'"\xff"')])
    assert [item.offset for item, _ in batch.rejected] == [1]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"price":164.06', b'"price":-5.0', "price is not above 0"),
        (b'"volume":4.0', b'"volume":-1.0', "volume is below 0"),
        (b'"price":', b'"price":1.0,"price":', "price is there more than once"),
        pytest.param(b'"source":', b'"deep":' + TOO_DEEP + b',"source":', "nested more than 64 deep", id="deep"),
    ],
)
def test_what_readers_would_stumble_over_or_count_is_rejected(old: bytes, new: bytes, reason: str) -> None:
    batch = OpenBatch(LAYOUT, 1, 0, 0)
    fill(batch, [0, 1, 2], [trade(0), trade(1).replace(old, new), trade(2)])
    ((rejected, _),) = batch.rejected
    assert rejected.offset == 1
    assert reason in rejected.reason
    assert sum(item.claimed.rows for item in batch.build(1)) == 2


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b',"source":"finnhub"', b"", "source is missing"),
        (b'"symbols":"AAPL",', b"", "symbols is missing"),
        (b'"symbols":"AAPL"', b'"symbols":null', "symbols is not a text, but null"),
        (b'"reason":"",', b"", "reason is missing"),
        (b'"connection":"test00",', b"", "connection is missing"),
    ],
)
def test_an_event_without_what_readers_look_at_is_rejected(old: bytes, new: bytes, reason: str) -> None:
    batch = OpenBatch(Layout("feed_events", "America/New_York", "none", "gzip"), 1, 0, 0)
    value = encode(covered("AAPL", "2026-11-23 10:00", "2026-11-23 11:00"))
    assert old in value
    fill(batch, [0, 1], [value, value.replace(old, new)])
    ((rejected, _),) = batch.rejected
    assert rejected.offset == 1
    assert reason in rejected.reason


@pytest.mark.parametrize(
    "more",
    [
        b'"unknown":{"price":1,"price":2},',
        b'"other" : 1,"other" : 2,',
        pytest.param(b'"many_digits":' + b"9" * 5000 + b",", id="an integer that Python does not convert"),
    ],
)
def test_keys_that_are_no_columns_are_not_kept(more: bytes) -> None:
    batch = OpenBatch(LAYOUT, 1, 0, 0)
    fill(batch, [0, 1], [trade(0), trade(1).replace(b'"price":', more + b'"price":')])
    assert batch.rejected == []
    assert lines(batch.build(1)) == [trade(0), trade(1)]


def test_a_row_that_was_claimed_with_a_column_twice_is_repeated() -> None:
    """As a writer before this rule has claimed it."""
    batch = OpenBatch(LAYOUT, 1, 0, 0)
    fill(batch, [0], [trade(0).replace(b'"price":', b'"price":1.0,"price":')], refuse=frozenset())
    assert batch.rejected == []


def test_a_claimed_row_that_is_none_now_stops_the_repeat() -> None:
    """A repeat must never quietly leave out what the claim counted as a row."""
    batch = OpenBatch(LAYOUT, 1, 0, 0)
    with pytest.raises(StockctlError, match="claimed as a row"):
        fill(batch, [0], [b"garbage"], refuse=frozenset({7}))


def test_late_rows_go_to_their_own_date() -> None:
    """A row of an earlier date among today's lands in that date's object."""
    batch = OpenBatch(LAYOUT, 1, 0, 0)
    now = 1_795_444_200_000
    fill(batch, [0, 1, 2], [trade(0, ts=now), trade(1, ts=now - DAY), trade(2, ts=now)])
    assert {item.claimed.key.split("/")[1]: item.claimed.rows for item in batch.build(1)} == {
        "trade_date=2026-11-22": 1,
        "trade_date=2026-11-23": 2,
    }


@given(st.binary(max_size=5000), st.sampled_from([("gzip", "a.jsonl.gz"), ("zstd", "a.jsonl.zst")]))
def test_compression_keeps_the_bytes(data: bytes, kind: tuple[str, str]) -> None:
    """Both compressions give back what they were given."""
    assert decompress(compress(data, kind[0], 1), kind[1]) == data


@pytest.mark.parametrize("key", ["a.jsonl.gz", "a.jsonl.zst"])
def test_damage_is_an_error_of_ours(key: str) -> None:
    """A damaged object names itself."""
    with pytest.raises(StockctlError, match=r"a\.jsonl"):
        decompress(b"nonsense", key)
