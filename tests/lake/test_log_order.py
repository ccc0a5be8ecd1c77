"""The lake in log order: each row of a symbol once, as the topic had it, on the day on which it came."""

from __future__ import annotations

import random
import tempfile
import tracemalloc
from collections.abc import Sequence
from datetime import date
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stockctl.clients.object_store import open_store
from stockctl.errors import UnhealthyError, UsageError
from stockctl.exchange.calendar import trade_date
from stockctl.exchange.log_clock import LogClock
from stockctl.lake.format.claims import Claim, UnreadableError, put_lost
from stockctl.lake.format.keys import date_folder
from stockctl.lake.format.manifest import Manifest
from stockctl.lake.format.retention import put_floor
from stockctl.lake.maintenance import compact as compact_module
from stockctl.lake.maintenance.compact import compact
from stockctl.lake.reader.log_order import LogReader, PrunedError, ReadClaims
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.writer.batch import compress, decompress
from stockctl.records import Trade
from stockctl.settings import Settings, load_settings
from tests.command import clean_environment
from tests.conftest import examples
from tests.lakes import at, lay, trade

FIRST, LAST = date(2026, 11, 20), date(2026, 11, 25)
SYMBOLS = ["AAPL", "MSFT", "a:b", "a/b", "日経"]
"""``a:b`` and ``a/b`` share a folder; 日経 has no letter in its folder's name."""

Days = dict[date, list[str]]
"""Ids of rows by day."""


def fresh(folder: Path) -> Settings:
    return load_settings(environ=clean_environment(), flags={"lake.url": (folder / "lake").as_uri()})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A fresh lake in a folder."""
    return fresh(tmp_path)


def expected(rows: Sequence[Trade], symbol: str, first: date = FIRST, last: date = LAST) -> Days:
    """The days of the symbol's log, by its clock over all rows."""
    clock = LogClock()
    days: Days = {}
    for row in rows:
        if row.symbol == symbol:
            clock.advance(row.ts_event, row.ts_recv)
            if first <= clock.day <= last:
                days.setdefault(clock.day, []).append(row.id)
    return days


def read(settings: Settings, symbol: str, first: date = FIRST, last: date = LAST) -> tuple[Days, LogReader]:
    with LakeReader(settings) as lake:
        log = LogReader(lake)
        days = {day: [row.id for chunk in chunks for row in chunk] for day, chunks in log.days(symbol, first, last)}
    return days, log


@st.composite
def logs(draw: st.DrawFn) -> list[Trade]:
    """Rows of several symbols as they came: time moves on, some rows are late by days, and some dated ahead."""
    rows = []
    now = at("2026-11-19 20:00")
    for _ in range(draw(st.integers(1, 50))):
        now += draw(st.sampled_from([0, 1, 60_000, 3_600_000, 12 * 3_600_000]))
        ts = now + draw(st.sampled_from([0, 0, 0, -1, -86_400_000, -3 * 86_400_000, 86_400_000]))
        rows.append(trade(draw(st.sampled_from(SYMBOLS)), ts, 100.0, ts_recv=now))
    return rows


def lake_of(folder: str | Path, rows: Sequence[Trade], **options: Any) -> Settings:
    settings = fresh(Path(folder))
    lay(settings, rows, **options)
    return settings


def delete_raw(settings: Settings, *days: date) -> None:
    store = open_store(settings)
    for day in days:
        store.delete([item.key for item in store.objects(date_folder("trades", day))])


def compacted_days(settings: Settings) -> list[date]:
    return [result.trade_date for result in compact(settings)]


Cut = Literal["ticker", "bucket", "none"]


@given(logs(), st.integers(1, 6), st.sampled_from(get_args(Cut)), st.data())
@hypothesis_settings(max_examples=examples(0.3))
def test_the_rows_come_back_as_they_went_in(rows: list[Trade], batches: int, cut: Cut, data: st.DataObject) -> None:
    """Over any days, however they are cut and laid out: each row once, in order, and the order is proven."""
    first = data.draw(st.dates(date(2026, 11, 15), date(2026, 12, 5)))
    last = data.draw(st.dates(first, date(2026, 12, 10)))
    with tempfile.TemporaryDirectory() as folder:
        settings = lake_of(folder, rows, batches=batches, partition_by=cut)
        for symbol in SYMBOLS:
            days, log = read(settings, symbol, first, last)
            assert list(days.items()) == list(expected(rows, symbol, first, last).items())
            assert log.unproven == []
        assert log.ends() == {(1, 0): len(rows)}


