"""Symbols on the command line: in any case, split at commas; one that nothing is known of is an error that names near ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stockctl.settings import Settings, load_settings
from tests.command import Command
from tests.lakes import covered, lay, trade

MONDAY, FRIDAY = "2026-11-23", "2026-11-20"
SYMBOLS = "AAPL,MSFT"


def settings_of(folder: Path) -> Settings:
    return load_settings(environ={}, flags={"lake.url": (folder / "lake").as_uri(), "symbols": SYMBOLS})


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command over a lake of more symbols than the setting's: some have older trades, or coverage alone, or are small."""
    folder = tmp_path_factory.mktemp("symbols")
    settings = settings_of(folder)
    today = [trade(symbol, f"{MONDAY} 10:00", 1.0) for symbol in ("AAPL", "IBM", "BINANCE:ETHUSDT", "abc", "ABC")]
    lay(settings, [trade("OLD", f"{FRIDAY} 10:00", 1.0)], partition_by="bucket")
    lay(settings, [trade("QZXW", f"{FRIDAY} 10:00", 1.0)], partition=2)
    lay(settings, today, partition=1)
    lay(settings, [covered("AAPL,IBM,QUIET", f"{MONDAY} 09:30", f"{MONDAY} 16:00")], table="feed_events")
    return Command(folder, STOCKCTL_LAKE__URL=(folder / "lake").as_uri(), STOCKCTL_SYMBOLS=SYMBOLS)


def symbols(command: Command, *arguments: str) -> list[str]:
    return [row["symbol"] for row in json.loads(command.run(*arguments, "-o", "json").stdout)]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["aapl,ibm"], ["AAPL", "IBM"]),
        (["ibm", "AAPL,binance:ethusdt"], ["IBM", "AAPL", "BINANCE:ETHUSDT"]),
        (["abc"], ["abc"]),
        (["ABC"], ["ABC"]),
        (["Abc"], ["ABC"]),
        (["old"], ["OLD"]),
    ],
)
def test_a_query_takes_them_in_any_case_and_what_is_exactly_there_wins(
    filled: Command, written: list[str], meant: list[str]
) -> None:
    assert symbols(filled, "metrics", "vwap", *written) == meant
    assert sorted(symbols(filled, "lake", "read", *written)) == sorted(meant)


@pytest.mark.parametrize(
    "arguments",
    [
        ("metrics", "vwap", "APPL"),
        ("metrics", "summary", "AAPL,APPL"),
        ("metrics", "bars", "AAPL", "appl", "--date", MONDAY),
        ("lake", "read", "APPL"),
        ("lake", "gaps", "AAPL", "APPL"),
        ("filings", "list", "AAPL,APPL"),
        ("filings", "show", "APPL"),
        ("filings", "statement", "APPL", "income"),
        ("filings", "kpis", "appl"),
        ("filings", "check", "APPL"),
    ],
)
def test_an_unknown_one_is_a_usage_error_that_names_near_ones(filled: Command, arguments: tuple[str, ...]) -> None:
    result = filled.run(*arguments, check=2)
    assert "there is nothing of APPL in " in result.stderr.replace("appl", "APPL")
    assert "did you mean AAPL" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("bounds", [(), ("--date", MONDAY)], ids=["newest", "of a date"])
@pytest.mark.parametrize("metric", ["summary", "vwap"])
def test_a_slip_in_the_setting_is_said_with_near_ones(filled: Command, metric: str, bounds: tuple[str, ...]) -> None:
    """It may name what has not traded yet, so that it is no error; what the feed covered, or what has trades, is no slip."""
    command = Command(filled.folder, **filled.environment | {"STOCKCTL_SYMBOLS": "APPL,IBM,MSFT,QUIET,OLD"})
    result = command.run("metrics", metric, *bounds, "-o", "json")
    assert {row["symbol"] for row in json.loads(result.stdout)} == {"APPL", "IBM", "MSFT", "QUIET", "OLD"}
    assert [line for line in result.stderr.splitlines() if "did you mean" in line] == [
        "APPL, as the setting symbols has it: the lake holds no trades of it; did you mean AAPL?"
    ]


def test_near_ones_are_those_of_every_date(filled: Command) -> None:
    assert "did you mean QZXW?" in filled.run("metrics", "vwap", "QZXV", check=2).stderr


def test_the_name_of_a_folder_is_no_symbol(filled: Command) -> None:
    """``ticker=BINANCE_ETHUSDT`` holds trades of BINANCE:ETHUSDT alone."""
    assert "there is nothing of BINANCE_ETHUSDT in the lake" in filled.run("metrics", "vwap", "BINANCE_ETHUSDT", check=2).stderr


@pytest.mark.parametrize(
    "written",
    ["MSFT", "OLD", "QUIET"],
    ids=["of the setting", "with older trades", "that the feed covered"],
)
def test_a_known_one_with_nothing_to_answer_is_exit_0_null_and_words(filled: Command, written: str) -> None:
    result = filled.run("metrics", "vwap", written, "--date", MONDAY, "-o", "json")
    assert [(row["symbol"], row["vwap"]) for row in json.loads(result.stdout)] == [(written, None)]
    assert f"{written} {MONDAY} regular: no trades" in result.stderr


def test_the_rest_of_the_commands_take_them_so_too(tmp_path: Path) -> None:
    """Each fails behind the symbols, which its words show."""
    command = Command(tmp_path, STOCKCTL_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1", STOCKCTL_KAFKA__CONNECT_WAIT="10ms")
    command.environment["STOCKCTL_SYMBOLS"] = "aapl,msft, ic markets:1"
    shown = json.loads(command.run("config", "show", "-o", "json").stdout)
    assert next(row["value"] for row in shown if row["setting"] == "symbols") == "AAPL,MSFT,IC MARKETS:1"
    assert "BINANCE:BTCUSDT has no filings" in command.run("filings", "fetch", "aapl,binance:btcusdt", check=2).stderr


@pytest.mark.parametrize("written", ["", ",", " , "])
@pytest.mark.parametrize(
    "command",
    [("metrics", "vwap"), ("metrics", "watch"), ("lake", "read"), ("lake", "gaps"), ("filings", "fetch"), ("produce",)],
)
def test_no_symbol_is_not_the_same_as_all(filled: Command, command: tuple[str, ...], written: str) -> None:
    assert "there is no symbol" in filled.run(*command, written, check=2).stderr
