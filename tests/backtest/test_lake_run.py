"""Backtests over a lake that the writer wrote: what was decided, filled and held, and what the result says of the data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import stockctl
from stockctl.backtest.lake.result import LakeResult
from stockctl.clients.object_store import open_store
from stockctl.errors import StockctlError, UnhealthyError, UsageError
from stockctl.exchange.calendar import from_ms
from stockctl.lake.format.keys import date_folder
from stockctl.lake.format.retention import put_floor
from stockctl.lake.maintenance.compact import compact
from stockctl.records import Trade
from stockctl.settings import Settings
from stockctl.symbols import UnknownSymbolError
from tests.backtest.strategies import write
from tests.backtest.tapes import cover, day, fresh, trade
from tests.filings.stored import store_report
from tests.lakes import at, lay

MONDAY, TUESDAY, WEDNESDAY = "2026-11-23", "2026-11-24", "2026-11-25"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A fresh lake in a folder."""
    return fresh(tmp_path)


def flat(text: str, price: float, every_s: int = 60, symbol: str = "AAPL") -> list[Trade]:
    """Trades of 10,000 shares at one price through the regular session, 30 s past each minute."""
    return [trade(symbol, moment, price) for moment in range(at(f"{text} 09:30:30"), at(f"{text} 16:00"), every_s * 1000)]


def run(settings: Settings, folder: Path, plan: str, symbols: str = "AAPL", **other: Any) -> LakeResult:
    """The backtest of a plan of targets."""
    params = {"plan": plan} | other.pop("params", {})
    return stockctl.run_backtest(write(folder, "plan"), symbols, settings=settings, params=params, **{"spread": "none"} | other)


def fills(result: LakeResult) -> list[tuple[str, int, float, bool]]:
    return [(f"{from_ms(fill.time):%d %H:%M:%S}", fill.quantity, fill.price, fill.gap) for fill in result.symbols[0].fills]


def equity(result: LakeResult) -> list[tuple[str, float]]:
    return [(f"{from_ms(point.time):%d %H:%M}", point.equity) for point in result.symbols[0].equity]


def test_a_decision_is_filled_later_and_its_equity_taken_at_the_close(settings: Settings, tmp_path: Path) -> None:
    rows = [*flat(MONDAY, 100.0), trade("AAPL", f"{MONDAY} 16:05", 90.0, conditions="24"), *flat(TUESDAY, 110.0)]
    lay(settings, rows, batches=5)
    cover(settings, "AAPL", [MONDAY, TUESDAY])
    result = run(settings, tmp_path, "23 10:00=1 24 12:00=0")
    assert fills(result) == [("23 10:01:30", 100, 100.0, False), ("24 12:01:30", -100, 110.0, False)]
    # Taken at the close: not at the extended-hours price that comes after it.
    assert equity(result) == [("23 00:00", 10_000.0), ("23 16:00", 10_000.0), ("24 16:00", 11_000.0)]
    assert (result.coverage_percent, result.without_gaps, result.notes) == (100.0, None, [])
    assert result.statistics.exposure == pytest.approx(0.6501, abs=1e-4)


def test_dates_without_trades_have_an_equity_too(settings: Settings, tmp_path: Path) -> None:
    # On Monday and Tuesday there are no trades; Thanksgiving has no close, and the half day after it one at 13:00.
    lay(settings, [*flat("2026-11-20", 100.0), *flat(WEDNESDAY, 120.0)])
    result = run(settings, tmp_path, "20 10:00=1", gaps="ignore", until="2026-11-28")
    assert equity(result) == [
        ("20 00:00", 10_000.0),
        *((f"{text} 16:00", 10_000.0) for text in ("20", "23", "24")),
        *(("25 16:00", 12_000.0), ("27 13:00", 12_000.0)),
    ]
    assert result.symbols[0].open_shares == 100


def test_a_market_that_never_closes_is_valued_at_the_end_of_the_date(settings: Settings, tmp_path: Path) -> None:
    symbol = "BINANCE:BTCUSDT"
    rows = [
        trade(symbol, f"{text} {hour:02}:15", 10.0 + hour / 10, conditions="")
        for text in ("2026-11-21", "2026-11-22")
        for hour in range(24)
    ]
    lay(settings, rows)
    result = run(settings, tmp_path, "21 04:00=1", symbols=symbol, gaps="ignore")
    value = pytest.approx(10_000 + 952 * 1.8)
    assert fills(result) == [("21 05:15:00", 952, 10.5, False)]
    assert equity(result) == [("21 00:00", 10_000.0), ("21 23:59", value), ("22 23:59", value)]


