"""The figure of a symbol's day: price, volume, volatility and trade rate over one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

from stockctl.exchange.calendar import EXCHANGE_ZONE
from stockctl.figures.charts.frames import LINES, unknown
from stockctl.figures.charts.series import Row, Values, View, bands, column, flags, line, price, signal_points
from stockctl.figures.charts.theme import ThemeName, colour

_PANELS = (
    ("y", "Price", (0.47, 1.0)),
    ("y2", "Volume", (0.305, 0.435)),
    ("y3", "Volatility: deviation of the last 100 prices", (0.15, 0.27)),
    ("y4", "Trades per second", (0.0, 0.115)),
)
"""The subplots from the top: axis, title, and the part of the height."""
_COVER = "y5"
"""The axis of what covers all subplots, from 0 to 1."""
_FEW_BARS = 60
"""Up to here, points of lines have markers: between two gaps a point is alone."""
_FEWEST_SHOWN = 30
"""Widths of bars that the time axis has at least."""


def day_figure(
    bars: Sequence[Row],
    *,
    symbol: str,
    since: int,
    until: int,
    every_ms: int,
    gaps: Sequence[Row] = (),
    through: int | None = None,
    now: int | None = None,
    halts: Sequence[Row] = (),
    filings: Sequence[Row] = (),
    signals: Sequence[Row] = (),
    zone: tzinfo = EXCHANGE_ZONE,
    theme: ThemeName = "light",
) -> dict[str, Any]:
    """``data`` and ``layout`` for Plotly of the bars of ``symbol`` in ``[since, until)``. All times are ms UTC.

    ``bars`` are rows in order of ``bar``, their start, each ``every_ms`` long: ``open``, ``high``, ``low``, ``close``,
    ``vwap``, ``volume``, ``volatility`` (a deviation of prices, in their unit) and ``rate`` (trades per second); None is
    unknown. ``gaps`` and ``halts`` have ``since``, ``until`` and ``reason``; ``filings`` have ``at``, ``form`` and ``text``;
    ``signals`` have ``at``, ``side``, ``price``, ``run`` (``live`` or ``replayed``), ``differs`` and ``text``. After
    ``through``, up to ``now``, nothing is known yet. The x values are wall-clock text in ``zone``, and each trace has a fixed
    ``uid``.
    """
    view = View(since, until, every_ms, zone)
    values = [
        bands("unknown", unknown(through, now, until), view),
        bands("halts", halts, view),
        bands("gaps", gaps, view),
        price(bars, view),
        column("volume", bars, view),
        *(line(uid, bars, gaps, view) for uid in LINES),
        flags(filings, view),
        *_signals(signals, bars, view),
    ]
    few = (until - since) // every_ms <= _FEW_BARS
    figure = {"data": [_trace(one, every_ms, few) for one in values], "layout": _layout(symbol, view, _shown(bars, view))}
    colour(figure, theme)
    return figure


def _signals(marks: Sequence[Row], bars: Sequence[Row], view: View) -> list[Values]:
    groups = {
        "signals_replayed": [mark for mark in marks if mark.get("run") == "replayed"],
        "signals_live": [mark for mark in marks if mark.get("run") != "replayed"],
        "differences": [mark for mark in marks if mark.get("differs")],
    }
    return [signal_points(uid, group, bars, view) for uid, group in groups.items()]


def _trace(values: Values, every_ms: int, few: bool) -> dict[str, Any]:
    uid = values["uid"]
    trace: dict[str, Any] = {**_STYLES[uid]}
    if uid in {"price", "volume", *LINES}:
        trace |= {"xperiod": every_ms, "xperiodalignment": "middle"}
    if uid in LINES:
        trace["mode"] = "lines+markers" if few else "lines"
    trace |= {name: value for name, value in values.items() if "." not in name}
    for name in values.keys() & {"marker.symbol", "marker.size"}:
        trace["marker"] = {**trace["marker"], name.partition(".")[2]: values[name]}
    return trace


def _band(name: str, shape: str, size: float) -> dict[str, Any]:
    pattern = {"fillpattern": {"shape": shape, "size": size, "solidity": 0.22, "fillmode": "overlay"}} if shape else {}
    return {
        "type": "scatter",
        "name": name,
        "yaxis": _COVER,
        "mode": "lines",
        "line": {"width": 0},
        "fill": "toself",
        "hoveron": "points",
        "hovertemplate": f"<b>{name}</b> %{{text}}<extra></extra>",
        **pattern,
    }


def _line(name: str, axis: str, template: str, **style: object) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": name,
        "yaxis": axis,
        "connectgaps": False,
        "line": {"width": 1.6, **({"dash": style.pop("dash")} if "dash" in style else {})},
        "marker": {"size": 4},
        "hovertemplate": f"{name} <b>{template}</b><extra></extra>",
        "showlegend": False,
        **style,
    }


def _marks(name: str, size: int, width: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": name,
        "yaxis": "y",
        "mode": "markers",
        "marker": {"size": size, "line": {"width": width}},
        "hovertemplate": f"{name}: <b>%{{text}}</b><extra></extra>",
    }


_STYLES: dict[str, dict[str, Any]] = {
    "price": {
        "type": "candlestick",
        "name": "Price",
        "yaxis": "y",
        "increasing": {"line": {"width": 1.2}},
        "decreasing": {"line": {"width": 1.2}},
        "whiskerwidth": 0,
        "hovertemplate": "O <b>%{open:,.8~g}</b>  H <b>%{high:,.8~g}</b><br>"
        "L <b>%{low:,.8~g}</b>  C <b>%{close:,.8~g}</b><extra></extra>",
        "showlegend": False,
    },
    "vwap": _line("VWAP", "y", "%{y:,.8~g}", dash="4px,2px", showlegend=True),
    "volume": {
        "type": "bar",
        "name": "Volume",
        "yaxis": "y2",
        "hovertemplate": "Volume <b>%{y:,.8~g}</b><extra></extra>",
        "showlegend": False,
        "marker": {"line": {"width": 0}},
    },
    "volatility": _line("Volatility", "y3", "%{y:,.4~g}"),
    "rate": _line("Trades/s", "y4", "%{y:,.4~g}"),
    "gaps": _band("Gap", "/", 7),
    "unknown": _band("Not known yet", ".", 6),
    "halts": _band("Halt", "", 0),
    "filings": {
        "type": "scatter",
        "name": "Filing",
        "yaxis": _COVER,
        "mode": "lines+markers+text",
        "line": {"width": 1, "dash": "dot"},
        "marker": {"symbol": "square"},
        "textposition": "middle right",
        "textfont": {"size": 11},
        "hovertemplate": "Filing <b>%{hovertext}</b><extra></extra>",
    },
    "signals_live": _marks("Signal, live", 11, 1),
    "signals_replayed": _marks("Signal, replayed", 16, 1.6),
    "differences": _marks("Live and replayed differ", 24, 2),
}


def _shown(bars: Sequence[Row], view: View) -> dict[str, Any]:
    """The range of the time axis: the whole, or, while the bars cover less than half of it, what they cover and as it grows."""
    covered = bars[-1]["bar"] - bars[0]["bar"] if bars else view.until - view.since
    if 2 * covered >= view.until - view.since:
        return {"range": [view.text(view.since), view.text(view.until)]}
    first = max(bars[0]["bar"] - view.every_ms, view.since)
    least = [view.text(at) for at in (first, min(first + _FEWEST_SHOWN * view.every_ms, view.until))]
    return {"autorange": True, "autorangeoptions": {"include": least}}


def _layout(symbol: str, view: View, shown: dict[str, Any]) -> dict[str, Any]:
    axes = {
        axis.replace("y", "yaxis"): {
            "domain": list(domain),
            "anchor": "x",
            "side": "right",
            "nticks": 7 if axis == "y" else 4,
            "tickfont": {"size": 11},
            "ticklabelposition": "outside",
            "rangemode": "normal" if axis == "y" else "tozero",
            "zeroline": False,
            "automargin": True,
            # Whole prices; volumes as 60k and 0.5, which SI's own format would write as 500m.
            **({"tickformat": ",.8~f"} if axis == "y" else {"exponentformat": "B"}),
        }
        for axis, _, domain in _PANELS
    }
    titles = [
        {
            "text": title,
            "xref": "paper",
            "yref": "paper",
            "x": 0,
            "y": domain[1],
            "xanchor": "left",
            "yanchor": "bottom",
            "showarrow": False,
            "font": {"size": 11},
        }
        for _, title, domain in _PANELS[1:]
    ]
    return {
        "xaxis": {
            "type": "date",
            **shown,
            "anchor": "y4",
            "rangeslider": {"visible": False},
            "showspikes": True,
            "spikemode": "across",
            "spikesnap": "cursor",
            "spikethickness": 1,
            "spikedash": "dot",
            "ticks": "outside",
            "ticklen": 4,
            "tickfont": {"size": 11},
            "hoverformat": "%a %-d %b, %H:%M" if view.every_ms % 60_000 == 0 else "%a %-d %b, %H:%M:%S",
            "tickformatstops": [
                {"dtickrange": [None, 60_000], "value": "%H:%M:%S"},
                {"dtickrange": [60_000, 86_400_000], "value": "%H:%M"},
                {"dtickrange": [86_400_000, None], "value": "%-d %b"},
            ],
        },
        **axes,
        "yaxis5": {"domain": [0, 1], "range": [0, 1], "anchor": "x", "visible": False, "fixedrange": True},
        "annotations": titles,
        "autosize": True,
        "bargap": 0.15,
        "dragmode": "zoom",
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 12},
        "hoverlabel": {"align": "left", "font": {"size": 12}},
        "hovermode": "x unified",
        "hoversubplots": "axis",
        "legend": {"orientation": "h", "x": 0, "y": 1.01, "xanchor": "left", "yanchor": "bottom", "font": {"size": 11}},
        "margin": {"l": 12, "r": 12, "t": 28, "b": 28},
        "modebar": {"orientation": "h", "bgcolor": "rgba(0,0,0,0)"},
        "plot_bgcolor": "rgba(0,0,0,0)",
        "uirevision": f"{symbol} {view.since} {view.until} {view.every_ms}",
    }
