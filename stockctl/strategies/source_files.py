"""The files of a strategy's code: its own, and the modules beside it that these import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def source_files(path: Path, root: Path, module: str | None = None) -> set[str]:
    """``path`` and all files below ``root`` that it imports, directly or not, wherever in the code the import is.

    For a strategy in a package, ``module`` is its full name: then only modules of its top-level package count.
    """
    package = module.partition(".")[0] if module is not None else None
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        for name in _imports(file, root):
            if package is None or name.partition(".")[0] == package:
                waiting.extend(_files(root, name))
    return {str(file) for file in found}


def _imports(file: Path, root: Path) -> Iterator[str]:
    """The full names of the modules that ``file`` imports, and of names that may be modules."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                folder = file.parents[node.level - 1]
                if not folder.is_relative_to(root):
                    continue
                base = ".".join((*folder.relative_to(root).parts, *filter(None, (node.module,))))
            if base:
                yield base
            yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)


def _files(root: Path, name: str) -> Iterator[Path]:
    """The files that an import of ``name`` below ``root`` runs."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:length])
        for file in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if file.is_file():
                yield file
