"""A page of figures and tables that is one file: it opens without the network, has no script, prints, and is light or dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files

from stockctl.figures.figure import Figure, Table
from stockctl.figures.markup import Markup, join, tag
from stockctl.figures.svg import svg
from stockctl.figures.time_axis import ZONE_LABEL

ROOT_CLASS = "stockctl"
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_SIZES = (("wide", 960, 340), ("narrow", 400, 300))
"""px of the two images of a figure; the style shows the one whose text is readable on the screen."""


def page(title: str, body: Iterable[str]) -> str:
    """The HTML of a whole page."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        style(),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', tag('main', *body, class_=ROOT_CLASS)), lang='en')}\n"


def fragment(body: Iterable[str]) -> str:
    """``body`` with its style, for a page that is there already, such as a notebook."""
    return tag("div", style(), *body, class_=ROOT_CLASS)


def style() -> Markup:
    """The style of all that this module makes."""
    text = files("stockctl.figures").joinpath("page.css").read_text(encoding="utf-8")
    return Markup(f"<style>{text}</style>")


def subsection(title: str) -> Markup:
    """The heading of a part of a section."""
    return tag("h3", title)


def section(title: str, *content: str) -> Markup:
    """A part of the page, with its heading."""
    return tag("section", tag("h2", title), *content)


def figure_block(figure: Figure, name: str, *, with_tables: bool = True) -> Markup:
    """``figure`` for wide and for narrow screens, with its legend and, folded, its tables. ``name`` is unique in the page."""
    images = [
        tag("div", svg(figure, f"{name}-{size}", width, height), class_=f"image {size}") for size, width, height in _SIZES
    ]
    tables = [
        tag("details", tag("summary", f"{one.title} as a table"), table(one, with_title=False))
        for one in figure.tables
        if with_tables
    ]
    caption = tag("figcaption", tag("strong", figure.title), tag("span", figure.description))
    return tag("figure", caption, _legend(figure), *images, tag("p", _axis_words(figure), class_="note"), *tables)


def _axis_words(figure: Figure) -> str:
    left_out = "; closed hours are left out" if len(figure.shown) > 1 else ""
    return f"{ZONE_LABEL}{left_out}"


def _legend(figure: Figure) -> Markup:
    """A sample of each line and mark with its name; nothing for one line alone."""
    if len(figure.lines) == 1 and not figure.marks and not figure.gaps:
        return Markup()
    samples: list[tuple[Markup, str]] = [
        (tag("path", d="M1 8H27", class_=f"line {line.role}"), line.name) for line in figure.lines
    ]
    for marks in figure.marks:
        shape = "M14 3l5 10h-10Z" if marks.shape == "up" else "M14 13l5 -10h-10Z"
        samples.append((tag("path", d=shape, class_=f"mark {marks.shape}"), marks.name))
    if figure.gaps:
        bars = "M1 8L8 1M1 15L15 1M8 15L22 1M15 15L27 3M22 15L27 10"
        gap = join([tag("path", d="M1 1H27V15H1Z", class_="gap"), tag("path", d=bars, class_="hatch")])
        samples.append((gap, "gap in the feed"))
    items = [
        tag("li", tag("svg", sample, viewBox="0 0 28 16", width=28, height=16, aria_hidden="true"), name)
        for sample, name in samples
    ]
    return tag("ul", *items, class_="legend")


def table(content: Table, *, with_title: bool = True) -> Markup:
    """A table that scrolls by itself where it is too wide or too long."""
    kinds = ["text" if index == 0 else _kind(content, name) for index, name in enumerate(content.columns)]

    def cells(name: str, texts: Sequence[str], scope: str | None = None) -> Markup:
        return tag("tr", *(tag(name, text, scope=scope, class_=kind) for text, kind in zip(texts, kinds, strict=True)))

    caption = [tag("caption", content.title)] if with_title else []
    head = tag("thead", cells("th", content.columns, "col"))
    body = tag("table", *caption, head, tag("tbody", *(cells("td", row) for row in content.rows)))
    note = [tag("p", content.note, class_="note")] if content.note else []
    return join([tag("div", body, class_="scroll", tabindex=0, role="region", aria_label=content.title), *note])


def _kind(content: Table, column: str) -> str | None:
    return "sentence" if column in content.sentences else "text" if column in content.words else None


def pairs(items: Iterable[tuple[str, str | Markup]]) -> Markup:
    """Names with their values."""
    return tag("dl", *(part for name, value in items for part in (tag("dt", name), tag("dd", value))))
