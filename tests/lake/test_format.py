"""What stands in lakes already: claims of format 1, kept here as text, are read and repeated to the byte by the code of today.

Whoever must change a text here has changed the format: a new number, and the writer still repeats claims of this one.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo, available_timezones

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.exchange.calendar import trade_date
from stockctl.lake.format.claims import Claim, ClaimedObject, decode_claim
from stockctl.lake.format.keys import FORMAT, Layout, Table, dates_around
from stockctl.lake.writer.batch import OpenBatch

RECORDS: dict[int, bytes] = {
    40: b'{"id":"AAPL-1795444200000-abcdef-00000001","symbol":"AAPL","price":164.06,"volume":4.0,"ts_event":1795444200000,'
    b'"ts_recv":1795444200050,"conditions":"1,12","updates":"v","source":"sim"}',
    41: b'{"id":"BTC-1795496400000-abcdef-00000002","symbol":"BINANCE:BTCUSDT","price":97000.5,"volume":0.25,'
    b'"ts_event":1795496399999,"ts_recv":1795496400100,"conditions":"","updates":"vhl","source":"sim"}',
    43: b"no trade",
    44: b'{"id":"BTC-1795496400000-abcdef-00000003","symbol":"BINANCE:BTCUSDT","price":97001.0,"volume":0.5,'
    b'"ts_event":1795496400000,"ts_recv":1795496400200,"conditions":null,"updates":"vhl","source":"sim"}',
}
"""Offsets and values: a gap at 42, a record that is no row, and two trades on both sides of New York's midnight."""

CLAIMS = {
    "by ticker, gzip": (
        b'{"format":1,"nonce":"5f0c","writer":"host-1","created":"2026-11-23T15:00:00.000+00:00","cluster_id":"cluster",'
        b'"topic_id":"topic","topic":"trades","table":"trades","generation":2,"partition":3,"start":40,"end":45,"reason"'
        b':"age","layout":{"table":"trades","timezone":"America/New_York","partition_by":"ticker","compression":"gzip","'
        b'buckets":0},"last":{"offset":44,"timestamp":1795496400200,"sha256":"5db34ba8fa4ced9c201a6a29898c97248e9a918827'
        b'084dd748fc7752430d2343"},"rows":3,"gaps":1,"rejected":[{"offset":43,"reason":"JSON is malformed: invalid chara'
        b'cter (byte 4)"}],"objects":[{"key":"trades/trade_date=2026-11-23/ticker=AAPL/trades-g2-003-0000000000000000004'
        b'0.jsonl.gz","rows":1,"first_offset":40,"last_offset":40,"ts_min":1795444200000,"ts_max":1795444200000,"sha256"'
        b':"5b1bd3765276db075d3b8fc34ea56c5db0cc2ebe3e125142577fbc39f56d0174","size":153},{"key":"trades/trade_date=2026'
        b'-11-23/ticker=BINANCE_BTCUSDT/trades-g2-003-00000000000000000040.jsonl.gz","rows":1,"first_offset":41,"last_of'
        b'fset":41,"ts_min":1795496399999,"ts_max":1795496399999,"sha256":"507a6ab37eb849f4410c2df7580424593eaaabb444910'
        b'0b234959533bf974dff","size":173},{"key":"trades/trade_date=2026-11-24/ticker=BINANCE_BTCUSDT/trades-g2-003-000'
        b'00000000000000040.jsonl.gz","rows":1,"first_offset":44,"last_offset":44,"ts_min":1795496400000,"ts_max":179549'
        b'6400000,"sha256":"d87e1bca69d24595f568c09e27377ca92bdb9b715e6b21e99ded832b3eb9b0c7","size":169}],"opens":null}'
    ),
    "by bucket, zstd": (
        b'{"format":1,"nonce":"5f0c","writer":"host-1","created":"2026-11-23T15:00:00.000+00:00","cluster_id":"cluster",'
        b'"topic_id":"topic","topic":"trades","table":"trades","generation":2,"partition":3,"start":40,"end":45,"reason"'
        b':"age","layout":{"table":"trades","timezone":"America/New_York","partition_by":"bucket","compression":"zstd","'
        b'buckets":8},"last":{"offset":44,"timestamp":1795496400200,"sha256":"5db34ba8fa4ced9c201a6a29898c97248e9a918827'
        b'084dd748fc7752430d2343"},"rows":3,"gaps":1,"rejected":[{"offset":43,"reason":"JSON is malformed: invalid chara'
        b'cter (byte 4)"}],"objects":[{"key":"trades/trade_date=2026-11-23/bucket=004-of-008/trades-g2-003-0000000000000'
        b'0000040.jsonl.zst","rows":2,"first_offset":40,"last_offset":41,"ts_min":1795444200000,"ts_max":1795496399999,"'
        b'sha256":"13d84d1ad270f2f696afcaeaf32a2f2ded41f6e3294a1543d4e779cf8685493a","size":215},{"key":"trades/trade_da'
        b'te=2026-11-24/bucket=004-of-008/trades-g2-003-00000000000000000040.jsonl.zst","rows":1,"first_offset":44,"last'
        b'_offset":44,"ts_min":1795496400000,"ts_max":1795496400000,"sha256":"d87e1bca69d24595f568c09e27377ca92bdb9b715e'
        b'6b21e99ded832b3eb9b0c7","size":159}],"opens":null}'
    ),
}


