"""What the page shows is what the commands print for the same view, now and as of a moment. Read from the document."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pytest

from stockctl.dashboard.company import company_answer
from stockctl.exchange.calendar import EXCHANGE_ZONE, from_ms
from stockctl.exchange.time_parsing import parse_moment
from tests.command import HANG
from tests.conftest import MongoServer, free_port, listening, wait_for
from tests.dashboard.browser import Tab
from tests.dashboard.fetched import Fetched, fetched_company, given_times
from tests.lakes import at, covered, trade

pytestmark = pytest.mark.browser
DATE = "2026-11-23"
TILES = ("vwap", "volume", "trades", "rate", "coverage", "open", "high", "low", "volatility", "annual_volatility")
TIPS = """(names) => Object.fromEntries(names.map((name) => [
  name, document.querySelector(`dd[data-number=${name}]`).dataset.tip?.split("\\n").at(-1)]))"""
GAPS = """[...document.querySelectorAll("#gaps > li")].map((one) => one.textContent.replaceAll(/\\s+/g, " ").trim())"""
KPIS = """Object.fromEntries([...document.querySelectorAll("#kpis > div")].map((one) => [
  one.dataset.tip.split(" = ")[0], one.dataset.tip.split("\\n").find((line) => line.startsWith("= ")).slice(2)]))"""
HEADS = """[...document.querySelectorAll("#statement-head th")].map((one) => one.textContent)"""
CELLS = """[...document.querySelectorAll("#statement-rows tr")].flatMap((row) =>
  [...row.querySelectorAll("td")].map((cell) => [row.querySelector("th").textContent.trim(), cell.dataset.tip]))"""


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory, mongo_server: MongoServer) -> Iterator[tuple[Fetched, str]]:
    """A session with a gap, a company whose reports were stored before it, and the address of a dashboard."""
    start = at(f"{DATE} 09:30:01")
    trades = [trade("AAPL", start + 20_000 * row, 260 + (row * 7 % 13) / 100, 10.0 + row, source="sim") for row in range(900)]
    events = [
        covered("AAPL", f"{DATE} 09:30", f"{DATE} 10:30"),
        covered("AAPL", f"{DATE} 10:30", f"{DATE} 10:40", kind="disconnected", reason="connection reset"),
        covered("AAPL", f"{DATE} 10:40", f"{DATE} 12:30"),
        covered("AAPL", f"{DATE} 12:35", f"{DATE} 16:00"),
    ]
    events = [msgspec.structs.replace(event, source="sim") for event in events]
    with fetched_company(tmp_path_factory.mktemp("numbers"), mongo_server, trades, events) as found:
        given_times(found.settings, by=start)
        port, log = free_port(), found.command.folder / "dashboard.log"
        process = found.command.start("dashboard", "--port", str(port), log=log)
        wait_for(lambda: listening(port) or process.poll() is not None, "the dashboard", HANG)
        assert process.poll() is None, log.read_text()
        yield found, f"http://127.0.0.1:{port}"
        process.terminate()
        process.wait(HANG)


def number(text: str) -> float | None:
    """A number with its unit, as the page writes all its digits."""
    first = text.split(" ")[0].replace(",", "")
    return None if text.startswith("not known") else float(first)


@pytest.mark.parametrize("moment", [None, f"{DATE}T10:20:00", f"{DATE}T11:15:00", f"{DATE}T18:00:00"])
def test_the_page_shows_what_the_commands_print(tab: Callable[..., Tab], day: tuple[Fetched, str], moment: str | None) -> None:
    found, address = day
    as_of = [] if moment is None else ["--as-of", moment]
    view = ["--date", DATE, "--session", "regular", *as_of]
    one: Tab = tab(address)
    one.open(f"/?symbol=AAPL&date={DATE}&session=regular" + (f"&as_of={moment}" if moment else ""))

    [summary] = found.json("metrics", "summary", "AAPL", *view)
    one.wait(f"({TIPS})(['trades']).trades === '{summary['trades']:,}'", "the numbers")
    assert {name: number(text) for name, text in one.js(TIPS, list(TILES)).items()} == {name: summary[name] for name in TILES}

    if moment is not None:
        assert one.page.inner_text("#asof-text").startswith(f"{moment[11:]} New York")

    gaps = found.json("lake", "gaps", "AAPL", *view)
    expected = [
        " to ".join(f"{from_ms(parse_moment(gap[edge]), EXCHANGE_ZONE):%H:%M:%S}" for edge in ("since", "until"))
        for gap in gaps
    ]
    shown = one.js(GAPS)
    assert len(shown) == len(gaps)
    assert all(span in text and gap["reason"] in text for span, gap, text in zip(expected, gaps, shown, strict=True))
    if moment is None:
        assert len(gaps) == 3  # the official prints after the close are not covered

    kpis = found.json("filings", "kpis", "AAPL", *as_of)
    one.wait("document.querySelectorAll('#kpis > div').length > 0", "the key figures")
    assert sorted(map(repr, map(number, one.js(KPIS).values()))) == sorted(repr(row["value"]) for row in kpis)
    for which, title in (("income", "Income"), ("balance", "Balance sheet"), ("cashflow", "Cash flow")):
        one.page.click(f"#tabs >> text={title}")
        rows = found.json("filings", "statement", "AAPL", which, *as_of)
        assert one.js(HEADS) == ["item, USD", *dict.fromkeys(row["period_end"] for row in rows)]
        cells = [(label, number(tip.split("\n")[0])) for label, tip in one.js(CELLS)]
        assert sorted(map(repr, cells)) == sorted(repr((row["label"], row["value"])) for row in rows)


def test_the_key_figures_of_now_are_those_of_company_show(tab: Callable[..., Tab], day: tuple[Fetched, str]) -> None:
    """Those that MongoDB's document has, by its names."""
    found, address = day
    document = found.json("company", "show", "AAPL")
    one: Tab = tab(address)
    one.open(f"/?symbol=AAPL&date={DATE}&session=regular")
    one.wait("document.querySelectorAll('#kpis > div').length > 0", "the key figures")
    names = {kpi["label"]: kpi["name"] for kpi in company_answer(found.settings, "AAPL")["kpis"]}
    shown = {names[label]: number(text) for label, text in one.js(KPIS).items()}
    stored = document["kpis"] | document["together"]
    assert {"roe", "eps", "pe", "wacc"} <= shown.keys()
    assert shown == {name: stored[name] for name in shown}


