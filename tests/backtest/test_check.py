"""``backtest check`` finds what a strategy reads beside its records, and passes honest ones."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stockctl.backtest.bars_run import run_bars
from stockctl.backtest.check.checks import CheckRow, check_strategy
from stockctl.backtest.check.delays import describe, returns_by_delay
from stockctl.backtest.check.launch import Launcher
from stockctl.backtest.check.messages import Job
from stockctl.backtest.check.reading import tapes_of_bars
from stockctl.backtest.check.tape import Feed, Tape, TapeDay, encoded
from stockctl.errors import StockctlError
from stockctl.strategies import Decision, LoadedStrategy, SymbolRun, load_strategy
from stockctl.strategies.loading import BUILT_IN
from tests.backtest.cheats import CHEATS, HONEST, LAZY, Cheat
from tests.backtest.check_processes import forked_checks  # noqa: F401  # a fixture
from tests.backtest.tapes import day, fresh
from tests.backtest.waves import walk as bars_walk
from tests.lakes import lay
from tests.strategies.records import MONDAY, strategy_of, trade, walk

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


@pytest.mark.usefixtures("forked_checks")
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


@pytest.mark.usefixtures("forked_checks")
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


@pytest.mark.usefixtures("forked_checks")
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
    assert [row.result for row in rows] == ["ok"] * 12 + ["report"] * 4, rows
    assert rows[1].detail.partition(" ")[0] not in ("0", "1")


@pytest.mark.parametrize("name", sorted(HONEST))
def test_honest_strategies_with_state_pass(tmp_path: Path, name: str) -> None:
    strategy = strategy_of(tmp_path, HONEST[name])
    rows = check_strategy(strategy, {}, tapes("AAPL MSFT", 200, 3), seed=1, cuts=3)
    assert failed(rows) == {}
    assert [row.result for row in rows] == ["ok"] * 12 + ["report"] * 4, rows


@pytest.mark.usefixtures("forked_checks")
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


@pytest.mark.usefixtures("forked_checks")
def test_other_starts_are_counted(tmp_path: Path) -> None:
    code = "SEEN = []\nclass User(Strategy):\n    def on_trade(self, trade):\n        SEEN.append(1)\n        yield "
    for signal, same in (("buy(strength=len(SEEN))", (0, 0)), ("buy()", (100, 50))):
        strategy = strategy_of(tmp_path, code + signal)
        rows = check_strategy(strategy, {}, tapes("AAPL", 50, 3), seed=1, cuts=1)
        starts = next(row for row in rows if row.check == "starts")
        words = [
            f"{same[0]} of 100 decisions with a start 1 date later",
            f"{same[1]} of 50 decisions with a start 2 dates later",
        ]
        assert (starts.result, starts.detail) == ("report", f"the same: {', '.join(words)}")


def test_a_delay_moves_decisions_to_later_prices() -> None:
    # Prices rise by 1 per print, half a second apart. One decision, and 500 ms of latency in any case.
    rows = [trade(n, at=MONDAY + 500 * n, price=100.0 + n, volume=1e6, ts_recv=MONDAY + 500 * n) for n in range(400)]
    tape = Tape("AAPL", date(2026, 11, 23), [TapeDay(date(2026, 11, 23), encoded(rows))])
    decision = Decision("AAPL", 0, "buy", 1.0, 1.0, "", rows[0].ts_recv, rows[0].ts_event, rows[0].id, "", 0)
    found = returns_by_delay([tape], {"AAPL": [decision]}, None)
    assert found is not None
    # The estimated spread is 1 after two prices; before, there is none to estimate.
    first = {"": (102, 0.0), "a print": (103, 0.5), "a second": (104, 0.0), "a bar of 1m": (222, 0.0)}
    for name, (price, half) in first.items():
        shares = 10_000 // (price + half)
        assert found[name] == pytest.approx(shares * (499 - price - half) / 10_000), name
    assert returns_by_delay([tape], {"AAPL": []}, None) is None
    assert describe({"": 0.5, "a bar": -0.25}) == "total return 50.00%; if decisions take effect later: -25.00% a bar later"


def test_without_a_delay_the_return_is_that_of_a_run() -> None:
    bars = {symbol: [one._replace(symbol=symbol) for one in bars_walk(seed)] for seed, symbol in enumerate(("AAPL", "MSFT"))}
    strategy = load_strategy("sma-cross", {"fast": 3, "slow": 9})
    result = run_bars(strategy, bars)
    decisions = {one.symbol: list(one.decisions) for one in result.symbols}
    found = returns_by_delay(tapes_of_bars(bars), decisions, "1d")
    assert found is not None
    assert list(found) == ["", "a bar"]
    assert found[""] == pytest.approx(result.statistics.total_return)
    later = {symbol: [one._replace(position=one.position + 1) for one in each] for symbol, each in decisions.items()}
    assert returns_by_delay(tapes_of_bars(bars), later, "1d")[""] == found["a bar"]  # type: ignore[index]  # there are fills


@pytest.mark.usefixtures("forked_checks")
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