KEY = "_log/trades/g2/003/00000000000000000040.json"


@pytest.fixture(params=CLAIMS)
def text(request: pytest.FixtureRequest) -> bytes:
    """A claim as it lies in a lake."""
    return CLAIMS[request.param]


def test_a_claim_of_format_1_is_read_and_written_as_it_stands(text: bytes) -> None:
    """No field is lost, and none is named anew."""
    claim = decode_claim(text, KEY)
    assert claim.format == FORMAT == 1
    # What has been added since says that it is as it was then.
    assert msgspec.json.encode(claim).replace(b',"lines":"raw"', b"").replace(b',"switches":{}', b"") == text


def test_a_claim_of_format_1_is_repeated(text: bytes) -> None:
    """Its records cut anew give its objects: the same keys, rows, offsets, times and lines. Its bytes may differ."""
    claim = decode_claim(text, KEY)
    assert [_sized(item.claimed) for item in _cut(claim).build(2)] == [_sized(item) for item in claim.objects]
    assert [(found.offset, value) for found, value in _cut(claim).rejected] == [(43, RECORDS[43])]
    assert _cut(claim).last == claim.last


def _sized(item: ClaimedObject) -> ClaimedObject:
    return msgspec.structs.replace(item, size=0)


def _cut(claim: Claim) -> OpenBatch:
    batch = OpenBatch(claim.layout, claim.generation, claim.partition, claim.start)
    values = list(RECORDS.values())
    batch.add(list(RECORDS), values, batch.heads(values), claim.last.timestamp if claim.last else 0, frozenset({43}))
    return batch


@pytest.mark.parametrize(
    ("table", "value"),
    [
        ("trades", RECORDS[40].replace(b'"sim"', b'""')),
        ("trades", RECORDS[40].replace(b'"price":164.06', b'"price":-1.0')),
        (
            "feed_events",
            b'{"id":"e","kind":"covered","span_start":1795444200000,"span_end":1795444200000,"ts_recv":1795444200000}',
        ),
    ],
)
def test_what_a_claim_took_by_other_rules_stays_a_row(table: Table, value: bytes) -> None:
    """Today's writer would refuse it, and the claim says that it is a row."""
    layout = Layout(table, "America/New_York", "none", "gzip", 0)
    fresh, again = OpenBatch(layout, 1, 0, 40), OpenBatch(layout, 1, 0, 40)
    fresh.add([40], [value], fresh.heads([value]), 1)
    assert [item.offset for item, _ in fresh.rejected] == [40]
    again.add([40], [value], again.heads([value]), 1, frozenset())
    assert again.rejected == []
    assert [item.claimed.rows for item in again.build(1)] == [1]


@given(st.integers(10**12, 2 * 10**12), st.sampled_from(sorted(available_timezones())))
def test_a_record_lies_under_a_date_that_is_looked_at_in_whatever_zone(ms: int, zone: str) -> None:
    first, last = dates_around(ms, ms + 1)
    assert first <= trade_date(ms, ZoneInfo(zone)) <= last
    assert (last - first).days <= 2
