"""``lake prune``: drop old dates, raw objects and Parquet, and leave a floor in the log that says so.

The floor is put first: whatever is left of the dates below it, from a run that died or a row that came late, is read by nobody,
wrong to nobody, and dropped by the next run.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from stockctl.clients.store import Store
from stockctl.lake.format.keys import PARQUET, TABLES, date_folder, folder_date
from stockctl.lake.format.retention import put_floor

Advance = Callable[[int, int], None]
"""Told how many objects were dropped, of how many."""


class Prunable(NamedTuple):
    """What one table holds of one date: objects, claimed or not, and their bytes."""

    table: str
    trade_date: date
    objects: int
    bytes: int


def prunable(store: Store, before: date) -> list[Prunable]:
    """What lies below ``before``, by table and date in order."""
    found = []
    for table in (*TABLES, PARQUET):
        for name in store.folders(table):
            day = folder_date(name)
            sizes = [item.size for item in store.objects(f"{table}/{name}")] if day is not None and day < before else []
            if day is not None and sizes:
                found.append(Prunable(table, day, len(sizes), sum(sizes)))
    return found


def prune(store: Store, before: date, dates: list[Prunable], advance: Advance = lambda _done, _all: None) -> None:
    """Make ``before`` the floor, and drop ``dates``, all of which lie below it."""
    put_floor(store, before)
    done = 0
    for item in dates:
        store.delete([found.key for found in store.objects(date_folder(item.table, item.trade_date))])
        done += item.objects
        advance(done, sum(item.objects for item in dates))
