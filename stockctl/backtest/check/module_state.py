"""Variables of a strategy's code that outlive its instances: those of modules, classes and functions, and its parameters."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from stockctl.backtest.check.messages import Place
from stockctl.strategies import LoadedStrategy

State = Mapping[tuple[str, str], bytes]
"""Variables by file and name, each as bytes that change with it."""


def state_of(strategy: LoadedStrategy) -> State:
    """The variables of ``strategy`` now; without those that cannot be compared. The first call reads its files."""
    for file in strategy.files:
        _lines(file)
    return dict(_variables(strategy))


def changed(before: State, after: State) -> list[Place]:
    """The variables that are new or different, each with the first line that names it."""
    return [
        Place(f"{name} outlives the run", file, _line_of(file, name))
        for (file, name), state in after.items()
        if not _is_same(before.get((file, name)), state)
    ]


def _variables(strategy: LoadedStrategy) -> Iterator[tuple[tuple[str, str], bytes]]:
    own = set(strategy.files)
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file in own and isinstance(module, ModuleType):
            for name, value in list(vars(module).items()):
                if isinstance(value, type) and value.__module__ == module.__name__:
                    members = {f"{name}.{member}": each for member, each in vars(value).items()}
                else:
                    members = {name: value}
                for path, each in members.items():
                    if not path.rpartition(".")[2].startswith("__") and (state := _bytes_of(each)) is not None:
                        yield (file, path), state
    if strategy.files and (state := _bytes_of(dict(vars(strategy.params)))) is not None:
        yield (strategy.files[0], "params"), state


def _bytes_of(value: Any) -> bytes | None:
    if isinstance(value, classmethod | staticmethod):
        value = value.__func__
    if isinstance(value, FunctionType):
        # Default values are made once, and a function can have attributes.
        cells = [cell.cell_contents for cell in value.__closure__ or () if cell.cell_contents is not value]
        value = [value.__defaults__, value.__kwdefaults__, vars(value), cells]
    elif callable(value) or isinstance(value, ModuleType | property):
        return None
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001  # whatever cannot be pickled cannot be compared
        return None


def _is_same(before: bytes | None, after: bytes) -> bool:
    if before is None or before == after:
        return before == after
    # Equal values can have other bytes: where two parts are one object, it is written once.
    try:
        return bool(pickle.loads(before) == pickle.loads(after))  # noqa: S301  # what this process has written
    except Exception:  # noqa: BLE001  # whatever cannot be compared
        return False


def _line_of(file: str, name: str) -> int:
    """The line of ``file`` that first names the variable; 0 if none does."""
    word = name.rpartition(".")[2]
    return next((number for number, line in enumerate(_lines(file), 1) if word in line), 0)


@cache
def _lines(file: str) -> list[str]:
    # Kept, as no file can be opened while the strategy runs.
    return Path(file).read_text(encoding="utf-8").splitlines()
