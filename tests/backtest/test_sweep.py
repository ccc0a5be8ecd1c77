"""``backtest sweep``: each row is what ``backtest run`` gives for its parameters, wherever it runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import NormalDist
from typing import Any

import msgspec
import pytest

from stockctl.backtest.bars_run import Terms, run_bars
from stockctl.backtest.lake.terms import LakeTerms
from stockctl.backtest.lake_run import run_lake
from stockctl.backtest.sweep.grid import parse_grid
from stockctl.backtest.sweep.ranking import best_without_skill, ordered, sort_key
from stockctl.backtest.sweep.sweep import Row, Span, bars_data, lake_data, run_here, sweep
from stockctl.errors import StockctlError, UsageError
from stockctl.settings import Settings
from stockctl.strategies import Bar, load_strategy
from tests.backtest.tapes import cover, day, fresh
from tests.backtest.waves import walk
from tests.lakes import at, lay

DATES = ("2026-11-23", "2026-11-24", "2026-11-25")
ALL = Span("all", None, None)
TUESDAY = Span("tuesday", date(2026, 11, 24), date(2026, 11, 24))


def bars_of(*symbols: str) -> dict[str, list[Bar]]:
    """A random walk of each symbol."""
    return {symbol: [bar._replace(symbol=symbol) for bar in walk(seed)] for seed, symbol in enumerate(symbols)}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A lake with three dates of two symbols, of which one date has a gap and one came by replay."""
    found = fresh(tmp_path)
    rows = [row for text in DATES for symbol in ("AAPL", "MSFT") for row in day(symbol, text, 300)]
    replayed = [msgspec.structs.replace(row, source="replay", ts_recv=at("2026-11-28 12:00")) for row in rows[-301:]]
    lay(found, [*rows[:-301], *replayed], batches=3)
    cover(found, "AAPL,MSFT", DATES, [(f"{DATES[1]} 11:00", f"{DATES[1]} 11:30")])
    return found


def rows_of(settings: Settings, name: str, written: dict[str, str], span: Span, workers: int = 1) -> list[Row]:
    """The rows of a sweep over the lake."""
    grid = parse_grid(name, written)
    data, calendar = lake_data(settings, ["AAPL", "MSFT"], LakeTerms(fees="bps 5"), span)
    strategy = load_strategy(name, grid.sets[0])
    return sweep(strategy, grid, data, span.name, run_here(workers), workers=workers, calendar=calendar)


@pytest.mark.parametrize("span", [ALL, TUESDAY], ids=lambda span: span.name)
@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("sma-cross", {"fast": "2,3", "slow": "5", "every": "30s,1m", "warmup_days": "0..2"}),
        ("breakout", {"bars": "5", "width": "1", "warmup_days": "0,1"}),
        ("vwap-reversion", {"trades": "50", "enter": "1,2"}),
    ],
)
def test_a_row_is_what_a_run_gives(settings: Settings, name: str, written: dict[str, str], span: Span) -> None:
    rows = rows_of(settings, name, written, span)
    since, until = (None, None) if span is ALL else (at(f"{DATES[1]} 00:00"), at(f"{DATES[2]} 00:00"))
    for row in rows:
        result = run_lake(settings, name, ["AAPL", "MSFT"], row.params, since=since, until=until, terms=LakeTerms(fees="bps 5"))
        assert (row.hash, row.statistics) == (result.hash, result.statistics), row.params
        assert row.decisions == sum(len(one.decisions) for one in result.symbols)
    assert len({row.hash for row in rows}) > 1


def test_rows_over_bars_are_what_a_run_gives() -> None:
    bars, terms = bars_of("AAPL", "MSFT"), Terms(fees="bps 5")
    grid = parse_grid("sma-cross", {"fast": "2..4", "slow": "4..10:3"})
    assert (len(grid.sets), grid.invalid) == (8, 1)
    assert "fast (4) must be less than slow (4)" in grid.reason
    strategy = load_strategy("sma-cross", grid.sets[0])
    rows = sweep(strategy, grid, bars_data(bars, terms, ALL), "all", run_here(1), workers=1)
    assert [row.params for row in rows] == grid.sets
    for row in rows:
        result = run_bars(load_strategy("sma-cross", row.params), bars, terms)
        assert (row.hash, row.statistics) == (result.hash, result.statistics)
    # However the work is divided, and wherever it is done.
    for workers, run in ((3, run_here(1)), (2, run_here(2))):
        assert sweep(strategy, grid, bars_data(bars, terms, ALL), "all", run, workers=workers) == rows


