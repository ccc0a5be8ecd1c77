"""The REST half: who gets in, how much may be asked, what is answered and in which shape."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stockctl.errors import UsageError
from stockctl.sim import Simulator, parse_fault
from tests.command import HANG

ACCESS = "You don't have access to this resource."


def ask(sim: Simulator, path: str, *, key: str = "k") -> tuple[int, Any]:
    """Status and body of a request with the key in its header; the body as JSON if it is that."""
    request = urllib.request.Request(sim.rest_url + path, headers={"X-Finnhub-Token": key} if key else {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=HANG) as response:  # noqa: S310
            status, body = response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            status, body = error.code, error.read()
    try:
        return status, json.loads(body)
    except ValueError:
        return status, body.decode()


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(rate=0, requests_per_minute=1000, requests_per_second=1000) as running:
        yield running


def test_a_key_is_needed_in_the_header_or_the_query() -> None:
    with Simulator(rate=0, token="right") as sim:
        assert ask(sim, "/quote?symbol=AAPL", key="") == (401, {"error": "Please use an API key."})
        assert ask(sim, "/quote?symbol=AAPL", key="wrong") == (401, {"error": "Invalid API key."})
        assert ask(sim, "/quote?symbol=AAPL&token=right", key="")[0] == 200
        assert ask(sim, "/quote?symbol=AAPL", key="right")[0] == 200
        assert sim.counters.requests == 2


def test_both_limits_are_kept_and_counted() -> None:
    with Simulator(rate=0, requests_per_minute=5, requests_per_second=1000) as sim:
        answers = [ask(sim, "/quote?symbol=AAPL") for _ in range(7)]
        assert [status for status, _ in answers] == [200] * 5 + [429] * 2
        assert answers[-1][1] == {"error": "API limit reached. Please try again later. Remaining Limit: 0"}
        assert (sim.counters.requests, sim.counters.limited) == (7, 2)
        assert ask(sim, "/quote?symbol=AAPL", key="another")[0] == 200
    with Simulator(rate=0, requests_per_minute=1000, requests_per_second=2) as sim:
        assert {ask(sim, "/quote?symbol=AAPL")[0] for _ in range(8)} == {200, 429}


def test_reports_come_newest_first_by_frequency_and_from_a_day_on(sim: Simulator) -> None:
    _, annual = ask(sim, "/stock/financials-reported?symbol=AAPL")
    _, quarterly = ask(sim, "/stock/financials-reported?symbol=AAPL&freq=quarterly&from=2024-01-01")
    assert annual["symbol"] == "AAPL"
    assert {one["form"] for one in annual["data"]} == {"10-K", "10-K/A"}
    assert {one["quarter"] for one in annual["data"]} == {0}
    assert {one["form"] for one in quarterly["data"]} == {"10-Q"}
    filed = [one["filedDate"] for one in quarterly["data"]]
    assert filed == sorted(filed, reverse=True)
    assert min(one["endDate"] for one in quarterly["data"]) >= "2024-01-01"
    first = quarterly["data"][0]
    assert set(first) == {
        *("accessNumber", "symbol", "cik", "year", "quarter", "form"),
        *("startDate", "endDate", "filedDate", "acceptedDate", "report"),
    }
    assert set(first["report"]["ic"][0]) == {"concept", "unit", "label", "value"}
    by_number = ask(sim, f"/stock/financials-reported?accessNumber={first['accessNumber']}&freq=quarterly")[1]
    by_cik = ask(sim, f"/stock/financials-reported?cik={first['cik']}&freq=quarterly&from=2024-01-01")[1]
    assert by_number["data"] == [first]
    assert by_cik["data"] == quarterly["data"]


def test_filings_have_links(sim: Simulator) -> None:
    _, found = ask(sim, "/stock/filings?symbol=AAPL&from=2025-01-01")
    names = {"accessNumber", "symbol", "cik", "form", "filedDate", "acceptedDate", "reportUrl", "filingUrl"}
    assert all(set(one) == names for one in found)
    assert found[0]["filingUrl"].endswith(f"{found[0]['accessNumber']}-index.html")


def test_the_symbol_list_is_elsewhere(sim: Simulator) -> None:
    status, symbols = ask(sim, "/stock/symbol?exchange=US")
    assert status == 200  # urllib has gone where the 302 sent it
    kinds = {(one["symbol"], one["mic"], one["currency"], one["type"]) for one in symbols}
    assert ("AAPL", "XNAS", "USD", "Common Stock") in kinds
    assert ("SPY", "XNYS", "USD", "ETP") in {(s, "XNYS", c, t) for s, _, c, t in kinds}
    assert any(mic == "OOTC" for _, mic, _, _ in kinds)


def test_what_is_unknown_or_not_in_the_plan(sim: Simulator) -> None:
    assert ask(sim, "/stock/financials-reported?symbol=nosuch") == (200, {"cik": "", "data": [], "symbol": "nosuch"})
    assert ask(sim, "/stock/financials-reported?symbol=SPY")[1]["data"] == []
    assert ask(sim, "/quote?symbol=nosuch")[1] == {"c": 0, "d": None, "dp": None, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0}
    assert ask(sim, "/stock/profile2?symbol=SPY") == (200, {})
    assert ask(sim, "/stock/profile2?symbol=AAPL")[1]["ticker"] == "AAPL"
    assert ask(sim, "/stock/financials-reported?symbol=SAP.DE") == (403, {"error": ACCESS})
    assert ask(sim, "/no/such")[0] == 404


def test_requests_fail_on_demand(sim: Simulator) -> None:
    sim.fail_requests(502, times=2)
    sim.fail_requests(200)
    sim.fail_requests(403)
    answers = [ask(sim, "/quote?symbol=AAPL") for _ in range(5)]
    assert [status for status, _ in answers] == [502, 502, 200, 403, 200]
    assert isinstance(answers[2][1], str)
    assert parse_fault("rest@5s:garbagex2")[-2:] == (200, 2)
    assert parse_fault("rest@0s").status == 502
    with pytest.raises(UsageError):
        parse_fault("rest@0s:soon")


def test_a_share_of_requests_fails() -> None:
    with Simulator(rate=0, rest_errors=0.5, requests_per_minute=1000, requests_per_second=1000) as sim:
        statuses = [ask(sim, "/quote?symbol=AAPL")[0] for _ in range(40)]
    assert set(statuses) == {200, 502}


def test_filings_of_the_user_take_the_place_of_generated_ones(tmp_path: Path) -> None:
    one = {
        "accessNumber": "0000000001-25-000001",
        "cik": "1",
        "form": "10-K",
        "endDate": "2024-12-31 00:00:00",
        "filedDate": "2025-02-01 00:00:00",
        "report": {"bs": [], "ic": [], "cf": []},
    }
    (tmp_path / "a.json").write_text(json.dumps({"cik": "1", "symbol": "MINE", "data": [one]}))
    (tmp_path / "b.json").write_text(json.dumps(one | {"accessNumber": "0000000001-26-000001", "symbol": "MINE"}))
    with Simulator(rate=0, filings=tmp_path) as sim:
        found = ask(sim, "/stock/financials-reported?symbol=MINE")[1]["data"]
        assert [item["accessNumber"] for item in found] == ["0000000001-26-000001", "0000000001-25-000001"]
        assert ask(sim, "/stock/financials-reported?symbol=MINE&freq=quarterly")[1]["data"] == []
        assert ask(sim, "/stock/financials-reported?symbol=AAPL")[1]["data"]


@pytest.mark.parametrize("text", [None, "{", "[]", '{"data": 3}', '{"data": [{"symbol": "X"}]}'])
def test_a_folder_without_filings_is_an_error(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(UsageError, match=str(tmp_path)):
        Simulator(rate=0, filings=tmp_path).start()
