"""Fetching: what is kept and what is asked again, every failure with its words and its exit code, and the key's limits."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec import structs

from stockctl.clients import rate_limit
from stockctl.clients.finnhub import rest as finnhub_rest
from stockctl.clients.object_store import open_store
from stockctl.errors import ConfigError, RefusedError, StockctlError, UsageError
from stockctl.filings.collect.plan import FetchRequest
from stockctl.filings.collect.storage import LakeError
from stockctl.filings.model import line_item_records, parse_filing
from stockctl.filings.repository import read_filings, read_state, stored_accessions, write_state
from stockctl.lake.format.keys import fetch_state_key, line_items_key, raw_filing_key
from stockctl.sim import Simulator, rest
from tests.clock import Clock
from tests.conftest import free_port
from tests.filings.fetching import fetch, objects, outcome, settings, simulator, states

RECENT = FetchRequest(since=date(2026, 1, 1))
SHORT = FetchRequest(since=date(2026, 6, 1))


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with simulator() as running:
        yield running


def test_reports_are_kept_as_received_and_as_line_items(sim: Simulator, tmp_path: Path) -> None:
    own = settings(sim, tmp_path)
    run = fetch(own, "AAPL", request=RECENT)
    assert run.failure is None
    store = open_store(own)
    numbers = stored_accessions(store, "AAPL").raw
    assert outcome(run, "AAPL")[1:4] == ("fetched", len(numbers), len(numbers))
    assert len(numbers) >= 3
    for number in numbers:
        raw = store.get(raw_filing_key("AAPL", number))
        filing = parse_filing(raw)
        flat = gzip.decompress(store.get(line_items_key("AAPL", number))).splitlines()
        assert [json.loads(line) for line in flat] == line_item_records(filing)
        assert "ticker" not in json.loads(flat[0])
    assert b'"value":' in raw
    assert [filing.accession for filing in read_filings(own, "AAPL")] == sorted(
        numbers,
        key=lambda number: parse_filing(store.get(raw_filing_key("AAPL", number))).known or datetime.max.replace(tzinfo=UTC),
    )


def test_the_bytes_of_a_report_are_those_that_came_and_it_counts_as_the_symbols_that_was_asked_for(tmp_path: Path) -> None:
    """Spaces, order and numbers in the server's spelling; and a company whose shares of two classes are one filer."""
    item = (
        '{ "symbol":"MINEB","accessNumber": "0000000001-25-000001","cik":"1","form":"10-K","endDate":"2024-12-31 00:00:00",'
        '"filedDate":"2025-02-01 00:00:00","report":{"bs":[{"value":1.50e3,"concept":"Assets","unit":"usd","label":"é"}]} }'
    )
    answer = f'{{"cik":"1","data":[{item}],"symbol":"MINE"}}'
    from tests.clients.test_finnhub_rest import Server

    def served(_number: int, path: str) -> tuple[int, dict[str, str], bytes]:
        return (200, {}, answer.encode() if "freq=annual" in path else b'{"data":[]}' if "reported" in path else b"[]")

    with Server(served) as server, simulator() as sim:
        own = settings(sim, tmp_path, finnhub__rest_url=server.url)
        assert fetch(own, "MINE").failure is None
        assert open_store(own).get(raw_filing_key("MINE", "0000000001-25-000001")) == item.encode()
        assert [(one.symbol, one.bs[0].value) for one in read_filings(own, "MINE")] == [("MINE", 1500.0)]
        flat = gzip.decompress(open_store(own).get(line_items_key("MINE", "0000000001-25-000001")))
        assert json.loads(flat)["symbol"] == "MINE"


def test_what_is_kept_is_not_put_again_and_what_is_fresh_is_not_asked_for(sim: Simulator, tmp_path: Path) -> None:
    own = settings(sim, tmp_path)
    fetch(own, "AAPL", "MSFT", request=RECENT)
    before, asked = objects(own), sim.counters.requests
    assert states(fetch(own, "AAPL", "MSFT", request=RECENT)) == {"AAPL": "fresh", "MSFT": "fresh"}
    assert sim.counters.requests == asked
    stale = settings(sim, tmp_path, filings__fresh_for="0")
    again = fetch(stale, "AAPL", "MSFT", request=RECENT)
    assert states(again) == {"AAPL": "up to date", "MSFT": "up to date"}
    assert sim.counters.requests == asked + 4  # links are asked for with new reports alone
    assert objects(own) == before


