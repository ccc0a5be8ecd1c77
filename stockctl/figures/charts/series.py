"""Values of traces: rows of bars, spans and marks as what Plotly takes. Times come in ms UTC and leave as wall-clock text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta, tzinfo
from itertools import pairwise
from typing import Any, NamedTuple

from stockctl.exchange.calendar import from_ms
from stockctl.intervals import merge
from stockctl.units import format_duration

Row = Mapping[str, Any]
"""A row as the API has it: a bar has ``bar`` (ms UTC, its start), ``open``, ``high``, ``low``, ``close``, ``volume``, ``vwap``,
``trades``, ``volatility`` and ``rate``; a span has ``since``, ``until`` and ``reason``; a mark has ``at`` and ``text``."""
Values = dict[str, Any]
"""Attributes of a trace: its ``uid``, lists of equal length, and texts."""

_MOST_STEPS = 500
"""Points of a band that show its reason on hover."""


class View(NamedTuple):
    """The time ``[since, until)`` that a figure shows, in ms UTC, the width of its bars in ms, and the zone of its clock."""

    since: int
    until: int
    every_ms: int
    zone: tzinfo

    def text(self, at: int) -> str:
        """``2026-11-30T09:31:00``: wall-clock text in the zone.

        In the hour that clocks repeat in autumn, the second pass is a millisecond late: each bar has a text of its own.
        """
        moment = from_ms(at).astimezone(self.zone)
        text = moment.replace(tzinfo=None, fold=0).isoformat(timespec="milliseconds" if at % 1000 else "seconds")
        return f"{text}.001" if moment.fold and not at % 1000 else text

    def offset(self, at: int) -> timedelta | None:
        """How far the zone's clock is ahead of UTC."""
        return from_ms(at).astimezone(self.zone).utcoffset()

    def clock(self, at: int) -> str:
        """``09:31:00`` in the zone."""
        return f"{from_ms(at).astimezone(self.zone):%H:%M:%S}"


