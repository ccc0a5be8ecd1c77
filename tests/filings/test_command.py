"""``stockctl filings fetch|list|show`` as a process: what it writes, its exit codes, staying, and leaving."""

from __future__ import annotations

import csv
import json
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from stockctl.sim import Simulator
from tests.clients.test_finnhub_rest import Server
from tests.command import HANG, Command
from tests.conftest import free_port, wait_for
from tests.filings.fetching import command, settings, simulator
from tests.filings.fetching import fetch as fetched


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with simulator() as running:
        yield running


@pytest.fixture
def own(sim: Simulator, tmp_path: Path) -> Command:
    """The command, with a lake that holds nothing yet."""
    (tmp_path / "lake").mkdir()
    return command(sim, tmp_path)


def test_the_closing_table_is_on_stdout_and_words_on_stderr(own: Command) -> None:
    result = own.run("filings", "fetch", "aapl,nosuch", "--since", "2026-06-01", "-o", "json", check=1)
    rows = {row["symbol"]: row for row in json.loads(result.stdout)}
    assert (rows["AAPL"]["state"], rows["NOSUCH"]["state"]) == ("fetched", "failed")
    assert "2 symbols, 2 new reports stored in file://" in result.stderr
    assert "error: Finnhub knows no symbol NOSUCH\n  try: check its spelling" in result.stderr
    again = own.run("filings", "fetch", "AAPL", "--since", "2026-06-01")
    assert "fresh" in again.stdout
    dry = own.run("filings", "fetch", "AAPL", "--full", "--dry-run")
    assert "new reports to store" in dry.stderr


def test_each_failure_has_its_exit_code(sim: Simulator, own: Command, tmp_path: Path) -> None:
    def error_of(code: int, *arguments: str, **environment: str) -> str:
        before = dict(own.environment)
        own.environment |= {f"STOCKCTL_FINNHUB__{name}": value for name, value in environment.items()}
        result = own.run("filings", "fetch", *(arguments or ("AAPL",)), check=code)
        own.environment = before
        assert "Traceback" not in result.stderr
        return result.stderr

    assert "finnhub.token is not set" in error_of(3, REST_URL="https://finnhub.io/api/v1")
    assert "free plan" in error_of(4, "SAP.DE")
    assert "cannot reach Finnhub" in error_of(5, REST_URL=f"http://127.0.0.1:{free_port()}/api/v1", REQUEST_TRIES="1")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/api/v1"
        assert "did not answer" in error_of(6, REST_URL=url, REQUEST_TRIES="1", REQUEST_TIMEOUT="200ms")
    sim.fail_requests(200)
    assert "sent an unreadable response" in error_of(1)
    with simulator(token="right") as other:
        assert "refuses the key: Invalid API key." in error_of(4, REST_URL=other.rest_url, TOKEN="wrong-key-4711")
        assert "4711" not in error_of(4, REST_URL=other.rest_url, TOKEN="wrong-key-4711")