def test_a_date_without_trades_hides_the_figure_and_the_next_one_shows_it_again(
    tab: Callable[..., Tab], day: tuple[Fetched, str]
) -> None:
    _, address = day
    one: Tab = tab(address)
    drawn = "document.querySelector('#chart .main-svg')?.clientWidth > 0"
    one.open(f"/?symbol=AAPL&date={DATE}&session=regular")
    one.wait(drawn, "the figure")
    one.page.fill("#date", "2026-11-20")
    one.page.dispatch_event("#date", "change")
    one.wait("!document.getElementById('empty').hidden", "why it is empty")
    assert "no trades" in one.page.inner_text("#empty")
    one.page.set_viewport_size({"width": 900, "height": 800})
    one.page.go_back()
    one.wait(drawn, "the figure again")


def test_an_unknown_symbol_shows_no_numbers_of_another(tab: Callable[..., Tab], day: tuple[Fetched, str]) -> None:
    _, address = day
    one: Tab = tab(address)
    one.expected = ("404",)
    one.open(f"/?symbol=AAPL&date={DATE}&session=regular")
    one.wait("document.querySelector('#chart .main-svg') !== null", "the figure")
    one.page.keyboard.press("/")
    one.page.keyboard.type("zzzz")
    one.page.keyboard.press("Enter")
    one.wait("document.getElementById('live').dataset.state === 'none'", "that there is nothing to show")
    assert "there is nothing of zzzz in " in one.page.inner_text("#banner")
    assert not one.page.is_visible("#quote")
    assert not one.page.is_visible("#kpis")
    assert one.page.is_visible("#simulated")  # the list of all symbols still has the simulator's prices
    one.page.go_back()
    one.wait("document.querySelector('#chart .main-svg')?.clientWidth > 0", "the figure again")
    assert one.page.is_visible("#quote")


def test_the_slider_leaves_a_time_before_the_first_trade(tab: Callable[..., Tab], day: tuple[Fetched, str]) -> None:
    _, address = day
    one: Tab = tab(address)
    one.open(f"/?symbol=AAPL&date={DATE}&session=regular")
    one.wait("document.querySelector('#chart .main-svg') !== null", "the figure")
    slide = """(place) => {
      const slider = document.getElementById("asof");
      slider.value = Number(slider.min) + place * (slider.max - slider.min);
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    }"""
    one.js(slide, 0)
    one.wait("!document.getElementById('empty').hidden", "why it is empty")
    assert one.page.is_enabled("#asof")
    one.js(slide, 0.5)
    one.wait("document.getElementById('empty').hidden", "the numbers of a later time")
    assert number(one.js(TIPS, ["trades"])["trades"])
