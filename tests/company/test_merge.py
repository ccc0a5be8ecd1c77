"""Trades and filings as one: the company's document, the view of trades with the filing known at their time, the command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stockctl.clients.kafka import Admin, Producer
from stockctl.clients.mongo import Document, Mongo
from stockctl.company.filing_fields import refresh_filings, refresh_together
from stockctl.exchange.calendar import now_ms
from stockctl.filings.collect.filing_document import document_of, filing_of
from stockctl.filings.fundamentals.periods import Span
from stockctl.filings.model import parse_filing
from stockctl.filings.repository import Links
from stockctl.mongo import schema
from stockctl.records import encode
from stockctl.settings import Settings, env_name, load_settings
from tests.command import Command, clean_environment
from tests.conftest import MongoServer, own_names
from tests.filings.fetching import fetch, settings, simulator
from tests.filings.reports import TSLA_2020, tesla, wire
from tests.lakes import at, trade
from tests.mongo.made import documents_of, refresh

OPEN = at("2021-02-08 09:30")
MINUTE = OPEN // 60_000 * 60_000


def database(server: MongoServer, folder: Path) -> dict[str, Any]:
    """Dotted settings of a database of its own, which keeps the trades of years ago."""
    name = f"merge-{folder.name}"[-60:]
    return {"mongo.url": server.url, "mongo.database": name, "mongo.connect_wait": "60s", "mongo.retention": "20000d"}


@pytest.fixture
def own(mongo_server: MongoServer, tmp_path: Path) -> Settings:
    """A database with Tesla's report for 2020, and a quarter's before it."""
    found = load_settings(environ=clean_environment(), flags=database(mongo_server, tmp_path))
    nine = Span(date(2020, 1, 1), date(2020, 9, 30))
    quarter = wire("0001564590-20-047486", nine, TSLA_2020, accepted="2020-10-26 07:35:04", symbol="TSLA")
    debts = tesla()
    debts["report"]["bs"] += [
        {"concept": "DebtCurrent", "unit": "usd", "label": "", "value": 2132000000},
        {"concept": "LongTermDebtNoncurrent", "unit": "usd", "label": "", "value": 9556000000},
    ]
    with Mongo(found) as mongo:
        schema.apply(mongo, found.mongo)
        documents = [document_of(parse_filing(one), "sim", Links()) for one in (quarter, debts)]
        assert mongo.upsert("filings", documents) == []
    return found


@pytest.fixture
def command(own: Settings, tmp_path: Path) -> Command:
    """The command with that database."""
    return Command(tmp_path, STOCKCTL_MONGO__URL=str(own.mongo.url), STOCKCTL_MONGO__DATABASE=own.mongo.database)


def put(own: Settings, moment: int, price: float, symbol: str = "TSLA") -> None:
    """Put a trade as the writer does, and what follows from it."""
    with Mongo(own) as mongo:
        assert mongo.upsert("trades", documents_of([trade(symbol, moment, price)])) == []
        refresh(mongo, own, {symbol: {moment // 60_000 * 60_000}})


def company(own: Settings, symbol: str = "TSLA") -> dict[str, Any]:
    with Mongo(own) as mongo:
        return mongo.get("companies", symbol) or {}


def test_a_filing_goes_into_its_document_and_back(own: Settings) -> None:
    filing = parse_filing(tesla())
    assert filing_of(document_of(filing, "sim", Links())) == filing
    with Mongo(own) as mongo:
        stored = mongo.get("filings", "TSLA-0001564590-20-047486")
    assert stored is not None
    assert filing_of(stored).end == date(2020, 9, 30)


def test_filings_and_trades_make_one_document_in_any_order(own: Settings) -> None:
    put(own, OPEN, 800.0)
    assert "filing" not in company(own)
    with Mongo(own) as mongo:
        refresh_filings(mongo, own.valuation, "TSLA")
        refresh_filings(mongo, own.valuation, "NONE")
        assert mongo.get("companies", "NONE") is None
    found = company(own)
    assert (found["filing"]["form"], found["filing"]["accession"]) == ("10-K", "0001564590-21-004599")
    assert found["filing"]["period_end"] == datetime(2020, 12, 31, tzinfo=UTC)
    assert found["kpis"]["gross_margin"] == pytest.approx(21.02, abs=0.005)
    assert found["kpis"]["free_cash_flow"] == 2786e6
    assert (found["kpis"]["eps"], found["kpis"]["currency"]) == (0.64, "usd")
    assert found["last"]["price"] == found["together"]["price"] == 800.0
    assert found["together"]["market_value"] == 800.0 * 1083e6
    assert found["together"]["pe"] == pytest.approx(1250.0)
    assert found["together"]["enterprise_value"] == pytest.approx(800.0 * 1083e6 + 11688e6 - 19384e6)
    assert 8.9 < found["together"]["wacc"] < 9.0

    # The next trade moves what both give together, and nothing of the filing.
    put(own, OPEN + 1_000, 640.0)
    again = company(own)
    assert again["together"]["pe"] == pytest.approx(1000.0)
    assert again["together"]["ts_event"] == datetime(2021, 2, 8, 14, 30, 1, tzinfo=UTC)
    assert (again["filing"], again["kpis"]) == (found["filing"], found["kpis"])


class Overtaken(Mongo):
    """Another writer comes between what is read of a company and what is then written, once."""

    def __init__(self, settings: Settings, other: Callable[[], object]) -> None:
        super().__init__(settings)
        self._others = iter([other])

    def get(self, name: str, id: str) -> Document | None:
        document = super().get(name, id)
        self._overtake()
        return document

    def find(self, *arguments: Any, **options: Any) -> Iterator[Document]:
        documents = list(super().find(*arguments, **options))
        if arguments[0] == "companies":
            self._overtake()
        return iter(documents)

    def _overtake(self) -> None:
        for other in self._others:
            other()


@pytest.mark.parametrize("first", [True, False])
def test_a_trade_that_comes_while_filings_are_read_keeps_its_price(own: Settings, first: bool) -> None:
    if not first:
        put(own, OPEN, 800.0)
    with Overtaken(own, lambda: put(own, OPEN + 1_000, 640.0)) as mongo:
        refresh_filings(mongo, own.valuation, "TSLA")
    assert company(own)["last"]["price"] == company(own)["together"]["price"] == 640.0
    assert company(own)["together"]["pe"] == pytest.approx(1000.0)


def test_a_filing_that_comes_while_trades_are_written_keeps_its_figures(own: Settings) -> None:
    put(own, OPEN, 640.0)
    with Mongo(own) as mongo:
        refresh_filings(mongo, own.valuation, "TSLA")
        figures = company(own)["figures"]
        changed = figures | {"eps": figures["eps"] | {"value": 2 * figures["eps"]["value"]}}
        other = partial(mongo.set_fields, "companies", "TSLA", {"figures": changed})
        with Overtaken(own, other) as overtaken:
            refresh_together(overtaken, own.valuation, ["TSLA"], lambda: None)
    assert company(own)["together"]["pe"] == pytest.approx(500.0)


def test_eps_of_before_a_split_gives_no_pe(own: Settings) -> None:
    """The price of after it would make P/E a fifth of what it is."""
    shares = {"ic": {"WeightedAverageNumberOfDilutedSharesOutstanding": 5415e6}}
    split = wire("0001564590-21-000003", Span(date(2021, 1, 1), date(2021, 3, 31)), shares, symbol="TSLA")
    put(own, OPEN, 160.0)
    with Mongo(own) as mongo:
        assert mongo.upsert("filings", [document_of(parse_filing(split), "sim", Links())]) == []
        refresh_filings(mongo, own.valuation, "TSLA")
    found = company(own)
    assert (found["kpis"]["eps"], found["together"]["pe"]) == (0.64, None)
    assert found["together"]["market_value"] == 160.0 * 5415e6
    put(own, OPEN + 1_000, 170.0)
    assert company(own)["together"]["pe"] is None


def test_filings_without_a_trade_leave_the_price_open(own: Settings) -> None:
    with Mongo(own) as mongo:
        refresh_filings(mongo, own.valuation, "TSLA")
    together = company(own)["together"]
    assert together["price"] is together["pe"] is together["market_value"] is None
    assert together["cost_of_equity"] == pytest.approx(9.0)


def test_each_trade_with_the_filing_that_was_known(own: Settings) -> None:
    """The report was accepted at 07:27:23 New York's time, 12:27:23 UTC: a minute before, the quarter's was the newest."""
    accepted = at("2021-02-08 07:27:23")
    moments = {at("2020-10-26 07:35:03"): None, at("2020-10-26 07:35:04"): "10-Q", accepted - 1: "10-Q", accepted: "10-K"}
    with Mongo(own) as mongo:
        rows = [trade("TSLA", moment, 1.0) for moment in moments] + [trade("AAPL", OPEN, 1.0)]
        assert mongo.upsert("trades", documents_of(rows)) == []
        found = list(mongo.find("trades_with_filings", {"symbol": "TSLA"}, sort=[("ts_event", 1)]))
        assert [one["filing"] and one["filing"]["form"] for one in found] == list(moments.values())
        assert found[-1]["filing"]["accession"] == "0001564590-21-004599"
        assert found[-1]["price"] == 1.0
        assert "report" not in found[-1]["filing"]
        assert next(mongo.find("trades_with_filings", {"symbol": "AAPL"}))["filing"] is None


def test_show_is_trade_and_filing_data_as_one(own: Settings, command: Command) -> None:
    put(own, OPEN, 640.0)
    with Mongo(own) as mongo:
        refresh_filings(mongo, own.valuation, "TSLA")
    document = json.loads(command.run("company", "show", "TSLA", "-o", "json").stdout)
    assert next(iter(document)) == "symbol"
    assert (document["filing"]["filed"], document["filing"]["period_end"]) == ("2021-02-08", "2020-12-31")
    assert document["filing"]["accepted"] == "2021-02-08T07:27:23-05:00"
    assert document["last"]["price"] == 640.0
    assert document["together"]["pe"] == pytest.approx(1000.0)
    assert "figures" not in document
    lines = dict(line.split(None, 1) for line in command.run("company", "show", "TSLA").stdout.splitlines() if " " in line)
    assert lines["filing.form"].strip() == "10-K"
    assert lines["filing.period_end"].strip() == "2020-12-31"
    assert lines["together.pe"].strip() == "1,000"
    assert lines["kpis.free_cash_flow"].strip() == "2,786,000,000"


def test_a_fetch_and_the_writer_keep_the_document_current(broker: str, mongo_server: MongoServer, tmp_path: Path) -> None:
    names = own_names(broker, tmp_path) | database(mongo_server, tmp_path) | {"mongo.group": f"merge-{tmp_path.name}"}
    stream = load_settings(environ=clean_environment(), flags=names)
    with simulator() as sim:
        more = {name.replace(".", "__"): value for name, value in database(mongo_server, tmp_path).items()}
        fetching = settings(sim, tmp_path, **more)
        fetch(fetching, "AAPL")
    found = company(stream, "AAPL")
    assert found["kpis"]["gross_margin"] > 0
    assert found["together"]["pe"] is None

    admin = Admin(stream)
    for topic in (stream.topics.trades, stream.topics.feed_events, stream.topics.signals, stream.topics.dead_letters):
        admin.create_topic(topic.name, 1, 1, {})
    producer = Producer(stream)
    record = trade("AAPL", now_ms(), 250.0, source="sim")
    producer.produce(stream.topics.trades.name, value=encode(record), key=b"AAPL", timestamp=record.ts_recv)
    assert producer.flush(30) == 0
    command = Command(tmp_path, **{env_name(name): value for name, value in names.items()})
    command.run("consume", "mongo", "--once")
    after = company(stream, "AAPL")
    assert after["last"]["price"] == after["together"]["price"] == 250.0
    assert after["together"]["pe"] == pytest.approx(250.0 / found["kpis"]["eps"])
