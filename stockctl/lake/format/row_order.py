"""The order of a symbol's rows within a claim, where they lie in more than one object.

A batch writes one object per date, so a late row between today's rows lies in an object of its own. Lines have no offsets; the
claim's ``switches`` name where the symbol's rows go on in another object.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise
from typing import NamedTuple

from stockctl.errors import quoted
from stockctl.lake.format.claims import Claim, ClaimedObject, UnreadableError
from stockctl.lake.format.keys import Layout, folder_of, parse_folder


class Run(NamedTuple):
    """Lines ``[first, end)`` of an object: a symbol's rows among them follow each other in the log.

    ``rank`` is that of the line ``first``.
    """

    first: int
    end: int
    rank: int


class ObjectRanks(NamedTuple):
    """The ranks of an object's rows in their claim, which rise in log order for each symbol.

    ``first`` is the rank of line 0, from which the others count; ``runs`` are those of symbols that switch between objects.
    """

    claim: str
    first: int
    runs: dict[str, list[Run]]

    def of(self, symbols: Sequence[str]) -> list[int]:
        """The ranks of the lines, whose symbols are ``symbols``. UnreadableError if a row is in none of its symbol's runs."""
        ranks = list(range(self.first, self.first + len(symbols)))
        runs = {symbol: deque(runs) for symbol, runs in self.runs.items()}
        for line, symbol in enumerate(symbols):
            if (remaining := runs.get(symbol)) is not None:
                while remaining and line >= remaining[0].end:
                    remaining.popleft()
                if not remaining or line < remaining[0].first:
                    raise UnreadableError(self.claim, f"its switches leave out a row of {quoted(symbol)}")
                ranks[line] = remaining[0].rank + line - remaining[0].first
        return ranks


def part_of(layout: Layout, symbol: str) -> str:
    """The part of the folders that ``layout`` gives ``symbol``, such as ``ticker=AAPL``; empty if a date has no folders."""
    return parse_folder(layout.folder(symbol, date.min))[1]


def objects_of(claim: Claim, symbol: str) -> list[int]:
    """Indexes of the claim's objects that may contain rows of ``symbol``."""
    part = part_of(claim.layout, symbol)
    return [number for number, item in enumerate(claim.objects) if parse_folder(folder_of(item.key))[1] == part]


def object_ranks(claim: Claim, numbers: Sequence[int]) -> dict[int, ObjectRanks]:
    """The ranks of the objects ``numbers`` of ``claim``: all that have one part in their folders.

    For symbols without ``switches`` these follow each other by their offsets, see ``follow_each_other``. UnreadableError if
    ``switches`` name lines that the objects don't have.
    """
    ranks, first = {}, 0
    for number in sorted(numbers, key=lambda number: claim.objects[number].first_offset):
        ranks[number] = ObjectRanks(claim.key, first, {})
        first += claim.objects[number].rows
    part = parse_folder(folder_of(claim.objects[numbers[0]].key))[1]
    for symbol, switches in claim.switches.items():
        if part_of(claim.layout, symbol) == part:
            for number, runs in _runs(claim, symbol, switches, numbers).items():
                ranks[number].runs[symbol] = runs
    return ranks


def follow_each_other(objects: Iterable[ClaimedObject]) -> bool:
    """Whether the offsets of these objects don't overlap, so that they give the order of the rows."""
    objects = sorted(objects, key=lambda item: item.first_offset)
    return all(one.last_offset < other.first_offset for one, other in pairwise(objects))


def _runs(claim: Claim, symbol: str, switches: Sequence[tuple[int, int]], numbers: Sequence[int]) -> dict[int, list[Run]]:
    """The runs of ``symbol`` in each object."""
    firsts: dict[int, list[int]] = defaultdict(list)
    for number, first in switches:
        before = firsts[number][-1] if firsts[number] else 0
        if number not in numbers or not before <= first <= claim.objects[number].rows:
            raise UnreadableError(claim.key, f"its switches of {quoted(symbol)} name line {first} of object {number}")
        firsts[number].append(first)
    ends = {number: iter([*lines[1:], claim.objects[number].rows]) for number, lines in firsts.items()}
    runs: dict[int, list[Run]] = defaultdict(list)
    rank = 0
    for number, first in switches:
        end = next(ends[number])
        runs[number].append(Run(first, end, rank))
        rank += end - first
    return runs
