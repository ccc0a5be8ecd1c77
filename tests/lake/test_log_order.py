"""The lake in log order: each row of a symbol once, as the topic had it, on the day on which it came."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stockctl.exchange.log_clock import LogClock
from stockctl.lake.reader.log_order import LogReader
from stockctl.lake.reader.object_selection import LakeReader
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


@given(logs(), st.integers(1, 6), st.sampled_from(["ticker", "bucket", "none"]), st.data())
@hypothesis_settings(max_examples=examples(1.5))
def test_the_rows_come_back_as_they_went_in(
    rows: list[Trade], batches: int, layout: Literal["ticker", "bucket", "none"], data: st.DataObject
) -> None:
    """Over any days, however they are cut and laid out: each row once, in order, and the order is proven."""
    first = data.draw(st.dates(date(2026, 11, 15), date(2026, 12, 5)))
    last = data.draw(st.dates(first, date(2026, 12, 10)))
    with tempfile.TemporaryDirectory() as folder:
        settings = fresh(Path(folder))
        lay(settings, rows, batches=batches, partition_by=layout)
        for symbol in SYMBOLS:
            days, log = read(settings, symbol, first, last)
            assert list(days.items()) == list(expected(rows, symbol, first, last).items())
            assert log.unproven == []
        assert log.ends() == {(1, 0): len(rows)}
