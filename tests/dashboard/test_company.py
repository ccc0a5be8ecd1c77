"""The company panel: equal to ``company show``, ``filings kpis`` and ``filings statement`` of the same moment."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from stockctl.dashboard.app import create_app
from stockctl.dashboard.company import company_answer
from stockctl.dashboard.stored_filings import filing_flags
from stockctl.errors import UsageError
from stockctl.exchange.calendar import from_ms, now_ms, to_ms, trade_date
from stockctl.filings.repository import read_filings
from stockctl.symbols import UnknownSymbolError
from tests.conftest import MongoServer
from tests.dashboard.fetched import Fetched, fetched_company, given_times
from tests.dashboard.stores import stores
from tests.filings.stored import store_report
from tests.lakes import at, trade

CRYPTO = "BINANCE:BTCUSDT"
OPEN = at("2026-11-23 09:30")
CELL = ("value", "unit", "derived", "how", "concept", "accession", "accepted", "replaced", "notes")


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory, mongo_server: MongoServer) -> Iterator[Fetched]:
    """Fetched from the simulator, with trades before and after a moment."""
    rows = [trade(symbol, OPEN + ms, 260.0 + ms / 1000, source="sim") for ms in (1000, 2000) for symbol in ("AAPL", CRYPTO)]
    with fetched_company(tmp_path_factory.mktemp("company"), mongo_server, rows) as found:
        yield found


def cells(statement: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Item, label, last day and the cell's fields, of each cell."""
    return [
        (row["item"], row["label"], end, *(cell[name] for name in CELL))
        for row in statement["rows"]
        for end, cell, value in zip(statement["periods"], row["cells"], row["values"], strict=True)
        if cell["value"] == value
    ]


def accessions(answer: dict[str, Any]) -> set[str]:
    """The reports from which the statements' values come."""
    return {cell["accession"] for part in answer["statements"].values() for row in part["rows"] for cell in row["cells"]}


def same_statements(fetched: Fetched, answer: dict[str, Any], *options: str) -> None:
    """The statements of ``answer`` are those of the command."""
    assert list(answer["statements"]) == ["income", "balance", "cashflow"]
    for which, statement in answer["statements"].items():
        rows = fetched.json("filings", "statement", "AAPL", which, *options)
        expected = [(row["item"], row["label"], row["period_end"], *(row[name] for name in CELL)) for row in rows]
        assert sorted(map(repr, cells(statement))) == sorted(map(repr, expected))


def same_as_commands(fetched: Fetched, answer: dict[str, Any], *options: str) -> None:
    """KPIs and statements of ``answer`` are those of the commands."""
    same_statements(fetched, answer, *options)
    expected = fetched.json("filings", "kpis", "AAPL", "--explain", *options)
    assert [{name: row[name] for name in expected[0]} for row in answer["kpis"]] == expected


def test_the_answer_is_what_the_commands_give(fetched: Fetched) -> None:
    """Document, KPIs and statements, for a symbol in any case."""
    answer = company_answer(fetched.settings, "aapl")
    assert json.loads(json.dumps(answer)) == answer
    assert answer["symbol"] == "AAPL"
    assert answer["document"] == fetched.json("company", "show", "AAPL")
    assert all(len(statement["periods"]) > 1 for statement in answer["statements"].values())
    same_as_commands(fetched, answer)


def test_each_kpi_says_how_it_is_computed(fetched: Fetched) -> None:
    """Name, label, formula and inputs; P/E from the lake's last trade."""
    kpis = {kpi["name"]: kpi for kpi in company_answer(fetched.settings, "AAPL")["kpis"]}
    pe = kpis["pe"]
    assert (pe["label"], pe["unit"], pe["formula"]) == ("P/E", "x", "price / eps")
    price, eps = (one["value"] for one in pe["inputs"])
    assert (price, pe["value"]) == (262.0, price / eps)
    assert kpis["gross_margin"]["label"] == "Gross margin"


