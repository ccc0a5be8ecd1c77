"""``lake verify`` on compacted dates: each test spoils one in one way, and sees it named."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from stockctl.clients.object_store import Store, open_store
from stockctl.lake.format.keys import PARQUET
from stockctl.lake.maintenance.compact import compact
from stockctl.lake.maintenance.verify import verify
from stockctl.settings import Settings, load_settings
from tests.command import clean_environment
from tests.lakes import lay, trade

MANIFEST = "_log/parquet/trades/2026-11-23/0001.json"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A lake with one compacted date of two claims, and a claim that came later."""
    own_settings = load_settings(environ=clean_environment(), flags={"lake.url": (tmp_path / "lake").as_uri()})
    rows = [trade(("AAPL", "MSFT")[number % 2], f"2026-11-23 10:00:{number:02d}", 1.0 + number) for number in range(40)]
    lay(own_settings, rows, batches=2)
    assert len(list(compact(own_settings))) == 1
    lay(own_settings, [trade("AAPL", "2026-11-23 11:00", 9.0)], start=40)
    return own_settings


@pytest.fixture
def store(settings: Settings) -> Store:
    """Its store."""
    return open_store(settings)


def found(store: Store, *, deep: bool = False) -> set[str]:
    return {issue.kind for issue in verify(store, deep=deep).issues}


def held(store: Store) -> str:
    (item,) = store.objects(PARQUET)
    return item.key


def rewrite(store: Store, **changes: Any) -> None:
    """Change fields of the manifest in place."""
    store.put(MANIFEST, json.dumps(json.loads(store.get(MANIFEST)) | changes).encode())


def test_a_compacted_date_is_whole(store: Store) -> None:
    """Nothing is found where nothing is wrong; the late claim is no issue."""
    report = verify(store, deep=True)
    assert (report.issues, report.compacted, report.objects, report.rows) == ([], 1, 6, 41)


def remove_object(store: Store) -> None:
    store.delete([held(store)])


def truncate_object(store: Store) -> None:
    store.put(held(store), store.get(held(store))[:-10])


def add_file(store: Store) -> None:
    store.put_new(f"{PARQUET}/trade_date=2026-11-23/notes.parquet", b"")


def add_dead(store: Store) -> None:
    store.put_new(f"{PARQUET}/trade_date=2026-11-23/v0001-00000000/00000.parquet", b"")


def add_unfinished(store: Store) -> None:
    store.put_new(f"{PARQUET}/trade_date=2026-11-23/v0002-00000000/00000.parquet", b"")
    store.put_new(f"{PARQUET}/trade_date=2026-11-24/v0001-00000000/00000.parquet", b"")


def remove_claim(store: Store) -> None:
    store.delete(["_log/trades/g1/000/00000000000000000020.json"])


def miscount(store: Store) -> None:
    rewrite(store, rows=39)


def leave_claim_out(store: Store) -> None:
    rewrite(store, claims=["_log/trades/g1/000/00000000000000000000.json"])


def misname(store: Store) -> None:
    rewrite(store, version=2)


def garble(store: Store) -> None:
    store.put(MANIFEST, b"{}")


@pytest.mark.parametrize(
    ("damage", "kinds"),
    [
        (remove_object, {"missing"}),
        (truncate_object, {"changed"}),
        (add_file, {"orphan"}),
        (add_dead, {"leftover"}),
        (add_unfinished, {"in progress"}),
        (remove_claim, {"gap", "orphan", "unclaimed"}),
        (miscount, {"count"}),
        (leave_claim_out, {"count"}),
        (misname, {"unreadable", "in progress"}),
        (garble, {"unreadable", "in progress"}),
    ],
)
def test_damage_is_named(store: Store, damage: Callable[[Store], None], kinds: set[str]) -> None:
    """Each kind of damage gives its own issue, and only what nobody reads is harmless."""
    damage(store)
    assert found(store) == kinds
    assert (not verify(store).damage) is (kinds <= {"leftover", "in progress"})


def test_other_bytes_are_found_by_reading(store: Store) -> None:
    """An object of the same size with another byte has another hash."""
    data = bytearray(store.get(held(store)))
    data[100] ^= 1
    store.put(held(store), bytes(data))
    assert found(store) == set()
    assert found(store, deep=True) == {"changed"}


def test_other_rows_are_found_by_reading(store: Store) -> None:
    """Parquet that is what its manifest says, but does not hold the rows of its claims, is found by their ids."""
    table = pyarrow.parquet.read_table(pa.BufferReader(store.get(held(store))))
    column = table.column_names.index("id")
    ids = table.column("id").to_pylist()
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table.set_column(column, "id", pa.array([ids[0], *ids[:-1]])), sink, compression="zstd")
    data = sink.getvalue().to_pybytes()
    store.put(held(store), data)
    (item,) = json.loads(store.get(MANIFEST))["objects"]
    rewrite(store, objects=[item | {"sha256": sha256(data).hexdigest(), "size": len(data)}])
    assert found(store) == set()
    assert found(store, deep=True) == {"changed"}


def test_rows_duplicated_across_layouts_are_found_by_reading(settings: Settings, store: Store) -> None:
    """The same id under a ticker and under a bucket of one date is a duplicate."""
    row = trade("AAPL", "2026-11-23 12:00", 1.0)
    lay(settings, [row], start=41)
    lay(settings, [row], start=42, partition_by="bucket")
    assert found(store) == set()
    assert found(store, deep=True) == {"duplicate"}


def test_parquet_is_fixed_by_compacting_again(settings: Settings, store: Store) -> None:
    """What is missing or changed comes back from the raw objects once its manifest is gone."""
    remove_object(store)
    store.delete([MANIFEST])
    assert len(list(compact(settings))) == 1
    assert verify(store, deep=True).issues == []
