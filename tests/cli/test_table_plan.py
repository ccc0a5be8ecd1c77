"""The plan of a table: its columns, their kinds, widths and alignment, without a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest

from stockctl.cli.output.columns import Kind
from stockctl.cli.output.table_plan import Plan, fixes_of, plan_table, worth_showing

ROWS = [
    {"symbol": "AAPL", "vwap": 264.123456, "trades": 1_234, "detail": "a sentence that is as long as three columns"},
    {"symbol": "BINANCE:BTCUSDT", "vwap": 90_687.1, "trades": 7, "detail": ""},
]


def plan(
    rows: list[dict[str, Any]], width: int | None, main: Sequence[str] = (), *, kinds: bool = True, links: bool = False
) -> Plan:
    return plan_table(rows, list(rows[0]), main or list(rows[0]), width=width, kinds=kinds, links=links)


def test_columns_have_the_header_kind_and_alignment_of_their_values() -> None:
    columns = {column.name: column for column in plan(ROWS, None).columns}
    assert [(column.kind, column.right) for column in columns.values()] == [
        (Kind.key, False),
        (Kind.price, True),
        (Kind.count, True),
        (Kind.text, False),
    ]
    assert columns["vwap"].cells == ["264.12", "90,687.10"]
    assert [columns["vwap"].fit(cell) for cell in columns["vwap"].cells] == ["   264.12", "90,687.10"]
    assert [column.header for column in plan([{"latency_ms": 1}], None).columns] == ["latency"]


def test_names_of_the_user_are_no_kinds() -> None:
    (column,) = plan([{"latency_ms": 1_234}], None, kinds=False).columns
    assert (column.header, column.kind, column.cells) == ("latency_ms", None, ["1234"])


@pytest.mark.parametrize(
    ("width", "widths", "left_out"),
    [
        (None, [15, 9, 6, 43], []),
        (100, [15, 9, 6, 43], []),
        (52, [15, 9, 6, 16], []),
        (50, [15, 9, 6], ["detail"]),
        (20, [15], ["vwap", "trades", "detail"]),
        (12, [6], ["vwap", "trades", "detail"]),
    ],
)
def test_columns_get_the_width_that_there_is(width: int | None, widths: list[int], left_out: list[str]) -> None:
    """Text is cut down to 16 cells, numbers never, and the first column is always there."""
    planned = plan(ROWS, width)
    assert [column.width for column in planned.columns] == widths
    assert planned.left_out == left_out


def test_what_is_cut_ends_in_a_mark() -> None:
    detail = plan(ROWS, 52).columns[-1]
    assert detail.is_cut
    assert detail.fit(detail.cells[0]) == "a sentence that…"


def test_the_main_columns_come_before_all_others() -> None:
    planned = plan(ROWS, 30, ("trades", "symbol"))
    assert [column.name for column in planned.columns] == ["symbol", "trades"]
    assert planned.left_out == ["vwap", "detail"]


def test_a_link_needs_no_column_of_addresses() -> None:
    rows = [{"accession": "0001", "report": "https://www.sec.gov/x"}]
    linked = plan(rows, 80, ("accession",), links=True)
    assert ([(column.name, column.link) for column in linked.columns], linked.left_out) == (
        [("accession", "report")],
        ["report"],
    )
    assert len(plan(rows, 80, ("accession",), links=False).columns) == 2
    assert len(plan(rows, None, ("accession",), links=True).columns) == 2


def test_times_have_their_date_where_no_other_column_shows_it() -> None:
    times = [datetime(2026, 11, day, 14, 30, tzinfo=UTC) for day in (19, 20)]
    rows: list[dict[str, Any]] = [{"symbol": "AAPL", "at": time, "trade_date": time.date()} for time in times]
    assert plan(rows, 80).columns[1].cells == ["14:30:00", "14:30:00"]
    assert plan(rows, 27).columns[1].cells == ["2026-11-19 14:30:00", "2026-11-20 14:30:00"]
    assert plan(rows, 80).note == "times: UTC"
    assert plan(rows[:1], 80).note == "times: 2026-11-19, UTC"
    assert plan([{"trade_date": date(2026, 11, 20)}], 80).note == ""
    assert plan([{"at": time.replace(tzinfo=None)} for time in times], 80).note == ""


def test_empty_columns_and_fixes_are_not_worth_a_column() -> None:
    rows: list[dict[str, Any]] = [
        {"system": "kafka", "detail": "", "fix": "start it"},
        {"system": "topics", "detail": None, "fix": "start it"},
    ]
    names = ["system", "detail", "fix"]
    assert worth_showing(rows, names) == ["system"]
    assert worth_showing([], names) == ["system", "detail"]
    assert fixes_of(rows, names) == {"start it": ["kafka", "topics"]}
    assert fixes_of(rows, ["system"]) == {}
