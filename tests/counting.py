"""Counting records: each once, whatever they went through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def assert_once(found: Iterable[str], sent: Iterable[str]) -> None:
    """Each of ``sent`` was ``found`` once, and nothing else. `.ci/run` gives such a failure no second try."""
    there, wanted = Counter(found), Counter(sent)
    lost, more = list((wanted - there).elements()), list((there - wanted).elements())
    assert not lost, f"records lost or duplicated: {len(lost)} lost, as {lost[:5]}"
    assert not more, f"records lost or duplicated: {len(more)} too many, as {more[:5]}"
