"""What the command and the processes of a check say to each other, as msgpack."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from stockctl.strategies import Decision

Condition = Literal["hash seed", "clock", "random numbers", "environment", "repeat"]
"""What a run may have changed: what a strategy must not see.

``repeat`` is the memory, and whatever else differs between two equal runs.
"""
CONDITIONS: tuple[Condition, ...] = ("hash seed", "clock", "random numbers", "environment", "repeat")


class Job(msgspec.Struct, frozen=True):
    """One run in a fresh process.

    ``kind``: ``one by one`` and ``batches`` feed everything; ``cuts`` and ``noise`` compare cut and noisy records with a whole
    run in the same process, and ``cuts`` runs the whole twice. ``symbols`` are in the order in which they are run; ``late`` is
    the number of trade dates that are left out at the start.
    """

    name: str
    kind: Literal["one by one", "batches", "cuts", "noise"]
    symbols: list[str]
    guarded: bool = True
    changed: list[Condition] = []
    late: int = 0


class Plan(msgspec.Struct, frozen=True):
    """What one process runs: it imports the kernel, and forks for each job, before any code of the strategy is loaded.

    ``files`` are those of the strategy's code, ``tapes`` the file of the records, ``paths`` those of Python's imports.
    """

    reference: str
    params: dict[str, Any]
    files: list[str]
    tapes: str
    seed: int
    cuts: int
    jobs: list[Job]


class Place(msgspec.Struct, frozen=True):
    """A line of the strategy, and what it did there."""

    what: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.what} ({self.file}, line {self.line})" if self.line else self.what


class CutFinding(msgspec.Struct, frozen=True):
    """Decisions up to a cut that are not those of the whole records. A decision is None where there is none."""

    symbol: str
    cut: int
    whole: Decision | None
    cut_off: Decision | None


class Outcome(msgspec.Struct):
    """What a job found. ``error`` is why the strategy failed; ``reads`` what it read beside its records, by condition.

    ``globals`` are variables that the run changed, ``grown`` those that an equal run changed once more; ``again`` are the first
    decisions of such runs that differ.
    """

    job: str
    decisions: dict[str, list[Decision]] = {}
    error: str = ""
    refused: list[Place] = []
    reads: dict[str, list[Place]] = {}
    altered: list[str] = []
    globals: list[Place] = []
    grown: list[Place] = []
    again: list[CutFinding] = []
    cuts: int = 0
    findings: list[CutFinding] = []
    kept: float | None = None


def difference(first: list[Decision], second: list[Decision]) -> tuple[Decision | None, Decision | None] | None:
    """The first pair of decisions that differ, whatever their position; None if all are equal."""
    for one, other in zip(first, second, strict=False):
        if one._replace(position=0) != other._replace(position=0):
            return one, other
    if len(first) == len(second):
        return None
    at = min(len(first), len(second))
    return (first[at], None) if len(first) > at else (None, second[at])