def test_two_processes_give_the_rows_of_one(settings: Settings) -> None:
    written = {"fast": "2,3", "slow": "5"}
    assert rows_of(settings, "sma-cross", written, ALL, workers=2) == rows_of(settings, "sma-cross", written, ALL)


def test_an_error_of_the_strategy_ends_the_sweep(tmp_path: Path) -> None:
    path = tmp_path / "fails.py"
    path.write_text(
        "from pydantic import BaseModel\nfrom stockctl.strategies import *\nclass P(BaseModel):\n    n: int = 0\n"
        "class Fails(Strategy):\n    Params = P\n    def on_bar(self, bar):\n        return 1 // (self.params.n - 3)\n"
    )
    grid = parse_grid(str(path), {"n": "3"})
    data = bars_data(bars_of("AAPL", "MSFT"), Terms(), ALL)
    for workers in (1, 2):
        with pytest.raises(StockctlError, match="ZeroDivisionError"):
            sweep(load_strategy(str(path), {"n": "3"}), grid, data, "all", run_here(workers), workers=workers)


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("5..8", ["5", "6", "7", "8"]),
        ("5..10:2", ["5", "7", "9"]),
        ("2,5,30", ["2", "5", "30"]),
        ("1,4..6", ["1", "4", "5", "6"]),
    ],
)
def test_values_of_a_parameter(written: str, values: Sequence[str]) -> None:
    assert [each["bars"] for each in parse_grid("breakout", {"bars": written}).sets] == [v for v in values if v != "1"]


def test_fractions_are_exact() -> None:
    grid = parse_grid("breakout", {"width": "0.1..0.5:0.1"})
    assert [each["width"] for each in grid.sets] == ["0.1", "0.2", "0.3", "0.4", "0.5"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"fast": "9..5"}, "the range is empty"),
        ({"fast": "5..x"}, "is no range"),
        ({"fast": "5,,6"}, "is no range"),
        ({"fats": "5"}, "no parameter 'fats'"),
        ({"fast": "50..60", "slow": "2..5"}, "must be less than slow"),
        ({"fast": "1..9000", "slow": "1..9000"}, "81,000,000 combinations"),
    ],
)
def test_what_is_no_sweep(params: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_grid("sma-cross", params)


def test_the_best_come_first_and_unknown_last() -> None:
    bars = bars_of("AAPL")
    grid = parse_grid("sma-cross", {"fast": "2,5", "slow": "10,399"})
    rows = sweep(load_strategy("sma-cross"), grid, bars_data(bars, Terms(), ALL), "all", run_here(1), workers=1)
    sharpes = [row.statistics.sharpe for row in ordered(rows, sort_key("sharpe"))]
    known = [value for value in sharpes if value is not None]
    assert sharpes == sorted(known, reverse=True) + [None] * (len(sharpes) - len(known))
    assert None in sharpes
    with pytest.raises(UsageError, match="no statistic 'luck'"):
        sort_key("luck")


def test_the_best_of_trials_without_skill() -> None:
    """The expected highest of n normal draws, by Euler's constant; and as random draws have it."""
    from random import Random

    draw = Random(1)
    sharpes = [draw.gauss(0, 1) for _ in range(200)]
    expected = best_without_skill(sharpes)
    assert expected is not None
    highest = sum(max(draw.gauss(0, 1) for _ in range(200)) for _ in range(500)) / 500
    deviation = (sum((x - sum(sharpes) / 200) ** 2 for x in sharpes) / 199) ** 0.5
    assert expected / deviation == pytest.approx(highest, rel=0.03)
    assert best_without_skill([1.0]) is None
    assert NormalDist().inv_cdf(1 - 1 / 200) < expected / deviation
