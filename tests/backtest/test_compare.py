"""``backtest compare`` puts two results side by side and finds where they part."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet
import pytest

from stockctl.backtest.bars_run import run_bars
from stockctl.backtest.compare import Compared, compare_files, compare_results
from stockctl.backtest.result import BacktestResult
from stockctl.errors import UsageError
from stockctl.strategies import load_strategy
from tests.backtest.waves import walk


def result(fast: int) -> BacktestResult:
    return run_bars(load_strategy("sma-cross", {"fast": fast, "slow": 20}), {"AAPL": walk(1)})


def by_name(rows: list[Compared]) -> dict[str, Compared]:
    return {row.name: row for row in rows}


def test_statistics_and_the_first_decision_that_differs() -> None:
    first, second = result(5), result(6)
    found = by_name(list(compare_results(first, second)))
    one, other = first.statistics.final_equity, second.statistics.final_equity
    assert found["final_equity"] == Compared("final_equity", one, other, other - one)
    pairs = list(zip(first.symbols[0].decisions, second.symbols[0].decisions, strict=False))
    at = next(index for index, (a, b) in enumerate(pairs) if a._replace(inputs="") != b._replace(inputs=""))
    row = found["first decision that differs"]
    assert pairs[at][0].record in row.first
    assert pairs[at][1].reason in row.second
    assert "price" in found["first fill that differs"].first


def test_equal_results_have_no_difference() -> None:
    found = list(compare_results(result(5), result(5)))
    assert all(row.first == row.second and row.difference in (None, 0) for row in found)
    assert found[-1] == Compared("first fill that differs", "none", "none", None)


def test_results_in_files(tmp_path: Path) -> None:
    for name, each in (("a", result(5)), ("b", result(6))):
        (tmp_path / f"{name}.json").write_text(json.dumps(each.record, default=str))
        pyarrow.parquet.write_table(each.fills, tmp_path / f"{name}.parquet")
    records = by_name(list(compare_files(tmp_path / "a.json", tmp_path / "b.json")))
    assert records["hash"].first != records["hash"].second
    rows = by_name(list(compare_files(tmp_path / "a.parquet", tmp_path / "b.parquet")))
    assert rows["rows"].first == len(result(5).symbols[0].fills)
    assert rows["first row that differs"].first != rows["first row that differs"].second
    with pytest.raises(UsageError, match="not of one format"):
        list(compare_files(tmp_path / "a.json", tmp_path / "b.parquet"))
    (tmp_path / "c.json").write_text("[1]")
    with pytest.raises(UsageError, match=r"c\.json is no record"):
        list(compare_files(tmp_path / "a.json", tmp_path / "c.json"))
