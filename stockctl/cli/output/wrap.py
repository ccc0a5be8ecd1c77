"""Text in several lines of a narrow column."""

from __future__ import annotations

import re
from collections.abc import Iterator

_BLANKS = re.compile(r"(?<= )(?! )")
_SIGNS = re.compile(r"(?<=[,/_;&?])")


def wrapped(text: str, width: int) -> list[str]:
    """``text`` in lines of at most ``width`` cells, broken at blanks; a longer word is broken after a sign, as in a path."""
    from rich.cells import cell_len

    lines = [""]
    for word in _pieces(text, width):
        if cell_len((lines[-1] + word).rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return [line.rstrip() for line in lines]


def _pieces(text: str, width: int) -> Iterator[str]:
    from rich.cells import cell_len, chop_cells

    for word in _BLANKS.split(text):
        if cell_len(word.rstrip()) <= width:
            yield word
            continue
        for part in _SIGNS.split(word):
            yield from chop_cells(part, width) if cell_len(part.rstrip()) > width else [part]
