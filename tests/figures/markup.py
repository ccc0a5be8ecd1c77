"""Reading what figures and pages are made of."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from stockctl.figures.figure import Figure
from stockctl.figures.svg import svg

SVG = "{http://www.w3.org/2000/svg}"
_REFERENCE = re.compile(
    r"""\b(?:src|href|action|data|poster)\s*=|url\((?!#)|@import|<(?:script|link|iframe|object|img)\b""", re.IGNORECASE
)


def drawn(figure: Figure, width: int = 960, height: int = 340) -> ElementTree.Element:
    """The parsed SVG of ``figure``."""
    return parsed(svg(figure, "f", width, height))


def parsed(text: str) -> ElementTree.Element:
    """The XML in ``text``."""
    return ElementTree.fromstring(text)  # noqa: S314  # it is our own


def paths(root: ElementTree.Element, kind: str) -> list[str]:
    """The ``d`` of each path whose class begins with ``kind``."""
    return [path.get("d", "") for path in root.iter(f"{SVG}path") if (path.get("class") or "").startswith(kind)]


def vertices(path: str) -> list[list[tuple[float, float]]]:
    """The corners of each part of a line's path."""
    parts = [part for part in path.replace("h0", "").split("M") if part]
    return [[(float(x), float(y)) for x, y in (corner.split(" ") for corner in part.split("L"))] for part in parts]


def titles(root: ElementTree.Element, kind: str) -> list[str]:
    """The label of each path whose class begins with ``kind``."""
    found = [path for path in root.iter(f"{SVG}path") if (path.get("class") or "").startswith(kind)]
    return [path.findtext(f"{SVG}title") or "" for path in found]


def external_references(text: str) -> list[str]:
    """What in the page would be fetched from elsewhere, or run. The name of SVG's format is none."""
    return _REFERENCE.findall(text) + re.findall(r"(?<!xmlns=\")https?://\S+", text)