@pytest.mark.parametrize(
    "arguments",
    [
        ("fetch", "AAPL", "--all-us"),
        ("fetch", "AAPL", "--since", "soon"),
        ("fetch", "AAPL", "--repeat", "often"),
        ("fetch", "AAPL", "--repeat", "0"),
        ("fetch", "AAPL", "--repeat", "7d", "--dry-run"),
        ("fetch", "AAPL", "--health-port", "1"),
        ("fetch", "BINANCE:BTCUSDT"),
        ("show", "AAPL", "7"),
        ("show", "AAPL", "latest", "-s", "profit"),
        ("show", "0000000000-00-000000"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error_with_a_hint(own: Command, arguments: tuple[str, ...]) -> None:
    assert "try: " in own.run("filings", *arguments, check=2).stderr


def test_filings_are_listed_with_dates_and_links(sim: Simulator, own: Command, tmp_path: Path) -> None:
    fetched(settings(sim, tmp_path), "AAPL")
    rows = list(csv.DictReader(own.run("filings", "list", "AAPL", "--last", "8", "-o", "csv").stdout.splitlines()))
    assert len(rows) == 8
    assert [row["accepted"] for row in rows] == sorted((row["accepted"] for row in rows), reverse=True)
    assert set(rows[0]) >= {"form", "filed", "accepted", "period_end", "accession", "report", "index"}
    assert rows[0]["accepted"].endswith(("-05:00", "-04:00"))
    assert rows[0]["report"].startswith("https://www.sec.gov/")
    annual = own.run("filings", "list", "AAPL", "--form", "10-k/a", "--tz", "UTC", "-o", "jsonl").stdout.splitlines()
    assert [json.loads(row)["form"] for row in annual] == ["10-K/A"]
    assert json.loads(annual[0])["accepted"].endswith("+00:00")
    none = own.run("filings", "list", "MSFT")
    assert "holds no such filing" in none.stderr


@pytest.mark.parametrize("arguments", [("show", "AAPL"), ("statement", "AAPL", "income"), ("kpis", "AAPL"), ("check", "AAPL")])
def test_a_symbol_without_filings_is_reported_alike(own: Command, arguments: tuple[str, ...]) -> None:
    result = own.run("filings", *arguments, check=2)
    assert "holds no filing of AAPL\n  try: `stockctl filings fetch AAPL`" in result.stderr


def test_a_filing_is_shown_readably_as_received_and_as_rows(sim: Simulator, own: Command, tmp_path: Path) -> None:
    fetched(settings(sim, tmp_path), "AAPL")
    text = own.run("filings", "show", "AAPL").stdout
    number = next(line.split()[1] for line in text.splitlines() if line.startswith("accession"))
    assert "balance, as reported" in text
    assert "cashflow, as reported" in text
    assets = next(line for line in text.splitlines() if line.startswith("Total assets "))
    raw = json.loads(own.run("filings", "show", number, "-o", "json").stdout)
    assert raw["accessNumber"] == number
    value = next(item["value"] for item in raw["report"]["bs"] if item["concept"] == "us-gaap_Assets")
    assert f" {value:,} " in assets
    income = own.run("filings", "show", "AAPL", number, "-s", "income").stdout
    assert "balance, as reported" not in income
    rows = list(csv.DictReader(own.run("filings", "show", "AAPL", "-s", "income", "-o", "csv").stdout.splitlines()))
    assert {row["statement"] for row in rows} == {"ic"}
    assert len(rows) == len(raw["report"]["ic"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_fetch_that_waits_for_its_limit(tmp_path: Path, number: signal.Signals) -> None:
    with simulator(requests_per_minute=4) as sim:
        own = command(sim, tmp_path, finnhub__requests_per_minute="4", finnhub__request_window="1h")
        process = own.start("filings", "fetch", "AAPL", "MSFT", "KO", "XOM", "--since", "2026-06-01")
        wait_for(lambda: sim.counters.requests == 4, "the first requests")
        process.send_signal(number)
        assert process.wait(HANG) == 1
        assert sim.counters.requests == 4
    text = (tmp_path / "filings.log").read_text()
    assert "symbols not tried" in text
    assert "Traceback" not in text


def test_staying_each_symbol_is_fetched_again_when_it_is_due(sim: Simulator, tmp_path: Path) -> None:
    """And no sooner: between two rounds of a symbol's requests lies the time of --repeat."""
    asked: dict[str, list[float]] = {"AAPL": [], "MSFT": []}

    def served(_number: int, path: str) -> tuple[int, dict[str, str], bytes]:
        query = parse_qs(urlsplit(path).query)
        symbol, annual = query["symbol"][0], query.get("freq") == ["annual"]
        if annual:
            asked[symbol].append(time.monotonic())
        number = f"0000000001-25-00000{list(asked).index(symbol)}"
        report = {"accessNumber": number, "symbol": symbol, "form": "10-K", "endDate": "2024-12-31 00:00:00", "report": {}}
        return 200, {}, json.dumps({"data": [report] if annual else []} if "reported" in path else []).encode()

    port = free_port()
    with Server(served) as server:
        own = command(sim, tmp_path, finnhub__rest_url=server.url)
        process = own.start("filings", "fetch", "AAPL", "MSFT", "--repeat", "1s", "--health-port", str(port))
        try:
            wait_for(lambda: min(len(moments) for moments in asked.values()) >= 3, "the third round")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=HANG) as health:
                assert health.read() == b"ok\n"
        finally:
            process.terminate()
            assert process.wait(HANG) == 0
    # The time of the last fetch in a symbol's state is cut to milliseconds.
    assert all(later - earlier > 0.998 for moments in asked.values() for earlier, later in pairwise(moments))
    text = (tmp_path / "filings.log").read_text()
    assert "2 symbols: 2 fetched" in text
    assert "2 symbols: 2 up to date" in text or "1 symbol: 1 up to date" in text
    assert "Traceback" not in text


def test_staying_a_symbol_that_the_plan_lacks_ends_no_fetch(sim: Simulator, tmp_path: Path) -> None:
    process = command(sim, tmp_path).start("filings", "fetch", "SAP.DE", "AAPL", "--since", "2026-06-01", "--repeat", "1s")
    try:
        wait_for(lambda: (tmp_path / "filings.log").read_text().count("SAP.DE: the plan of this key") >= 2, "the second round")
        assert list((tmp_path / "lake" / "raw").rglob("*.json"))
    finally:
        process.terminate()
        assert process.wait(HANG) == 0


@pytest.mark.parametrize(
    ("status", "words"), [(502, "HTTP 502"), (429, "rate limit of the API key at Finnhub is still exceeded")]
)
def test_staying_trouble_passes_and_a_wrong_key_does_not(tmp_path: Path, status: int, words: str) -> None:
    with simulator(token="right") as sim:
        own = command(sim, tmp_path, finnhub__token="right", finnhub__request_tries="1", finnhub__request_window="1s")
        sim.fail_requests(status)
        process = own.start("filings", "fetch", "AAPL", "--since", "2026-06-01", "--repeat", "1s")
        wait_for(lambda: list((tmp_path / "lake" / "raw").rglob("*.json")), "the filings")
        process.terminate()
        assert process.wait(HANG) == 0
        assert words in (tmp_path / "filings.log").read_text()
        wrong = command(sim, tmp_path, finnhub__token="wrong")
        assert "refuses the key" in wrong.run("filings", "fetch", "MSFT", "--repeat", "1s", check=4).stderr
