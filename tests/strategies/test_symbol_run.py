"""One strategy on one symbol: what it is fed, when it starts, and what a decision says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import repeat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.errors import StockctlError
from stockctl.exchange.calendar import trade_date
from stockctl.exchange.time_parsing import parse_moment
from stockctl.records import Trade
from stockctl.strategies import Decision, Filing, History, StrategyError, SymbolRun, load_strategy
from stockctl.strategies.loading import BUILT_IN
from stockctl.strategies.symbol_run import SeenFiling
from tests.strategies.records import MONDAY, batches, strategy_of, trade, walk

EVERY_TRADE = """
class Every(Strategy):
    def __init__(self, params, symbol):
        self.seen = 0
    def on_trade(self, trade):
        self.seen += 1
        yield buy(reason=str(self.seen))
"""
HOUR, DAY = 3_600_000, 86_400_000


def run_of(folder: Path, code: str = EVERY_TRADE) -> SymbolRun:
    return SymbolRun(strategy_of(folder, code), "AAPL")


def test_each_trade_date_has_a_new_instance(tmp_path: Path) -> None:
    moments = [MONDAY, MONDAY + HOUR, MONDAY + DAY, MONDAY + DAY + 1]
    decisions = run_of(tmp_path).trades([trade(number, at) for number, at in enumerate(moments)])

    assert [decision.reason for decision in decisions] == ["1", "2", "1", "2"]


def test_the_date_begins_at_midnight_of_the_exchange(tmp_path: Path) -> None:
    midnight = parse_moment("2026-11-24 00:00:00")
    decisions = run_of(tmp_path).trades([trade(0, midnight - 1), trade(1, midnight)])

    assert [decision.reason for decision in decisions] == ["1", "1"]


def test_a_late_row_belongs_to_the_date_on_which_it_came(tmp_path: Path) -> None:
    late = trade(1, MONDAY - DAY, ts_recv=MONDAY + 20)
    decisions = run_of(tmp_path).trades([trade(0), late, trade(2, MONDAY + 30)])

    assert [(decision.reason, decision.ts_event) for decision in decisions][1] == ("2", MONDAY - DAY)
    assert decisions[-1].reason == "3"


def test_a_row_dated_tomorrow_begins_no_date(tmp_path: Path) -> None:
    early = trade(1, MONDAY + DAY, ts_recv=MONDAY + 20)
    decisions = run_of(tmp_path).trades([trade(0), early, trade(2, MONDAY + 30)])

    assert [decision.reason for decision in decisions] == ["1", "2", "3"]


def test_replayed_history_is_received_when_it_happened(tmp_path: Path) -> None:
    now = MONDAY + 90 * DAY
    rows = [trade(number, at, ts_recv=now, source="replay") for number, at in enumerate((MONDAY, MONDAY + 9, MONDAY + 3))]
    decisions = run_of(tmp_path).trades(rows)

    assert [decision.ts_decided for decision in decisions] == [MONDAY, MONDAY + 9, MONDAY + 9]


def test_a_decision_names_its_record(tmp_path: Path) -> None:
    record = trade(7)
    (decision,) = run_of(tmp_path).trades([record])

    assert decision._replace(inputs="") == Decision(
        "AAPL", 0, "buy", 1.0, 0.0, "1", record.ts_recv, record.ts_event, record.id, "", 0
    )
    assert len(decision.inputs) == 32


def test_signals_of_one_record_are_numbered(tmp_path: Path) -> None:
    code = "class Two(Strategy):\n    def on_trade(self, trade):\n        return [sell(-0.5), exit_()]\n"
    decisions = run_of(tmp_path, code).trades([trade(0), trade(1)])

    assert [(decision.n, decision.side, decision.target) for decision in decisions] == 2 * [(0, "sell", -0.5), (1, "exit", 0.0)]


@given(st.lists(st.integers(1, 400), min_size=1, max_size=30), st.sampled_from(sorted(BUILT_IN)))
def test_batches_change_no_decision(sizes: list[int], name: str) -> None:
    trades = walk(3000)
    strategy = load_strategy(name, {"trades": 50} if name == "vwap-reversion" else {"every": "5s"})

    def decisions(parts: Sequence[Sequence[Trade]]) -> list[Decision]:
        run = SymbolRun(strategy, "AAPL")
        return [decision._replace(position=0) for part in parts for decision in run.trades(part)]

    whole = decisions([trades])
    assert whole
    assert decisions(list(batches(trades, iter([*sizes, *repeat(500, 10)])))) == whole


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_decisions_before_a_cut_do_not_depend_on_what_follows(name: str) -> None:
    trades = walk(4000)
    strategy = load_strategy(name, {"trades": 50} if name == "vwap-reversion" else {"every": "5s"})
    whole = SymbolRun(strategy, "AAPL").trades(trades)

    for decision in whole:
        cut = SymbolRun(strategy, "AAPL").trades(trades[: decision.position + 1])
        assert cut == whole[: len(cut)]
        assert cut[-1].record == decision.record


def test_inputs_are_equal_exactly_where_the_records_are(tmp_path: Path) -> None:
    rows = [trade(number, MONDAY + number) for number in range(10_000)]
    first, second = run_of(tmp_path), run_of(tmp_path)
    first.trades(rows)
    for row in rows:
        second.trades([row])
    assert first.inputs == second.inputs

    third = run_of(tmp_path)
    third.trades([*rows[:5000], rows[5001], rows[5000], *rows[5002:]])
    assert third.inputs != first.inputs


# Before the anchor

NEEDS_TWO = EVERY_TRADE.replace("class Every(Strategy):", "class Every(Strategy):\n    warmup_days = 2")


def test_the_dates_before_are_fed_without_signals(tmp_path: Path) -> None:
    asked = []

    def before(day: date, days: int) -> History:
        asked.append((day, days))
        return History(2, [[trade(0, MONDAY - 2 * DAY), trade(1, MONDAY - DAY)], [trade(2, MONDAY - DAY + 5)]])

    run = SymbolRun(strategy_of(tmp_path, NEEDS_TWO), "AAPL", before)

    assert [decision.reason for decision in run.trades([trade(3), trade(4, MONDAY + 9)])] == ["4", "5"]
    assert asked == [(date(2026, 11, 23), 2)]


def test_without_enough_dates_before_it_may_not_signal(tmp_path: Path) -> None:
    run = SymbolRun(strategy_of(tmp_path, NEEDS_TWO), "AAPL", lambda _day, _days: History(1, [[trade(0, MONDAY - DAY)]]))

    assert run.trades([trade(1)]) == []
    assert run.muted


def test_the_first_record_closes_the_last_bar_of_the_date_before(tmp_path: Path) -> None:
    code = (
        "class Bars(Strategy):\n    every, warmup_days = '1d', 1\n    def on_bar(self, bar):\n"
        "        yield buy(reason=f'{bar.open} {bar.close}')\n"
    )
    history = History(1, [[trade(0, MONDAY - DAY, 5.0), trade(1, MONDAY - DAY + 9, 6.0)]])
    run = SymbolRun(strategy_of(tmp_path, code), "AAPL", lambda _day, _days: history)

    assert [decision.reason for decision in run.trades([trade(2), trade(3)])] == ["5.0 6.0"]


# Filings

READS = (
    "class Reads(Strategy):\n    def on_filing(self, filing):\n        yield buy(reason=filing.form)\n"
    "    def on_trade(self, trade):\n        yield buy(reason=f't{int(trade.id[-8:])}')\n"
)


def seen(at: int, number: int = 1) -> SeenFiling:
    return SeenFiling(
        at, Filing("AAPL", f"0000320193-26-{number:06}", f"10-Q {number}", "2026-09-26", at, None, {"revenue": 4.0})
    )


def by_record(decisions: list[Decision], rows: list[Trade]) -> list[tuple[str, str, str]]:
    """Of each decision its reason, the trade that it came with, and its inputs."""
    assert all(one.ts_decided == rows[one.position].ts_recv for one in decisions)
    return [(one.reason, rows[one.position].id, one.inputs) for one in decisions]


def test_a_filing_is_seen_before_the_trade_that_reaches_its_time(tmp_path: Path) -> None:
    rows = [trade(0), trade(1, MONDAY + 10), trade(2, MONDAY + 20)]
    run = SymbolRun(strategy_of(tmp_path, READS), "AAPL", filings=[seen(MONDAY + 10)])
    decisions = run.trades(rows)

    assert [one.reason for one in decisions] == ["t0", "10-Q 1", "t1", "t2"]
    filing = decisions[1]
    assert (filing.record, filing.position, filing.ts_event) == ("0000320193-26-000001", 1, MONDAY + 10)
    assert filing.ts_decided == rows[1].ts_recv


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("first_day", [0, 1, 2])
def test_another_start_or_size_of_batches_changes_no_decision_on_filings(tmp_path: Path, size: int, first_day: int) -> None:
    """Filings come before all records, at a record, between two, between two dates, on a date without records, and never."""
    days = [
        [trade(10 * day + place, start + place * 10) for place in range(4)]
        for day, start in enumerate((MONDAY, MONDAY + DAY, MONDAY + 4 * DAY))
    ]
    times = (
        MONDAY - DAY,
        MONDAY + 20,
        MONDAY + 25,
        MONDAY + 5000,
        MONDAY + DAY,
        MONDAY + 2 * DAY,
        MONDAY + 4 * DAY + 25,
        MONDAY + 9 * DAY,
    )
    filings = [seen(at, number) for number, at in enumerate(times)]

    def before(day: date, count: int) -> History:
        earlier = [rows for rows in days if trade_date(rows[0].ts_event) < day][-count:] if count else []
        return History(len(earlier), earlier)

    def decided(first: int, size: int) -> list[tuple[str, str, str]]:
        run = SymbolRun(strategy_of(tmp_path, READS), "AAPL", before, filings=filings)
        rows = [row for rows in days[first:] for row in rows]
        batches = [rows[at : at + size] for at in range(0, len(rows), size)]
        return [found for batch in batches for found in by_record(run.trades(batch), batch)]

    whole = decided(0, 1)
    assert [reason for reason, _, _ in whole if reason.startswith("10-Q")] == [
        f"10-Q {number}" for number in range(1, 7)
    ]  # what is known when the log begins is no news
    wanted = {row.id for rows in days[first_day:] for row in rows}
    assert decided(first_day, size) == [one for one in whole if one[1] in wanted]


def test_a_filing_that_comes_too_late_is_seen_at_the_next_trade(tmp_path: Path) -> None:
    run = SymbolRun(strategy_of(tmp_path, READS), "AAPL")
    run.trades([trade(0), trade(1, MONDAY + 10)])
    run.add_filings([seen(MONDAY + 5)])

    assert [one.reason for one in run.trades([trade(2, MONDAY + 20)])] == ["10-Q 1", "t2"]


# Code that fails


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 1 / 0", "ZeroDivisionError: division by zero"),
        ("return 7", "'int' object is not iterable"),
        ("return ['buy']", "it yielded 'buy', which is not a Signal"),
        ("yield Signal('long')", "the side of its signal is 'long': it must be buy, sell or exit"),
        ("yield buy(1.5)", "the target of its signal is 1.5: it must be from -1 to 1"),
        ("yield buy(float('nan'))", "the target of its signal is nan: it must be from -1 to 1"),
        ("yield buy(strength=float('inf'))", "the strength of its signal is inf: it must be finite"),
        ("yield buy('1')", "the target of its signal is '1', which is not a number"),
        ("yield buy(True)", "the target of its signal is True, which is not a number"),
        ("yield Signal('exit', 0.5)", "its exit has the target 0.5: that of an exit is 0"),
        ("yield buy(reason=5)", "the reason of its signal is 5, which is not text"),
        ("yield buy(reason='a\\nb')", "it must be one line"),
        ("yield buy(reason='x' * 501)", "it must have at most 500"),
        ("raise StopIteration", "StopIteration"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("exit(0)", "SystemExit: 0"),
    ],
)
def test_a_failure_names_the_event(tmp_path: Path, body: str, words: str) -> None:
    run = run_of(tmp_path, f"class Bad(Strategy):\n    def on_trade(self, trade):\n        {body}\n")
    with pytest.raises(StrategyError) as failure:
        run.trades([trade(3)])

    assert words in str(failure.value)
    assert f"the strategy user failed on {trade(3).id}: " in str(failure.value)
    assert failure.value.record == trade(3).id


def test_an_exception_names_file_and_line(tmp_path: Path) -> None:
    run = run_of(tmp_path, "class Bad(Strategy):\n    def on_trade(self, trade):\n        return [].pop()\n")
    with pytest.raises(StrategyError, match=r"IndexError: pop from empty list \(.*user\.py, line 5\)"):
        run.trades([trade(3)])


def test_with_a_handler_of_errors_the_run_goes_on(tmp_path: Path) -> None:
    code = (
        "class Odd(Strategy):\n    def on_trade(self, trade):\n"
        "        if trade.price < 0.5: raise ValueError('cheap')\n        yield buy()\n"
    )
    errors: list[tuple[str, Trade]] = []
    run = SymbolRun(strategy_of(tmp_path, code), "AAPL", on_error=lambda error, event: errors.append((str(error), event)))
    rows = [trade(0), trade(1, price=0.1), trade(2)]

    assert [decision.record for decision in run.trades(rows)] == [rows[0].id, rows[2].id]
    assert [event for _, event in errors] == [rows[1]]
    assert "cheap" in errors[0][0]


def test_a_constructor_that_fails_is_named(tmp_path: Path) -> None:
    run = run_of(tmp_path, EVERY_TRADE.replace("self.seen = 0", "raise KeyError(symbol)"))
    with pytest.raises(StockctlError, match=r"KeyError: 'AAPL' \(.*user\.py, line 6\)"):
        run.trades([trade(0)])


def test_an_error_is_one_line_without_control_characters(tmp_path: Path) -> None:
    code = "class Raises(Strategy):\n    def on_trade(self, trade):\n        raise RuntimeError('a\\n\\x1b[31m b')\n"
    with pytest.raises(StrategyError, match="failed on ") as found:
        run_of(tmp_path, code).trades([trade(0)])
    assert "RuntimeError: a\\n\\x1b[31m b (" in str(found.value)
    assert str(found.value).isprintable()
