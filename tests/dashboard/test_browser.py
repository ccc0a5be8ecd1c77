"""The page in a real browser while a simulator trades. Each tab must have a quiet console, and ask its own origin alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from stockctl.exchange.calendar import now_ms
from stockctl.metrics.coverage_report import NO_EVENTS
from tests.command import HANG
from tests.conftest import wait_for
from tests.dashboard.browser import Tab
from tests.dashboard.pipeline import Pipeline

pytestmark = pytest.mark.browser
OpenTab = Callable[..., Tab]
QUERY = "symbol=AAPL&session=all&every=10s"
FRAMES = 60
"""Frames between two looks at the heap."""
BYTES, NODES, LISTENERS = 4_000_000, 200, 3
"""What all of them may leave behind. Caches of the figure swing by half of that; a row left by each frame is 600 nodes."""

TRACE = "((uid) => document.getElementById('chart').data?.find((one) => one.uid === uid))"
POINTS = f"({TRACE}('price')?.x.length ?? 0)"
LIVE = "document.getElementById('live').dataset.state === 'live'"
SYMBOL = "document.querySelector('#quote [data-f=symbol]').textContent"
TRADES = "Number(document.querySelector('[data-number=trades]').textContent.replaceAll(',', ''))"
# The middle of the newest gap on the screen, by Plotly's own conversion of times.
PLACE_OF_GAP = f"""(() => {{
  const chart = document.getElementById("chart"), axis = chart._fullLayout.xaxis, box = chart.getBoundingClientRect();
  const edges = {TRACE}("gaps").x.filter((one) => one !== null).slice(-4).map((one) => axis.d2p(one));
  return [box.left + axis._offset + (Math.min(...edges) + Math.max(...edges)) / 2, box.top + 120];
}})()"""
# What a drag over the first candles does, and a double click.
FIRST_CANDLES = f"""(() => {{
  const [since, , until] = {TRACE}("price").x;
  return Plotly.relayout("chart", {{ "xaxis.range[0]": since, "xaxis.range[1]": until }}).then(() => true);
}})()"""
WHOLE_SESSION = """Plotly.relayout("chart", { "xaxis.autorange": true }).then(() => true)"""
# Whether the price axis shows what the candles on the screen need, and little more.
FITS = f"""(() => {{
  const {{ xaxis, yaxis }} = document.getElementById("chart")._fullLayout, {{ x, low, high }} = {TRACE}("price");
  const [since, until] = xaxis.range.map((time) => xaxis.r2l(time));
  const prices = x.flatMap((time, at) => since <= xaxis.d2l(time) && xaxis.d2l(time) <= until ? [low[at], high[at]] : []);
  const [least, most] = [Math.min(...prices), Math.max(...prices)], room = (most - least) / 10;
  const [bottom, top] = yaxis.range;
  return prices.length < 2 * x.length && bottom <= least && least - room <= bottom && most <= top && top <= most + room;
}})()"""
# Elements that only a page that builds itself again would lose.
KEEP = """window.kept = [...document.querySelectorAll("#chart, #chart .main-svg, #quote *, .tiles *, #watch > *")]"""


def opened(tab: OpenTab, pipeline: Pipeline, query: str = QUERY, **options: Any) -> Tab:
    """A tab with a view that is live and drawn."""
    one = tab(pipeline.address, **options)
    one.open(f"/?{query}")
    one.wait(f"{POINTS} > 0 && {LIVE}", "a figure that is live")
    return one


def assert_in_order(one: Tab) -> None:
    """No candle of the figure is there twice, and none out of order."""
    times = one.js(f"{TRACE}('price').x")
    assert times == sorted(set(times))


def differences(pipeline: Pipeline, expected: dict[str, Any]) -> list[str]:
    """What the numbers of a snapshot have that ``expected`` has not."""
    numbers = pipeline.api(f"/api/snapshot?{QUERY}")["numbers"]
    return [f"{name}: {numbers[name]}" for name, value in expected.items() if numbers[name] != value]


def test_points_grow_in_place_while_the_simulator_trades(tab: OpenTab, pipeline: Pipeline) -> None:
    """The elements stay the same ones, so that nothing flickers and a reader's place is kept."""
    one = opened(tab, pipeline)
    one.wait("document.querySelectorAll('#watch > *').length >= 3", "all symbols")
    one.js(KEEP)
    assert one.js("window.kept.length") > 20
    points, trades = one.js(f"[{POINTS}, {TRADES}]")
    one.wait(f"{POINTS} > {points} && {TRADES} > {trades}", "one more candle, and more trades")
    assert one.js("window.kept.filter((node) => !node.isConnected).map((node) => node.outerHTML)") == []
    assert_in_order(one)


