"""``stockctl backtest run`` over a lake: what it writes to stdout, what it says on stderr, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.backtest.strategies import write
from tests.backtest.tapes import cover, day, fresh
from tests.command import Command
from tests.lakes import lay

MONDAY, TUESDAY = "2026-11-23", "2026-11-24"
GAP = (f"{MONDAY} 11:00", f"{MONDAY} 11:30")
RUN = ("backtest", "run", "vwap-reversion", "aapl", "--param", "trades=50", "--param", "enter=1.5")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The command, with a lake of two dates and a gap."""
    settings = fresh(tmp_path)
    lay(settings, [*day("AAPL", MONDAY), *day("AAPL", TUESDAY)], batches=4)
    cover(settings, "AAPL", [MONDAY, TUESDAY], [GAP])
    return Command(tmp_path, STOCKCTL_LAKE__URL=(tmp_path / "lake").as_uri())


def run(command: Command, *arguments: str) -> tuple[int, str, str]:
    """The exit code, stdout and stderr."""
    result = command.run(*arguments, check=None)
    return result.returncode, result.stdout, result.stderr


def test_the_record_of_a_run(command: Command) -> None:
    code, out, err = run(command, *RUN, "-o", "json")
    assert (code, err) == (0, "")
    record = json.loads(out)
    assert record["symbols"] == ["AAPL"]
    assert (record["since"], record["until"]) == (MONDAY, TUESDAY)
    assert record["settings"]["latency"] == "500ms"
    assert record["coverage"] == pytest.approx(100 * 25 / 26)
    assert 0 < record["fills_beside_gaps"] < record["fills"]
    assert record["without_gaps"].keys() >= {"final_equity", "sharpe"}
    assert record["half_spreads"]["AAPL"] > 0
    # One date of the two, as text for people.
    code, out, err = run(command, *RUN, "--since", TUESDAY, "--until", "2026-11-25", "--gaps", "ignore", "--spread", "0.02")
    assert code == 0
    assert "since " in out
    assert "half_spreads           AAPL 0.01\n" in out


def test_the_tables_of_a_run(command: Command) -> None:
    code, out, _ = run(command, *RUN, "--show", "decisions", "-o", "jsonl")
    assert code == 0
    assert [json.loads(line)["gap"] for line in out.splitlines()].count(True) == 3
    code, out, _ = run(command, *RUN, "--explain", "-o", "json")
    assert code == 0
    assert {"statistic", "value", "without_gaps", "definition"} == json.loads(out)[0].keys()


def test_a_gap_is_refused_with_its_name(command: Command) -> None:
    code, out, err = run(command, *RUN, "--gaps", "refuse")
    assert (code, out) == (10, "")
    assert "missed AAPL from 2026-11-23 11:00:00 to 2026-11-23 11:30:00" in err
    assert "--gaps mark" in err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--since", "2026-12-01"), 1, "the lake has no trades from 2026-12-01 on"),
        (("--fills", "next-open"), 2, "is no value of fills"),
        (("--close-at-end",), 2, "--close-at-end is of --bars"),
        (("--bars", "bars.csv", "--gaps", "mark"), 2, "--gaps is of the lake"),
        (("--bars", "bars.csv", "--workers", "2"), 2, "--workers is of the lake"),
        (("--splits", "AAPL=4"), 2, "is no split"),
        (("--latency", "-1s"), 2, "latency"),
    ],
)
def test_what_cannot_run_says_why(command: Command, options: tuple[str, ...], code: int, message: str) -> None:
    found, out, err = run(command, *RUN, *options)
    assert (found, out) == (code, "")
    assert message in err


def test_what_a_strategy_prints_is_not_in_the_result(command: Command, tmp_path: Path) -> None:
    code, out, err = run(command, "backtest", "run", write(tmp_path, "noisy"), "AAPL", "-o", "json")
    assert code == 0
    assert json.loads(out)["decisions"] == 0
    assert "a word of the strategy" in err