@given(logs(), st.integers(1, 6), st.sampled_from(get_args(Cut)), st.data())
@hypothesis_settings(max_examples=examples(0.1))
def test_compaction_keeps_the_order(rows: list[Trade], batches: int, cut: Cut, data: st.DataObject) -> None:
    """Where a person has deleted the raw objects of a compacted date, its rows come from Parquet, at the same places."""
    with tempfile.TemporaryDirectory() as folder:
        settings = lake_of(folder, rows, batches=batches, partition_by=cut)
        days = compacted_days(settings)
        delete_raw(settings, *(day for day in days if data.draw(st.booleans())))
        for symbol in SYMBOLS:
            found, log = read(settings, symbol)
            assert list(found.items()) == list(expected(rows, symbol).items())
            assert log.unproven == []


def test_a_compacted_date_of_many_claims_keeps_its_order(settings: Settings) -> None:
    """Claims of any size: a hash table of them has no order of its own."""
    draw = random.Random(1)
    rows = [
        trade("AAPL", at("2026-11-23 10:00") + number * 100 - draw.choice((0, 0, 0, 200_000)), 100.0, id=f"row-{number}",
              ts_recv=at("2026-11-23 10:00") + number * 100)
        for number in range(8000)
    ]  # fmt: skip
    cuts = [0, *sorted(draw.sample(range(1, len(rows)), 250)), len(rows)]
    for first, end in pairwise(cuts):
        lay(settings, rows[first:end], start=first)
    delete_raw(settings, *compacted_days(settings))
    days, log = read(settings, "AAPL")
    assert days == expected(rows, "AAPL")
    assert log.unproven == []


def some_days(symbol: str = "AAPL") -> list[Trade]:
    """Six rows on each of four days, with a late row of the day before, and a row dated ahead by a day."""
    rows = []
    for day in (20, 21, 22, 23):
        start = at(f"2026-11-{day} 10:00")
        rows += [trade(symbol, start + number * 1000, 100.0) for number in range(6)]
        rows.insert(-2, trade(symbol, start - 86_400_000, 99.0, ts_recv=start + 3500))
        rows.insert(-1, trade(symbol, start + 86_400_000, 98.0, ts_recv=start + 4500))
    return rows


def test_a_later_claim_of_a_compacted_date_is_read_from_its_raw_object(settings: Settings) -> None:
    """The date's other rows come from Parquet."""
    rows = some_days()
    lay(settings, rows, batches=3)
    days = compacted_days(settings)
    late = [trade("AAPL", "2026-11-20 11:00", 97.0, ts_recv=at("2026-11-23 16:00"))]
    delete_raw(settings, *days)
    lay(settings, late, start=len(rows))
    found, log = read(settings, "AAPL")
    assert found == expected(rows + late, "AAPL")
    assert found[date(2026, 11, 23)][-1] == late[0].id
    assert log.unproven == []
    assert log.claims == [ReadClaims("AAPL", 1, 0, 0, len(rows) + 1, 4)]


