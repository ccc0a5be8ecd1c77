"""``lake prune``: deletes old dates, raw objects and Parquet, and raises the floor in the log.

The floor is raised first. Nobody reads objects below it that remain, from a run that died or from a late row: they are not
damage, and the next run deletes them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from stockctl.clients.object_store import Store
from stockctl.lake.format.keys import PARQUET, TABLES, date_folder, folder_date
from stockctl.lake.format.retention import put_floor

Advance = Callable[[int, int], None]
"""Called with the number of objects deleted, and of all objects."""


class Prunable(NamedTuple):
    """The objects of one table on one date, claimed or not, and their bytes."""

    table: str
    trade_date: date
    objects: int
    bytes: int


def prunable(store: Store, before: date) -> list[Prunable]:
    """The dates below ``before`` that have objects, ordered by table and date."""
    dates = []
    for table in (*TABLES, PARQUET):
        for name in store.folders(table):
            day = folder_date(name)
            sizes = [item.size for item in store.objects(f"{table}/{name}")] if day is not None and day < before else []
            if day is not None and sizes:
                dates.append(Prunable(table, day, len(sizes), sum(sizes)))
    return dates


def prune(store: Store, before: date, dates: list[Prunable], advance: Advance = lambda _done, _all: None) -> None:
    """Raise the floor to ``before``, and delete ``dates``, which are below it."""
    put_floor(store, before)
    done = 0
    for item in dates:
        store.delete([info.key for info in store.objects(date_folder(item.table, item.trade_date))])
        done += item.objects
        advance(done, sum(item.objects for item in dates))
