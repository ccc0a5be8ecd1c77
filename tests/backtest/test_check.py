"""``backtest check`` finds what a strategy reads beside its records, and passes honest ones."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stockctl.backtest.check.checks import CheckRow, check_strategy
from stockctl.backtest.check.launch import Launcher
from stockctl.backtest.check.messages import Job
from stockctl.backtest.check.tape import Feed, Tape, TapeDay, encoded
from stockctl.errors import StockctlError
from stockctl.strategies import Decision, LoadedStrategy, SymbolRun, load_strategy
from stockctl.strategies.loading import BUILT_IN
from tests.backtest.cheats import CHEATS, HONEST, LAZY, Cheat
from tests.backtest.tapes import day, fresh
from tests.lakes import lay
from tests.strategies.records import MONDAY, strategy_of, walk

DAY = 86_400_000
BY_PROCESSES = [cheat for cheat in CHEATS if cheat.check not in ("files", "clock", "random numbers", "environment")]
"""These are found by comparing processes."""
BY_LINES = [cheat for cheat in CHEATS if cheat not in BY_PROCESSES]
"""These are found by one guarded run."""


def tapes(symbols: str = "AAPL MSFT", count: int = 300, days: int = 2) -> list[Tape]:
    """Random walks of each symbol on dates from Monday on."""
    made = []
    for place, symbol in enumerate(symbols.split()):
        rows = [
            [
                msgspec.structs.replace(row, symbol=symbol, id=f"{symbol}-{number}-{row.id}")
                for row in walk(count, seed=10 * place + number, since=MONDAY + number * DAY)
            ]
            for number in range(days)
        ]
        span = [TapeDay(date(2026, 11, 23 + number), encoded(each)) for number, each in enumerate(rows)]
        made.append(Tape(symbol, date(2026, 11, 23), span))
    return made


def cheating(folder: Path, cheat: Cheat) -> tuple[LoadedStrategy, str]:
    """The strategy in a file, and the line that must be named."""
    for name in ("prices.csv", "user.csv"):
        (folder / name).write_text("1.5,2\n3,4\n")
    for place in (folder, folder.parent):
        (place / "prices.py").write_text("PRICE = 1.5\n")
    strategy = strategy_of(folder, cheat.code)
    lines = (folder / "user.py").read_text().splitlines()
    number = next(number for number, text in enumerate(lines, 1) if cheat.line in text) if cheat.line else 0
    return strategy, f"(user.py, line {number})".replace("(", f"({folder}/") if cheat.line else ""


def failed(rows: list[CheckRow]) -> dict[str, str]:
    return {row.check: row.detail for row in rows if row.result == "failed"}


@pytest.mark.parametrize("cheat", BY_LINES, ids=lambda cheat: cheat.name)
def test_what_a_strategy_reads_is_named_with_its_line(tmp_path: Path, cheat: Cheat, monkeypatch: pytest.MonkeyPatch) -> None:
    if cheat.name == "the-lake":
        lay(fresh(tmp_path), day("AAPL", "2026-11-23", 10))
        monkeypatch.setenv("STOCKCTL_LAKE__URL", (tmp_path / "lake").as_uri())
    strategy, line = cheating(tmp_path, cheat)
    launcher = Launcher(strategy, {}, tmp_path, seed=1, cuts=1)
    launcher.write(tapes("AAPL", 100, 1))
    base = launcher.run([Job("base", "one by one", ["AAPL"])])["base"]
    found = base.refused if cheat.check == "files" else base.reads[cheat.check]
    # Compiled code opens files unseen: the limit of open files makes it fail.
    texts = [*map(str, found), *([base.error] if "Too many open files" in base.error else [])]
    assert any(line in text for text in texts), (base.error, texts)


@pytest.mark.parametrize("name", LAZY)
def test_an_import_in_a_handler_is_no_file(tmp_path: Path, name: str) -> None:
    statement, value = LAZY[name]
    code = (
        "def lazily(spec, loader, make):\n"
        "    spec.loader = loader(spec.loader)\n"
        "    module = make(spec)\n"
        "    spec.loader.exec_module(module)\n"
        "    return module\n\n\n"
        "class User(Strategy):\n"
        f"    def on_trade(self, trade):\n        {statement}\n        yield buy(strength=float({value}))\n"
    )
    (tmp_path / "levels.py").write_text("LEVEL = 0.5\n")
    launcher = Launcher(strategy_of(tmp_path, code), {}, tmp_path, seed=1, cuts=1)
    launcher.write(tapes("AAPL", 3, 1))
    base = launcher.run([Job("base", "one by one", ["AAPL"])])["base"]
    assert (base.error, base.refused) == ("", [])
    assert len(base.decisions["AAPL"]) == 3


@pytest.mark.parametrize("cheat", BY_PROCESSES, ids=lambda cheat: cheat.name)
def test_what_a_strategy_keeps_or_draws_makes_a_difference(tmp_path: Path, cheat: Cheat) -> None:
    strategy, line = cheating(tmp_path, cheat)
    found = failed(check_strategy(strategy, {}, tapes(), seed=1, cuts=3))
    assert line in found[cheat.check], found


@pytest.mark.parametrize("name", ["file-swallowed", "arrow-at-import", "clock-unused"])
def test_one_reading_is_enough_to_fail(tmp_path: Path, name: str) -> None:
    cheat = next(one for one in CHEATS if one.name == name)
    strategy, line = cheating(tmp_path, cheat)
    found = failed(check_strategy(strategy, {}, tapes("AAPL", 100, 1), seed=1, cuts=1))
    assert line in found[cheat.check]


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_built_in_strategies_pass(name: str) -> None:
    params: dict[str, Any] = {"trades": 50, "enter": 1.2} if name == "vwap-reversion" else {"every": "5s"}
    more: dict[str, dict[str, Any]] = {"sma-cross": {"fast": 2, "slow": 5}, "breakout": {"bars": 5, "width": 1.0}}
    params |= more.get(name, {})
    rows = check_strategy(load_strategy(name, params), params, tapes(), seed=1, cuts=3)
    assert [row.result for row in rows] == ["ok"] * 11 + ["report"] * 2, rows
    assert rows[1].detail.partition(" ")[0] not in ("0", "1")


@pytest.mark.parametrize("name", sorted(HONEST))
def test_honest_strategies_with_state_pass(tmp_path: Path, name: str) -> None:
    strategy = strategy_of(tmp_path, HONEST[name])
    rows = check_strategy(strategy, {}, tapes("AAPL MSFT", 400, 3), seed=1, cuts=3)
    assert failed(rows) == {}
    assert [row.result for row in rows] == ["ok"] * 11 + ["report"] * 2, rows


def test_a_strategy_that_fails_is_an_error_and_no_finding(tmp_path: Path) -> None:
    strategy = strategy_of(tmp_path, "class User(Strategy):\n    def on_trade(self, trade):\n        return 1 / 0\n")
    with pytest.raises(StockctlError, match=r"ZeroDivisionError: division by zero \(.*user.py, line 5\)"):
        check_strategy(strategy, {}, tapes("AAPL", 10, 1), seed=1)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_feed_gives_what_a_run_gives(name: str) -> None:
    params = {"trades": 50} if name == "vwap-reversion" else {"every": "5s", "warmup_days": 1}
    strategy = load_strategy(name, params)
    (tape,) = tapes("AAPL", 1000, 2)
    rows = [msgspec.structs.replace(row, id=f"AAPL-{number}-{row.id}") for number in range(2) for row in _day(number)]
    run = SymbolRun(strategy, "AAPL")
    whole = [one for row in rows for one in run.trades([row])] if name == "vwap-reversion" else None
    together, apart = Feed(tape).decide(strategy), Feed(tape, one_by_one=True).decide(strategy)
    assert together == apart
    if whole is not None:
        assert [one._replace(position=0) for one in together] == [one._replace(position=0) for one in whole]


def _day(number: int) -> list[Any]:
    return [msgspec.structs.replace(row, symbol="AAPL") for row in walk(1000, seed=number, since=MONDAY + number * DAY)]


def test_a_table_in_the_source_is_reported(tmp_path: Path) -> None:
    code = f"TABLE = {list(range(200))}\n" + "class User(Strategy):\n    def on_trade(self, trade):\n        yield buy()\n"
    rows = check_strategy(strategy_of(tmp_path, code), {}, tapes("AAPL", 50, 1), seed=1, cuts=1)
    reports = {row.check: row.detail for row in rows if row.result == "report"}
    assert "a literal with 200 constants" in reports["source"]
    assert reports["prices"].startswith("100%")


def test_decisions_differ_in_any_field() -> None:
    from stockctl.backtest.check.messages import difference

    one = Decision("AAPL", 0, "buy", 1.0, 0.5, "why", 1, 1, "id", "ff", 0)
    assert difference([one], [one._replace(position=9)]) is None
    assert difference([one], [one._replace(reason="else")]) == (one, one._replace(reason="else"))
    assert difference([one], []) == (one, None)
    assert difference([], [one]) == (None, one)
