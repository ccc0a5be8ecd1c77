"""What a terminal can do: its width, bold text and links."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO


def terminal_width(stream: TextIO) -> int:
    """Columns of the terminal at ``stream``; ``COLUMNS`` overrides it."""
    if (columns := os.environ.get("COLUMNS", "")).isdecimal() and int(columns):
        return int(columns)
    return os.get_terminal_size(stream.fileno()).columns or 80


@dataclass(frozen=True)
class Style:
    """Bold text and links, where the terminal takes them."""

    render: Callable[..., str] | None = None

    @classmethod
    def of_terminal(cls) -> Style:
        """The style of this terminal; none with ``NO_COLOR`` or on a dumb terminal."""
        if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
            return cls()
        from rich.color import ColorSystem
        from rich.style import Style as RichStyle

        return cls(lambda text, **style: RichStyle(**style).render(text, color_system=ColorSystem.STANDARD))

    def bold(self, text: str) -> str:
        """``text`` in bold."""
        return text if self.render is None else self.render(text, bold=True)

    def link(self, text: str, address: Any) -> str:
        """``text`` as a link, blanks around it excepted."""
        bare = text.strip()
        if self.render is None or not bare or not _is_address(address):
            return text
        before, _, after = text.partition(bare)
        return before + self.render(bare, link=address) + after


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://")) and value.isascii() and value.isprintable()