def test_what_is_simulated_is_marked(tab: OpenTab, pipeline: Pipeline) -> None:
    one = opened(tab, pipeline)
    assert one.page.is_visible("#simulated")
    assert one.page.inner_text("#simulated") == "SIMULATED"


def test_keys_switch_the_symbol_and_the_address_is_the_view(tab: OpenTab, pipeline: Pipeline) -> None:
    one = opened(tab, pipeline)
    one.page.keyboard.press("/")
    one.page.keyboard.type("ms")
    one.page.keyboard.press("Enter")
    one.wait(f"{SYMBOL} === 'MSFT' && {LIVE}", "the other symbol")
    assert one.js("new URLSearchParams(location.search).get('symbol')") == "MSFT"
    one.page.keyboard.press("]")
    one.wait(f"{SYMBOL} === 'NVDA'", "the next symbol")
    one.page.go_back()
    one.wait(f"{SYMBOL} === 'MSFT' && {LIVE}", "the view before")
    again = opened(tab, pipeline, one.js("location.search.slice(1)"))
    assert again.js(SYMBOL) == "MSFT"
    assert [again.page.input_value(f"#{name}") for name in ("session", "every")] == ["all", "10s"]


def test_a_gap_is_hatched_with_its_reason(tab: OpenTab, pipeline: Pipeline) -> None:
    """A connection that breaks while the page looks at it, in an hour: there it is wide enough to be pointed at."""
    one = opened(tab, pipeline)
    began = now_ms()
    pipeline.control("drop")
    # Not by their number: at midnight a session with other gaps begins.
    known = f"one.row.reason !== '{NO_EVENTS}'"
    one.wait(
        f"[...document.querySelectorAll('#gaps > *')].some((one) => one.row.until > {began} && {known})", "the gap in the list"
    )
    reasons = [gap["reason"] for gap in pipeline.api(f"/api/snapshot?{QUERY}")["gaps"]]
    assert reasons
    assert all(reason in one.page.inner_text("#gaps") for reason in reasons)
    fill, shape = one.wait(f"((gap) => gap.x.length && [gap.fill, gap.fillpattern?.shape])({TRACE}('gaps'))", "the gap, drawn")
    assert (fill, bool(shape)) == ("toself", True)
    one.wait("document.querySelector('#chart pattern') !== null", "the hatch")

    def pointed() -> bool:
        x, y = one.js(PLACE_OF_GAP)
        one.page.mouse.move(x - 30, y)
        one.page.mouse.move(x, y)
        one.page.wait_for_timeout(100)
        words = one.js("document.querySelector('#chart .hoverlayer').textContent")
        return any(reason in words for reason in reasons)

    wait_for(pointed, f"one of {reasons} where the hatch is", HANG)


def test_a_server_that_dies_and_comes_back_leaves_no_bar_missing_or_twice(tab: OpenTab, pipeline: Pipeline) -> None:
    one = opened(tab, pipeline)
    pipeline.end("dashboard", kill=True)
    one.wait("!document.getElementById('banner').hidden", "the banner")
    assert "Stale since" in one.page.inner_text("#banner")
    points = one.js(POINTS)
    assert points > 0
    pipeline.start_dashboard()
    one.wait(f"document.getElementById('banner').hidden && {LIVE}", "the page to be live again")
    one.wait(f"{POINTS} > {points}", "more candles than before")
    assert_in_order(one)
    shown = one.js(f"{TRACE}('price').x.length")
    stored = len(pipeline.api(f"/api/snapshot?{QUERY}")["bars"])
    assert shown <= stored <= shown + 2
    # The browser writes what it cannot reach into the console.
    one.complaints = [text for text in one.complaints if "net::ERR_" not in text]