def number(value: object) -> float | int | None:
    """``value``, or None for what is no finite number: JSON has no NaN."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def price(bars: Iterable[Row], view: View) -> Values:
    """Candles. A bar of which a price is unknown has none."""
    names = ("open", "high", "low", "close")
    columns: dict[str, list[Any]] = {"x": [], **{name: [] for name in names}}
    for bar in bars:
        values = [number(bar.get(name)) for name in names]
        columns["x"].append(view.text(bar["bar"]))
        for name, value in zip(names, values, strict=True):
            columns[name].append(None if None in values else value)
    return {"uid": "price", **columns}


def column(uid: str, bars: Iterable[Row], view: View) -> Values:
    """The values of one column as bars; None stays None."""
    rows = list(bars)
    return {"uid": uid, "x": [view.text(bar["bar"]) for bar in rows], "y": [number(bar.get(uid)) for bar in rows]}


def cumulative_vwap(bars: Iterable[Row]) -> list[float | None]:
    """The VWAP of all bars up to each. A bar without volume keeps the value; one of which a value is unknown has None."""
    traded = shares = 0.0
    values: list[float | None] = []
    for bar in bars:
        vwap, volume = number(bar.get("vwap")), number(bar.get("volume"))
        if vwap is not None and volume:
            traded, shares = traded + vwap * volume, shares + volume
            values.append(traded / shares)
        else:
            values.append(traded / shares if volume == 0 and shares else None)
    return values


def line_values(uid: str, bars: Sequence[Row]) -> list[float | None]:
    """The values of the line ``uid``, one per bar."""
    return cumulative_vwap(bars) if uid == "vwap" else [number(bar.get(uid)) for bar in bars]


def line(uid: str, bars: Sequence[Row], gaps: Iterable[Row], view: View) -> Values:
    """A line through the middles of the bars, with a null between two bars that have a gap between their middles."""
    cut = breaks(bars, gaps, view.every_ms)
    columns: dict[str, list[Any]] = {"x": [], "y": []}
    for index, (bar, value) in enumerate(zip(bars, line_values(uid, bars), strict=True)):
        if index in cut:
            columns["x"].append(view.text(bar["bar"] - 1))
            columns["y"].append(None)
        columns["x"].append(view.text(bar["bar"]))
        columns["y"].append(value)
    return {"uid": uid, **columns}


def breaks(bars: Sequence[Row], gaps: Iterable[Row], every_ms: int) -> set[int]:
    """The indexes of the bars before which a line is interrupted."""
    spans = merge((gap["since"], gap["until"]) for gap in gaps)
    found: set[int] = set()
    place = 0
    for index, (before, after) in enumerate(pairwise(bars), start=1):
        left, right = (bar["bar"] + every_ms // 2 for bar in (before, after))
        while place < len(spans) and spans[place][1] <= left:
            place += 1
        if place < len(spans) and spans[place][0] < right:
            found.add(index)
    return found


def bands(uid: str, spans: Iterable[Row], view: View) -> Values:
    """Rectangles of full height, whose upper edge has a point per bar: there a hover finds ``text``."""
    columns: dict[str, list[Any]] = {"x": [], "y": [], "text": []}
    for span in spans:
        since, until = max(span["since"], view.since), min(span["until"], view.until)
        if since >= until:
            continue
        step = max(view.every_ms, (until - since) // _MOST_STEPS)
        first = view.since + ((since - view.since) // step * step) + step // 2
        points = [(since, 0), (since, 1), *((at, 1) for at in range(first, until, step) if at > since), (until, 1), (until, 0)]
        length = format_duration((span["until"] - span["since"]) / 1000)
        text = f"{view.clock(span['since'])} to {view.clock(span['until'])} ({length}): {span['reason']}"
        if columns["x"]:
            _add(columns, None, None, None)
        for at, height in (*points, points[0]):
            _add(columns, view.text(at), height, text)
    return {"uid": uid, **columns, "showlegend": bool(columns["x"])}


def flags(filings: Iterable[Row], view: View) -> Values:
    """A pole per filing that was accepted in the time shown, with its form at the top."""
    columns: dict[str, list[Any]] = {"x": [], "y": [], "text": [], "hovertext": []}
    for filing in sorted(filings, key=lambda row: int(row["at"])):
        if not view.since <= filing["at"] < view.until:
            continue
        at, words = view.text(filing["at"]), filing["text"]
        if columns["x"]:
            _add(columns, None, None, None, None)
        _add(columns, at, 0, "", words)
        _add(columns, at, 0.97, f" {filing['form']}", words)
    # A marker at the top alone.
    sizes = [7 if height else 0 for height in columns["y"]]
    return {"uid": "filings", **columns, "marker.size": sizes, "showlegend": bool(columns["x"])}


def signal_points(uid: str, marks: Iterable[Row], bars: Sequence[Row], view: View) -> Values:
    """Markers at the signals' prices; where a signal has none, at the close of the last bar before it."""
    columns: dict[str, list[Any]] = {"x": [], "y": [], "text": [], "symbols": []}
    for mark in sorted(marks, key=lambda row: int(row["at"])):
        value = number(mark.get("price"))
        if value is None:
            closes = [bar.get("close") for bar in bars if bar["bar"] <= mark["at"] and bar.get("close") is not None]
            value = number(closes[-1]) if closes else None
        if value is not None and view.since <= mark["at"] < view.until:
            _add(columns, view.text(mark["at"]), value, mark["text"], _symbol(uid, str(mark.get("side"))))
    symbols = columns.pop("symbols")
    return {"uid": uid, **columns, "marker.symbol": symbols, "showlegend": bool(columns["x"])}


def _symbol(uid: str, side: str) -> str:
    if uid == "differences":
        return "circle-x-open"
    shape = {"buy": "triangle-up", "sell": "triangle-down"}.get(side, "diamond")
    return f"{shape}-open" if uid == "signals_replayed" else shape


def _add(columns: dict[str, list[Any]], *values: object) -> None:
    for name, value in zip(columns, values, strict=True):
        columns[name].append(value)