def test_cash_is_split_and_a_symbol_without_trades_is_idle(settings: Settings, tmp_path: Path) -> None:
    lay(settings, [*flat(MONDAY, 100.0), *flat(MONDAY, 50.0, symbol="MSFT"), *flat(TUESDAY, 50.0, symbol="MSFT")])
    result = run(
        settings, tmp_path, "23 10:00=1 24 10:00=1", symbols="MSFT,AAPL", since=TUESDAY, until=WEDNESDAY, gaps="ignore"
    )
    assert [one.symbol for one in result.symbols] == ["AAPL", "MSFT"]
    assert [[fill.quantity for fill in one.fills] for one in result.symbols] == [[], [100]]
    assert result.notes == ["AAPL: the lake has no trades of it in these dates; its share of the cash lies idle"]


def test_a_late_row_decides_when_it_came(settings: Settings, tmp_path: Path) -> None:
    rows = flat(MONDAY, 100.0)
    late = trade("AAPL", f"{MONDAY} 09:45:10", 70.0, ts_recv=at(f"{MONDAY} 12:00:00"), id="late")
    place = next(index for index, row in enumerate(rows) if row.ts_recv > late.ts_recv)
    lay(settings, [*rows[:place], late, *rows[place:]])
    strategy = write(tmp_path, "count")
    terms: dict[str, Any] = {"settings": settings, "params": {"warmup_days": 0}, "gaps": "ignore"}
    as_it_came = stockctl.run_backtest(strategy, "AAPL", **terms)
    sorted_by_time = stockctl.run_backtest(strategy, "AAPL", order="event", **terms)
    hundredth = [result.symbols[0].decisions[0].record for result in (as_it_came, sorted_by_time)]
    assert hundredth == [rows[99].id, rows[98].id]


def test_what_lies_beside_a_gap_is_marked(settings: Settings, tmp_path: Path) -> None:
    gap = (f"{MONDAY} 11:00", f"{MONDAY} 11:30")
    missed = (at(gap[0]), at(gap[1]))
    prices = [*flat(MONDAY, 100.0)[:200], *flat(MONDAY, 104.0)[200:]]
    lay(settings, [row for row in prices if not missed[0] <= row.ts_event < missed[1]])
    cover(settings, "AAPL", [MONDAY], [gap])
    plan = "23 10:00=1 23 11:10=0.5 23 14:00=0 23 15:00=1 23 15:30=0"
    result = run(settings, tmp_path, plan)
    decisions = result.decisions.to_pylist()
    assert [row["gap"] for row in decisions] == [False, True, False, False, False]
    assert [gap for _, _, _, gap in fills(result)] == [False, True, False, False, False]
    assert result.coverage_percent == pytest.approx(100 * 12 / 13)
    assert (result.decisions_beside_gaps, result.fills_beside_gaps) == (1, 1)
    # The round trip with the marked fill earned everything; the other one nothing.
    assert result.statistics.final_equity == 10_200.0
    assert result.statistics.round_trips == 2
    assert result.without_gaps is not None
    assert (result.without_gaps.final_equity, result.without_gaps.round_trips) == (10_000.0, 1)

    ignored = run(settings, tmp_path, plan, gaps="ignore")
    assert not any(gap for _, _, _, gap in fills(ignored))
    assert (ignored.coverage_percent, ignored.without_gaps) == (None, None)
    with pytest.raises(UnhealthyError, match=r"missed AAPL from 2026-11-23 11:00:00 to 2026-11-23 11:30:00 \(no feed events\)"):
        run(settings, tmp_path, plan, gaps="refuse")