def test_notes_name_no_flags_of_a_command(fetched: Fetched) -> None:
    """A page has none."""
    notes = company_answer(fetched.settings, "AAPL", period="quarter")["notes"]
    assert any("derived" in note for note in notes)
    assert any("risk-free rate" in note for note in notes)
    assert [note for note in notes if re.search(r"\bflags\b|(^|\s)--?[a-z]", note)] == []


@pytest.mark.parametrize("period", ["quarter", "ttm"])
def test_other_periods(fetched: Fetched, period: Any) -> None:
    """As ``--period`` and ``--last`` choose them."""
    answer = company_answer(fetched.settings, "AAPL", period=period, last=3)
    assert [len(statement["periods"]) for statement in answer["statements"].values()] == [3, 3, 3]
    same_statements(fetched, answer, "--period", period, "--last", "3")


def test_as_of_a_moment_without_what_came_later(fetched: Fetched) -> None:
    """Filings and price of that time; no last trade and no session of today."""
    given_times(fetched.settings, by=0)
    moment = from_ms(OPEN + 1500).isoformat()
    answer = company_answer(fetched.settings, "AAPL", moment)
    same_as_commands(fetched, answer, "--as-of", moment)
    assert answer["document"] is None
    assert any("last trade and session are left out" in note for note in answer["notes"])
    [price] = [one for kpi in answer["kpis"] if kpi["name"] == "pe" for one in kpi["inputs"] if one["name"] == "price"]
    assert price["value"] == 261.0


def test_as_of_uses_only_what_was_stored_by_then(fetched: Fetched) -> None:
    """Reports that were public and not in the lake yet are not shown, nor those of an unknown time; notes count them."""
    newest = [one for one in read_filings(fetched.settings, "AAPL") if one.known is not None][-1]
    assert newest.known is not None
    public = to_ms(newest.known)
    moment = from_ms(public + 60_000).isoformat()
    given_times(fetched.settings, by=public + 1000)
    assert newest.accession in accessions(company_answer(fetched.settings, "AAPL", moment, period="quarter"))
    given_times(fetched.settings, by=public + 1000, later=1)
    answer = company_answer(fetched.settings, "AAPL", moment, period="quarter")
    assert newest.accession not in accessions(answer)
    assert "1 report was public then, and stored later: left out" in answer["notes"]
    given_times(fetched.settings, by=0, unknown=2)
    notes = company_answer(fetched.settings, "AAPL", moment)["notes"]
    assert "2 reports have no recorded time of storage: left out" in notes


def test_before_anything_was_stored(fetched: Fetched) -> None:
    """Nothing, and why."""
    given_times(fetched.settings, by=now_ms())
    answer = company_answer(fetched.settings, "AAPL", from_ms(now_ms() - 60_000).isoformat())
    assert (answer["kpis"], answer["statements"]) == ([], {})
    assert any("stored later: left out" in note for note in answer["notes"])


def test_a_cryptocurrency_has_a_document_and_no_filings(fetched: Fetched) -> None:
    """It says so."""
    answer = company_answer(fetched.settings, CRYPTO.lower())
    assert answer["document"] == fetched.json("company", "show", CRYPTO)
    assert (answer["kpis"], answer["notes"]) == ([], [f"filings: {CRYPTO} is no share of a company, so it has none"])


def test_unknown_symbols_and_times_are_refused(fetched: Fetched) -> None:
    """With what is near."""
    with pytest.raises(UnknownSymbolError) as caught:
        company_answer(fetched.settings, "AAPLE")
    assert caught.value.hint == "did you mean AAPL?"
    with pytest.raises(UsageError, match="not one symbol"):
        company_answer(fetched.settings, "AAPL,MSFT")
    with pytest.raises(UsageError, match="not a date or time"):
        company_answer(fetched.settings, "AAPL", "noon")


