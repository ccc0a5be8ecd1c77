"""A day with trades that were added live is what the metrics compute of all trades, within 1e-9."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stockctl.dashboard.view.day import Day, read_bars, read_day
from stockctl.dashboard.view.live_day import LiveDay
from stockctl.dashboard.view.views import WIDTHS, View
from stockctl.metrics.engines.lake import LakeEngine
from stockctl.metrics.query import SESSION_CHOICES
from stockctl.metrics.trade_policies import POLICIES
from stockctl.records import Trade
from stockctl.settings import Settings, load_settings
from tests.command import clean_environment
from tests.conftest import examples
from tests.lakes import at, lay, trade
from tests.metrics.test_definitions import CODES, prices, volumes

OPEN = at("2026-11-23 09:30")
END = at("2026-11-23 16:00")
FIRST = trade("AAPL", OPEN + 1000, 100.0)
"""A trade that every session but the post-market needs, so that the first reading finds a day."""
NUMBERS = ("trades", "volume", "vwap", "open", "high", "low", "close", "volatility", "left_out", "last_trade")
BAR = ("open", "high", "low", "close", "volume", "vwap", "trades")


def settings_of(folder: Path, trades: list[Trade]) -> Settings:
    """Settings of a lake with these trades."""
    settings = load_settings(environ=clean_environment(), flags={"lake.url": (folder / "lake").as_uri()})
    lay(settings, trades)
    return settings


def view_of(**values: Any) -> View:
    """A view of the day, of all hours and in minutes unless ``values`` say otherwise."""
    whole: dict[str, Any] = {
        "symbol": "AAPL",
        "date": date(2026, 11, 23),
        "session": "all",
        "every": "1m",
        "policy": "standard",
        "as_of": None,
    }
    return View(**(whole | values))


def near(value: Any) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value


@st.composite
def some_trades(draw: st.DrawFn) -> list[Trade]:
    """Trades of ten minutes in the order of their receipt, some of them late by minutes."""
    rows = []
    for number in range(draw(st.integers(1, 60))):
        received = OPEN + 2000 + number * 10_000
        late = draw(st.sampled_from([0, 0, 0, 5, 3_000, 90_000, 200_000, 400_000]))
        moment = max(OPEN, received - late)
        rows.append(trade("AAPL", moment, draw(prices), draw(volumes), draw(st.sampled_from(CODES)), ts_recv=received))
    return rows


@hypothesis_settings(max_examples=examples(0.15), phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(data=st.data(), rows=some_trades())
def test_a_live_day_is_the_day_of_all_trades(data: st.DataObject, rows: list[Trade]) -> None:
    read = data.draw(st.integers(0, len(rows)), label="rows that were stored before the first reading")
    again = data.draw(st.lists(st.sampled_from(rows), max_size=5), label="rows that are reported twice")
    view = view_of(
        every=data.draw(st.sampled_from(sorted(WIDTHS))),
        policy=data.draw(st.sampled_from(POLICIES)),
        session=data.draw(st.sampled_from(SESSION_CHOICES)),
    )
    with tempfile.TemporaryDirectory() as before, tempfile.TemporaryDirectory() as after:
        first = [FIRST, *rows[:read]]
        live = LiveDay(read_day(settings_of(Path(before), first), view, LakeEngine))
        settings = settings_of(Path(after), [FIRST, *rows])
        expected = read_day(settings, view, LakeEngine)
        if live.day.span is None or live.day.empty:
            return
        # What the first reading has may be reported again: it is read after the stream was opened.
        for number, row in enumerate([*first[-3:], *rows[read:], *again]):
            live.add(row)
            if number % 7 == 0:
                live.changed()
        was_late = bool(live.late)
        intervals, exact_since = live.take_late()
        for since, until in intervals:
            live.replace(read_bars(settings, live.day, since, until), exact_since)
        live.changed()
    compare(live, expected, was_late=was_late)


def compare(live: LiveDay, expected: Day, *, was_late: bool) -> None:
    rows = [{name: row[name] for name in ("bar", *BAR)} for row in live.sorted_rows() if row["trades"] is not None]
    assert rows == [
        {name: near(row[name]) for name in ("bar", *BAR)} for row in expected.bars.values() if row["trades"] is not None
    ]
    # Trades of late bars that are left out are counted by the next reading.
    names = [name for name in NUMBERS if name != "left_out" or not was_late]
    numbers = live.numbers()
    assert {name: numbers[name] for name in names} == {name: near(expected.numbers[name]) for name in names}
