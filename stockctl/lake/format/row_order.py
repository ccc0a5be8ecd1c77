"""The order of a symbol's rows within a claim, where they lie in more than one object.

A batch writes one object per date, so a late row between today's rows lies in an object of its own. Lines have no offsets; the
claim's ``switches`` name where the symbol's rows go on in another object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise
from typing import NamedTuple

from stockctl.errors import quoted
from stockctl.lake.format.claims import Claim, ClaimedObject, UnreadableError
from stockctl.lake.format.keys import Layout, folder_of, parse_folder


class Run(NamedTuple):
    """Lines ``[first, end)`` of the claim's object ``number``: the symbol's rows among them follow each other in the log.

    ``rank`` is that of the line ``first``: a row's rank in the claim is ``rank + line - first``, so it rises in log order.
    """

    number: int
    first: int
    end: int
    rank: int


def part_of(layout: Layout, symbol: str) -> str:
    """The part of the folders that ``layout`` gives ``symbol``, such as ``ticker=AAPL``; empty if a date has no folders."""
    return parse_folder(layout.folder(symbol, date.min))[1]


def objects_of(claim: Claim, symbol: str) -> list[int]:
    """Indexes of the claim's objects that may contain rows of ``symbol``."""
    part = part_of(claim.layout, symbol)
    return [number for number, item in enumerate(claim.objects) if parse_folder(folder_of(item.key))[1] == part]


def row_order(claim: Claim, symbol: str, numbers: Sequence[int]) -> list[Run]:
    """The runs of the rows of ``symbol`` in log order; ``numbers`` are ``objects_of(claim, symbol)``.

    Without ``switches`` the objects follow each other by their offsets, see ``follow_each_other``. UnreadableError if the
    claim's ``switches`` name lines that its objects don't have.
    """
    objects = claim.objects
    if (switches := claim.switches.get(symbol)) is not None:
        return _switched(claim, symbol, switches, numbers)
    runs, rank = [], 0
    for number in sorted(numbers, key=lambda number: objects[number].first_offset):
        runs.append(Run(number, 0, objects[number].rows, rank))
        rank += objects[number].rows
    return runs


def follow_each_other(objects: Iterable[ClaimedObject]) -> bool:
    """Whether the offsets of these objects don't overlap, so that they give the order of the rows."""
    objects = sorted(objects, key=lambda item: item.first_offset)
    return all(one.last_offset < other.first_offset for one, other in pairwise(objects))


def _switched(claim: Claim, symbol: str, switches: Sequence[tuple[int, int]], numbers: Sequence[int]) -> list[Run]:
    firsts: dict[int, list[int]] = {}
    for number, first in switches:
        lines = firsts.setdefault(number, [])
        if number not in numbers or not (lines[-1] if lines else 0) <= first <= claim.objects[number].rows:
            raise UnreadableError(claim.key, f"its switches of {quoted(symbol)} name line {first} of object {number}")
        lines.append(first)
    ends = {number: iter([*lines[1:], claim.objects[number].rows]) for number, lines in firsts.items()}
    runs, rank = [], 0
    for number, first in switches:
        run = Run(number, first, next(ends[number]), rank)
        runs.append(run)
        rank += run.end - run.first
    return runs
