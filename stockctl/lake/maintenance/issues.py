"""What ``lake verify`` can find, and the report that it makes. docs/lake.md tells what each kind means and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Literal, NamedTuple

Kind = Literal[
    "hole",
    "overlap",
    "count",
    "missing",
    "changed",
    "invalid",
    "stray",
    "doubled",
    "unclaimed",
    "unreadable",
    "lost",
    "cut short",
    "in progress",
    "leftover",
]
_HARMLESS: frozenset[Kind] = frozenset({"in progress", "cut short", "leftover"})


class Issue(NamedTuple):
    """One thing found: what kind, at which key, and what it means."""

    kind: Kind
    key: str
    message: str

    @property
    def wrong(self) -> bool:
        """Whether it makes the lake unhealthy: what is unfinished, begun anew or read by nobody does not."""
        return self.kind not in _HARMLESS


@dataclass
class Report:
    """What was checked, and what was found. ``pruned`` rows lie below the ``floor``: they were dropped on purpose."""

    partitions: int = 0
    claims: int = 0
    objects: int = 0
    rows: int = 0
    rejected: int = 0
    bytes: int = 0
    compacted: int = 0
    """Dates that Parquet holds."""
    floor: date | None = None
    pruned: int = 0
    deep: bool = False
    findings: list[Issue] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not any(finding.wrong for finding in self.findings)
