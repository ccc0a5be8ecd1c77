"""The issues that ``lake verify`` can find, and its report. docs/lake.md explains each kind and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Literal, NamedTuple

Kind = Literal[
    "gap",
    "overlap",
    "count",
    "missing",
    "changed",
    "invalid",
    "orphan",
    "duplicate",
    "repeated",
    "unclaimed",
    "unreadable",
    "lost",
    "truncated",
    "in progress",
    "leftover",
]
_HARMLESS: frozenset[Kind] = frozenset({"repeated", "in progress", "truncated", "leftover"})


class Issue(NamedTuple):
    """One issue: its kind, the key that it concerns, and a message."""

    kind: Kind
    key: str
    message: str

    @property
    def wrong(self) -> bool:
        """Whether it makes the lake unhealthy: unfinished work, a new generation, unused objects and signals
        that several runs made do not.
        """
        return self.kind not in _HARMLESS


@dataclass
class Report:
    """What was verified, and the issues. ``pruned`` rows are below the ``floor``: they were deleted on purpose."""

    partitions: int = 0
    claims: int = 0
    objects: int = 0
    rows: int = 0
    rejected: int = 0
    bytes: int = 0
    compacted: int = 0
    """Dates that have a manifest."""
    floor: date | None = None
    pruned: int = 0
    deep: bool = False
    issues: list[Issue] = field(default_factory=list)

    @property
    def damage(self) -> list[Issue]:
        """The issues that make the lake unhealthy."""
        return [issue for issue in self.issues if issue.wrong]
