"""Two backtests side by side: their statistics, and the first decision and the first fill that differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stockctl.backtest.result import BacktestResult
from stockctl.errors import UsageError, unreadable

_HINT = "write them with `stockctl backtest run … -o json`, or with --show decisions -o parquet"


class Compared(NamedTuple):
    """A figure of both backtests. ``difference`` is the second less the first, for numbers."""

    name: str
    first: Any
    second: Any
    difference: float | None


def compare_results(first: BacktestResult, second: BacktestResult) -> Iterator[Compared]:
    """The records of both, then the first decision and the first fill that differ."""
    yield from compare_records(first.record, second.record)
    for name in ("decisions", "fills"):
        pair = _first_difference(
            [row._asdict() for one in first.symbols for row in getattr(one, name)],
            [row._asdict() for one in second.symbols for row in getattr(one, name)],
        )
        yield from _rows(f"first {name.removesuffix('s')} that differs", pair)


def compare_records(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Compared]:
    """Every field of both records."""
    for name in dict.fromkeys([*first, *second]):
        one, other = first.get(name), second.get(name)
        is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
        yield Compared(name, _text(one), _text(other), other - one if is_number else None)  # type: ignore[operator]  # both are numbers


def compare_files(first: Path, second: Path) -> Iterator[Compared]:
    """Two results of ``backtest run``: records in JSON, or parts of results in Parquet, of which the first row that differs.

    UsageError for a file that is neither, or two of different kinds.
    """
    if first.suffix != second.suffix:
        raise UsageError(f"{first} and {second} are not of one format", hint=_HINT)
    if first.suffix == ".json":
        yield from compare_records(_record(first), _record(second))
        return
    one, other = _table(first), _table(second)
    yield Compared("rows", len(one), len(other), len(other) - len(one))
    yield from _rows("first row that differs", _first_difference(one, other))


def is_result_file(text: str) -> bool:
    """Whether ``text`` names a file with a result, rather than a strategy."""
    return text.endswith((".json", ".parquet"))


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise unreadable(path, error, _HINT) from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}", hint=_HINT) from None
    if not isinstance(record, dict):
        raise UsageError(f"{path} is no record of a backtest", hint=_HINT)
    return record


def _table(path: Path) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        with path.open("rb") as file:
            return list(pyarrow.parquet.read_table(file).to_pylist())
    except OSError as error:
        raise unreadable(path, error, _HINT) from error
    except pa.ArrowException as error:
        raise UsageError(f"{path} is not Parquet: {str(error).splitlines()[0]}", hint=_HINT) from None


Rows = Sequence[Mapping[str, Any]]
_IGNORED = ("inputs", "position")
"""Fields that say nothing about what was decided."""


def _first_difference(first: Rows, second: Rows) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None] | None:
    for one, other in zip(first, second, strict=False):
        if any(one.get(name) != other.get(name) for name in {*one, *other} if name not in _IGNORED):
            return one, other
    if len(first) == len(second):
        return None
    at = min(len(first), len(second))
    return (first[at], None) if len(first) > at else (None, second[at])


def _rows(name: str, pair: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None] | None) -> Iterator[Compared]:
    if pair is None:
        yield Compared(name, "none", "none", None)
        return
    one, other = ("no more" if row is None else _text(row) for row in pair)
    yield Compared(name, one, other, None)


def _text(value: Any) -> Any:
    """Names with their values on one line, for what is no number."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items() if name not in _IGNORED and each not in ("", None))
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return value if value is None or isinstance(value, int | float) else str(value)