def test_parquet_without_the_columns_is_read_by_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older compaction kept no order: the rows come date by date, and the reader says so."""
    rows = some_days()
    lay(settings, rows, batches=3)
    with monkeypatch.context() as older:
        older.setattr(compact_module, "Manifest", partial(without_order, Manifest))
        days = compacted_days(settings)
    delete_raw(settings, *days)
    found, log = read(settings, "AAPL")
    by_time = sorted(rows, key=lambda row: (row.ts_event, row.ts_recv, row.id))
    assert found == expected(by_time, "AAPL")
    assert log.unproven == [f"{day} is only in Parquet without the order of the log" for day in days[1:]]
    assert found != expected(rows, "AAPL")


def without_order(kind: type[Manifest], **fields: Any) -> Manifest:
    return kind(**fields | {"log_order": False})


def test_an_older_claim_does_not_give_the_order_of_its_dates(settings: Settings) -> None:
    """Without ``switches`` the rows of several dates come by receipt, and the reader says so."""
    rows = some_days()
    (claim,) = lay(settings, rows)
    assert list(claim.switches) == ["AAPL"]
    replace_claim(settings, msgspec.structs.replace(claim, switches={}))
    found, log = read(settings, "AAPL")
    assert found == expected(rows, "AAPL"), "these rows were received in their order"
    assert log.unproven == [f"{claim.key} does not give the order of its rows of AAPL, which are of several dates"]
    assert read(settings, "MSFT")[1].unproven == []


def replace_claim(settings: Settings, claim: Claim) -> None:
    open_store(settings).put(claim.key, msgspec.json.encode(claim))


@pytest.mark.parametrize(
    "places", [[(0, 0), (9, 0)], [(0, 0), (1, 99)], [(0, 3), (1, 0)], [(0, 0), (1, 0), (0, 4), (1, 3), (0, 2)]]
)
def test_switches_that_cannot_be_are_damage(settings: Settings, places: list[tuple[int, int]]) -> None:
    """An object or a line that is not there, a row that no place has, a line before the last: never fewer rows."""
    (claim,) = lay(settings, some_days()[:9])
    replace_claim(settings, msgspec.structs.replace(claim, switches={"AAPL": places}))
    with pytest.raises(UnreadableError, match="switches"):
        read(settings, "AAPL")


def test_rows_of_another_time_before_and_after_do_not_hide_a_day(settings: Settings) -> None:
    """A replay of older days between live ones: the clock stays, so the old rows belong to the day on which they came."""
    live = [trade("AAPL", at("2026-11-21 10:00") + number * 60_000, 100.0) for number in range(40)]
    old = [
        trade("AAPL", at("2026-11-10 10:00") + number * 60_000, 50.0, ts_recv=at("2026-11-21 11:00"), source="replay")
        for number in range(200)
    ]
    later = [trade("AAPL", at("2026-11-22 10:00") + number * 60_000, 101.0) for number in range(40)]
    rows = live + old + later
    lay(settings, rows, batches=70)
    found, _ = read(settings, "AAPL")
    assert found == expected(rows, "AAPL")
    assert len(found[date(2026, 11, 21)]) == 240
    assert read(settings, "AAPL", date(2026, 11, 10), date(2026, 11, 10))[0] == {}


def test_a_missing_object_is_damage(settings: Settings) -> None:
    """And so is a missing claim: each is named."""
    rows = some_days()
    claims = lay(settings, rows, batches=6)
    store = open_store(settings)
    item = claims[2].objects[-1]
    data = store.get(item.key)
    store.delete([item.key])
    with pytest.raises(UnhealthyError, match=item.key):
        read(settings, "AAPL")
    put_lost(store, claims[2], [item.key])
    found, log = read(settings, "AAPL")
    assert sum(map(len, found.values())) == len(rows) - item.rows
    assert log.unproven == [f"{item.key} was lost"]
    store.put(item.key, compress(decompress(data, item.key)[:-2] + b"\n", "gzip", 2))
    with pytest.raises(UnhealthyError, match=f"{item.key} does not match"):
        read(settings, "AAPL")
    store.put(item.key, data)
    store.delete([claims[3].key])
    with pytest.raises(UnhealthyError, match=f"no claim covers offsets {claims[3].start} to {claims[3].end} of trades/0"):
        read(settings, "AAPL")


def test_a_claim_whose_objects_are_still_stored_is_left_to_the_topic(settings: Settings, tmp_path: Path) -> None:
    """The newest claim counts once all of its objects exist; a reader keeps the state at which it began."""
    rows = some_days()
    claims = lay(settings, rows, batches=6, leave_out=["trade_date=2026-11-24"])
    assert "2026-11-24" in claims[-1].objects[-1].key
    with LakeReader(settings) as lake:
        log = LogReader(lake)
        assert log.ends() == {(1, 0): claims[-1].start}
        whole_lake = open_store(lake_of(tmp_path / "whole", rows, batches=6))
        for item in claims[-1].objects:
            lake.store.put(item.key, whole_lake.get(item.key))
        whole = [row for _, chunks in log.days("AAPL", FIRST, LAST) for chunk in chunks for row in chunk]
        assert whole == [row for row in rows if row in whole] == rows[: claims[-1].start]
    assert read(settings, "AAPL")[0] == expected(rows, "AAPL")
    assert read(settings, "AAPL")[1].ends() == {(1, 0): len(rows)}


def test_the_floor_is_named(settings: Settings) -> None:
    """Days below it are refused; a late row of such a date is a reason, because nobody reads it."""
    rows = some_days()
    lay(settings, rows, batches=4)
    put_floor(open_store(settings), date(2026, 11, 21))
    with pytest.raises(PrunedError, match="2026-11-20: dates before 2026-11-21 were pruned") as caught:
        read(settings, "AAPL")
    assert caught.value.floor == date(2026, 11, 21)
    found, log = read(settings, "AAPL", date(2026, 11, 21))
    below = {row.id for row in rows if trade_date(row.ts_event) < date(2026, 11, 21)}
    days = {day: [name for name in names if name not in below] for day, names in expected(rows, "AAPL").items()}
    del days[date(2026, 11, 20)]
    assert found == days
    assert len(log.unproven) == 1
    assert log.unproven[0].startswith("rows of 2026-11-20 that came later were pruned: trades/trade_date=2026-11-20/")
    with pytest.raises(UsageError, match="before the first"):
        read(settings, "AAPL", LAST, FIRST)


def test_partitions_and_generations_follow_each_other_by_time(settings: Settings) -> None:
    """More than nine generations, then a partition that was added: in the order in which their claims were made."""
    rows = some_days()
    for number, row in enumerate(rows):
        generation = min(number + 1, 11)
        place = {"generation": generation, "partition": 0} if number < 20 else {"generation": 1, "partition": 3}
        moment = f"2026-11-23T00:00:{number:02d}.000+00:00"
        lay(settings, [row, trade("MSFT", row.ts_event, 1.0)], start=2 * number, created=moment, **place)  # type: ignore[arg-type]
    found, log = read(settings, "AAPL")
    assert found == expected(rows, "AAPL")
    assert log.unproven == []
    assert log.ends() == {(1, 3): 2 * len(rows)} | {(number, 0): 2 * number for number in range(1, 11)} | {(11, 0): 40}


def test_rows_of_several_partitions_at_once_are_not_proven(settings: Settings) -> None:
    """The claims' times order them only by the batch."""
    rows = some_days()
    for number in range(4):
        moment = f"2026-11-23T00:00:{number:02d}.000+00:00"
        lay(settings, rows[8 * number : 8 * number + 8], partition=number % 2, start=number // 2 * 8, created=moment)
    lay(settings, [trade("TSLA", row.ts_event, 1.0) for row in rows], partition=2, created=moment)
    found, log = read(settings, "AAPL")
    assert found == expected(rows, "AAPL")
    assert log.unproven == ["rows come from several partitions at once (0, 1) (and 1 more)"]
    assert read(settings, "TSLA")[1].unproven == []


def test_memory_does_not_grow_with_the_days(tmp_path: Path) -> None:
    """More days take no more memory at their most, beside the keys of the claims."""
    peaks = []
    for days in (20, 120):
        rows = [trade("AAPL", at("2026-01-01 10:00") + number * 864_000, 100.0) for number in range(100 * days)]
        other = lake_of(tmp_path / str(days), rows, batches=days)
        with LakeReader(other) as lake:
            tracemalloc.start()
            log = LogReader(lake)
            found = sum(len(chunk) for _, chunks in log.days("AAPL", date(2026, 1, 1), date(2026, 12, 31)) for chunk in chunks)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert found == len(rows)
    assert peaks[1] < 2 * peaks[0]
