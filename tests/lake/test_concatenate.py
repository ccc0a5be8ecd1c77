"""Small files are joined before DuckDB reads them: the same rows, and damage is named by its object."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from stockctl.clients.object_store import open_store
from stockctl.errors import StockctlError, UnhealthyError
from stockctl.lake.reader import concatenate
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.trades import read_trades
from stockctl.metrics.lake_query import query
from stockctl.settings import Settings, load_settings
from tests.command import clean_environment
from tests.lakes import at, lay, trade


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A lake of 160 small objects: two dates, both compressions, tickers and buckets."""
    own_settings = load_settings(environ=clean_environment(), flags={"lake.url": (tmp_path / "lake").as_uri()})
    compressions: tuple[Literal["gzip", "zstd"], ...] = ("gzip", "zstd")
    ways: tuple[Literal["ticker", "bucket"], ...] = ("ticker", "bucket")
    for number, day in enumerate(("2026-11-23", "2026-11-24")):
        for cut, compression in enumerate(compressions):
            start = at(f"{day} 10:00") + cut
            rows = [trade(("AAPL", "MSFT")[row % 2], start + 10 * row, 1.0 + row) for row in range(80)]
            lay(own_settings, rows, partition=2 * number + cut, batches=20, compression=compression, partition_by=ways[number])
    return own_settings


def test_joined_files_hold_the_same_rows(settings: Settings, tmp_path: Path) -> None:
    """Few files come out, each date's apart, and every row with its date."""
    with LakeReader(settings) as lake:
        found = lake.find("trades")
        assert len(found) >= 120
        paths = lake.files(found)
        seen: list[str] = []
        chosen = concatenate.concatenate(paths, tmp_path, lambda key, _data: seen.append(key))
    assert sorted(path.parent.name + path.suffix for path in chosen) == [
        f"trade_date=2026-11-{day}{suffix}" for day in (23, 24) for suffix in (".gz", ".zst")
    ]
    assert sorted(seen) == sorted(paths)
    table = read_trades(settings=settings)
    assert table.num_rows == len(set(table.column("id").to_pylist())) == 320
    counted = query(settings, "SELECT trade_date, symbol, count(*), sum(price) FROM trades GROUP BY ALL ORDER BY ALL")
    assert [list(row.values())[1:] for row in counted.to_pylist()] == [["AAPL", 80, 3200.0], ["MSFT", 80, 3280.0]] * 2


def test_large_files_and_few_files_are_read_where_they_lie(settings: Settings, tmp_path: Path) -> None:
    """Joining costs a copy: it is for many small files."""
    large = tmp_path / "trades/trade_date=2026-11-23/ticker=AAPL/large.jsonl.gz"
    large.parent.mkdir(parents=True)
    large.write_bytes(bytes(concatenate.SMALL))
    with LakeReader(settings) as lake:
        paths = lake.files(lake.find("trades"))
        few = dict(list(paths.items())[: concatenate.ENOUGH - 1])
        assert concatenate.concatenate(few, tmp_path, lambda *_: None) == list(few.values())
        chosen = concatenate.concatenate(paths | {str(large.relative_to(tmp_path)): large}, tmp_path, lambda *_: None)
    assert large in chosen
    assert len(chosen) == 5


def test_damage_is_named_by_its_object(settings: Settings, tmp_path: Path) -> None:
    """Concatenated files are compared with their claims, and a missing file is reported."""
    store = open_store(settings)
    first, second, *_ = (item.key for item in store.objects("trades"))
    data = store.get(first)
    store.put(first, store.get(second))
    with pytest.raises(UnhealthyError, match=first):
        read_trades(settings=settings)
    store.put(first, data[:-5])
    with pytest.raises(StockctlError, match=first):
        read_trades(settings=settings)
    store.put(first, data)
    with LakeReader(settings) as lake:
        paths = lake.files(lake.find("trades"))
        store.delete([second])
        with pytest.raises(StockctlError, match=f"{second} was deleted while it was read"):
            concatenate.concatenate(paths, tmp_path, lambda *_: None)
