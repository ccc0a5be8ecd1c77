"""The sets of parameters that a sweep runs, as people write them: ``fast=5..20``, ``slow=20..100:10``, ``size=0.5,1``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import product
from math import prod
from typing import NamedTuple

from stockctl.errors import UsageError, quoted
from stockctl.strategies.loading import load_strategy, parse_params

MOST = 1_000_000
"""Most combinations of a sweep."""

_NUMBER = r"-?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?::(\d+(?:\.\d+)?))?", re.ASCII)
_HINT = "write --param fast=5..20, --param slow=20..100:10, or --param size=0.5,1"


class Grid(NamedTuple):
    """The ``sets`` of parameters to run, as written. ``invalid`` combinations are left out, the first because of ``reason``."""

    sets: list[dict[str, str]]
    invalid: int = 0
    reason: str = ""


def parse_grid(reference: str, written: Mapping[str, str]) -> Grid:
    """Every combination of the values of each parameter that the strategy takes.

    UsageError for a range that is none, an unknown parameter, too many combinations, and if the strategy takes none.
    """
    values = {name: list(_values(name, text)) for name, text in written.items()}
    count = prod(map(len, values.values()))
    if count > MOST:
        raise UsageError(f"the sweep has {count:,} combinations, more than {MOST:,}", hint="use larger steps, such as 5..100:5")
    strategy = load_strategy(reference, _first_valid(reference, values))
    sets: list[dict[str, str]] = []
    reason = ""
    for combination in product(*values.values()):
        params = dict(zip(values, combination, strict=True))
        try:
            parse_params(strategy.reference, strategy.kind, params)
        except UsageError as error:
            reason = reason or str(error)
        else:
            sets.append(params)
    return Grid(sets, count - len(sets), reason)


def _first_valid(reference: str, values: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The first combination that the strategy takes. The error of the first one if it takes none."""
    first: UsageError | None = None
    for combination in product(*values.values()):
        params = dict(zip(values, combination, strict=True))
        try:
            load_strategy(reference, params)
        except UsageError as error:
            first = first or error
        else:
            return params
    raise first or UsageError("the sweep has no combination", hint=_HINT)


def _values(name: str, text: str) -> Iterator[str]:
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            if ".." in part or not part.strip():
                raise UsageError(f"--param {name}={quoted(text)}: {quoted(part)} is no range", hint=_HINT)
            yield part.strip()
            continue
        first, last, step = (Decimal(each or "1") for each in match.groups())
        if last < first or not step:
            raise UsageError(f"--param {name}={quoted(text)}: the range is empty", hint=_HINT)
        count = int((last - first) / step) + 1
        if count > MOST:
            raise UsageError(f"--param {name} has {count:,} values, more than {MOST:,}", hint="use a larger step")
        yield from (str(first + step * number) for number in range(count))
