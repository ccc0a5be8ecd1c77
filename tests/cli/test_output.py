"""The output service: one set of rows in five forms, data on stdout, words on stderr."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.cli.output import Format, say, write_arrow, write_object, write_rows
from tests.command import HANG, clean_environment

ROWS: list[dict[str, Any]] = [
    {"symbol": "AAPL", "price": 164.06, "count": 3, "at": datetime(2026, 11, 23, 15, tzinfo=UTC), "day": date(2026, 11, 23)},
    {"symbol": "BINANCE:BTCUSDT", "price": None, "count": 12, "at": None, "day": None},
]


def test_a_table_lines_up_and_ends_where_its_text_does(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(ROWS, Format.table)
    assert capsys.readouterr().out.splitlines() == [
        "symbol            price  count  at                         day",
        "AAPL             164.06      3  2026-11-23 15:00:00+00:00  2026-11-23",
        "BINANCE:BTCUSDT             12",
    ]


def test_decimals_are_numbers_and_truth_is_a_word_in_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Any]] = [{"sum": Decimal(3), "whole": True}, {"sum": Decimal(12), "whole": None}]
    write_rows(rows, Format.markdown)
    assert capsys.readouterr().out.splitlines()[1] == "| ---: | --- |"


def test_json_is_a_list_with_nulls_and_iso_dates(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(ROWS, Format.json)
    rows = json.loads(capsys.readouterr().out)
    assert rows[0] == {
        "symbol": "AAPL",
        "price": 164.06,
        "count": 3,
        "at": "2026-11-23T15:00:00+00:00",
        "day": "2026-11-23",
    }
    assert rows[1]["price"] is None


def test_json_lines_and_csv_stream(capsys: pytest.CaptureFixture[str]) -> None:
    """The first row is out before the second is made."""
    for form in (Format.jsonl, Format.csv):

        def rows() -> Iterator[dict[str, Any]]:
            yield ROWS[0]
            assert "AAPL" in capsys.readouterr().out
            yield ROWS[1]

        write_rows(rows(), form)
        assert "BTCUSDT" in capsys.readouterr().out


cell = st.one_of(st.none(), st.integers(-(2**53), 2**53), st.floats(), st.text(st.characters(codec="utf-8")))


@given(st.lists(st.fixed_dictionaries({"a": cell, "b": cell}), max_size=5))
def test_json_is_always_valid_whatever_the_cells_hold(rows: list[dict[str, Any]]) -> None:
    """NaN and infinities are no JSON: they are written as null."""
    for form in (Format.json, Format.jsonl):
        out = io.StringIO()
        held, sys.stdout = sys.stdout, out
        try:
            write_rows(rows, form)
        finally:
            sys.stdout = held

        def refuse(name: str) -> None:
            raise AssertionError(name)

        texts = [out.getvalue()] if form is Format.json else out.getvalue().split("\n")[:-1]
        read = [json.loads(text, parse_constant=refuse) for text in texts]
        assert len(read[0] if form is Format.json else read) == len(rows)


def test_csv_is_read_back_with_its_commas_quotes_and_newlines(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows([{"a": 'x,"y"\nz', "b": None}], Format.csv)
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [["a", "b"], ['x,"y"\nz', ""]]


@pytest.mark.parametrize(
    ("form", "text"), [(Format.table, "a  b\n"), (Format.csv, "a,b\n"), (Format.json, "[]\n"), (Format.jsonl, "")]
)
def test_no_rows_are_still_an_answer(capsys: pytest.CaptureFixture[str], form: Format, text: str) -> None:
    write_rows([], form, ["a", "b"])
    assert capsys.readouterr().out == text


def test_parquet_without_rows_has_its_columns(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    write_rows([], Format.parquet, ["a", "b", "c"], {"a": float, "b": ZoneInfo("UTC")})
    schema = pyarrow.parquet.read_schema(io.BytesIO(capsysbinary.readouterr().out))
    assert [(field.name, str(field.type)) for field in schema] == [
        ("a", "double"),
        ("b", "timestamp[us, tz=UTC]"),
        ("c", "null"),
    ]


def test_parquet_carries_types(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    write_rows([{"a": 1, "b": "x"}], Format.parquet)
    table = pyarrow.parquet.read_table(io.BytesIO(capsysbinary.readouterr().out))
    assert table.to_pylist() == [{"a": 1, "b": "x"}]


def test_parquet_is_refused_on_a_terminal() -> None:
    program = "from stockctl.cli.output import *\nwrite_rows([{'a': 1, 'b': 'x'}], Format.parquet)"
    ours, theirs = pty.openpty()
    result = subprocess.run([sys.executable, "-c", program], stdout=theirs, stderr=subprocess.PIPE, timeout=HANG)
    os.close(theirs)
    os.close(ours)
    assert b"stdout is a terminal" in result.stderr


def test_messages_wrap_between_words_at_the_width_of_stderr() -> None:
    """Whatever stdout is; in a pipe they are one line."""
    text = "policy standard, 450 trades, 11 left out (10 Price Variation Trade: 8; 37 Qualified Contingent Trade: 3)"
    program = [sys.executable, "-c", f"from stockctl.cli.output import say\nsay({text!r})"]
    environment = clean_environment()
    environment.pop("COLUMNS", None)
    assert subprocess.run(program, capture_output=True, text=True, timeout=HANG).stderr == text + "\n"
    for columns in (40, 120):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        subprocess.run(program, stdout=subprocess.PIPE, stderr=theirs, env=environment, timeout=HANG, check=True)
        lines = os.read(ours, 1000).decode().splitlines()
        os.close(theirs)
        os.close(ours)
        assert " ".join(lines) == text
        assert len(lines) == (1 if columns > len(text) else 3)
        assert max(map(len, lines)) <= columns


@pytest.mark.parametrize(
    ("answer", "yes", "code", "goes_on"),
    [(b"y\n", False, 0, True), (b"n\n", False, 1, False), (None, False, 2, False), (None, True, 0, True)],
)
def test_before_something_is_deleted_a_terminal_is_asked(answer: bytes | None, yes: bool, code: int, goes_on: bool) -> None:
    """Without one, only ``--yes`` will do."""
    program = (
        "import sys\nfrom stockctl.cli.output import *\nfrom stockctl.errors import StockctlError\n"
        f"try: confirm('Delete it?', 'stockctl it delete', yes={yes})\n"
        "except StockctlError as error: sys.exit(print(error, error.hint) or error.exit_code)\n"
        "print('deleted')"
    )
    ours, theirs = pty.openpty()
    os.write(ours, answer or b"")
    given = subprocess.DEVNULL if answer is None else theirs
    result = subprocess.run([sys.executable, "-c", program], stdin=given, capture_output=True, timeout=HANG, text=True)
    os.close(theirs)
    os.close(ours)
    assert result.returncode == code
    assert ("deleted" in result.stdout) == goes_on
    assert ("Delete it? [y/N]" in result.stderr) == (answer is not None)
    assert ("stdin is not a terminal stockctl it delete --yes" in result.stdout) == (code == 2)


def test_an_arrow_table_is_written_in_every_form(capsys: pytest.CaptureFixture[str]) -> None:
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    write_arrow(table, Format.jsonl)
    assert capsys.readouterr().out == '{"a": 1, "b": "x"}\n{"a": 2, "b": null}\n'
    write_arrow(table.slice(0, 0), Format.csv)
    assert capsys.readouterr().out == "a,b\n"


def test_columns_of_one_name_are_numbered(capsys: pytest.CaptureFixture[str]) -> None:
    """As of a join: each keeps its own values."""
    table = pa.table([pa.array([number]) for number in range(5)], names=["max", "max", "n", "max_2", "max"])
    write_arrow(table, Format.csv)
    assert capsys.readouterr().out == "max,max_2,n,max_2_2,max_3\n0,1,2,3,4\n"
    write_arrow(table, Format.jsonl)
    assert json.loads(capsys.readouterr().out) == {"max": 0, "max_2": 1, "n": 2, "max_2_2": 3, "max_3": 4}


def test_json_and_csv_carry_what_sql_answers_with(capsys: pytest.CaptureFixture[str]) -> None:
    """DuckDB sums integers up as decimals; CSV keeps a decimal's digits."""
    row: dict[str, Any] = {
        "whole": Decimal("36893488147419103232"),
        "part": Decimal("1.50"),
        "none": Decimal("NaN"),
        "time": time(9, 30),
        "length": timedelta(days=1, seconds=2),
        "bytes": b"\x00\xff",
        "days": [date(2026, 11, 20), None],
        "struct": {"at": datetime(2026, 11, 20, 9, 30, tzinfo=UTC), "parts": [{"n": Decimal(2), "x": float("nan")}]},
        "map": [("AAPL", Decimal("0.25"))],
        "id": UUID(int=1),
    }
    wanted = {
        "whole": 36893488147419103232,
        "part": 1.5,
        "none": None,
        "time": "09:30:00",
        "length": "1 day, 0:00:02",
        "bytes": "00ff",
        "days": ["2026-11-20", None],
        "struct": {"at": "2026-11-20T09:30:00+00:00", "parts": [{"n": 2, "x": None}]},
        "map": [["AAPL", 0.25]],
        "id": "00000000-0000-0000-0000-000000000001",
    }
    write_rows([row], Format.json)
    assert json.loads(capsys.readouterr().out) == [wanted]
    write_rows([row], Format.jsonl)
    assert json.loads(capsys.readouterr().out) == wanted
    write_object(row, Format.json)
    assert json.loads(capsys.readouterr().out) == wanted
    write_rows([row], Format.csv)
    head, cells = csv.reader(io.StringIO(capsys.readouterr().out))
    assert dict(zip(head, cells, strict=True)) == {
        name: "1.50" if name == "part" else "" if value is None else str(value) for name, value in wanted.items()
    }


