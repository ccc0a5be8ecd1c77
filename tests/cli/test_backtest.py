"""`stockctl backtest run --bars`: what it writes, and errors in words."""

from __future__ import annotations

import hashlib
import io
import json
import math
from pathlib import Path

import pyarrow.parquet
import pytest

from stockctl.backtest.statistics import DEFINITIONS
from tests.backtest.waves import wave
from tests.cli.terminal import run
from tests.command import Command

RUN = ("backtest", "run", "sma-cross", "AAPL", "--bars", "wave.csv", "--param", "fast=2", "--param", "slow=5")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    lines = [f"{bar.start},{bar.open},{bar.high},{bar.low},{bar.close},{bar.volume}" for bar in wave(100)]
    (tmp_path / "wave.csv").write_text("\n".join(["time,open,high,low,close,volume", *lines]))
    return Command(tmp_path)


def test_the_record_of_a_backtest(command: Command) -> None:
    record = json.loads(command.run(*RUN, "--fees", "bps 5", "-o", "json").stdout)
    assert record["strategy"] == "sma-cross"
    assert record["params"] == {"fast": 2, "slow": 5, "every": "1m", "warmup_days": 0}
    assert record["symbols"] == ["AAPL"]
    assert (record["since"], record["until"]) == ("2025-11-25", "2026-03-04")
    assert record["settings"] == {
        **{"fills": "next-open", "cash": 10000.0, "fees": "bps 5", "slippage": "none"},
        **{"long_only": False, "close_at_end": False},
    }
    assert record["bars"] == "wave.csv"
    assert record["bars_hash"] == hashlib.sha256((command.folder / "wave.csv").read_bytes()).hexdigest()
    assert record["fills"] == record["decisions"] == record["round_trips"] + 1
    assert record["total_return"] == record["final_equity"] / 10000 - 1
    assert set(DEFINITIONS) <= set(record)
    assert len(record["hash"]) == len(record["version"]) == 64
    lines = command.run(*RUN, "--fees", "bps 5").stdout.splitlines()
    assert f"hash                {record['hash']}" in lines
    assert "settings            fills next-open, cash 10,000, fees bps 5, slippage none, long_only no, close_at_end no" in lines


def test_each_part_in_each_format(command: Command) -> None:
    for part in ("fills", "round-trips", "equity", "decisions"):
        rows = [json.loads(line) for line in command.run(*RUN, "--show", part, "-o", "jsonl").stdout.splitlines()]
        data = command.run_bytes(*RUN, "--show", part, "-o", "parquet").stdout
        table = pyarrow.parquet.read_table(io.BytesIO(data))
        assert table.num_rows == len(rows) >= 5
        assert table.column_names == list(rows[0])
        assert len(command.run(*RUN, "--show", part, "-o", "csv", "--limit", "3").stdout.splitlines()) == 4


def test_explain_gives_every_definition(command: Command) -> None:
    rows = json.loads(command.run(*RUN, "--explain", "-o", "json").stdout)
    record = json.loads(command.run(*RUN, "-o", "json").stdout)
    assert {row["statistic"]: row["definition"] for row in rows} == DEFINITIONS
    assert {row["statistic"]: row["value"] for row in rows} == {name: record[name] for name in DEFINITIONS}
    data = command.run_bytes(*RUN, "--explain", "-o", "parquet").stdout
    assert pyarrow.parquet.read_table(io.BytesIO(data)).num_rows == len(DEFINITIONS)


def test_options_change_what_is_filled(command: Command) -> None:
    def hash_of(*options: str) -> str:
        return str(json.loads(command.run(*RUN, *options, "-o", "json").stdout)["hash"])

    hashes = [
        hash_of(*options)
        for options in (
            (),
            ("--long-only",),
            ("--close-at-end",),
            ("--cash", "5000"),
            ("--fees", "bps 5"),
            ("--slippage", "bps 5,1%"),
        )
    ]
    assert len(set(hashes)) == len(hashes)
    assert hash_of() == hashes[0]


