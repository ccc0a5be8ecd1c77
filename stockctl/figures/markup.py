"""Elements of HTML and SVG, well-formed as XML too. All text is escaped, unless it is markup already."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_EMPTY = {"meta", "circle", "line", "path", "rect"}


class Markup(str):
    """Text that is markup: elements, made by ``tag`` and ``join``. Any other text is escaped where it is put into one."""

    __slots__ = ()


def visible(text: str) -> str:
    r"""``text`` on one line, each character that cannot be seen or that XML refuses written out, as ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _written_out(char) for char in text)


def _written_out(char: str) -> str:
    return " " if char.isspace() else char.encode("unicode_escape").decode("ascii")


def tag(element: str, /, *content: str, **attributes: object) -> Markup:
    """The ``element`` with its content. An attribute that is None is left out.

    In their names ``_`` is written ``-``; one at the end, as in ``class_``, is left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(visible(str(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if not content and element in _EMPTY:
        return Markup(f"<{element}{written}/>")
    return Markup(f"<{element}{written}>{join(content)}</{element}>")


def join(parts: Iterable[str]) -> Markup:
    """The ``parts`` in a row; text among them is escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escape(visible(part)) for part in parts))
