"""The part of ``lake verify --deep`` that reads raw objects: their hashes, their rows, and duplicate ids."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import NamedTuple

from stockctl.clients.object_store import AbsentError, Store
from stockctl.errors import StockctlError
from stockctl.lake.format.claims import ClaimedObject
from stockctl.lake.format.keys import folder_of
from stockctl.lake.maintenance.issues import Issue, Kind, Report
from stockctl.lake.maintenance.verify_parquet import Digests
from stockctl.lake.writer.batch import decompress
from stockctl.record_validation import VALIDATORS, InvalidRecordError
from stockctl.units import counted

Advance = Callable[[int, int], None]
"""Called with the number of objects read, and of all objects."""


class ObjectOfClaim(NamedTuple):
    """An object with the key of its claim."""

    item: ClaimedObject
    claim: str


def read_object(store: Store, item: ClaimedObject) -> tuple[Issue | None, list[str]]:
    """Read the object: its issue, if it has one, and the ids of its rows."""
    try:
        lines = decompress(store.get(item.key), item.key)
    except AbsentError:
        return Issue("missing", item.key, "it was deleted during the check"), []
    except StockctlError as error:
        return Issue("changed", item.key, str(error)), []
    rows = lines.splitlines()
    ids, invalid = _ids(item.key.partition("/")[0], rows)
    if len(rows) != item.rows:
        return Issue("changed", item.key, f"{counted(len(rows), 'row')}, but {item.rows} claimed"), ids
    if sha256(lines).hexdigest() != item.sha256:
        return Issue("changed", item.key, "its lines do not match the hash in the claim"), ids
    if invalid:
        first = f"line {min(invalid)}: {invalid[min(invalid)]}"
        message = f"{counted(len(invalid), 'line')} that readers may refuse or misread: {first}"
        return Issue("invalid", item.key, message), ids
    return None, ids


def _ids(table: str, rows: Sequence[bytes]) -> tuple[list[str], dict[int, str]]:
    """The ids of ``rows``, and the reasons why rows are invalid, by row number from 1."""
    validator = VALIDATORS[table]
    if (records := validator.all(rows)) is not None:
        return [record.id for record in records], {}
    ids, invalid = [], {}
    for number, row in enumerate(rows, 1):
        try:
            ids.append(validator.record(row).id)
        except InvalidRecordError as error:
            invalid[number] = str(error)
    return ids, invalid


def read_all(store: Store, items: list[ObjectOfClaim], report: Report, digests: Digests, advance: Advance) -> None:
    """Read every object, and look for duplicate ids."""
    done = 0
    with ThreadPoolExecutor(4, thread_name_prefix="deep") as pool:
        for group in _groups(items):
            seen: dict[str, str] = {}
            contents = pool.map(lambda one: read_object(store, one.item), group)
            for (item, claim), (issue, ids) in zip(group, contents, strict=True):
                if issue is not None:
                    report.issues.append(issue)
                if (duplicate := _duplicates(item.key, ids, seen)) is not None:
                    report.issues.append(duplicate)
                seen.update(dict.fromkeys(ids, item.key))
                digests.add(claim, item.key, ids)
                done += 1
                advance(done, len(items))


def _duplicates(key: str, ids: Sequence[str], seen: dict[str, str]) -> Issue | None:
    """The issue of ids that are in the object at ``key`` twice, or also in an object of ``seen``."""
    repeated = [name for name in ids if name in seen]
    count = len(repeated) + len(ids) - len(set(ids))
    # A producer that died sends its pending feed events again, with the same ids. Their coverage is the same.
    if not count or key.startswith("feed_events/"):
        return None
    where = f"also in {seen[repeated[0]]}" if repeated else "within the object"
    # A signal's id does not name its run: two runs of a strategy over the same records make the same ids.
    kind: Kind = "repeated" if key.startswith("signals/") else "duplicate"
    return Issue(kind, key, f"{counted(count, 'id occurs', 'ids occur')} twice, {where}")


def _groups(items: Iterable[ObjectOfClaim]) -> Iterator[list[ObjectOfClaim]]:
    """The objects in groups in which an id can occur twice, because an id belongs to one symbol and one time.

    A group is a folder, or a date if its objects were partitioned in more than one way, such as by ticker and by bucket.
    """
    dates: dict[str, dict[str, list[ObjectOfClaim]]] = defaultdict(lambda: defaultdict(list))
    for one in items:
        folder = folder_of(one.item.key)
        dates["/".join(folder.split("/")[:2])][folder].append(one)
    for folders in dates.values():
        names = [folder.rpartition("/")[2] for folder in folders]
        if len({name.partition("=")[0] + name.partition("-of-")[2] for name in names}) == 1:
            yield from folders.values()
        else:
            yield [one for members in folders.values() for one in members]
