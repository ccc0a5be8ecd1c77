"""Gaps in the feed's coverage, and which decisions and fills lie beside one.

A gap is session time that no feed event covers: closed hours and halts are none. Times are ms UTC.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, get_args

GapPolicy = Literal["mark", "refuse", "ignore"]
GAP_POLICIES: tuple[GapPolicy, ...] = get_args(GapPolicy)


class MissedTime(NamedTuple):
    """Session time ``[since, until)`` that the feed missed for ``reason``."""

    since: int
    until: int
    reason: str


class SymbolCoverage(NamedTuple):
    """How the feed covered a symbol's session time: ms that were covered and expected, and the gaps in order."""

    covered: int = 0
    expected: int = 0
    gaps: Sequence[MissedTime] = ()

    @property
    def percent(self) -> float | None:
        """The covered part in percent; None where no time was expected."""
        return 100 * self.covered / self.expected if self.expected else None


class GapMarks:
    """Marks the decisions and fills of one symbol that lie beside a gap, as they are made."""

    def __init__(self, gaps: Iterable[MissedTime] = ()) -> None:
        ordered = sorted(gaps)
        self._since = [gap.since for gap in ordered]
        self._until = [gap.until for gap in ordered]
        self._before = -1
        self._marked = False

    def decided(self, at: int) -> bool:
        """Whether a decision at ``at`` was made in a gap, or is the first since one: the strategy did not see what happened.

        All decisions at one time are alike.
        """
        if at != self._before:
            self._marked = self.between(self._before, at)
            self._before = at
        return self._marked

    def between(self, since: int, until: int) -> bool:
        """Whether a part of ``[since, until]`` lies in a gap."""
        before = bisect_right(self._since, until)
        # Gaps are disjoint, so the last one that begins by then is also the last to end.
        return before > 0 and self._until[before - 1] > since