def test_the_report_has_prices_coverage_and_gaps_of_the_lake(settings: Settings, tmp_path: Path) -> None:
    gap = (f"{MONDAY} 11:00", f"{MONDAY} 11:30")
    lay(settings, [row for row in flat(MONDAY, 100.0) if not at(gap[0]) <= row.ts_event < at(gap[1])])
    cover(settings, "AAPL", [MONDAY], [gap])
    plan = "23 10:00=1 23 11:29=0"
    result = run(settings, tmp_path, plan, keep_prices=True)
    assert result.symbols[0].prices[0] == (at(f"{MONDAY} 09:30:30"), 100.0)
    assert result.symbols[0].prices[-1] == (at(f"{MONDAY} 15:59:30"), 100.0)
    assert result.hash == run(settings, tmp_path, plan).hash
    result.report(tmp_path / "out.html")
    report = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "AAPL: price and fills" in report
    assert "2026-11-23 11:00:00 to 2026-11-23 11:30:00" in report
    assert "without fills beside a gap" in report
    assert "claims hash" in report
    workers = run(settings, tmp_path, plan, keep_prices=True, workers=2)
    workers.report(tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == report


def test_an_order_that_waits_through_a_gap_is_marked(settings: Settings, tmp_path: Path) -> None:
    gap = (f"{MONDAY} 11:00", f"{MONDAY} 11:30")
    lay(settings, [row for row in flat(MONDAY, 100.0) if not at(gap[0]) <= row.ts_event < at(gap[1])])
    cover(settings, "AAPL", [MONDAY], [gap])
    result = run(settings, tmp_path, "23 10:59=1")
    assert fills(result) == [("23 11:30:30", 100, 100.0, True)]
    assert result.decisions.to_pylist()[0]["gap"] is False


def test_closed_hours_are_no_gap(settings: Settings, tmp_path: Path) -> None:
    lay(settings, [*flat(MONDAY, 100.0), *flat(TUESDAY, 100.0)])
    cover(settings, "AAPL", [MONDAY, TUESDAY])
    result = run(settings, tmp_path, "23 10:00=1 24 10:00=0", gaps="refuse")
    assert [gap for _, _, _, gap in fills(result)] == [False, False]


@pytest.mark.parametrize(
    ("splits", "shares", "final"),
    [("AAPL=2026-11-24:4", -400, 10_400.0), ("ignore", -100, 2_600.0)],
)
def test_shares_held_over_a_split(settings: Settings, tmp_path: Path, splits: str, shares: int, final: float) -> None:
    lay(settings, [*flat(MONDAY, 100.0), *flat(TUESDAY, 26.0)])
    plan = "23 10:00=1 24 12:00=0"
    with pytest.raises(UnhealthyError, match="AAPL goes from 100 to 26 between 2026-11-23 and 2026-11-24") as found:
        run(settings, tmp_path, plan, gaps="ignore")
    assert found.value.hint is not None
    assert "--splits AAPL=2026-11-24:4" in found.value.hint
    result = run(settings, tmp_path, plan, gaps="ignore", splits=splits)
    assert [quantity for _, quantity, _, _ in fills(result)] == [100, shares]
    assert equity(result)[1:] == [("23 16:00", 10_000.0), ("24 16:00", final)]


def keep_report(settings: Settings, accepted: str, stored: str | None) -> None:
    """Put a report of AAPL into the lake, with the time at which it was stored."""
    store_report(settings, accepted, None if stored is None else at(stored))


def test_a_filing_is_seen_when_it_was_known(settings: Settings, tmp_path: Path) -> None:
    keep_report(settings, f"{MONDAY} 18:30:00", None)
    lay(settings, [*flat(MONDAY, 100.0), *flat(TUESDAY, 100.0)])
    result = stockctl.run_backtest(write(tmp_path, "filings"), "AAPL", settings=settings, gaps="ignore", spread="none")
    (decision,) = result.symbols[0].decisions
    # Between the dates: the strategy sees it at the first trade of Tuesday, and the order is filled by the next.
    assert f"{from_ms(decision.ts_decided):%d %H:%M}" == "24 09:30"
    assert (decision.strength, decision.reason) == (94_000.0, "10-Q to 2026-09-30, report 1")
    assert fills(result) == [("24 09:31:30", 50, 100.0, False)]
    later = stockctl.run_backtest(write(tmp_path, "filings"), "AAPL", TUESDAY, settings=settings, gaps="ignore", spread="none")
    assert later.symbols[0].decisions == [decision]


def test_a_filing_that_was_stored_days_later_is_seen_then(settings: Settings, tmp_path: Path) -> None:
    keep_report(settings, f"{MONDAY} 11:00:00", f"{WEDNESDAY} 12:00:00")
    lay(settings, [row for text in (MONDAY, TUESDAY, WEDNESDAY) for row in flat(text, 100.0)])
    strategy = write(tmp_path, "filings")
    terms: dict[str, Any] = {"settings": settings, "gaps": "ignore", "spread": "none"}
    decided = {
        time: [
            f"{from_ms(one.ts_decided):%d %H:%M}"
            for one in stockctl.run_backtest(strategy, "AAPL", filing_time=time, **terms).symbols[0].decisions
        ]
        for time in ("known", "stored")
    }
    # Live it is looked for every five minutes: it counts as seen ten minutes after it was stored.
    assert decided == {"known": ["23 11:00"], "stored": ["25 12:10"]}


def test_a_filing_whose_time_of_storage_nobody_recorded_is_left_out(settings: Settings, tmp_path: Path) -> None:
    keep_report(settings, f"{MONDAY} 11:00:00", None)
    lay(settings, flat(MONDAY, 100.0))
    result = stockctl.run_backtest(write(tmp_path, "filings"), "AAPL", settings=settings, gaps="ignore", filing_time="stored")
    assert result.symbols[0].decisions == []
    assert result.notes == ["AAPL: 1 filing without a time at which to show it left out"]


def test_another_start_changes_no_decision(settings: Settings) -> None:
    rows = [row for text in (MONDAY, TUESDAY, WEDNESDAY) for row in day("AAPL", text)]
    lay(settings, rows, batches=9)
    cover(settings, "AAPL", [MONDAY, TUESDAY, WEDNESDAY])
    for strategy, params in (("vwap-reversion", {"trades": 50}), ("sma-cross", {"fast": 3, "slow": 9, "warmup_days": 1})):
        whole = stockctl.run_backtest(strategy, "AAPL", settings=settings, params=params)
        late = stockctl.run_backtest(strategy, "AAPL", WEDNESDAY, settings=settings, params=params)
        decisions = [one._replace(position=0) for one in whole.symbols[0].decisions]
        assert late.symbols[0].decisions
        assert [one._replace(position=0) for one in late.symbols[0].decisions] == [
            one for one in decisions if one.ts_event >= at(f"{WEDNESDAY} 00:00")
        ]


def test_dates_before_warm_a_strategy_up(settings: Settings, tmp_path: Path) -> None:
    # Tuesday has no trades: the date before Wednesday is Monday.
    monday, wednesday = day("AAPL", MONDAY), day("AAPL", WEDNESDAY)
    lay(settings, [*monday, *wednesday], batches=4)
    strategy = write(tmp_path, "count")
    terms: dict[str, Any] = {"settings": settings, "gaps": "ignore"}
    result = stockctl.run_backtest(strategy, "AAPL", WEDNESDAY, params={"warmup_days": 1}, **terms)
    assert [one.strength for one in result.symbols[0].decisions] == [700.0, 800.0, 900.0, 1000.0, 1100.0, 1200.0]
    assert result.notes[:1] != ["AAPL: no signals"]
    whole = stockctl.run_backtest(strategy, "AAPL", params={"warmup_days": 1}, **terms)
    assert whole.symbols[0].decisions == result.symbols[0].decisions
    assert whole.notes[0] == (
        "AAPL: no signals on 1 date from 2026-11-23 on, because fewer dates with trades come before than the strategy needs"
    )


def test_one_worker_and_many_give_the_same(settings: Settings) -> None:
    symbols = ["AAPL", "MSFT", "NVDA", "TSLA"]
    rows = [row for text in (MONDAY, TUESDAY) for symbol in symbols for row in day(symbol, text, 300)]
    lay(settings, rows, batches=3)
    cover(settings, ",".join(symbols), [MONDAY, TUESDAY], [(f"{MONDAY} 11:00", f"{MONDAY} 11:30")])
    terms: dict[str, Any] = {"settings": settings, "params": {"fast": 2, "slow": 5}}
    one = stockctl.run_backtest("sma-cross", symbols, workers=1, **terms)
    four = stockctl.run_backtest("sma-cross", symbols, workers=4, **terms)
    assert one.statistics.round_trips > 10
    assert (four.hash, four.record, four.notes) == (one.hash, one.record, one.notes)


def test_shorts_that_lose_everything_end_the_account(settings: Settings, tmp_path: Path) -> None:
    prices = {MONDAY: 100.0, TUESDAY: 250.0, WEDNESDAY: 50.0}
    lay(settings, [row for text, price in prices.items() for row in flat(text, price)])
    result = run(settings, tmp_path, "23 10:00=-1 25 12:00=1", gaps="ignore", splits="ignore")
    assert fills(result) == [("23 10:01:30", -100, 100.0, False), ("25 09:30:30", 100, 50.0, False)]
    assert "AAPL: its equity was lost; later decisions are not followed" in result.notes


def test_replayed_history_says_that_it_has_no_receipts(settings: Settings, tmp_path: Path) -> None:
    now = at("2026-11-28 12:00")
    rows = [
        trade("AAPL", row.ts_event, row.price, ts_recv=now + n, source="replay") for n, row in enumerate(flat(MONDAY, 100.0))
    ]
    lay(settings, rows)
    result = run(settings, tmp_path, "23 10:00=1 23 12:00=0", gaps="ignore")
    assert fills(result) == [("23 10:01:30", 100, 100.0, False), ("23 12:01:30", -100, 100.0, False)]
    assert any(note.startswith("replayed history has no receipts") for note in result.notes)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_strategy_prints_goes_to_stderr_and_its_error_names_the_line(
    settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str], workers: int
) -> None:
    lay(
        settings,
        [*flat(MONDAY, 100.0)[:3], trade("AAPL", f"{MONDAY} 15:00", 0.25, id="cheap"), *flat(MONDAY, 1.0, symbol="MSFT")],
    )
    strategy = write(tmp_path, "noisy")
    with pytest.raises(
        StockctlError, match=r"the strategy noisy failed on cheap: KeyError: 'no such level' \(.*noisy.py, line 9\)"
    ):
        stockctl.run_backtest(strategy, "AAPL,MSFT", settings=settings, gaps="ignore", workers=workers)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.count("a word of the strategy") >= 4


