"""``signals verify``: what ran live is what the replay decides, and each way in which it may not be is named."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import msgspec
import pytest

from stockctl.clients.object_store import open_store
from stockctl.errors import StockctlError, UsageError
from stockctl.lake.format.keys import date_folder
from stockctl.lake.maintenance.compact import compact
from stockctl.lake.maintenance.prune import prunable, prune
from stockctl.lake.reader.log_order import PrunedError
from stockctl.records import SignalRecord, Trade
from stockctl.settings import Settings, load_settings
from stockctl.signals.verification import Overrides, Verification, verify
from stockctl.strategies import History, LoadedStrategy, load_strategy
from stockctl.strategies.lake_filings import FILING_DELAY, read_symbol_filings
from stockctl.symbols import UnknownSymbolError
from tests.command import clean_environment
from tests.filings.stored import store_report
from tests.lakes import lay
from tests.signals.live import published
from tests.strategies.records import MONDAY, strategy_of, trade, walk

DAY = date(2026, 11, 23)
PARAMS = {"trades": 20, "enter": 1.5}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(environ=clean_environment(), flags={"lake.url": (tmp_path / "lake").as_uri()})


@pytest.fixture
def strategy() -> LoadedStrategy:
    return load_strategy("vwap-reversion", PARAMS)


def two_symbols(count: int = 600) -> list[Trade]:
    """Trades of two symbols in one log."""
    other = [msgspec.structs.replace(row, id=f"MSFT-{row.id}", symbol="MSFT") for row in walk(count, seed=2)]
    return sorted([*walk(count), *other], key=lambda row: row.ts_recv)


def check(settings: Settings, day: date = DAY, **options: object) -> Verification:
    return verify(settings, day, **options)[1]  # type: ignore[arg-type]  # the options of the test


def kinds(found: Verification) -> list[str]:
    return [finding.finding for finding in found.findings]


def stored(settings: Settings, rows: Sequence[Trade], records: Sequence[SignalRecord]) -> None:
    lay(settings, rows, batches=7)
    lay(settings, records, table="signals", batches=3)


def signals_of(records: Sequence[SignalRecord]) -> list[SignalRecord]:
    return [record for record in records if record.kind == "signal"]


def test_what_ran_live_is_what_the_replay_decides(settings: Settings, strategy: LoadedStrategy) -> None:
    rows = two_symbols()
    records = published(strategy, rows)
    stored(settings, rows, records)

    found = check(settings)

    assert found.findings == []
    assert (found.strategies, found.symbols) == (1, 2)
    assert found.signals + found.pending >= len(signals_of(records)) == found.signals > 10
    assert found.heartbeats == sum(record.kind == "heartbeat" for record in records)


def test_a_run_is_verified_from_where_it_began(settings: Settings, strategy: LoadedStrategy) -> None:
    rows = two_symbols()
    records = published(strategy, rows, starts=500)
    stored(settings, rows, records)

    found = check(settings)

    assert (found.findings, found.signals) == ([], len(signals_of(records)))


def test_several_runs_follow_each_other(settings: Settings, strategy: LoadedStrategy) -> None:
    rows = two_symbols()
    other = load_strategy("vwap-reversion", PARAMS | {"enter": 2.5})
    records = [*published(strategy, rows, until=500), *published(other, rows, run="run-2", starts=500)]
    stored(settings, rows, records)

    found = check(settings)

    assert (found.findings, found.signals) == ([], len(signals_of(records)))


def test_two_strategies_on_the_same_symbols(settings: Settings, strategy: LoadedStrategy) -> None:
    rows = two_symbols()
    other = load_strategy("sma-cross", {"fast": 2, "slow": 5, "every": "1m"})
    stored(settings, rows, [*published(strategy, rows), *published(other, rows, run="run-2")])

    found = check(settings)

    assert (found.findings, found.strategies, found.symbols) == ([], 2, 2)
    assert check(settings, strategy="sma-cross").strategies == 1


def test_late_rows_and_rows_that_come_back_change_nothing(settings: Settings, strategy: LoadedStrategy) -> None:
    rows = two_symbols()
    late = trade(9001, MONDAY + 60_000, 50.0, ts_recv=rows[700].ts_recv)
    returned = trade(9002, MONDAY - 3 * 86_400_000, 51.0)
    rows = [*rows[:701], late, *rows[701:900], returned, *rows[900:]]
    records = published(strategy, rows)
    stored(settings, rows, records)

    found = check(settings)

    assert (found.findings, found.signals) == ([], len(signals_of(records)))


def test_a_signal_on_a_row_of_another_date_is_found(settings: Settings, tmp_path: Path) -> None:
    every = strategy_of(tmp_path, "class Every(Strategy):\n    def on_trade(self, trade):\n        yield buy()\n")
    rows = walk(50)
    rows.insert(20, trade(9002, MONDAY - 9 * 86_400_000, 51.0, ts_recv=MONDAY - 9 * 86_400_000))
    stored(settings, rows, published(every, rows))

    assert check(settings).findings == []
    assert check(settings).signals == 51


@pytest.mark.parametrize("which", [0, 7, -1])
def test_a_missing_signal(settings: Settings, strategy: LoadedStrategy, which: int) -> None:
    rows = two_symbols()
    records = published(strategy, rows)
    gone = signals_of(records)[which]
    stored(settings, rows, [record for record in records if record is not gone])

    (finding,) = check(settings).findings

    assert finding[:3] + finding[4:8] == (
        "missing", "vwap-reversion", gone.symbol, gone.record, gone.n, "", f"{gone.side} {gone.target:g}",
    )  # fmt: skip


def test_a_signal_too_many(settings: Settings, strategy: LoadedStrategy) -> None:
    rows = two_symbols()
    records = published(strategy, rows)
    one = signals_of(records)[5]
    extra = msgspec.structs.replace(one, n=one.n + 1, id="0" * 32)
    stored(settings, rows, [*records, extra])

    (finding,) = check(settings).findings

    assert (finding.finding, finding.record, finding.n) == ("extra", one.record, one.n + 1)


@pytest.mark.parametrize(
    "change", [{"target": 0.25}, {"side": "exit"}, {"strength": 9.0}, {"reason": "no"}, {"ts_decided": MONDAY}]
)
def test_a_signal_that_differs(settings: Settings, strategy: LoadedStrategy, change: dict[str, object]) -> None:
    rows = two_symbols()
    records = published(strategy, rows)
    one = signals_of(records)[5]
    stored(settings, rows, [msgspec.structs.replace(record, **change) if record is one else record for record in records])

    (finding,) = check(settings).findings

    ((name, value),) = change.items()
    assert (finding.finding, finding.record) == ("different", one.record)
    assert (finding.live, finding.replayed) == (f"{name} {value}", f"{name} {getattr(one, name)}")


def test_what_did_not_run_is_an_error(settings: Settings, strategy: LoadedStrategy) -> None:
    rows = two_symbols()
    stored(settings, rows, published(strategy, rows))
    with pytest.raises(UnknownSymbolError, match="no strategy ran on") as wrong:
        check(settings, symbols=["AAPK"])
    assert wrong.value.hint == "did you mean AAPL?"
    with pytest.raises(UsageError, match="no strategy 'nope' ran on 2026-11-23"):
        check(settings, strategy="nope")
    with pytest.raises(StockctlError, match="no signals on 2026-11-20"):
        check(settings, date(2026, 11, 20))
    assert check(settings, symbols=["aapl"]).symbols == 1


def test_an_error_of_the_replay_is_named(settings: Settings, tmp_path: Path) -> None:
    code = "class Every(Strategy):\n    def on_trade(self, trade):\n        yield buy()\n"
    rows = walk(50)
    stored(settings, rows, published(strategy_of(tmp_path, code), rows))
    strategy_of(tmp_path, code.replace("yield", "1 / 0; yield"))
    found = check(settings)
    assert set(kinds(found)) == {"extra"}
    assert any("50 errors of the strategy in the replay; the first: " in note and "line 5" in note for note in found.notes)


def test_a_file_that_cannot_be_imported_is_a_finding(settings: Settings, tmp_path: Path) -> None:
    code = "class Every(Strategy):\n    def on_trade(self, trade):\n        yield buy()\n"
    rows = walk(50)
    live = strategy_of(tmp_path, code)
    stored(settings, rows, published(live, rows))
    Path(live.files[0]).write_text("import nothere\n")
    (finding,) = check(settings).findings
    assert finding.finding == "run"
    assert "nothere" in finding.cause


def test_other_parameters(settings: Settings, strategy: LoadedStrategy) -> None:
    rows = two_symbols()
    stored(settings, rows, published(strategy, rows))

    found = check(settings, overrides=Overrides(params={"enter": "1.0"}))

    assert found.findings
    assert {finding.cause for finding in found.findings} == {"other parameters: enter 1.5 live, 1.0 here"}


def test_a_changed_line_of_code(settings: Settings, tmp_path: Path) -> None:
    code = "class Every(Strategy):\n    def on_trade(self, trade):\n        if trade.price > 100: yield buy()\n"
    rows = walk(200)
    live = strategy_of(tmp_path, code)
    stored(settings, rows, published(live, rows))
    now = strategy_of(tmp_path, code.replace("> 100", ">= 100"))

    causes = {finding.cause for finding in check(settings).findings}

    assert causes == {f"other code: version {live.version[:12]} live, {now.version[:12]} here"}


def test_code_that_changed_but_decides_the_same_is_a_note(settings: Settings, tmp_path: Path) -> None:
    code = "class Every(Strategy):\n    def on_trade(self, trade):\n        if trade.price > 100: yield buy()\n"
    rows = walk(200)
    stored(settings, rows, published(strategy_of(tmp_path, code), rows))
    strategy_of(tmp_path, f"{code}\n# a comment\n")

    found = check(settings)

    assert found.findings == []
    assert "other code" in found.notes[0]


def test_code_that_is_gone(settings: Settings, tmp_path: Path) -> None:
    rows = walk(200)
    live = strategy_of(tmp_path, "class Every(Strategy):\n    def on_trade(self, trade):\n        yield buy()\n")
    stored(settings, rows, published(live, rows))
    Path(live.reference).rename(tmp_path / "moved.py")

    (finding,) = check(settings).findings
    assert (finding.finding, "there is no file" in finding.cause) == ("run", True)
    assert finding.cause.endswith("name its file with --code")
    assert check(settings, overrides=Overrides(str(tmp_path / "moved.py"))).findings == []


def test_a_record_that_the_lake_lacks(settings: Settings, strategy: LoadedStrategy) -> None:
    rows = two_symbols()
    lacking = 601
    lay(settings, [row for place, row in enumerate(rows) if place != lacking], batches=7)
    lay(settings, published(strategy, rows), table="signals")

    inputs = [finding for finding in check(settings).findings if finding.finding == "inputs"]

    (finding,) = inputs
    assert finding.symbol == rows[lacking].symbol
    assert "the lake has other records after" in finding.cause or "not in the lake" in finding.cause


def test_the_lake_is_behind(settings: Settings, strategy: LoadedStrategy) -> None:
    rows = two_symbols()
    lay(settings, rows[:800])
    lay(settings, published(strategy, rows), table="signals")

    found = [finding for finding in check(settings).findings if finding.finding == "inputs"]

    assert {finding.symbol for finding in found} == {"AAPL", "MSFT"}
    assert all("the lake is behind: it ends at offset 800" in finding.cause for finding in found)


def test_a_pruned_date(settings: Settings, strategy: LoadedStrategy) -> None:
    rows = two_symbols()
    stored(settings, rows, published(strategy, rows))
    store = open_store(settings)
    prune(store, date(2026, 11, 24), prunable(store, date(2026, 11, 24)))

    with pytest.raises(PrunedError, match="dates before 2026-11-24 were pruned"):
        check(settings)


def delete_raw(settings: Settings) -> None:
    """Delete the raw objects of the date, as a person may once they are compacted."""
    folder = Path(str(settings.lake.url).removeprefix("file://")) / date_folder("trades", DAY)
    for path in folder.rglob("*.gz"):
        path.unlink()


def test_a_date_only_in_parquet_keeps_the_order(settings: Settings, strategy: LoadedStrategy) -> None:
    rows = two_symbols()
    records = published(strategy, rows)
    stored(settings, rows, records)
    list(compact(settings))
    delete_raw(settings)

    found = check(settings)

    assert (found.findings, found.signals) == ([], len(signals_of(records)))


def test_decisions_that_the_lake_may_get_are_pending(settings: Settings, strategy: LoadedStrategy) -> None:
    rows = two_symbols()
    stored(settings, rows, published(strategy, rows, until=900))

    found = check(settings)

    assert found.findings == []
    assert found.pending > 0


def test_random_losses_are_all_found(settings: Settings, tmp_path: Path) -> None:
    every = strategy_of(tmp_path, "class Every(Strategy):\n    def on_trade(self, trade):\n        yield buy()\n")
    rows = two_symbols(300)
    records = published(every, rows)
    draw = random.Random(5)
    gone = {record.id for record in signals_of(records) if draw.random() < 0.1}
    stored(settings, rows, [record for record in records if record.id not in gone])

    found = check(settings)

    assert len([finding for finding in found.findings if finding.finding == "missing"]) == len(gone)
    assert set(kinds(found)) == {"missing"}


READS = (
    "class Reads(Strategy):\n    def on_filing(self, filing):\n        yield buy(reason=filing.accession)\n"
    "        yield exit_(reason='as well')\n"
    "    def on_trade(self, trade):\n        if trade.volume == 250:\n            yield buy()\n"
)


def test_filings_are_seen_where_the_live_run_saw_them(settings: Settings, tmp_path: Path) -> None:
    reads, rows = strategy_of(tmp_path, READS), walk(200)
    times = (rows[0].ts_event - FILING_DELAY, rows[90].ts_event - FILING_DELAY, rows[150].ts_event - FILING_DELAY + 1)
    numbers = store_report(settings, "2026-11-20 16:30:00", *times)
    filings = read_symbol_filings(settings, "AAPL", reads, "stored").seen
    records = published(reads, rows, filings=filings)
    stored(settings, rows, records)
    reported = [record.record for record in signals_of(records) if record.record in numbers]
    assert reported == [numbers[1], numbers[1], numbers[2], numbers[2]]  # the first was there when the log began
    assert kinds(check(settings)) == []

    # One that the live run did not see: its inputs differ from there on.
    records = published(reads, rows, filings=filings[:2])
    again = load_settings(environ=clean_environment(), flags={"lake.url": (tmp_path / "other").as_uri()})
    store_report(again, "2026-11-20 16:30:00", *times)
    stored(again, rows, records)
    found = check(again)
    assert kinds(found) == ["inputs", "missing", "missing"]
    assert found.findings[1].record == numbers[2]


NEEDS_A_DAY = "class Warm(Strategy):\n    warmup_days = 1\n    def on_trade(self, trade):\n        yield buy()\n"


def test_the_dates_before_warm_the_replay_up(settings: Settings, tmp_path: Path) -> None:
    warm = strategy_of(tmp_path, NEEDS_A_DAY)
    earlier = [msgspec.structs.replace(row, id=f"before-{row.id}") for row in walk(30, since=MONDAY - 3 * 86_400_000)]
    rows = walk(40)
    records = published(warm, rows, before=lambda _day, _days: History(1, [earlier]))
    lay(settings, [*earlier, *rows], batches=3)
    lay(settings, records, table="signals")

    found = check(settings)
    assert (found.findings, found.signals) == ([], 40)

    store = open_store(settings)
    prune(store, DAY, prunable(store, DAY))
    causes = {(finding.finding, finding.cause) for finding in check(settings).findings}
    assert ("unproven", "the strategy was warmed up with dates before 2026-11-23, which were pruned") in causes