def test_a_longer_history_is_asked_for_though_a_short_one_is_fresh(sim: Simulator, tmp_path: Path) -> None:
    own = settings(sim, tmp_path)
    short = outcome(fetch(own, "AAPL", request=RECENT), "AAPL")
    whole = outcome(fetch(own, "AAPL"), "AAPL")
    assert whole.state == "fetched"
    assert whole.stored == short.new + whole.new > 60
    assert outcome(fetch(own, "AAPL"), "AAPL").state == "fresh"
    assert outcome(fetch(own, "AAPL", request=RECENT), "AAPL").state == "fresh"
    state = read_state(open_store(own), "AAPL")
    assert state is not None
    assert state.since == ""
    full = outcome(fetch(own, "AAPL", request=FetchRequest(full=True)), "AAPL")
    assert (full.state, full.new, full.stored) == ("up to date", 0, whole.stored)


def test_a_later_start_leaves_no_gap_that_the_next_fetch_would_not_fill(sim: Simulator, tmp_path: Path) -> None:
    own = settings(sim, tmp_path)
    fetch(own, "AAPL")
    whole, store = objects(own), open_store(own)
    newest, old = "2020-12-31", [one for one in read_filings(own, "AAPL") if str(one.end) <= "2020-12-31"]
    store.delete([raw_filing_key("AAPL", one.accession) for one in read_filings(own, "AAPL") if one not in old])

    def age(**more: object) -> None:
        state = read_state(store, "AAPL")
        assert state is not None
        write_state(store, structs.replace(state, fetched="2021-01-15T00:00:00+00:00", **more))

    age(newest=newest, kept=len(old))
    assert outcome(fetch(own, "AAPL", request=SHORT), "AAPL").new > 0
    age()
    fetch(own, "AAPL")
    assert objects(own).keys() == whole.keys()


def test_a_report_of_a_day_to_come_hides_no_later_one(tmp_path: Path) -> None:
    """2109 for 2019: nothing would be asked for before the year 2108 again."""
    from tests.clients.test_finnhub_rest import Server

    reports = [BARE, BARE | {"accessNumber": "0000000001-25-000002", "endDate": "2109-12-31 00:00:00"}]

    def served(_number: int, path: str) -> tuple[int, dict[str, str], bytes]:
        asked = parse_qs(urlsplit(path).query)
        since = asked.get("from", [""])[0]
        found = [one for one in reports if str(one["endDate"])[:10] >= since and asked.get("freq") == ["annual"]]
        return 200, {}, json.dumps({"data": found} if "reported" in path else []).encode()

    with Server(served) as server, simulator() as sim:
        own = settings(sim, tmp_path, finnhub__rest_url=server.url)
        fetch(own, "MINE")
        reports.append(BARE | {"accessNumber": "0000000001-26-000003", "endDate": "2025-12-31 00:00:00"})
        assert outcome(fetch(own, "MINE", request=FetchRequest(fresh_for=0)), "MINE").new == 1


def test_what_has_gone_from_the_lake_is_fetched_again(sim: Simulator, tmp_path: Path) -> None:
    own = settings(sim, tmp_path)
    fetch(own, "AAPL")
    before = objects(own)
    oldest = read_filings(own, "AAPL")[0].accession
    open_store(own).delete([raw_filing_key("AAPL", oldest)])
    assert outcome(fetch(own, "AAPL"), "AAPL")[1:3] == ("fetched", 1)
    assert objects(own) == before


@pytest.mark.parametrize("first", [FetchRequest(), RECENT])
def test_what_has_gone_is_fetched_from_where_the_first_fetch_began(sim: Simulator, tmp_path: Path, first: FetchRequest) -> None:
    """Also with a later start, and no more than was there."""
    own = settings(sim, tmp_path)
    fetch(own, "AAPL", request=first)
    before = objects(own)
    oldest = read_filings(own, "AAPL")[0].accession
    open_store(own).delete([raw_filing_key("AAPL", oldest)])
    assert outcome(fetch(own, "AAPL", request=SHORT), "AAPL")[1:3] == ("fetched", 1)
    assert objects(own) == before


def test_amendments_are_kept_beside_what_they_amend(sim: Simulator, tmp_path: Path) -> None:
    own = settings(sim, tmp_path)
    fetch(own, "AAPL")
    filings = read_filings(own, "AAPL")
    amended = [one for one in filings if one.form.endswith("/A")]
    period = (amended[0].start, amended[0].end)
    originals = [one for one in filings if not one.form.endswith("/A") and (one.start, one.end) == period]
    assert len(amended) == len(originals) == 1
    assert amended[0].accession != originals[0].accession