def test_what_the_lake_does_not_have(settings: Settings, tmp_path: Path) -> None:
    lay(settings, flat(MONDAY, 100.0))
    with pytest.raises(UnknownSymbolError, match="AAPK") as found:
        run(settings, tmp_path, "23 10:00=1", symbols="AAPK")
    assert "AAPL" in (found.value.hint or "")
    with pytest.raises(StockctlError, match="no trades of AAPL from 2026-11-24 to 2026-11-24"):
        run(settings, tmp_path, "23 10:00=1", since=TUESDAY, until=WEDNESDAY)
    with pytest.raises(UsageError, match="has no date"):
        run(settings, tmp_path, "23 10:00=1", since=WEDNESDAY, until=WEDNESDAY)
    put_floor(open_store(settings), date(2026, 11, 23))
    with pytest.raises(UsageError, match="dates before 2026-11-23 were pruned"):
        run(settings, tmp_path, "23 10:00=1", since="2026-11-20")
    empty = fresh(tmp_path / "empty", symbols="AAPL")
    lay(empty, [], table="feed_events")
    with pytest.raises(StockctlError, match="the lake has no trades"):
        run(empty, tmp_path, "23 10:00=1")


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"fills": "next-open"}, "'next-open' is no value of fills"),
        ({"participation": "0%"}, "is no share of a print's volume"),
        ({"participation": "1.5"}, "is no share of a print's volume"),
        ({"latency": "soon"}, "latency: "),
        ({"cash": 0.0}, "an account needs cash"),
        ({"workers": 0}, "0 workers cannot run"),
        ({"spreads": "none"}, "run_backtest has no term spreads"),
    ],
)
def test_terms_that_are_not_valid(settings: Settings, tmp_path: Path, terms: dict[str, Any], message: str) -> None:
    lay(settings, flat(MONDAY, 100.0))
    with pytest.raises(UsageError, match=message):
        run(settings, tmp_path, "23 10:00=1", **terms)


