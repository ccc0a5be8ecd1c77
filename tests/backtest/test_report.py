"""The report of a backtest: one file with everything in it, whatever the symbols and reasons are called."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from stockctl.backtest.account import Account, Fill
from stockctl.backtest.gaps import MissedTime, SymbolCoverage
from stockctl.backtest.report import MOST_ROWS, MOST_SYMBOLS, report_html
from stockctl.backtest.report_file import check_report_path
from stockctl.backtest.result import BacktestResult, SymbolResult, combine
from stockctl.backtest.statistics import DEFINITIONS, EquityPoint
from stockctl.errors import UsageError
from stockctl.exchange.calendar import EXCHANGE_ZONE, to_ms
from stockctl.strategies.symbol_run import Decision
from tests.figures.markup import SVG, external_references, parsed

OPEN = to_ms(datetime(2026, 3, 3, 9, 30, tzinfo=EXCHANGE_ZONE))
MINUTE = 60_000
NASTY = "<script>alert(1)</script>\"'&\x00\u202e"


def symbol_result(symbol: str = "AAPL", trips: int = 2, reason: str = "fast is above slow", gap: str = "lost") -> SymbolResult:
    """A day with round trips of ten minutes, the second fill of which lies beside a gap."""
    account = Account(symbol, 10_000)
    fills: list[Fill] = []
    for index in range(2 * trips):
        side = -1 if index % 2 else 1
        fill = Fill(symbol, OPEN + index * 5 * MINUTE, side * 10, 100.0 + index % 3, 1.0, 0.5, f"r{index}", gap=index == 1)
        account.fill(fill)
        fills.append(fill)
    decisions = [
        Decision(symbol, 0, "buy", 1.0, 0.0, reason, fill.time, fill.time, fill.record, "", place)
        for place, fill in enumerate(fills)
    ]
    equity = [EquityPoint(OPEN, 10_000.0), EquityPoint(OPEN + 60 * MINUTE, account.equity(100.0))]
    prices = [(OPEN + index * MINUTE, 100.0 + index % 3) for index in range(60)]
    missed = [MissedTime(OPEN + 20 * MINUTE, OPEN + 25 * MINUTE, gap)]
    coverage = SymbolCoverage(55 * MINUTE, 60 * MINUTE, missed)
    return SymbolResult.of(account, decisions, fills, equity, 30.0, 60.0, prices=prices, coverage=coverage)


def result_of(*symbols: SymbolResult, strategy: str = "sma-cross", notes: list[str] | None = None) -> BacktestResult:
    return combine(strategy, "ab12", {"fast": 5}, {"fees": "bps 5", "long_only": False}, symbols, notes=notes or [])


def rows_of(html: str, title: str) -> list[list[str]]:
    """The cells of the table with this title."""
    body = parsed(html.partition("\n")[2])
    [region] = [each for each in body.iter("div") if each.get("aria-label") == title]
    return [["".join(cell.itertext()) for cell in row] for row in region.iter("tr")]


def test_a_report_has_what_was_run_and_what_came_of_it() -> None:
    result = result_of(symbol_result(), notes=["a note"])
    html = report_html(result, command="stockctl backtest run sma-cross 'A B'")
    text = " ".join("".join(each for each in parsed(html.partition("\n")[2]).itertext()).split())
    for part in ("Backtest of sma-cross on AAPL", "a note", result.hash, "ab12", "2026-03-03", "bps 5", "sma-cross 'A B'"):
        assert part in text
    statistics = rows_of(html, "Statistics")
    assert [row[0].replace(" ", "_") for row in statistics[1:]] == list(DEFINITIONS)
    assert [row[2] for row in statistics[1:]] == list(DEFINITIONS.values())
    assert statistics[1][:2] == ["start equity", "10,000.00"]
    assert "1 of 4 fills (25.00%) lie beside a gap" in text
    assert rows_of(html, "Session time that the feed covered")[1] == ["AAPL", "91.67%", "1", "4", "1"]
    fills = rows_of(html, "Shares that were bought, and sold (−); times in New York")
    assert fills[2] == ["AAPL", "2026-03-03 09:35:00", "−10", "101.00", "1.00", "0.5000", "yes", "r1", "fast is above slow"]
    trips = rows_of(html, "Positions that were opened and closed; times in New York")
    assert trips[1][:4] == ["AAPL", "2026-03-03 09:30:00", "2026-03-03 09:35:00", "10"]


def test_every_figure_is_there_for_wide_and_narrow_screens_with_its_numbers() -> None:
    body = parsed(report_html(result_of(symbol_result())).partition("\n")[2])
    images = [image for image in body.iter(f"{SVG}svg") if image.get("role") == "img"]
    names = [image.findtext(f"{SVG}title") for image in images]
    assert names == [name for name in ("Equity", "Drawdown", "AAPL: price and fills") for _ in range(2)]
    assert len(list(body.iter("details"))) == 4
    ids = [element.get("id") for element in body.iter() if element.get("id")]
    assert len(ids) == len(set(ids))


def test_nothing_is_fetched_and_nothing_runs() -> None:
    html = report_html(result_of(symbol_result()), command="stockctl")
    assert external_references(html) == []
    assert "default-src 'none'" in html.replace("&#x27;", "'")


def test_names_and_reasons_stay_text() -> None:
    one = symbol_result(NASTY, reason=NASTY, gap=NASTY)
    html = report_html(result_of(one, strategy=NASTY, notes=[NASTY]), command=NASTY)
    assert "<script" not in html
    assert "\x00" not in html
    assert "\u202e" not in html
    body = parsed(html.partition("\n")[2])
    assert "".join(body.itertext()).count("<script>alert(1)</script>\"'&\\x00\\u202e") > 10
    usual = parsed(report_html(result_of(symbol_result(), notes=["x"]), command="x").partition("\n")[2])
    assert {element.tag for element in body.iter()} == {element.tag for element in usual.iter()}


def test_a_report_without_gaps_known_says_so() -> None:
    html = report_html(result_of(symbol_result()._replace(coverage=SymbolCoverage())))
    assert "It is not known what the feed covered" in html


def test_equity_and_statistics_without_gaps_are_beside_those_with_them() -> None:
    result = result_of(symbol_result())
    clean = replace(result, without_gaps=result.statistics, equity_without_gaps=result.symbols[0].equity)
    html = report_html(clean)
    assert [len(row) for row in rows_of(html, "Statistics")] == [4] * (len(DEFINITIONS) + 1)
    assert html.count('class="line second"') == 3  # both sizes, and the legend
    assert 'class="line second"' not in report_html(result)


def test_long_tables_and_many_symbols_say_how_much_more_there_is() -> None:
    symbols = [symbol_result(f"S{index:02}", trips=30 if index else 400) for index in range(MOST_SYMBOLS + 3)]
    html = report_html(result_of(*symbols))
    assert len(rows_of(html, "Shares that were bought, and sold (−); times in New York")) == MOST_ROWS + 1
    assert f"The first 500 of {800 + 14 * 60:,} fills" in html
    assert len(re.findall("price and fills</strong>", html)) == MOST_SYMBOLS
    assert "S00: price and fills" in html
    assert f"The {MOST_SYMBOLS} of 15 symbols with the most fills" in html


def test_a_backtest_without_a_fill_has_a_report() -> None:
    account = Account("AAPL", 10_000)
    for equity in ([], [EquityPoint(OPEN, 10_000.0)]):
        html = report_html(result_of(SymbolResult.of(account, [], [], equity, 0.0, 0.0)))
        parsed(html.partition("\n")[2])
        assert "No prices were kept" in html


def test_the_same_result_is_the_same_report() -> None:
    assert report_html(result_of(symbol_result())) == report_html(result_of(symbol_result()))


def test_a_notebook_shows_the_equity() -> None:
    html = result_of(symbol_result())._repr_html_()
    assert parsed(html).get("class") == "stockctl"
    assert external_references(html) == []
    assert "total return" in html


def test_a_report_takes_the_place_of_a_file_and_a_link_stays(tmp_path: Path) -> None:
    result = result_of(symbol_result())
    file, link = tmp_path / "a.html", tmp_path / "link.html"
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to(file)
    result.report(link)
    assert link.is_symlink()
    assert file.read_text(encoding="utf-8") == report_html(result)
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.html", "link.html"]


def test_a_pipe_takes_the_report(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_report_path(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        result = result_of(SymbolResult.of(Account("AAPL", 1.0), [], [], [], 0.0, 0.0))
        result.report(pipe)
        assert os.read(reading, 100).startswith(b"<!DOCTYPE html>")
    finally:
        os.close(reading)
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "Is a directory"),
        ("nowhere/out.html", "No such file or directory"),
        ("file/out.html", "Not a directory"),
        ("loop", ""),
    ],
)
def test_a_path_that_cannot_be_written_is_an_error(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    for write in (check_report_path, result_of(symbol_result()).report):
        with pytest.raises(UsageError, match=f"cannot be written: .*{problem}") as error:
            write(tmp_path / name)
        assert error.value.hint