def test_one_record_is_one_line_per_field_or_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    write_object({"symbol": "AAPL", "vwap": 1.5, "whole": True, "none": None}, Format.table)
    assert capsys.readouterr().out == "symbol  AAPL\nvwap    1.5\nwhole   yes\nnone\n"
    write_object({"symbol": "AAPL", "none": float("nan")}, Format.json)
    assert json.loads(capsys.readouterr().out) == {"symbol": "AAPL", "none": None}


def test_words_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("hello")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")


def test_markup_in_data_is_data(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows([{"a": "[red]x[/red]", "b": "[/nonsense]", "c": ":smile:", "d": "two\nlines"}], Format.table)
    assert capsys.readouterr().out.splitlines()[1] == "[red]x[/red]  [/nonsense]  :smile:  two lines"


@pytest.mark.parametrize("no_color", [True, False])
def test_colour_is_for_terminals_that_want_it(no_color: bool) -> None:
    program = "from stockctl.cli.output import *\nwrite_rows([{'a': 1}], Format.table)"
    environment = {key: value for key, value in clean_environment(TERM="xterm").items() if key != "NO_COLOR"}
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", program], stdout=theirs, timeout=HANG, env=environment | ({"NO_COLOR": "1"} if no_color else {})
    )
    os.close(theirs)
    written = os.read(ours, 10_000)
    os.close(ours)
    assert (b"\x1b[1m" in written) or no_color
    assert b"\x1b[3" not in written