def hashes(settings: Settings, strategies: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, str]:
    return {
        name: stockctl.run_backtest(name, "AAPL", settings=settings, params=params, fees="per-share 0.005 min 1").hash[:16]
        for name, params in strategies
    }


BUILT_IN: Sequence[tuple[str, dict[str, Any]]] = (
    ("sma-cross", {"fast": 2, "slow": 5}),
    ("vwap-reversion", {"trades": 50, "enter": 1.5}),
    ("breakout", {"bars": 5, "width": 1.0}),
)


def test_the_results_of_built_in_strategies_are_pinned(settings: Settings) -> None:
    """Equal on every Python. Other code of a strategy, of the kernel or of fills gives others: change them knowingly."""
    lay(settings, day("AAPL", MONDAY), batches=3)
    cover(settings, "AAPL", [MONDAY], [(f"{MONDAY} 11:00", f"{MONDAY} 11:30")])
    pinned = {
        "sma-cross": "214b38800b5fb6c3",
        "vwap-reversion": "9ef2bd913732a133",
        "breakout": "876cad790a407d14",
    }
    assert hashes(settings, BUILT_IN) == pinned
    # From Parquet alone it is the same.
    assert list(compact(settings))
    store = open_store(settings)
    store.delete([item.key for item in store.objects(date_folder("trades", date(2026, 11, 23)))])
    assert hashes(settings, BUILT_IN) == pinned
