"""Finding a strategy by its name, file or module, and the version of its code.

A reference is the name of a built-in strategy or of an entry point of the group ``stockctl.strategies``, a file
(``my_strategy.py`` or ``my_strategy.py:Class``), or ``module:Class``.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from inspect import isclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from stockctl.errors import StockctlError, UsageError, quoted
from stockctl.strategies.source_files import source_files
from stockctl.strategies.strategy import Strategy
from stockctl.validation_errors import setting_problem

KERNEL_VERSION = "1"
"""Version of the kernel and of the indicators. Change it whenever the same records can give other decisions."""

GROUP = "stockctl.strategies"
"""The group of entry points."""

BUILT_IN = {
    "sma-cross": "stockctl.strategies.builtin.sma_cross:SmaCross",
    "vwap-reversion": "stockctl.strategies.builtin.vwap_reversion:VwapReversion",
    "breakout": "stockctl.strategies.builtin.breakout:Breakout",
}
HANDLERS = ("on_trade", "on_bar", "on_filing")
_INIT = "`stockctl strategies init NAME` writes an example"


class LoadedStrategy(NamedTuple):
    """A strategy with its parameters. ``version`` is the SHA-256 of its ``files`` and the kernel's version."""

    reference: str
    name: str
    version: str
    files: tuple[str, ...]
    kind: type[Any]
    params: BaseModel

    def make(self, symbol: str) -> Any:
        """A new instance for ``symbol``."""
        return self.kind(self.params, symbol)

    @property
    def params_json(self) -> str:
        """The parameters as JSON."""
        return self.params.model_dump_json()


def load_strategy(reference: str, params: Mapping[str, Any] | None = None) -> LoadedStrategy:
    """The strategy at ``reference`` with ``params`` by name; text is parsed.

    UsageError if there is no such strategy, or a parameter is unknown or out of bounds. StockctlError if its code cannot be
    imported.
    """
    target = BUILT_IN.get(reference) or _entry_point(reference)
    name, kind, files = _by_file(reference) if target is None and _is_file(reference) else _by_module(reference, target)
    if not any(hasattr(kind, handler) for handler in HANDLERS):
        raise UsageError(
            f"the strategy {reference} has none of {', '.join(HANDLERS)}",
            hint=_INIT,
        )
    parsed = parse_params(reference, kind, params or {})
    return LoadedStrategy(reference, name, _version(files), tuple(sorted(files)), kind, parsed)


def absolute_reference(reference: str) -> str:
    """``reference`` as it is read from any folder: that of a file gets its whole path."""
    path, colon, attribute = reference.partition(":")
    return f"{Path(path).absolute()}{colon}{attribute}" if _is_file(reference) else reference


def parse_params(reference: str, kind: type[Any], params: Mapping[str, Any]) -> BaseModel:
    """``params`` as the model ``kind.Params`` of the strategy at ``reference``.

    UsageError that names each parameter that is unknown or out of bounds.
    """
    model = getattr(kind, "Params", Strategy.Params)
    if unknown := sorted(set(params) - set(model.model_fields)):
        known = ", ".join(model.model_fields) or "none"
        raise UsageError(f"{reference} has no parameter {quoted(unknown[0])}", hint=f"its parameters: {known}")
    try:
        found: BaseModel = model.model_validate(dict(params))
    except ValidationError as error:
        problems = "; ".join(
            ": ".join(filter(None, (".".join(map(str, problem["loc"])), setting_problem(problem))))
            for problem in error.errors()
        )
        raise UsageError(
            f"parameters of {reference}: {problems}", hint=f"`stockctl strategies show {reference}` lists them"
        ) from None
    return found


def names() -> dict[str, str]:
    """The strategies that have a name, each with its ``module:Class``: built in ones first, then entry points."""
    return BUILT_IN | {point.name: point.value for point in entry_points(group=GROUP) if point.name not in BUILT_IN}


def _entry_point(name: str) -> str | None:
    return next((point.value for point in entry_points(group=GROUP, name=name)), None)


def _is_file(reference: str) -> bool:
    return reference.partition(":")[0].endswith(".py")


def _by_module(reference: str, target: str | None) -> tuple[str, type[Any], set[str]]:
    module_name, separator, attribute = (target or reference).partition(":")
    if not separator:
        raise UsageError(
            f"there is no strategy {quoted(reference)}",
            hint="`stockctl strategies list` names them; write a file as my_strategy.py, a class of a module as module:Class",
        )
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise UsageError(f"there is no module {module_name}", hint="install it into the environment of stockctl") from None
        raise _import_error(reference, error) from error
    except (Exception, SystemExit) as error:
        raise _import_error(reference, error) from error
    kind = getattr(module, attribute, None)
    if not isclass(kind):
        raise UsageError(f"the module {module_name} has no class {attribute}", hint="write module:Class")
    path = Path(module.__file__ or "")
    # Of a built-in strategy, the rest of the code has the version of the kernel.
    files = {str(path)} if reference in BUILT_IN else source_files(path, path.parents[module_name.count(".")], module_name)
    return reference if target else _kebab(attribute), kind, files


def _by_file(reference: str) -> tuple[str, type[Any], set[str]]:
    text, _, attribute = reference.partition(":")
    path = Path(text).resolve()
    if not path.is_file():
        raise UsageError(f"there is no file {text}", hint=_INIT)
    name = f"_strategy_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{text} cannot be loaded as Python code", hint="its name must end with .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # As for a script: modules beside the file can be imported.
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _import_error(text, error) from error
    finally:
        sys.path.remove(str(path.parent))
    kind = _class_in(module, text, attribute)
    return path.stem.replace("_", "-"), kind, source_files(path, path.parent)


def _class_in(module: ModuleType, text: str, attribute: str) -> type[Any]:
    if attribute:
        kind = getattr(module, attribute, None)
        if not isclass(kind):
            raise UsageError(f"{text} has no class {attribute}", hint=f"write {text}:CLASS, or {text} if it has one strategy")
        return kind
    classes = [
        value
        for value in vars(module).values()
        if isclass(value) and value.__module__ == module.__name__ and any(hasattr(value, handler) for handler in HANDLERS)
    ]
    if len(classes) != 1:
        found = ", ".join(kind.__name__ for kind in classes) or "none"
        raise UsageError(f"{text} must have one strategy; it has {found}", hint=f"write {text}:CLASS")
    return classes[0]


def _import_error(reference: str, error: BaseException) -> StockctlError:
    if isinstance(error, SyntaxError):
        return StockctlError(
            f"the strategy {reference} is not valid Python: {error.msg} ({error.filename}, line {error.lineno})",
            hint="correct it, then try again",
        )
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    own = [frame for frame in frames if not frame.filename.endswith("strategies/loading.py")]
    place = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    hint = "correct it, then try again"
    if isinstance(error, ImportError):
        hint = "install what it imports into the environment of stockctl, or correct the name"
    return StockctlError(f"the strategy {reference} cannot be imported: {type(error).__name__}: {error}{place}", hint=hint)


def _version(files: Iterable[str]) -> str:
    digest = hashlib.sha256(f"kernel {KERNEL_VERSION}\n".encode())
    # Sorted by name alone: the folder in which a strategy lies is not part of its code.
    for path in sorted(map(Path, files), key=lambda path: (path.name, str(path))):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