def test_the_price_axis_fits_the_time_on_the_screen(tab: OpenTab, pipeline: Pipeline) -> None:
    """While others come, too."""
    one = opened(tab, pipeline)
    one.wait(f"{POINTS} > 3", "a candle to leave out")
    one.js(FIRST_CANDLES)
    one.wait(FITS, "the prices of the first candles alone")
    one.wait_frames(2)
    assert one.js(FITS)
    one.js(WHOLE_SESSION)
    one.wait("document.getElementById('chart')._fullLayout.yaxis.autorange === true", "all prices")


def test_a_deviation_has_four_digits_that_count(tab: OpenTab, pipeline: Pipeline) -> None:
    """The tip has all of them."""
    one = opened(tab, pipeline)
    values = [0.000123456, 0.123456, 1.23456, 12.3456, 12345.678]
    shown = one.js("(values) => import('/static/format.js').then(({ deviation }) => values.map(deviation))", values)
    assert shown == ["0.0001235", "0.1235", "1.235", "12.35", "12,345.68"]
    tile = "document.querySelector('dd[data-number=volatility]')"
    text, tip = one.wait(f"/\\d/.test({tile}.textContent) && [{tile}.textContent, {tile}.dataset.tip]", "a volatility")
    assert len(text.lstrip("0.").replace(".", "")) <= 4
    assert len(tip.split("\n")[-1]) > len(text)


def test_a_hidden_tab_is_sent_nothing_and_catches_up(tab: OpenTab, pipeline: Pipeline) -> None:
    one = opened(tab, pipeline)
    one.wait_frames(1)
    # A headless tab is never hidden by itself.
    one.js("Object.defineProperty(document, 'hidden', { configurable: true, get: () => window.away ?? false })")
    one.js("window.away = true; document.dispatchEvent(new Event('visibilitychange'))")
    one.wait("document.getElementById('live-text').textContent === 'Paused'", "the pause")
    one.page.wait_for_timeout(0)
    frames, trades, stored = len(one.frames), one.js(TRADES), pipeline.documents()
    wait_for(lambda: pipeline.documents() > stored + 200, "more trades", HANG)
    assert (one.js(TRADES), len(one.frames)) == (trades, frames)
    one.js("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    one.wait(f"{TRADES} > {trades} && {LIVE}", "the page to be live again")
    one.wait_frames(2)
    assert_in_order(one)


def test_many_frames_leave_the_heap_as_it_was(tab: OpenTab, pipeline: Pipeline) -> None:
    """From then on: the first frames fill caches."""
    one = opened(tab, pipeline, "symbol=AAPL&session=all&every=5m")
    one.wait_frames(FRAMES // 3)
    before = one.heap()
    one.wait_frames(FRAMES)
    after = one.heap()
    grown = {name: after[name] - before[name] for name in before}
    assert grown["heap"] < BYTES, (before, after)
    assert grown["nodes"] < NODES, (before, after)
    assert grown["listeners"] < LISTENERS, (before, after)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(tab: OpenTab, pipeline: Pipeline, theme: str) -> None:
    """With every panel open."""
    one = opened(tab, pipeline, color_scheme=theme)
    one.js("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    faults = Axe().run(one.page).response["violations"]
    serious = [
        f"{fault['help']}: {[node['target'] for node in fault['nodes']][:5]}"
        for fault in faults
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_at_rest_the_page_has_the_numbers_of_the_command(tab: OpenTab, pipeline: Pipeline) -> None:
    """The last test of the file: it ends the feed and the writer of MongoDB."""
    for name in ("produce", "mongo", "lake"):
        if name in pipeline.running:  # the lake's writer is started by the test of gaps
            pipeline.end(name)
    # What was on its way is stored: these end with the topics.
    for store in ("mongo", "s3"):
        assert pipeline.run("consume", store, "--once").returncode == 0
    # It reads again when something changes, and from now on nothing does.
    pipeline.end("dashboard")
    pipeline.start_dashboard()
    one = opened(tab, pipeline)
    result = pipeline.run("metrics", "summary", "AAPL", "--session", "all", "-o", "json")
    expected = json.loads(result.stdout)[0]
    one.wait(f"{TRADES} === {expected['trades']}", "the last trades")
    assert differences(pipeline, expected) == []
    for name in ("vwap", "volume", "open", "high", "low", "coverage"):
        tip = one.js("(name) => document.querySelector(`dd[data-number=${name}]`).dataset.tip.split('\\n').at(-1)", name)
        assert float(tip.replace(",", "")) == pytest.approx(expected[name], rel=1e-9), name
