"""Output into a pipe is whole and plain: the same bytes as recorded under ``piped/``, whatever a terminal shows."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from stockctl.cli.output import Format, View, write_arrow, write_object, write_objects, write_rows
from stockctl.errors import UsageError
from tests.cli.piped_rows import RECORD, ROWS, TABLE

RECORDED = Path(__file__).parent / "piped"
WRITERS: dict[str, Callable[[View], None]] = {
    "rows": lambda view: write_rows(iter(ROWS), view, main=("vwap",)),
    "columns": lambda view: write_rows(iter(ROWS), view, ["symbol", "vwap", "through"]),
    "empty": lambda view: write_rows([], view, ["symbol", "vwap"], {"symbol": str, "vwap": float}),
    "record": lambda view: write_object(RECORD, view),
    "arrow": lambda view: write_arrow(TABLE, view),
}


@pytest.mark.parametrize("recorded", sorted(RECORDED.iterdir()), ids=lambda path: path.name)
@pytest.mark.parametrize("wide", [False, True])
def test_piped_output_is_as_recorded(recorded: Path, wide: bool, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    name, _, form = recorded.name.partition(".")
    WRITERS[name](View(Format(form), wide=wide))
    written, messages = capsysbinary.readouterr()
    if form == "parquet":  # its bytes name the version of pyarrow
        table, expected = (pyarrow.parquet.read_table(io.BytesIO(data)) for data in (written, recorded.read_bytes()))
        assert table.schema.equals(expected.schema, check_metadata=True)
        assert str(table.to_pylist()) == str(expected.to_pylist())
    else:
        assert written == recorded.read_bytes()
    assert messages == b""


def test_fields_select_and_order(capsys: pytest.CaptureFixture[str]) -> None:
    view = View(Format.csv, ("vwap", "symbol"), 1)
    write_rows(iter(ROWS), view)
    assert capsys.readouterr().out == "vwap,symbol\n264.123456789012,AAPL\n"
    write_arrow(TABLE, View(Format.jsonl, ("n", "symbol"), 1))
    assert capsys.readouterr().out == '{"n": 1, "symbol": "AAPL"}\n'
    write_object(RECORD, View(Format.json, ("part", "symbol")))
    assert capsys.readouterr().out == '{\n  "part": 1.5,\n  "symbol": "AAPL"\n}\n'
    write_rows([], View(Format.csv, ("symbol",)), ["symbol", "vwap"])
    assert capsys.readouterr().out == "symbol\n"


def test_records_of_one_id_are_separated_in_a_table_and_rows_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    records = [{"id": "a", "run": 1}, {"id": "a", "run": 2}]
    write_objects(records, Format.table)
    assert capsys.readouterr().out == "id   a\nrun  1\n\nid   a\nrun  2\n"
    write_objects(records, View(Format.csv, ("run",)))
    assert capsys.readouterr().out == "run\n1\n2\n"
    write_objects(records[:1], Format.json)
    assert capsys.readouterr().out == '[\n  {\n    "id": "a",\n    "run": 1\n  }\n]\n'


@pytest.mark.parametrize("form", Format)
def test_an_unknown_field_is_a_usage_error(form: Format) -> None:
    """It names the near ones, and lists all."""
    writers: list[Callable[[View], None]] = [lambda view: write_rows(ROWS, view), lambda view: write_object(RECORD, view)]
    for write in writers:
        with pytest.raises(UsageError, match=r"no field .*vwpa.*; did you mean vwap") as raised:
            write(View(form, ("symbol", "vwpa")))
        assert "symbol, trade_date, vwap" in (raised.value.hint or "")
        assert raised.value.exit_code == 2


@pytest.mark.parametrize("form", [Format.jsonl, Format.csv])
def test_a_limit_stops_a_stream(form: Format, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows after it are not computed."""

    def rows() -> Iterator[dict[str, Any]]:
        yield {"n": 1}
        yield {"n": 2}
        raise AssertionError

    write_rows(rows(), View(form, limit=2))
    assert len(capsys.readouterr().out.splitlines()) == (2 if form is Format.jsonl else 3)


def test_markdown_is_a_pipe_table_of_literal_text(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows([{"a": "x|y *z*\nw", "n": 1.5}, {"a": None, "n": 2}], View(Format.markdown))
    assert capsys.readouterr().out == "| a | n |\n| --- | ---: |\n| x\\|y \\*z\\*<br>w | 1.5 |\n|  | 2 |\n"
    write_object({"a_b": "x"}, View(Format.markdown))
    assert capsys.readouterr().out == "| field | value |\n| --- | --- |\n| a\\_b | x |\n"