def test_without_mongodb_there_is_the_rest(tmp_path: Path) -> None:
    """A note for each part that is not there: MongoDB refuses, and the lake has no filing."""
    own = stores(tmp_path, None, [trade("AAPL", OPEN, 10.0)], mongo__url="mongodb://127.0.0.1:9/").settings
    answer = company_answer(own, "AAPL")
    assert (answer["document"], answer["kpis"], answer["statements"]) == (None, [], {})
    assert [note.partition(":")[0] for note in answer["notes"]] == ["company", "filings"]
    assert "`stockctl filings fetch AAPL`" in answer["notes"][1]


def test_flags_are_at_the_time_of_acceptance(tmp_path: Path) -> None:
    """Those of the date, and the last one before it, as stored by then."""
    own = stores(tmp_path, None, [trade("AAPL", OPEN, 10.0)]).settings
    moment = at("2026-11-02 16:30:05")
    first, second, third = store_report(own, "2026-11-02 16:30:05", moment, moment + 60_000, None)
    flags = filing_flags(own, "AAPL", date(2026, 11, 2))
    assert [(flag["at"], flag["accession"], flag["earlier"]) for flag in flags] == [
        (moment, number, False) for number in (first, second, third)
    ]
    assert flags[0]["text"] == f"10-Q to 2026-09-30, accepted 2026-11-02 16:30:05 EST, {first}"
    assert (flags[0]["form"], flags[0]["period"]) == ("10-Q", "2026-09-30")
    assert [flag["accession"] for flag in filing_flags(own, "AAPL", date(2026, 11, 2), moment + 1000)] == [first]
    assert filing_flags(own, "AAPL", date(2026, 11, 2), moment - 1) == []
    [last] = filing_flags(own, "AAPL", date(2026, 11, 3))
    assert (last["accession"], last["earlier"]) == (third, True)
    assert filing_flags(own, "AAPL", date(2026, 11, 1)) == filing_flags(own, "MSFT", date(2026, 11, 2)) == []


def test_flags_of_a_day_are_the_filings_that_the_command_lists(fetched: Fetched) -> None:
    """For each acceptance date."""
    rows = fetched.json("filings", "list", "AAPL")
    for row in rows[:3]:
        day = trade_date(at(row["accepted"]))
        today = [flag for flag in filing_flags(fetched.settings, "AAPL", day) if not flag["earlier"]]
        assert [flag["accession"] for flag in today] == [
            other["accession"] for other in reversed(rows) if trade_date(at(other["accepted"])) == day
        ]


def test_a_new_report_is_read_again(tmp_path: Path) -> None:
    """Parsed reports are kept only as long as the lake has the same ones."""
    own = stores(tmp_path, None, [trade("AAPL", OPEN, 10.0)]).settings
    store_report(own, "2026-11-02 16:30:05", 1)
    assert len(filing_flags(own, "AAPL", date(2026, 11, 2))) == 1
    store_report(own, "2026-11-02 16:30:05", 1, 1)
    assert len(filing_flags(own, "AAPL", date(2026, 11, 2))) == 2


def test_the_routes_give_the_same(fetched: Fetched) -> None:
    """Over HTTP, with the errors of the API."""
    client = TestClient(create_app(fetched.settings), base_url="http://localhost")
    assert client.get("/api/company/AAPL").json() == company_answer(fetched.settings, "AAPL")
    moment = "2026-11-23T09:30:01.500-05:00"
    answer = client.get("/api/company/aapl", params={"as_of": moment, "period": "ttm", "last": 2}).json()
    assert answer == company_answer(fetched.settings, "AAPL", moment, period="ttm", last=2)
    assert client.get("/api/gaps", params={"symbol": "AAPL", "date": "2026-11-23", "session": "all"}).json()["gaps"] == []
    refusals = {
        "/api/company/AAPLE": 404,
        "/api/company/AAPL?as_of=noon": 400,
        "/api/company/AAPL?as_of=9999-12-31": 200,
        "/api/company/AAPL?period=decade": 400,
        "/api/gaps?symbol=AAPLE": 404,
        "/api/gaps?date=noon": 400,
        "/api/gaps?as_of=0001-01-01": 200,
        "/api/gaps?session=night": 400,
    }
    assert {path: client.get(path).status_code for path in refusals} == refusals
