"""The part of a figure that changed: what a page applies to the figure that it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any

from stockctl.exchange.calendar import EXCHANGE_ZONE
from stockctl.figures.charts.series import Row, Values, View, bands, column, line, price

LINES = ("vwap", "volatility", "rate")


def frame_traces(
    rows: Sequence[Row],
    bars: Sequence[Row],
    *,
    since: int,
    until: int,
    every_ms: int,
    gaps: Sequence[Row] = (),
    gaps_changed: bool = False,
    through: int | None = None,
    now: int | None = None,
    zone: tzinfo = EXCHANGE_ZONE,
) -> list[Values]:
    """What changes in ``day_figure(bars, …)`` where ``rows`` of ``bars`` changed. Times are ms UTC.

    Each value has the ``uid`` of its trace. Points are replaced by their ``x``, or put in by time; with ``replace``, all are
    replaced, as those of lines and gaps are with ``gaps_changed``. ``rows`` without a bar in ``bars`` change nothing.
    """
    view = View(since, until, every_ms, zone)
    changed = {row["bar"] for row in rows}
    clocks_change = view.offset(since) != view.offset(until)  # then texts are out of order
    # A bar put in between bars can move a line's interruption, which points alone cannot express.
    whole_lines = gaps_changed or clocks_change or bool(gaps and changed - {bar["bar"] for bar in bars[-1:]})
    traces: list[Values] = []
    if changed or whole_lines:
        present = bars if clocks_change else [bar for bar in bars if bar["bar"] in changed]
        traces = [{**values, "replace": clocks_change} for values in (price(present, view), column("volume", present, view))]
        traces += [
            {**line(uid, bars, gaps, view), "replace": True} if whole_lines else _points(uid, bars, gaps, changed, view)
            for uid in LINES
        ]
    if gaps_changed:
        traces.append({**bands("gaps", gaps, view), "replace": True})
    traces.append({**bands("unknown", unknown(through, now, until), view), "replace": True})
    return traces


def _points(uid: str, bars: Sequence[Row], gaps: Sequence[Row], changed: set[int], view: View) -> Values:
    """The points of the changed bars, with the nulls before them; of the VWAP, which is cumulative, from the first one on."""
    first = min(changed)
    wanted = {
        view.text(bar["bar"] - before)
        for bar in bars
        for before in (0, 1)
        if bar["bar"] in changed or (uid == "vwap" and bar["bar"] > first)
    }
    whole = line(uid, bars, gaps, view)
    kept = [index for index, x in enumerate(whole["x"]) if x in wanted]
    return {"uid": uid, "replace": False, **{name: [whole[name][index] for index in kept] for name in ("x", "y")}}


def unknown(through: int | None, now: int | None, until: int) -> list[Row]:
    """The span after ``through`` that nobody knows yet: up to ``now``, or to the end."""
    end = until if now is None else min(now, until)
    if through is None or through >= end:
        return []
    return [{"since": through, "until": end, "reason": "nothing later has arrived"}]


def apply_traces(figure: dict[str, Any], traces: Iterable[Mapping[str, Any]]) -> None:
    """Apply what ``frame_traces`` returned to ``figure``, as the page does."""
    by_uid = {trace["uid"]: trace for trace in figure["data"]}
    for changes in traces:
        trace = by_uid[changes["uid"]]
        columns = [name for name, value in changes.items() if isinstance(value, list)]
        for name, value in changes.items():
            if not isinstance(value, list) and name not in {"uid", "replace"}:
                trace[name] = value
        if changes.get("replace"):
            trace.update({name: list(changes[name]) for name in columns})
        else:
            points = {x: tuple(trace[name][index] for name in columns) for index, x in enumerate(trace["x"])}
            points.update({x: tuple(changes[name][index] for name in columns) for index, x in enumerate(changes["x"])})
            ordered = [points[x] for x in sorted(points)]
            for index, name in enumerate(columns):
                trace[name] = [values[index] for values in ordered]