def test_a_dry_run_puts_nothing(sim: Simulator, tmp_path: Path) -> None:
    own = settings(sim, tmp_path)
    run = fetch(own, "AAPL", request=FetchRequest(since=date(2026, 1, 1), dry_run=True))
    assert outcome(run, "AAPL").new >= 3
    assert objects(own) == {}
    assert not any(path.is_file() for path in (tmp_path / "lake").rglob("*"))


def test_the_whole_market_is_its_common_stock_in_dollars(tmp_path: Path) -> None:
    with simulator(symbols=["AAPL", "KO", "SPY", "BINANCE:BTCUSDT"]) as sim:
        run = fetch(settings(sim, tmp_path), request=SHORT, all_us=True)
    assert states(run) == {"AAPL": "fetched", "KO": "fetched"}


def test_one_symbols_failure_stops_no_other_and_is_reported(tmp_path: Path) -> None:
    with simulator() as sim:
        own = settings(sim, tmp_path, filings__workers="1")
        run = fetch(own, "AAPL", "nosuch", "SAP.DE", "SPY", "MSFT", request=SHORT)
        assert states(run) == {"AAPL": "fetched", "nosuch": "failed", "SAP.DE": "failed", "SPY": "none", "MSFT": "fetched"}
        assert "knows no symbol nosuch" in outcome(run, "nosuch").detail
        assert "plan of this key" in outcome(run, "SAP.DE").detail
        assert isinstance(run.failure, StockctlError)
        assert run.failure.exit_code == 1
        assert "2 symbols failed" in str(run.failure)
        failure = fetch(own, "SAP.DE").failure
        assert failure is not None
        assert failure.exit_code == 4
        assert read_state(open_store(own), "nosuch") is None


def test_a_server_that_fails_now_and_then_loses_nothing(sim: Simulator, tmp_path: Path) -> None:
    with simulator(rest_errors=0.3, seed=5) as shaky:
        run = fetch(settings(shaky, tmp_path / "shaky"), "AAPL", "MSFT", "KO", request=RECENT)
        assert run.failure is None
    with simulator(seed=5) as steady:
        fetch(settings(steady, tmp_path / "steady"), "AAPL", "MSFT", "KO", request=RECENT)
        assert objects(settings(steady, tmp_path / "steady")) == objects(settings(steady, tmp_path / "shaky"))


def test_a_wrong_key_ends_the_run_at_once(tmp_path: Path) -> None:
    with simulator(token="right") as sim:
        own = settings(sim, tmp_path, finnhub__token="wrong", filings__workers="1")
        run = fetch(own, "AAPL", "MSFT", "KO")
    assert states(run) == {"AAPL": "failed", "MSFT": "not tried", "KO": "not tried"}
    assert isinstance(run.failure, RefusedError)


def test_a_limit_that_stays_reached_ends_the_run(tmp_path: Path) -> None:
    """Asking on for thousands of symbols would keep the key busy for hours without a result."""
    with simulator() as sim:
        own = settings(sim, tmp_path, filings__workers="1", finnhub__request_tries="1", finnhub__request_window="1s")
        sim.fail_requests(429)
        run = fetch(own, "AAPL", "MSFT", request=SHORT)
    assert states(run) == {"AAPL": "failed", "MSFT": "not tried"}
    assert isinstance(run.failure, RefusedError)


def test_garbage_fails_its_symbol(tmp_path: Path) -> None:
    with simulator() as sim:
        sim.fail_requests(200)
        run = fetch(settings(sim, tmp_path, filings__workers="1"), "AAPL", "MSFT", request=SHORT)
        assert states(run) == {"AAPL": "failed", "MSFT": "fetched"}
        assert "sent an unreadable response" in outcome(run, "AAPL").detail


def given(folder: Path, *items: Mapping[str, object]) -> Path:
    (folder / "given").mkdir()
    (folder / "given" / "mine.json").write_text(json.dumps({"symbol": "MINE", "cik": "1", "data": list(items)}))
    return folder / "given"


BARE = {"accessNumber": "0000000001-25-000001", "symbol": "MINE", "form": "10-K", "endDate": "2024-12-31 00:00:00"}


