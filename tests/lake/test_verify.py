"""``lake verify`` names every kind of damage: each test spoils a good lake in one way."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stockctl.clients.object_store import Store, open_store
from stockctl.lake.format import claims
from stockctl.lake.format.claims import Claim, Start
from stockctl.lake.format.keys import Layout, claim_key
from stockctl.lake.maintenance.issues import Report
from stockctl.lake.maintenance.verify import verify
from stockctl.lake.writer.batch import OpenBatch, compress, decompress
from stockctl.records import FeedEvent, Trade, encode
from stockctl.settings import load_settings
from tests.command import Command

LAYOUT = Layout("trades", "America/New_York", "ticker", "gzip")
NOW = 1_795_444_200_000


def put_batch(store: Store, start: int, rows: int) -> Claim:
    """One more claim of ``rows`` trades of two tickers from the offset ``start``, with its objects."""
    batch = OpenBatch(LAYOUT, 1, 0, start)
    values: list[bytes | None] = [
        encode(Trade(f"id-{row:06d}", ("AAPL", "MSFT")[row % 2], 1.0, 1.0, NOW + row, NOW, "", "vhl", "sim"))
        for row in range(start, start + rows)
    ]
    batch.add(range(start, start + rows), values, batch.heads(values), NOW)
    built = batch.build(1)
    claim = Claim(
        nonce=f"n{start}",
        writer="test",
        created=datetime.now(UTC).isoformat(),
        cluster_id="c",
        topic_id="t",
        topic="trades",
        table="trades",
        generation=1,
        partition=0,
        start=start,
        end=batch.end,
        reason="records",
        layout=LAYOUT,
        last=batch.last,
        rows=rows,
        gaps=0,
        objects=[item.claimed for item in built],
    )
    claims.put_claim(store, claim)
    for item in built:
        store.put_new(item.claimed.key, item.data)
    return claim


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A good lake: three claims of one partition, six objects, 300 rows."""
    own_settings = open_store(load_settings(flags={"lake.url": (tmp_path / "lake").as_uri()}, environ={}))
    start = Start(
        cluster_id="c", topic_id="t", topic="trades", table="trades", generation=1, partition=0, start=0, reason="first"
    )
    claims.put_start(own_settings, start)
    for first in (0, 100, 200):
        put_batch(own_settings, first, 100)
    return own_settings


def claim_at(store: Store, start: int) -> Claim:
    return claims.read_claim(store, claim_key("trades", 1, 0, start))


def rewrite(store: Store, start: int, **changes: Any) -> None:
    """Change fields of the claim at ``start`` in place."""
    key = claim_at(store, start).key
    store.put(key, json.dumps(json.loads(store.get(key)) | changes).encode())


def found(store: Store, *, deep: bool = False) -> set[str]:
    report = verify(store, deep=deep)
    assert bool(report.damage) == any(issue.wrong for issue in report.issues)
    return {issue.kind for issue in report.issues}


def test_a_good_lake_is_verified(store: Store) -> None:
    """Nothing is found where nothing is wrong, and everything is counted."""
    report = verify(store, deep=True)
    assert report.issues == []
    assert (report.partitions, report.claims, report.objects, report.rows) == (1, 3, 6, 300)


def remove_object(store: Store) -> None:
    store.delete([claim_at(store, 100).objects[0].key])


def truncate_object(store: Store) -> None:
    key = claim_at(store, 100).objects[0].key
    store.put(key, store.get(key)[:-20])


def add_orphan(store: Store) -> None:
    key = claim_at(store, 100).objects[0].key
    store.put_new(key.replace("00100.jsonl", "00150.jsonl"), store.get(key))


def remove_claim(store: Store) -> None:
    store.delete([claim_at(store, 100).key])


def remove_start(store: Store) -> None:
    store.delete(["_log/trades/g1/000/start.json"])


def overlap(store: Store) -> None:
    rewrite(store, 100, end=250)


def gap(store: Store) -> None:
    rewrite(store, 100, end=150)


def miscount(store: Store) -> None:
    rewrite(store, 100, rows=99)


def garble_claim(store: Store) -> None:
    store.put(claim_at(store, 100).key, b"{}")


