"""Figures for Plotly: gaps are hatched and no line crosses one, null is not 0, and frames lead to the figure of the rows."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.exchange.calendar import EXCHANGE_ZONE, to_ms
from stockctl.figures.charts import PALETTES, apply_traces, day_figure, frame_traces, themed

MINUTE = 60_000
OPEN = to_ms(datetime(2026, 11, 30, 9, 30, tzinfo=EXCHANGE_ZONE))
CLOSE = OPEN + 390 * MINUTE
LINES = ("vwap", "volatility", "rate")
REASON = "feed disconnected"

Row = dict[str, Any]


def bar(minute: int, price: float = 100.0, **changes: object) -> Row:
    """A bar of a minute whose prices lie around ``price``."""
    values = {"open": price, "high": price + 1, "low": price - 1, "close": price + 0.5, "volume": 100, "vwap": price}
    return {"bar": OPEN + minute * MINUTE, **values, "trades": 10, "volatility": 0.2, "rate": 0.5, **changes}


def gap(since: float, until: float) -> Row:
    """A gap between two times, in minutes after the open."""
    return {"since": OPEN + round(since * MINUTE), "until": OPEN + round(until * MINUTE), "reason": REASON}


def figure(bars: list[Row], **options: Any) -> dict[str, Any]:
    """The figure of a regular session with bars of a minute, which Plotly accepts, and which is JSON."""
    made = day_figure(bars, symbol="AAPL", **({"since": OPEN, "until": CLOSE, "every_ms": MINUTE} | options))
    go.Figure(deepcopy(made))
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    return made


def trace(made: dict[str, Any], uid: str) -> dict[str, Any]:
    """The trace ``uid`` of a figure."""
    (found,) = (one for one in made["data"] if one["uid"] == uid)
    assert isinstance(found, dict)
    return found


def segments(line: dict[str, Any]) -> list[tuple[str, str]]:
    """The pairs of points that a line connects."""
    points = zip(line["x"], line["y"], strict=True)
    return [(left, right) for (left, one), (right, other) in pairwise(points) if one is not None and other is not None]


def clock(minute: int) -> str:
    """The text of a minute after the open."""
    return f"2026-11-30T{9 + (30 + minute) // 60:02}:{(30 + minute) % 60:02}:00"


def test_each_trace_has_a_fixed_uid() -> None:
    uids = [one["uid"] for one in figure([bar(0)])["data"]]
    named = "price vwap volume volatility rate gaps unknown halts filings signals_live signals_replayed differences"
    assert sorted(uids) == sorted(named.split())


def test_times_are_those_of_the_exchange() -> None:
    made = figure([bar(0), bar(1)])
    assert trace(made, "price")["x"] == [clock(0), clock(1)]


def test_the_axis_has_the_whole_session_once_bars_cover_half_of_it() -> None:
    """Before, it has half an hour of minutes at least, and grows with the bars."""
    assert figure([bar(0), bar(195)])["layout"]["xaxis"]["range"] == [clock(0), "2026-11-30T16:00:00"]
    assert figure([])["layout"]["xaxis"]["range"] == [clock(0), "2026-11-30T16:00:00"]
    young = figure([bar(20), bar(21)])["layout"]["xaxis"]
    assert (young["autorange"], young["autorangeoptions"]["include"]) == (True, [clock(19), clock(49)])


def test_times_can_be_in_another_zone() -> None:
    assert trace(figure([bar(0)], zone=ZoneInfo("UTC")), "price")["x"] == ["2026-11-30T14:30:00"]


def test_unknown_values_are_null_and_never_zero() -> None:
    unknown: Row = dict.fromkeys(("open", "high", "low", "close", "volume", "vwap", "volatility", "rate"))
    made = figure([bar(0), bar(1, **unknown), bar(2)])
    assert [trace(made, "price")[name][1] for name in ("open", "high", "low", "close")] == [None] * 4
    assert [trace(made, uid)["y"][1] for uid in ("volume", *LINES)] == [None] * 4
    assert all(not segments(trace(made, uid)) for uid in LINES)


def test_zero_stays_zero() -> None:
    made = figure([bar(0), bar(1, volume=0, rate=0.0, volatility=0.0, vwap=None)])
    assert [trace(made, uid)["y"][1] for uid in ("volume", "rate", "volatility")] == [0, 0, 0]


def test_a_candle_without_one_price_is_left_out() -> None:
    price = trace(figure([bar(0, low=None)]), "price")
    assert (price["open"], price["low"]) == ([None], [None])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_null(value: float) -> None:
    assert trace(figure([bar(0, rate=value)]), "rate")["y"] == [None]


def test_the_vwap_is_that_of_the_session_so_far() -> None:
    made = figure([bar(0, 100.0, volume=100), bar(1, 101.0, volume=300), bar(2, volume=0, vwap=None)])
    assert trace(made, "vwap")["y"] == pytest.approx([100.0, 100.75, 100.75])


@pytest.mark.parametrize(
    ("missing", "between"),
    [(gap(1, 2), [(0, 1), (1, 2)]), (gap(1.2, 1.4), [(0, 1)]), (gap(1.6, 1.7), [(1, 2)]), (gap(2.6, 9), [(2, 9)])],
    ids=["a minute", "first half of a bar", "second half of a bar", "minutes without bars"],
)
def test_no_line_crosses_a_gap(missing: Row, between: list[tuple[int, int]]) -> None:
    """Lines go from the middle of a bar to that of the next one."""
    bars = [bar(minute) for minute in (0, 1, 2, 9, 10)]
    every = {
        (clock(left["bar"] // MINUTE - OPEN // MINUTE), clock(right["bar"] // MINUTE - OPEN // MINUTE))
        for left, right in pairwise(bars)
    }
    cut = {(clock(left), clock(right)) for left, right in between}
    made = figure(bars, gaps=[missing])
    for uid in LINES:
        assert set(segments(trace(made, uid))) == every - cut
    assert all(set(segments(trace(figure(bars), uid))) == every for uid in LINES)


def test_gaps_are_hatched_over_all_panels_with_their_reason() -> None:
    hatch = trace(figure([bar(0)], gaps=[gap(5, 8), gap(20, 21)]), "gaps")
    assert (hatch["fill"], hatch["fillpattern"]["shape"], hatch["yaxis"]) == ("toself", "/", "y5")
    split = hatch["x"].index(None)
    first = {name: hatch[name][:split] for name in ("x", "y", "text")}
    assert (min(first["x"]), max(first["x"])) == (clock(5), clock(8))
    assert (min(first["y"]), max(first["y"])) == (0, 1)
    assert set(first["text"]) == {f"09:35:00 to 09:38:00 (3m): {REASON}"}
    # A hover anywhere in the gap finds a point: one per bar, in its middle.
    assert {f"2026-11-30T09:{minute}:30" for minute in (35, 36, 37)} <= set(first["x"])
    assert hatch["showlegend"] is True


def test_gaps_outside_the_session_are_not_drawn() -> None:
    hatch = trace(figure([bar(0)], gaps=[gap(-9, -1), gap(-5, 2), gap(395, 400)]), "gaps")
    assert (min(hatch["x"]), max(hatch["x"])) == (clock(0), clock(2))
    assert trace(figure([bar(0)], gaps=[gap(395, 400)]), "gaps")["showlegend"] is False


def test_time_that_is_not_known_yet_has_another_hatch() -> None:
    made = figure([bar(0)], through=OPEN + 3 * MINUTE, now=OPEN + 5 * MINUTE)
    unknown = trace(made, "unknown")
    assert (min(unknown["x"]), max(unknown["x"])) == (clock(3), clock(5))
    assert unknown["fillpattern"]["shape"] != trace(made, "gaps")["fillpattern"]["shape"]


@pytest.mark.parametrize("through", [None, OPEN + 5 * MINUTE, CLOSE])
def test_what_is_known_is_not_hatched(through: int | None) -> None:
    assert trace(figure([bar(0)], through=through, now=OPEN + 5 * MINUTE), "unknown")["x"] == []


def test_halts_have_no_hatch() -> None:
    halt = trace(figure([bar(0)], halts=[gap(5, 8)]), "halts")
    assert "fillpattern" not in halt
    assert (min(halt["x"]), max(halt["x"])) == (clock(5), clock(8))


def test_filings_are_flags_at_their_acceptance() -> None:
    filing = {"at": OPEN + 7 * MINUTE, "accession": "1", "form": "10-Q", "period": "2026-09-30", "text": "10-Q, quarter"}
    flag = trace(figure([bar(0)], filings=[filing, {**filing, "at": OPEN - 1}]), "filings")
    assert set(flag["x"]) == {clock(7)}
    assert [text.strip() for text in flag["text"] if text] == ["10-Q"]
    assert set(flag["hovertext"]) == {"10-Q, quarter"}


def test_live_and_replayed_signals_lie_over_each_other() -> None:
    live = {
        "at": OPEN + MINUTE,
        "side": "buy",
        "price": 101.0,
        "strategy": "one",
        "run": "live",
        "text": "buy",
        "differs": False,
    }
    made = figure([bar(0), bar(1)], signals=[live, {**live, "run": "replayed"}, {**live, "side": "sell", "differs": True}])
    one, other = trace(made, "signals_live"), trace(made, "signals_replayed")
    assert (one["x"][0], one["y"][0]) == (other["x"][0], other["y"][0]) == (clock(1), 101.0)
    assert (one["marker"]["symbol"], other["marker"]["symbol"]) == (["triangle-up", "triangle-down"], ["triangle-up-open"])
    assert other["marker"]["size"] > one["marker"]["size"]
    assert trace(made, "differences")["x"] == [clock(1)]


def test_a_signal_without_a_price_is_at_the_last_close() -> None:
    signal = {"at": OPEN + 90_000, "side": "sell", "price": None, "run": "live", "text": "sell"}
    assert trace(figure([bar(0, 100.0), bar(1, 110.0), bar(2)], signals=[signal]), "signals_live")["y"] == [110.5]
    assert trace(figure([], signals=[signal]), "signals_live")["y"] == []


def test_an_empty_day_has_a_figure() -> None:
    assert all(one["x"] == [] for one in figure([])["data"])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_figure_can_change_its_theme(theme: Any) -> None:
    made = figure([bar(0)], gaps=[gap(5, 6)])
    changed = themed(made, theme)
    go.Figure(deepcopy(changed))
    assert changed == figure([bar(0)], gaps=[gap(5, 6)], theme=theme)
    assert trace(changed, "price")["increasing"]["line"]["color"] == PALETTES[theme]["up"]
    assert set(PALETTES["light"]) == set(PALETTES["dark"])


def test_the_figure_has_what_a_page_needs_to_colour_it() -> None:
    meta = figure([bar(0)])["layout"]["meta"]
    roles = {role for paths in (*meta["traces"].values(), meta["layout"]) for role in paths.values()}
    assert roles == set(meta["palettes"]["dark"])


def test_a_frame_has_the_changed_points_alone() -> None:
    bars = [bar(minute) for minute in range(30)]
    frame = {one["uid"]: one for one in frame_traces(bars[-1:], bars, since=OPEN, until=CLOSE, every_ms=MINUTE)}
    assert all(frame[uid]["x"] == [clock(29)] for uid in ("price", "volume", *LINES))
    assert "gaps" not in frame


minutes = st.integers(0, 60)
numbers: st.SearchStrategy[Any] = st.one_of(st.none(), st.floats(1, 1000), st.integers(0, 1000))
spans = st.tuples(st.integers(-30, 3900), st.integers(1, 900)).map(lambda pair: gap(pair[0] / 60, (pair[0] + pair[1]) / 60))


@st.composite
def bars_of(draw: st.DrawFn) -> dict[int, Row]:
    """Bars by minute."""
    names = ("open", "close", "volume", "vwap", "volatility", "rate")
    return {minute: bar(minute, **{name: draw(numbers) for name in names}) for minute in draw(st.sets(minutes, max_size=12))}


@given(bars_of(), bars_of(), st.lists(spans, max_size=3), st.lists(spans, max_size=3), st.booleans())
def test_frames_lead_to_the_figure_of_the_same_rows(
    before: dict[int, Row], changed: dict[int, Row], gaps: list[Row], later: list[Row], same: bool
) -> None:
    """Changed bars and changed gaps, applied to the figure from before, give what a new figure has."""
    now, through = OPEN + 50 * MINUTE, OPEN + 45 * MINUTE
    later = gaps if same else later
    old = [before[minute] for minute in sorted(before)]
    after = before | changed
    new = [after[minute] for minute in sorted(after)]
    shown = figure(old, gaps=gaps)
    frame = frame_traces(
        list(changed.values()),
        new,
        since=OPEN,
        until=CLOSE,
        every_ms=MINUTE,
        gaps=later,
        gaps_changed=not same,
        through=through,
        now=now,
    )
    apply_traces(shown, json.loads(json.dumps(frame, allow_nan=False)))
    assert shown["data"] == figure(new, gaps=later, through=through, now=now)["data"]


@given(bars_of(), st.lists(spans, min_size=1, max_size=4))
def test_no_segment_of_a_line_has_a_gap_in_it(bars: dict[int, Row], gaps: list[Row]) -> None:
    made = figure([bars[minute] for minute in sorted(bars)], gaps=gaps)
    for uid in LINES:
        for ends in segments(trace(made, uid)):
            left, right = (to_ms(datetime.fromisoformat(end).replace(tzinfo=EXCHANGE_ZONE)) + MINUTE // 2 for end in ends)
            assert not any(one["since"] < right and one["until"] > left for one in gaps)


def test_the_hour_that_clocks_repeat_has_bars_of_its_own() -> None:
    """On that date, a frame replaces the whole: texts of times are not in order."""
    since, until = (to_ms(datetime(2026, 11, 1, hour, tzinfo=EXCHANGE_ZONE)) for hour in (0, 4))
    bars = [{**bar(0), "bar": since + step * 1800_000} for step in range(9)]
    span = {"since": since, "until": until, "every_ms": 1800_000}
    made = figure(bars, **span)
    assert len(set(trace(made, "price")["x"])) == 9
    shown = figure(bars[:-1], **span)
    apply_traces(shown, frame_traces(bars[-1:], bars, since=since, until=until, every_ms=1800_000))
    assert {one["uid"]: one["x"] for one in shown["data"]} == {one["uid"]: one["x"] for one in made["data"]}