@pytest.mark.parametrize("report", [None, {}, {"bs": [], "ic": None, "cf": []}])
def test_a_report_without_statements_is_kept(tmp_path: Path, report: object) -> None:
    with simulator(filings=given(tmp_path, BARE | {"report": report})) as sim:
        own = settings(sim, tmp_path)
        assert outcome(fetch(own, "MINE"), "MINE")[1:4] == ("fetched", 1, 1)
        assert [filing.bs for filing in read_filings(own, "MINE")] == [()]
        assert outcome(fetch(own, "MINE", request=FetchRequest(full=True)), "MINE").state == "up to date"


def test_what_is_no_report_is_not_kept_and_the_others_are(tmp_path: Path) -> None:
    bad = BARE | {"accessNumber": "0000000001-25-000002", "report": {"bs": "lost"}}
    with simulator(filings=given(tmp_path, BARE | {"report": {}}, bad)) as sim:
        own = settings(sim, tmp_path)
        run = fetch(own, "MINE")
        assert outcome(run, "MINE").state == "failed"
        assert "0000000001-25-000002" in str(run.failure)
        assert stored_accessions(open_store(own), "MINE").raw == {"0000000001-25-000001"}


def test_a_lake_of_real_data_takes_no_simulated_filings(sim: Simulator, tmp_path: Path) -> None:
    own = settings(sim, tmp_path)
    open_store(own).put_new("_log/source.json", b'{"source":"finnhub"}')
    with pytest.raises(StockctlError, match="would mix"):
        fetch(own, "AAPL")
    assert fetch(settings(sim, tmp_path, lake__extra_sources="sim"), "AAPL", request=SHORT).failure is None


def test_what_cannot_be_requested_is_reported_before_anything_is_asked(sim: Simulator, tmp_path: Path) -> None:
    asked = sim.counters.requests
    with pytest.raises(UsageError, match="BINANCE:BTCUSDT has no filings"):
        fetch(settings(sim, tmp_path), "BINANCE:BTCUSDT")
    with pytest.raises(ConfigError, match="none of the configured symbols"):
        fetch(settings(sim, tmp_path, symbols="BINANCE:BTCUSDT"))
    assert sim.counters.requests == asked
    assert states(fetch(settings(sim, tmp_path, symbols="BINANCE:BTCUSDT,KO"), request=SHORT)) == {"KO": "fetched"}


def test_a_lake_that_is_away_ends_the_run(sim: Simulator, tmp_path: Path) -> None:
    own = settings(
        sim,
        tmp_path,
        lake__url="s3://market/x",
        s3__endpoint_url=f"http://127.0.0.1:{free_port()}",
        s3__region="us-east-1",
        s3__access_key_id="a",
        s3__secret_access_key="b",
        lake__store_wait="500ms",
    )
    with pytest.raises(LakeError) as raised:
        fetch(own, "AAPL")
    assert raised.value.exit_code == 5


def test_a_damaged_state_is_reported_with_its_key_and_stops_no_other_symbol(sim: Simulator, tmp_path: Path) -> None:
    own = settings(sim, tmp_path, filings__workers="1")
    open_store(own).put(fetch_state_key("AAPL"), b"{")
    run = fetch(own, "AAPL", "MSFT", request=SHORT)
    assert fetch_state_key("AAPL") in str(run.failure)
    assert states(run) == {"AAPL": "failed", "MSFT": "fetched"}


def test_many_symbols_meet_no_429_and_take_no_longer_than_the_limits_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 48 requests in a minute, and 30 in any second; three requests a symbol, each of which takes no time."""
    clock = Clock()
    monkeypatch.setattr(rate_limit, "time", clock)
    monkeypatch.setattr(rest, "time", clock)
    monkeypatch.setattr(finnhub_rest, "RateLimit", clock.limit())
    symbols = [f"{first}{second}" for first in "ABCDEF" for second in "ABCDEFGHIJ"]
    with Simulator(rate=0, symbols=symbols, requests_per_minute=48, requests_per_second=30, seed=3) as sim:
        own = settings(sim, tmp_path, finnhub__requests_per_minute="48", finnhub__requests_per_second="30")
        run = fetch(own, request=SHORT, all_us=True)
        counters = sim.counters
    assert run.failure is None
    assert list(states(run).values()) == ["fetched"] * 60
    assert counters.requests >= 180
    assert counters.limited == 0
    minutes, rest_of_one = divmod(counters.requests - 1, 48)
    assert clock.now == 60 * minutes + rest_of_one // 30
