"""Colours by role, light and dark, and where each role is in a figure.

Rising and falling are blue and orange, which people with any colour blindness distinguish; shapes say the same: rising candles
are hollow, buys point up and sells down, and each kind of band has a hatch of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Literal

ThemeName = Literal["light", "dark"]

PALETTES: Mapping[ThemeName, Mapping[str, str]] = {
    "light": {
        "paper": "#ffffff",
        "ink": "#1c232b",
        "quiet": "#5b6673",
        "grid": "#e9edf1",
        "rule": "#ccd4dc",
        "up": "#0b6bb8",
        "up_body": "#ffffff",
        "down": "#c2530a",
        "vwap": "#7a3fb8",
        "volume": "#93a4b5",
        "volatility": "#8a6100",
        "rate": "#0f7a6c",
        "gap": "#6b7785",
        "gap_area": "rgba(107,119,133,0.10)",
        "unknown": "#8d99a6",
        "unknown_area": "rgba(141,153,166,0.06)",
        "halt_area": "rgba(138,97,0,0.14)",
        "filing": "#44505c",
        "difference": "#b3261e",
    },
    "dark": {
        "paper": "#12171e",
        "ink": "#e3e9f0",
        "quiet": "#93a0ae",
        "grid": "#1f2730",
        "rule": "#33404d",
        "up": "#58a9f0",
        "up_body": "#12171e",
        "down": "#f0883e",
        "vwap": "#c297ff",
        "volume": "#53657a",
        "volatility": "#e0b341",
        "rate": "#3fc1ad",
        "gap": "#8f9cab",
        "gap_area": "rgba(143,156,171,0.10)",
        "unknown": "#64717f",
        "unknown_area": "rgba(100,113,127,0.06)",
        "halt_area": "rgba(224,179,65,0.14)",
        "filing": "#c3ccd6",
        "difference": "#ff7b72",
    },
}
"""CSS colours by role."""

TRACE_COLOURS: Mapping[str, Mapping[str, str]] = {
    "price": {
        "increasing.line.color": "up",
        "increasing.fillcolor": "up_body",
        "decreasing.line.color": "down",
        "decreasing.fillcolor": "down",
    },
    "vwap": {"line.color": "vwap"},
    "volume": {"marker.color": "volume"},
    "volatility": {"line.color": "volatility"},
    "rate": {"line.color": "rate"},
    "gaps": {"fillcolor": "gap_area", "fillpattern.fgcolor": "gap", "line.color": "gap"},
    "unknown": {"fillcolor": "unknown_area", "fillpattern.fgcolor": "unknown", "line.color": "unknown"},
    "halts": {"fillcolor": "halt_area", "line.color": "volatility"},
    "filings": {"line.color": "filing", "marker.color": "filing", "textfont.color": "filing"},
    "signals_live": {"marker.color": "ink", "marker.line.color": "paper"},
    "signals_replayed": {"marker.color": "ink", "marker.line.color": "ink"},
    "differences": {"marker.color": "difference", "marker.line.color": "difference"},
}
"""The role of each colour of a trace: paths of attributes by ``uid``."""

_Y_AXES = ("yaxis", "yaxis2", "yaxis3", "yaxis4")
LAYOUT_COLOURS: Mapping[str, str] = {
    "paper_bgcolor": "paper",
    "font.color": "quiet",
    "hoverlabel.bgcolor": "paper",
    "hoverlabel.bordercolor": "rule",
    "hoverlabel.font.color": "ink",
    "legend.font.color": "ink",
    "modebar.color": "quiet",
    "modebar.activecolor": "ink",
    "xaxis.linecolor": "rule",
    "xaxis.gridcolor": "grid",
    "xaxis.tickcolor": "rule",
    "xaxis.spikecolor": "quiet",
    **{f"{axis}.gridcolor": "grid" for axis in _Y_AXES},
    **{f"{axis}.zerolinecolor": "grid" for axis in _Y_AXES},
}
"""The role of each colour of the layout, by the attribute's path."""


def themed(figure: Mapping[str, Any], theme: ThemeName) -> dict[str, Any]:
    """A copy of ``figure``, made by this package, in the colours of ``theme``."""
    copy = deepcopy(dict(figure))
    colour(copy, theme)
    return copy


def colour(figure: dict[str, Any], theme: ThemeName) -> None:
    """Set all colours of ``figure``. Its ``layout.meta`` has what a page needs to do so: the palettes and the paths."""
    palette = PALETTES[theme]
    for trace in figure["data"]:
        for path, role in TRACE_COLOURS[trace["uid"]].items():
            _set(trace, path, palette[role])
    for path, role in LAYOUT_COLOURS.items():
        _set(figure["layout"], path, palette[role])
    figure["layout"]["meta"] = {
        "palettes": {name: dict(colours) for name, colours in PALETTES.items()},
        "traces": {trace["uid"]: dict(TRACE_COLOURS[trace["uid"]]) for trace in figure["data"]},
        "layout": dict(LAYOUT_COLOURS),
    }


def _set(attributes: dict[str, Any], path: str, value: str) -> None:
    *parents, last = path.split(".")
    for name in parents:
        attributes = attributes.setdefault(name, {})
    attributes[last] = value
