"""A claimed object that is gone or was replaced is an error to everyone who reads it, and to nobody else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stockctl.clients.object_store import Store, open_store
from stockctl.errors import StockctlError, UnhealthyError
from stockctl.lake.format.claims import Claim, decode_claim, put_claim, put_lost
from stockctl.lake.format.keys import PARQUET
from stockctl.lake.format.retention import put_floor
from stockctl.lake.maintenance.compact import compact
from stockctl.lake.reader import claim_log
from stockctl.lake.reader.inventory import inventory
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.trades import read_trades
from stockctl.lake.writer.batch import compress, decompress
from stockctl.metrics.lake_query import query
from stockctl.settings import Settings, load_settings
from tests.command import clean_environment
from tests.lakes import at, lay, trade

SYMBOLS = ("AAPL", "MSFT")
ROWS = 40
"""In each of the lake's batches, half of each symbol."""


@pytest.fixture(params=["folder", "S3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A fresh lake."""
    if request.param == "folder":
        return load_settings(environ=clean_environment(), flags={"lake.url": (tmp_path / "lake").as_uri()})
    bucket, environment = request.getfixturevalue("s3_bucket"), request.getfixturevalue("s3_environment")
    flags = {"lake.url": f"s3://{bucket}/gone-{tmp_path.name}", "lake.cache_dir": str(tmp_path / "cache")}
    return load_settings(environ=clean_environment(**environment), flags=flags)


@pytest.fixture
def claims(settings: Settings) -> list[Claim]:
    """Five batches an hour apart, each with an object of each symbol."""
    first = at("2026-11-23 10:00")
    rows = [
        trade(symbol, first + batch * 3_600_000 + row, 1.0)
        for batch in range(5)
        for row in range(ROWS // 2)
        for symbol in SYMBOLS
    ]
    return lay(settings, rows, batches=5)


def aapl(claim: Claim) -> str:
    return next(item.key for item in claim.objects if "AAPL" in item.key)


def count(settings: Settings, *arguments: Any) -> int:
    return read_trades(*arguments, settings=settings).num_rows


def listed(settings: Settings) -> int:
    """Rows of AAPL that the lake's list counts."""
    with LakeReader(settings) as lake:
        return sum(one.rows for one in inventory(lake) if one.ticker == "AAPL")


READERS: dict[str, Callable[[Settings], Any]] = {
    "read": lambda settings: count(settings, "AAPL"),
    "read all": count,
    "read a date": lambda settings: count(settings, "AAPL", "2026-11-23", "2026-11-24"),
    "query": lambda settings: query(settings, "SELECT count(*) FROM trades", None, None),
    "compact": lambda settings: list(compact(settings)),
    "list": lambda settings: listed(settings),
}


@pytest.mark.parametrize("batch", [0, 3])
def test_an_object_that_is_gone_is_named(settings: Settings, claims: list[Claim], batch: int) -> None:
    """By everyone whose answer would hold its rows, also with all that was fetched before in the cache."""
    assert count(settings, "AAPL") == 5 * ROWS // 2
    open_store(settings).delete([aapl(claims[batch])])
    for name, reader in READERS.items():
        with pytest.raises(
            UnhealthyError, match=f"{aapl(claims[batch])}, which {claims[batch].key} names, is missing"
        ) as caught:
            pytest.fail(f"{name} answered {reader(settings)}")
        assert "lake verify" in str(caught.value.hint)


def test_answers_without_it_are_given(settings: Settings, claims: list[Claim]) -> None:
    """Those of another symbol, and of another time: they lack nothing."""
    open_store(settings).delete([aapl(claims[2])])
    assert count(settings, "MSFT") == 5 * ROWS // 2
    assert count(settings, "AAPL", "2026-11-23T10:00", "2026-11-23T12:00") == 2 * ROWS // 2
    assert count(settings, "AAPL", "2026-11-23T13:00") == 2 * ROWS // 2


@pytest.mark.parametrize("gone", ["ticker=AAPL", ""])
def test_a_folder_that_is_gone_is_no_quiet_day(settings: Settings, claims: list[Claim], gone: str) -> None:
    """All objects of a symbol, or a whole date: nothing is left that would name their claims but the log."""
    store = open_store(settings)
    lay(settings, [trade("AAPL", "2026-11-24 10:00", 1.0)], start=200)
    store.delete([item.key for item in store.objects(f"trades/trade_date=2026-11-23/{gone}".rstrip("/"))])
    with pytest.raises(UnhealthyError, match="is missing"):
        count(settings, "AAPL", "2026-11-23", "2026-11-24")
    assert count(settings, "AAPL", "2026-11-24", "2026-11-25") == 1
    assert len(claims) == 5


def test_what_is_rightly_absent_is_no_error(settings: Settings, claims: list[Claim]) -> None:
    """The newest claim's objects are still being put, a loss was accepted, or the date was pruned."""
    store = open_store(settings)
    store.delete([aapl(claims[4]), aapl(claims[1])])
    put_lost(store, claims[1], [aapl(claims[1])])
    assert count(settings, "AAPL") == listed(settings) == 3 * ROWS // 2
    assert next(compact(settings)).claims == 3
    put_floor(store, date(2026, 11, 24))
    store.delete([aapl(claim) for claim in claims])
    assert count(settings) == 0


def test_a_closed_generations_newest_claim_is_finished(settings: Settings, claims: list[Claim]) -> None:
    """Where the next generation has begun, nobody puts an object of the one before any more."""
    store = open_store(settings)
    store.delete([aapl(claims[4])])
    assert count(settings, "AAPL") == 4 * ROWS // 2
    put_claim(store, msgspec.structs.replace(claims[0], generation=2, end=0, rows=0, objects=[], last=None, reason="lost"))
    with pytest.raises(UnhealthyError, match="is missing"):
        count(settings, "AAPL")


def other_lines(store: Store, key: str) -> None:
    store.put(key, compress(decompress(store.get(key), key)[: len(b"{}")], "gzip", 1))


def truncated(store: Store, key: str) -> None:
    store.put(key, store.get(key)[:-1])


def emptied(store: Store, key: str) -> None:
    store.put(key, b"")


@pytest.mark.parametrize("damage", [other_lines, truncated, emptied])
def test_an_object_that_was_replaced_is_named(
    settings: Settings, claims: list[Claim], damage: Callable[[Store, str], None]
) -> None:
    """Its size differs."""
    assert count(settings, "AAPL") == 5 * ROWS // 2
    damage(open_store(settings), aapl(claims[2]))
    for name, reader in READERS.items():
        with pytest.raises(StockctlError, match=aapl(claims[2])):
            pytest.fail(f"{name} answered {reader(settings)}")


def test_the_same_lines_by_another_compressor_are_read(settings: Settings, claims: list[Claim]) -> None:
    """A repeat of a claim may give other bytes of the same lines, as for ``lake verify``."""
    store, key = open_store(settings), aapl(claims[2])
    store.put(key, compress(decompress(store.get(key), key), "gzip", 0))
    assert len(store.get(key)) != next(item.size for item in claims[2].objects if item.key == key)
    assert count(settings, "AAPL") == 5 * ROWS // 2
    assert len(list(compact(settings))) == 1


@pytest.mark.parametrize("gone", [True, False])
def test_a_parquet_object_that_is_gone_or_replaced_is_named(settings: Settings, claims: list[Claim], gone: bool) -> None:
    """Its manifest has another size, or it is missing."""
    assert len(list(compact(settings))) == 1
    assert count(settings, "AAPL") == len(claims) * ROWS // 2
    store = open_store(settings)
    (key,) = (item.key for item in store.objects(PARQUET))
    if gone:
        store.delete([key])
    else:
        store.put(key, store.get(key) + b"!")
    with pytest.raises(UnhealthyError, match=f"{key} {'is missing' if gone else 'has'}"):
        count(settings, "AAPL")


def test_a_damaged_claim_is_no_error_to_a_question_of_another_time(settings: Settings, claims: list[Claim]) -> None:
    """And one to a question that its records may belong to."""
    lay(settings, [trade("AAPL", "2026-11-25 10:00", 1.0)], start=200)
    lay(settings, [trade("AAPL", "2026-11-27 10:00", 1.0)], start=201)
    store = open_store(settings)
    store.put(claims[2].key, b"{}")
    assert count(settings, "AAPL", "2026-11-27", "2026-11-28") == 1
    with pytest.raises(StockctlError, match=f"{claims[2].key} cannot be read"):
        count(settings, "AAPL", "2026-11-23", "2026-11-24")


def test_a_long_log_is_searched_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a question about one date costs does not grow with all other dates."""
    settings = load_settings(environ=clean_environment(), flags={"lake.url": (tmp_path / "lake").as_uri()})
    first = at("2026-01-05 10:00")
    lay(settings, [trade("AAPL", first + hour * 3_600_000, 1.0) for hour in range(120)], batches=120)
    monkeypatch.setattr(claim_log, "_CHUNK", 4)
    read: list[str] = []

    def noted(data: bytes, key: str) -> Claim:
        read.append(key)
        return decode_claim(data, key)

    monkeypatch.setattr(claim_log, "decode_claim", noted)
    assert count(settings, "AAPL", "2026-01-07", "2026-01-08") == 24
    assert 24 <= len(read) < 90


@pytest.mark.parametrize("reader", READERS)
def test_a_claim_that_is_gone_is_an_error_to_who_reads_its_time(settings: Settings, claims: list[Claim], reader: str) -> None:
    """Its neighbours show it: the next claim begins after the end of the claim before."""
    open_store(settings).delete([claims[2].key])
    with pytest.raises(UnhealthyError, match=f"{claims[1].key} and {claims[3].key}"):
        READERS[reader](settings)
    assert count(settings, "AAPL", "2026-11-23T09:30", "2026-11-23T10:30") == ROWS // 2