@pytest.mark.parametrize(
    ("damage", "kinds"),
    [
        (remove_object, {"missing"}),
        (truncate_object, {"changed"}),
        (add_orphan, {"orphan"}),
        (remove_claim, {"gap", "orphan"}),
        (remove_start, {"gap"}),
        (overlap, {"overlap", "count"}),
        (gap, {"gap", "count"}),
        (miscount, {"count"}),
        (garble_claim, {"unreadable", "gap", "orphan"}),
    ],
)
def test_damage_is_named(store: Store, damage: Callable[[Store], None], kinds: set[str]) -> None:
    """Each kind of damage gives its own issue, without reading the objects."""
    damage(store)
    assert found(store) == kinds


def test_a_changed_line_is_found_by_reading(store: Store) -> None:
    """An object of the same size with another price is found by its hash."""
    item = claim_at(store, 100).objects[0]
    lines = decompress(store.get(item.key), item.key).replace(b'"price":1.0', b'"price":2.0', 1)
    store.put(item.key, compress(lines, "gzip", 1))
    assert found(store, deep=True) == {"changed"}


def test_rows_that_stand_twice_are_found_by_reading(store: Store) -> None:
    """The same ids in two objects, each with a claim that fits, are duplicates."""
    first, second = claim_at(store, 0), claim_at(store, 100)
    objects = []
    for old, source in zip(second.objects, first.objects, strict=True):
        store.put(old.key, store.get(source.key))
        changed = {"sha256": source.sha256, "size": source.size}
        objects.append(json.loads(msgspec.json.encode(old)) | changed)
    rewrite(store, 100, objects=objects)
    assert found(store, deep=True) == {"duplicate"}


def test_another_compressors_bytes_are_no_damage(store: Store) -> None:
    """A repeat by another version may compress the same lines to another size: the lines decide."""
    item = claim_at(store, 100).objects[0]
    store.put(item.key, compress(decompress(store.get(item.key), item.key), "gzip", 0))
    assert len(store.get(item.key)) != item.size
    assert found(store) == set()


def test_the_newest_claim_may_be_in_progress(store: Store) -> None:
    """Objects of the newest claim that are not there yet are a writer's work, not damage."""
    store.delete([claim_at(store, 200).objects[1].key])
    assert found(store) == {"in progress"}


def test_accepted_losses_are_reported_permanently(store: Store) -> None:
    """A loss that was accepted stays a issue."""
    claim = claim_at(store, 100)
    store.delete([claim.objects[0].key])
    claims.put_lost(store, claim, [claim.objects[0].key])
    assert found(store) == {"lost"}


def test_the_command_ends_with_10_and_names_the_key(store: Store, tmp_path: Path) -> None:
    """What verify finds is on stdout, and the exit code shows it."""
    remove_object(store)
    command = Command(tmp_path, STOCKCTL_LAKE__URL=store.url)
    result = command.run("lake", "verify", "-o", "json", check=10)
    key = claim_at(store, 100).objects[0].key
    assert [(row["kind"], row["key"]) for row in json.loads(result.stdout)] == [("missing", key)]
    assert "300 rows" in result.stderr


def test_progress_counts_every_object(store: Store) -> None:
    """The deep check reports each object that it read."""
    seen: list[tuple[int, int]] = []
    report: Report = verify(store, deep=True, advance=lambda done, total: seen.append((done, total)))
    assert seen == [(number, 6) for number in range(1, 7)]
    assert report.deep


def test_a_feed_event_that_came_twice_is_no_damage(store: Store) -> None:
    """A producer that was killed sends the events that waited on its disk again; coverage is the same twice."""
    layout = Layout("feed_events", "America/New_York", "none", "gzip")
    event = FeedEvent("tok-covered-000001", "covered", NOW, NOW + 10_000, "AAPL", "", "tok", NOW + 10_000, "sim")
    batch = OpenBatch(layout, 1, 0, 0)
    values: list[bytes | None] = [encode(event), encode(event)]
    batch.add([0, 1], values, batch.heads(values), NOW)
    built = batch.build(1)
    claims.put_start(
        store,
        Start(
            cluster_id="c",
            topic_id="e",
            topic="feed-events",
            table="feed_events",
            generation=1,
            partition=0,
            start=0,
            reason="first",
        ),
    )
    like = json.loads(store.get(claim_at(store, 0).key))
    objects = [json.loads(msgspec.json.encode(item.claimed)) for item in built]
    own = {"table": "feed_events", "topic": "feed-events", "start": 0, "end": 2, "rows": 2, "objects": objects}
    changed = own | {"layout": json.loads(msgspec.json.encode(layout))}
    store.put_new(claim_key("feed_events", 1, 0, 0), json.dumps(like | changed).encode())
    for item in built:
        store.put_new(item.claimed.key, item.data)
    assert found(store, deep=True) == set()