def test_the_hash_is_that_of_another_process(command: Command) -> None:
    """Of an interpreter of its own, with another hash seed."""
    forked = json.loads(command.run(*RUN, "-o", "json").stdout)["hash"]
    assert json.loads(command.run(*RUN, "-o", "json", real=True).stdout)["hash"] == forked


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["sma-cross", "AAPL"], "there is no lake", "correct lake.url"),
        (["sma-cross", "AAPL", "--close-at-end"], "--close-at-end is of --bars", "over the lake"),
        (
            ["sma-cross", "AAPL", "--bars", "wave.csv", "--since", "2026-11-23"],
            "--since is of the lake",
            "leave out one of them",
        ),
        (["sma-cross", "AAPL", "--bars", "none.csv"], "cannot read none.csv", "a row has time"),
        (["sma-cross", "--bars", "wave.csv"], "wave.csv has no column symbol", "name the one symbol"),
        (["sma-crss", "AAPL", "--bars", "wave.csv"], "there is no strategy 'sma-crss'", "strategies list"),
        (["vwap-reversion", "AAPL", "--bars", "wave.csv"], "the strategy vwap-reversion has no on_bar", "leave out --bars"),
        (["sma-cross", "AAPL", "--bars", "wave.csv", "--param", "fast"], "--param 'fast' is no parameter", "--param fast=10"),
        (["sma-cross", "AAPL", "--bars", "wave.csv", "--param", "a=1"], "sma-cross has no parameter 'a'", "its parameters"),
        (["sma-cross", "AAPL", "--bars", "wave.csv", "--fees", "5"], "'5' are no fees", "write none"),
        (["sma-cross", "AAPL", "--bars", "wave.csv", "--slippage", "5"], "'5' is no slippage", "write none"),
        (["sma-cross", "AAPL", "--bars", "wave.csv", "--cash", "0"], "an account needs cash", "10000"),
        (
            ["sma-cross", "AAPL", "--bars", "wave.csv", "--show", "fills", "--explain"],
            "--explain is of statistics",
            "--show fills",
        ),
        (
            ["sma-cross", "AAPL", "--bars", "wave.csv", "--fields", "sharp"],
            "no field 'sharp'; did you mean sharpe",
            "the fields are",
        ),
    ],
)
def test_errors_in_words(command: Command, arguments: list[str], message: str, hint: str) -> None:
    result = command.run("backtest", "run", *arguments, check=3 if message == "there is no lake" else 2)
    assert message in result.stderr
    assert hint in result.stderr.partition("  try: ")[2]
    assert result.stdout == ""


def test_a_terminal_shows_values_with_their_units(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(command.folder)
    record = dict(line.split(None, 1) for line in run([*RUN], 160).lines if " " in line)
    explained = run([*RUN, "--explain"], 160).lines
    assert record["start_equity"] == "10,000.00"
    assert record["total_return"].endswith("%")
    assert math.isfinite(float(record["sharpe"]))
    assert any(line.split()[:2] == ["total_return", record["total_return"]] for line in explained)


def test_a_report_is_written_too_and_its_path_is_checked_first(command: Command) -> None:
    refused = command.run("backtest", "run", "sma-cross", "--bars", "missing.csv", "--report", "nowhere/out.html", check=2)
    assert "the report 'nowhere/out.html' cannot be written: No such file" in refused.stderr
    done = command.run(*RUN, "--report", "out.html", "-o", "json")
    report = (command.folder / "out.html").read_text(encoding="utf-8")
    assert "AAPL: price and fills" in report
    assert "stockctl backtest run sma-cross AAPL --bars wave.csv" in report
    assert json.loads(done.stdout)["hash"] in report
    again = command.run(*RUN, "--report", "out.html", "-o", "json")
    assert (again.stdout, (command.folder / "out.html").read_text(encoding="utf-8")) == (done.stdout, report)
