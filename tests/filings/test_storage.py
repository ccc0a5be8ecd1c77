"""Crashes and outages: at whatever point, nothing is lost, and nothing that was stored is put again."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stockctl.clients.mongo import Mongo
from stockctl.clients.object_store import open_store
from stockctl.company.filing_fields import refresh_filings
from stockctl.errors import StockctlError, UnreachableError
from stockctl.exchange.calendar import now_ms, to_ms
from stockctl.filings.collect.plan import FetchRequest
from stockctl.filings.collect.schedule import FetchSchedule
from stockctl.filings.collect.storage import FilingStore
from stockctl.filings.collect.symbol_selection import SymbolSelection
from stockctl.filings.repository import Links, filing_of, read_filings, read_state, stored_accessions, stored_at
from stockctl.lake.format.keys import fetch_state_key, line_items_key, raw_filing_key
from stockctl.mongo import schema
from stockctl.records import Trade
from stockctl.settings import STACK_FILE_END, Settings, local_stack_file
from stockctl.sim import Simulator
from tests.command import HANG
from tests.conftest import MongoServer, free_port
from tests.faults.proxy import Action, Proxy
from tests.filings.fetching import command, fetch, objects, outcome, settings, simulator, states
from tests.filings.kept import lake_of
from tests.filings.reports import tesla
from tests.mongo.made import documents_of

SHORT = FetchRequest(since=date(2026, 6, 1))
PUTS = [r"_log/source\.json", r"raw/filings/", r"/filings/ticker=.*gz", r"_log/filings/"]
"""What is put, in this order, of each symbol; the second and the third for each report."""


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with simulator() as running:
        yield running


def whole(sim: Simulator, folder: Path) -> dict[str, bytes]:
    """What a fetch of AAPL that nothing disturbs leaves."""
    own = settings(sim, folder)
    assert fetch(own, "AAPL", request=SHORT).failure is None
    return objects(own)


def links(own: Settings) -> dict[str, Links]:
    """The links in the state of AAPL."""
    state = read_state(open_store(own), "AAPL")
    assert state is not None
    assert state.links
    return state.links


def test_a_fetch_resumes_after_every_point_at_which_it_may_have_died(sim: Simulator, tmp_path: Path) -> None:
    """A crash leaves the first so many of the puts. What is there keeps its time of change."""
    wanted = whole(sim, tmp_path / "whole")
    # One after the other, for puts in order.
    alone = settings(sim, tmp_path / "alone", filings__workers="1")
    fetch(alone, "AAPL", request=SHORT)
    made = sorted(
        (path for path in (tmp_path / "alone").rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime_ns
    )
    assert len(made) == len(wanted) + 1 >= 6
    for count in range(len(made) + 1):
        folder = tmp_path / f"after {count}"
        before = {}
        for path in made[:count]:
            copy = folder / path.relative_to(tmp_path / "alone")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
            before[copy] = copy.stat().st_mtime_ns
        own = settings(sim, folder)
        assert fetch(own, "AAPL", request=SHORT).failure is None
        assert objects(own) == wanted
        assert links(own) == links(alone)
        assert {path: path.stat().st_mtime_ns for path in before} == before
        times = stored_at(open_store(own), "AAPL")
        assert times.keys() == stored_accessions(open_store(own), "AAPL").raw
        for number, at in times.items():
            path = folder / "lake" / raw_filing_key("AAPL", number)
            first = stored_at(open_store(alone), "AAPL")[number] if count == len(made) else path.stat().st_mtime_ns // 1_000_000
            assert at is not None
            assert first is not None
            assert at == first if path in before else at >= first
        assert states(fetch(own, "AAPL", request=SHORT)) == {"AAPL": "fresh"}


def s3_names(proxy: Proxy, environment: dict[str, str], folder: Path) -> dict[str, str]:
    """Settings of a lake behind the proxy."""
    return {
        "lake__url": f"s3://market/{folder.parent.name}-{folder.name}",
        "s3__endpoint_url": proxy.url,
        "s3__region": "us-east-1",
        "s3__access_key_id": environment["STOCKCTL_S3__ACCESS_KEY_ID"],
        "s3__secret_access_key": environment["STOCKCTL_S3__SECRET_ACCESS_KEY"],
    }


@pytest.fixture
def proxy(s3_server: str, s3_bucket: str) -> Iterator[Proxy]:
    proxy = Proxy(s3_server)
    yield proxy
    proxy.close()


@pytest.mark.parametrize("action", ["hold", "hold the answer"])
@pytest.mark.parametrize("pattern", PUTS)
def test_a_killed_process_loses_nothing(
    sim: Simulator, proxy: Proxy, s3_environment: dict[str, str], tmp_path: Path, pattern: str, action: Action
) -> None:
    """Killed before and after each kind of put has come to the store."""
    names = s3_names(proxy, s3_environment, tmp_path)
    rule = proxy.rule("PUT", pattern, action)
    own = command(sim, tmp_path, **names)
    process = own.start("filings", "fetch", "AAPL", "--since", "2026-06-01")
    rule.reached()
    process.send_signal(signal.SIGKILL)
    process.wait()
    proxy.clear()
    there = {item.key: item.modified for item in open_store(settings(sim, tmp_path, **names)).objects()}
    proxy.requests.clear()
    own.run("filings", "fetch", "AAPL", "--since", "2026-06-01")
    own_settings = settings(sim, tmp_path, **names)
    assert objects(own_settings) == whole(sim, tmp_path / "whole")
    again = {item.key: item.modified for item in open_store(own_settings).objects()}
    assert {key: again[key] for key in there if key != fetch_state_key("AAPL")} == {
        key: moment for key, moment in there.items() if key != fetch_state_key("AAPL")
    }
    times = stored_at(open_store(own_settings), "AAPL")
    assert times.keys() == stored_accessions(open_store(own_settings), "AAPL").raw
    if fetch_state_key("AAPL") not in there:
        assert all(times[number] == to_ms(there[key]) for number in times if (key := raw_filing_key("AAPL", number)) in there)
    own.run("filings", "fetch", "AAPL", "--full")
    later = stored_at(open_store(own_settings), "AAPL")
    assert {number: later[number] for number in times} == times
    assert len(later) > len(times)


@pytest.mark.parametrize(("action", "status"), [("lose the answer", 0), ("lose", 0), ("answer", 503), ("answer", 409)])
def test_a_store_that_answers_wrongly_is_asked_again(
    sim: Simulator, proxy: Proxy, s3_environment: dict[str, str], tmp_path: Path, action: Action, status: int
) -> None:
    """A lost answer looks like failure, a conflict like success: neither leaves a gap."""
    proxy.rule("PUT", r"raw/filings/|/filings/ticker=", action, times=3, status=status)
    own = settings(sim, tmp_path, **s3_names(proxy, s3_environment, tmp_path), lake__store_wait="60s")
    assert fetch(own, "AAPL", request=SHORT).failure is None
    assert objects(own) == whole(sim, tmp_path / "whole")


def test_s3_away_in_the_middle_ends_the_run_and_the_next_goes_on(
    sim: Simulator, proxy: Proxy, s3_environment: dict[str, str], tmp_path: Path
) -> None:
    names = s3_names(proxy, s3_environment, tmp_path)
    proxy.rule("PUT", r"raw/filings/ticker=MSFT", "answer", nth=2, times=10_000, status=503)
    own = settings(sim, tmp_path, **names, filings__workers="1", lake__store_wait="1s")
    run = fetch(own, "AAPL", "MSFT", "KO", request=SHORT)
    assert states(run) == {"AAPL": "fetched", "MSFT": "failed", "KO": "not tried"}
    assert run.failure is not None
    assert run.failure.exit_code == 5
    assert len(stored_accessions(open_store(own), "MSFT").raw) == 1
    proxy.clear()
    after = fetch(own, "AAPL", "MSFT", "KO", request=SHORT)
    assert states(after) == {"AAPL": "fresh", "MSFT": "fetched", "KO": "fetched"}
    assert outcome(after, "MSFT").new == outcome(after, "MSFT").stored - 1


def test_line_items_that_a_crash_left_out_are_made_from_what_is_kept(sim: Simulator, tmp_path: Path) -> None:
    """Not from what Finnhub says now, which may be nothing."""
    wanted = whole(sim, tmp_path)
    own = settings(sim, tmp_path)
    number = sorted(stored_accessions(open_store(own), "AAPL").raw)[0]
    open_store(own).delete([line_items_key("AAPL", number), fetch_state_key("AAPL")])
    later = fetch(own, "AAPL", request=FetchRequest(since=date(2099, 1, 1)))
    assert later.failure is None
    assert "1 report completed" in outcome(later, "AAPL").detail
    assert objects(own) == wanted


def test_two_fetches_at_the_same_time_leave_what_one_leaves(sim: Simulator, tmp_path: Path) -> None:
    own = settings(sim, tmp_path)
    threads = [threading.Thread(target=fetch, args=(own, "AAPL"), kwargs={"request": SHORT}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert objects(own) == whole(sim, tmp_path / "whole")


def test_of_two_texts_of_a_report_the_line_items_are_those_of_the_one_that_is_kept(tmp_path: Path) -> None:
    """Another fetch has put its text, which Finnhub has corrected since, and not yet its line items."""
    first, corrected = tesla(), tesla()
    corrected["report"]["ic"][0]["value"] += 1
    number = first["accessNumber"]

    def keep(folder: Path, *reports: dict[str, Any]) -> dict[str, bytes]:
        own, _ = lake_of(folder, reports[:1])
        raw = json.dumps(reports[-1]).encode()
        FilingStore(open_store(own), None, own, threading.Event(), refresh_filings).put("TSLA", raw, filing_of(raw, "TSLA"))
        return objects(own)

    found = keep(tmp_path / "both", first, corrected)
    assert found.keys() == {raw_filing_key("TSLA", number), line_items_key("TSLA", number)}
    assert found == keep(tmp_path / "one", first)
    assert found[line_items_key("TSLA", number)] != keep(tmp_path / "other", corrected)[line_items_key("TSLA", number)]


def mongo_names(server: MongoServer, folder: Path) -> dict[str, str]:
    mark = f"{folder.parent.name}-{folder.name}"[-50:]
    return {"mongo__url": server.url, "mongo__database": mark, "mongo__connect_wait": "60s"}


def documents(own: Settings, symbol: str) -> dict[str, dict[str, Any]]:
    with Mongo(own) as mongo:
        return {one["accession"]: one for one in mongo.find("filings", {"symbol": symbol})}


def company(own: Settings, symbol: str) -> dict[str, object]:
    with Mongo(own) as mongo:
        return mongo.get("companies", symbol) or {}


def test_documents_are_those_of_the_lake(sim: Simulator, mongo_server: MongoServer, tmp_path: Path) -> None:
    own = settings(sim, tmp_path, **mongo_names(mongo_server, tmp_path))
    assert fetch(own, "AAPL", request=SHORT).failure is None
    found = documents(own, "AAPL")
    filings = {one.accession: one for one in read_filings(own, "AAPL")}
    assert found.keys() == filings.keys()
    for number, filing in filings.items():
        document = found[number]
        assert document["_id"] == f"AAPL-{number}"
        assert (document["form"], document["accepted"], document["known"]) == (filing.form, filing.accepted, filing.known)
        assert document["source"] == "sim"
        assert document["links"]["report"].startswith("https://www.sec.gov/")
        assert [item["value"] for item in document["report"]["bs"]] == [item.value for item in filing.bs]


def test_mongodb_that_comes_later_gets_what_the_lake_holds(sim: Simulator, mongo_server: MongoServer, tmp_path: Path) -> None:
    fetch(settings(sim, tmp_path), "AAPL", request=SHORT)
    own = settings(sim, tmp_path, **mongo_names(mongo_server, tmp_path))
    assert outcome(fetch(own, "AAPL", request=SHORT._replace(dry_run=True)), "AAPL").state == "fresh"
    assert documents(own, "AAPL") == {}
    assert outcome(fetch(own, "AAPL", request=SHORT), "AAPL").state == "fresh"
    before = documents(own, "AAPL")
    assert before.keys() == stored_accessions(open_store(own), "AAPL").raw
    assert company(own, "AAPL")["filing"]
    assert fetch(own, "AAPL", request=SHORT).failure is None
    assert outcome(fetch(own, "AAPL", request=FetchRequest(since=date(2026, 6, 1), full=True)), "AAPL").new == 0
    assert documents(own, "AAPL") == before


def test_mongodb_away_in_the_middle_leaves_the_lake_whole_and_gets_its_documents_later(sim: Simulator, tmp_path: Path) -> None:
    server = MongoServer(tmp_path / "mongo")
    server.start()
    own = settings(sim, tmp_path, **mongo_names(server, tmp_path))
    alone = settings(sim, tmp_path, **mongo_names(server, tmp_path) | {"mongo__connect_wait": "5s"}, filings__workers="1")
    stop = threading.Event()
    with FetchSchedule(alone, SymbolSelection(("AAPL", "MSFT", "KO")), SHORT, stop, refresh_filings) as runs:
        # It goes away when the first symbol is through.
        run = runs.once(lambda done, _all: server.stop() if done == 1 else None)
    assert states(run) == {"AAPL": "fetched", "MSFT": "fetched", "KO": "fetched"}
    assert run.failure is not None
    assert run.failure.exit_code == 5
    assert "MongoDB may lack reports that the lake has" in str(run.failure)
    server.start()
    try:
        after = fetch(own, "AAPL", "MSFT", "KO", request=SHORT)
        assert after.failure is None
        assert states(after) == {"AAPL": "fresh", "MSFT": "fresh", "KO": "fresh"}
        for symbol in ("AAPL", "MSFT", "KO"):
            assert documents(own, symbol).keys() == stored_accessions(open_store(own), symbol).raw != set()
            assert company(own, symbol)["filing"]
            assert all(document["links"]["report"] for document in documents(own, symbol).values())
    finally:
        server.stop()


def test_mongodb_away_behind_the_reports_leaves_the_company_to_the_next_fetch(
    sim: Simulator, mongo_server: MongoServer, tmp_path: Path
) -> None:
    """All documents are there, and of the company what followed from those before."""
    own = settings(sim, tmp_path, **mongo_names(mongo_server, tmp_path))
    before = {"accession": "of an earlier report"}
    with Mongo(own) as mongo:
        schema.apply(mongo, own.mongo)
        mongo.set_fields("companies", "AAPL", {"symbol": "AAPL", "filing": before})

    def away(*_: object) -> None:
        raise UnreachableError("MongoDB went away")

    run = fetch(own, "AAPL", request=SHORT, refresh=away)
    assert states(run) == {"AAPL": "fetched"}
    assert "MongoDB may lack reports that the lake has" in str(run.failure)
    assert documents(own, "AAPL").keys() == stored_accessions(open_store(own), "AAPL").raw
    assert company(own, "AAPL")["filing"] == before
    assert states(fetch(own, "AAPL", request=SHORT)) == {"AAPL": "fresh"}
    assert company(own, "AAPL")["filing"] != before


def test_mongodb_away_from_the_start_is_the_same(sim: Simulator, tmp_path: Path) -> None:
    away = {"mongo__url": f"mongodb://127.0.0.1:{free_port()}", "mongo__connect_wait": "1s"}
    run = fetch(settings(sim, tmp_path, **away), "AAPL", request=SHORT)
    assert states(run) == {"AAPL": "fetched"}
    assert run.failure is not None
    assert run.failure.exit_code == 5
    assert objects(settings(sim, tmp_path)) == whole(sim, tmp_path / "whole")


def test_the_local_stacks_mongodb_may_be_down(sim: Simulator, tmp_path: Path) -> None:
    """Its address stays for other commands when the stack is stopped."""
    own = command(sim, tmp_path)
    stack = local_stack_file(tmp_path / "state")
    stack.parent.mkdir(parents=True)
    stack.write_text(f'[mongo]\nurl = "mongodb://127.0.0.1:{free_port()}"\n{STACK_FILE_END}')
    result = own.run("filings", "fetch", "AAPL", "--since", "2026-06-01")
    assert "note: MongoDB may lack reports that the lake has: the local stack is not running" in result.stderr


def test_the_keys_are_those_of_the_layout(sim: Simulator, tmp_path: Path) -> None:
    assert raw_filing_key("BRK.B", "0000000001-25-000001") == "raw/filings/ticker=BRK.B/0000000001-25-000001.json"
    assert line_items_key("BRK.B", "0000000001-25-000001") == "filings/ticker=BRK.B/0000000001-25-000001.jsonl.gz"
    keys = list(whole(sim, tmp_path))
    assert {key.split("/")[0] for key in keys} == {"_log", "filings", "raw"}
    assert json.loads(open_store(settings(sim, tmp_path)).get(fetch_state_key("AAPL")))["source"] == "sim"


def test_filings_join_no_trades_of_another_source(sim: Simulator, mongo_server: MongoServer, tmp_path: Path) -> None:
    """The connector leaves no mark: what is stored shows it."""
    own = settings(sim, tmp_path, **mongo_names(mongo_server, tmp_path))
    row = Trade("AAPL-1", "AAPL", 1.0, 1.0, now_ms(), now_ms(), "1", "vhl", "finnhub")
    with Mongo(own) as mongo:
        schema.apply(mongo, own.mongo)
        assert mongo.upsert("trades", documents_of([row])) == []
        with pytest.raises(StockctlError, match="holds data of the source finnhub, and filings come from sim"):
            fetch(own, "AAPL")
        assert mongo.count("filings") == 0
