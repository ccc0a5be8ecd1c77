"""Views that are kept up to date: read again while nothing trades, and each on its own when one has a defect."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stockctl.dashboard.live import threads
from stockctl.dashboard.live.hub import UNUSED_SECONDS, Hub
from stockctl.dashboard.live.threads import Live
from stockctl.dashboard.view.live_day import LiveDay
from stockctl.dashboard.view.views import parse_view
from stockctl.errors import StockctlError
from stockctl.exchange.calendar import now_ms
from stockctl.settings import Settings
from tests.conftest import wait_for
from tests.dashboard.stores import stores
from tests.lakes import covered, lay, trade

QUIET, BUSY = "BINANCE:BTCUSDT", "BINANCE:ETHUSDT"
MINUTE = 60_000
PRIVATE = "no text for a log"


@pytest.fixture
def since() -> int:
    """The first trade, ten minutes ago."""
    return now_ms() - 10 * MINUTE


@pytest.fixture
def settings(tmp_path: Path, since: int) -> Settings:
    """A lake with two symbols: three minutes of trades and of coverage."""
    trades = [trade(symbol, since + second * 1000, 100.0) for symbol in (QUIET, BUSY) for second in range(180)]
    events = [covered(f"{QUIET},{BUSY}", since, since + 3 * MINUTE)]
    return stores(tmp_path, None, trades, events, symbols=f"{QUIET},{BUSY}").settings


@pytest.fixture
def errors() -> Iterator[list[str]]:
    """The errors that the dashboard logs."""
    found: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("stockctl.dashboard").addHandler(handler)
    yield found
    logging.getLogger("stockctl.dashboard").removeHandler(handler)


def numbers(hub: Hub, settings: Settings, symbol: str) -> Any:
    return json.loads(hub.snapshot(parse_view(settings, symbol)))["numbers"]


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let so many seconds pass."""
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + seconds)


def test_a_quiet_view_follows_the_lake(settings: Settings, since: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rate goes on while only others trade; it is read about once a minute."""
    hub = Hub(settings)
    before = numbers(hub, settings, QUIET)
    lay(settings, [trade(BUSY, since + second * 1000, 100.0) for second in range(180, 360)], start=360)
    lay(settings, [covered(f"{QUIET},{BUSY}", since + 3 * MINUTE, since + 6 * MINUTE)], table="feed_events", start=1)
    later(monkeypatch, 30)
    assert not hub.read_due(), "it was read half a minute before"
    later(monkeypatch, 31)
    assert hub.read_due()
    after = numbers(hub, settings, QUIET)
    assert after["rate"] == pytest.approx(before["rate"] / 2, rel=0.01)
    assert after["through"] > before["through"]
    assert not hub.read_due()


def test_a_defect_ends_one_view_with_words_and_no_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, errors: list[str]
) -> None:
    """Its browsers start again, and get the reason; a minute later it is read once more."""
    hub = Hub(settings)
    views = [parse_view(settings, symbol) for symbol in (QUIET, BUSY)]
    ids = [json.loads(hub.snapshot(view))["id"] for view in views]

    def changed(day: LiveDay) -> list[int]:
        if day.day.view.symbol == QUIET:
            raise ZeroDivisionError(PRIVATE)
        return real(day)

    real = LiveDay.changed
    monkeypatch.setattr(LiveDay, "changed", changed)

    async def follow() -> list[bytes | None]:
        """The next frame of each view, once both got a trade."""
        subscribers = [hub.subscribe(view, id)[0] for view, id in zip(views, ids, strict=True)]
        for symbol in (QUIET, BUSY):
            hub.on_record(trade(symbol, now_ms() - 50, 101.0))
        hub.tick()
        frames = [await subscriber.next(5) for subscriber in subscribers]
        for subscriber in subscribers:
            hub.unsubscribe(subscriber)
        return frames

    ended, frame = asyncio.run(follow())
    assert b"event: resync" in (ended or b"")
    assert b'"trades":181' in (frame or b"")
    [error] = errors
    assert f"the view of {QUIET} failed: unexpected ZeroDivisionError" in error
    assert "in changed" in error
    assert PRIVATE not in error
    with pytest.raises(StockctlError, match="unexpected ZeroDivisionError"):
        hub.snapshot(views[0])
    monkeypatch.setattr(LiveDay, "changed", real)
    with pytest.raises(StockctlError, match="unexpected ZeroDivisionError"):
        hub.snapshot(views[0])
    later(monkeypatch, UNUSED_SECONDS + 1)
    hub.tick()
    assert numbers(hub, settings, QUIET)["trades"] == 181


@pytest.mark.parametrize(("part", "job"), [("frames", "tick"), ("readings", "read_due"), ("pipeline", "send_pipeline")])
def test_a_thread_goes_on_after_an_unexpected_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, errors: list[str], part: str, job: str
) -> None:
    """The log says what failed, and how."""
    monkeypatch.setattr(threads, "_AFTER_A_DEFECT", 0.05)
    monkeypatch.setattr(Hub, "clients", 1)
    calls: list[int] = []

    def fail(_hub: Hub) -> None:
        calls.append(len(calls))
        if len(calls) < 3:
            raise KeyError(PRIVATE)

    monkeypatch.setattr(Hub, job, fail)
    stop = threading.Event()
    Live(settings, Hub(settings), stop).start()
    try:
        wait_for(lambda: len(calls) > 2, f"the thread {part} after an error")
    finally:
        stop.set()
    said = [error for error in errors if error.startswith(f"the thread {part} failed")]
    assert len(said) == 2
    assert all("unexpected KeyError" in line and PRIVATE not in line for line in said)
