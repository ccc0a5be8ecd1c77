"""``stockctl backtest check`` over a lake, by the installed command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.backtest.tapes import cover, day, fresh
from tests.command import Command
from tests.lakes import lay

DATES = ("2026-11-20", "2026-11-23", "2026-11-24")
PARAMS = ("--param", "trades=50", "--param", "enter=1.5")

READS_THE_LAKE = """
import stockctl
from stockctl.strategies import Strategy, buy


class Reads(Strategy):
    def on_trade(self, trade):
        yield buy(strength=float(stockctl.read_trades("AAPL").num_rows))
"""

COUNTS = """
from stockctl.strategies import Strategy, buy


class Counts(Strategy):
    warmup_days = 1

    def __init__(self, params, symbol):
        super().__init__(params, symbol)
        self.seen = 0

    def on_trade(self, trade):
        self.seen += 1
        if self.seen % 40 == 0:
            yield buy(strength=self.seen)
"""


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The command, with a lake of three dates of two symbols."""
    settings = fresh(tmp_path)
    lay(settings, [row for text in DATES for symbol in ("AAPL", "MSFT") for row in day(symbol, text, 120)], batches=4)
    cover(settings, "AAPL,MSFT", DATES)
    return Command(tmp_path, STOCKCTL_LAKE__URL=(tmp_path / "lake").as_uri())


def test_the_newest_two_dates_are_checked(command: Command) -> None:
    check = ("backtest", "check", "vwap-reversion", "AAPL,MSFT", *PARAMS, "--seed", "1", "--cuts", "2", "-o", "json")
    result = command.run(*check, real=True)
    assert "checking vwap-reversion on 484 records of AAPL, MSFT, with --seed 1\n" in result.stderr
    rows = {row["check"]: row for row in json.loads(result.stdout)}
    assert {row["result"] for row in rows.values()} == {"ok", "report"}
    # What is checked is what a run decides, and earns.
    run = ("backtest", "run", "vwap-reversion", "AAPL,MSFT", *PARAMS, "--since", DATES[1], "-o", "json")
    record = json.loads(command.run(*run).stdout)
    assert record["decisions"] > 2
    assert rows["cuts"]["detail"].startswith(f"{record['decisions']} decisions, ")
    assert rows["delays"]["detail"].startswith(f"total return {100 * record['total_return']:.2f}%; ")
    assert rows["starts"]["detail"].endswith("with a start 1 date later")


def test_dates_before_the_span_warm_up(command: Command, tmp_path: Path) -> None:
    (tmp_path / "counts.py").write_text(COUNTS)
    check = ("backtest", "check", "counts.py", "AAPL", "--seed", "1", "--cuts", "2", "-o", "json")
    rows = {row["check"]: row for row in json.loads(command.run(*check, "--since", DATES[2]).stdout)}
    assert rows["dates"]["result"] == rows["symbols"]["result"] == "skipped"
    run = ("backtest", "run", "counts.py", "AAPL", "--since", DATES[2], "-o", "json")
    assert (decisions := json.loads(command.run(*run).stdout)["decisions"]) > 0
    assert rows["cuts"]["detail"].startswith(f"{decisions} decisions, ")


def test_a_strategy_that_reads_the_lake_fails(command: Command, tmp_path: Path) -> None:
    (tmp_path / "reads.py").write_text(READS_THE_LAKE)
    result = command.run("backtest", "check", "reads.py", "AAPL", "--cuts", "1", "-o", "json", check=10)
    rows = {row["check"]: row for row in json.loads(result.stdout)}
    assert rows["files"]["result"] == "failed"
    assert "reads.py, line 8)" in rows["files"]["detail"]
    assert "reads failed " in result.stderr


def test_without_trades_there_is_nothing_to_check(command: Command) -> None:
    for options, message in (
        (("NVDA",), "NVDA"),
        (("AAPL", "--since", "2026-11-30"), "the lake has no trades from 2026-11-30 on"),
        (
            ("AAPL", "--since", "2026-11-21", "--until", "2026-11-22"),
            "the lake has no trades of AAPL from 2026-11-21 to 2026-11-21",
        ),
    ):
        result = command.run("backtest", "check", "vwap-reversion", *options, check=1)
        assert message in result.stderr
