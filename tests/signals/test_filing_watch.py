"""When a live strategy looks for filings, and what it finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from stockctl.settings import Settings, load_settings
from stockctl.signals.filing_watch import FilingWatch
from stockctl.strategies import load_strategy
from stockctl.strategies.lake_filings import FILING_DELAY
from tests.command import clean_environment
from tests.filings.stored import store_report
from tests.strategies.records import MONDAY, strategy_of

READS = "class Reads(Strategy):\n    def on_filing(self, filing):\n        yield buy()\n"
MINUTE = 60_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(environ=clean_environment(), flags={"lake.url": (tmp_path / "lake").as_uri()})


def test_a_new_filing_is_found_within_half_of_the_delay(settings: Settings, tmp_path: Path) -> None:
    clock = [MONDAY]
    watch = FilingWatch(settings, strategy_of(tmp_path, READS), lambda: clock[0])
    assert watch.new("AAPL", MONDAY) == []  # there is no lake yet
    store_report(settings, "2026-11-20 16:30:00", MONDAY + MINUTE)
    assert watch.new("AAPL", MONDAY + 4 * MINUTE) == []
    clock[0] += 5 * MINUTE
    [found] = watch.new("AAPL", MONDAY + 5 * MINUTE)
    assert found.at == MONDAY + MINUTE + FILING_DELAY
    store_report(settings, "2026-11-20 16:30:00", MONDAY + MINUTE, MONDAY + 6 * MINUTE)
    clock[0] += 5 * MINUTE
    [another] = watch.new("AAPL", MONDAY + 10 * MINUTE)
    assert another.filing.accession > found.filing.accession
    assert watch.new("AAPL", MONDAY + 60 * MINUTE) == watch.new("MSFT", MONDAY) == []


def test_a_log_that_lags_needs_no_look(settings: Settings, tmp_path: Path) -> None:
    watch = FilingWatch(settings, strategy_of(tmp_path, READS), lambda: MONDAY + 100 * MINUTE)
    watch.new("AAPL", MONDAY)
    store_report(settings, "2026-11-20 16:30:00", MONDAY + 99 * MINUTE)
    assert watch.new("AAPL", MONDAY + 104 * MINUTE) == []
    assert len(watch.new("AAPL", MONDAY + 105 * MINUTE)) == 1


def test_without_a_handler_or_a_lake_nothing_is_looked_for(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store_report(settings, "2026-11-20 16:30:00", MONDAY)
    assert FilingWatch(settings, load_strategy("sma-cross")).new("AAPL", MONDAY) == []
    without = settings.model_copy(update={"lake": settings.lake.model_copy(update={"url": None})})
    assert FilingWatch(without, strategy_of(tmp_path, READS)).new("AAPL", MONDAY) == []
    assert "lake.url is not set" in caplog.text
