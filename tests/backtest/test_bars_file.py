"""Bars from CSV and Parquet: what is read, and the line of what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.backtest.bars_file import read_bars_file
from stockctl.errors import UsageError
from stockctl.exchange.calendar import EXCHANGE_ZONE, day_bounds, to_ms
from stockctl.strategies import Bar

HEADER = "symbol,time,open,high,low,close,volume"
DAY = date(2026, 11, 23)
NINE = to_ms(datetime(2026, 11, 23, 9, 30, tzinfo=EXCHANGE_ZONE))
MINUTE = 60_000


def read(folder: Path, text: str, symbols: Sequence[str] = (), zone: ZoneInfo = EXCHANGE_ZONE) -> dict[str, list[Bar]]:
    path = folder / "bars.csv"
    path.write_text(text, encoding="utf-8")
    return read_bars_file(path, symbols, zone)


def problem(folder: Path, text: str, symbols: Sequence[str] = ()) -> str:
    with pytest.raises(UsageError) as caught:
        read(folder, text, symbols)
    assert caught.value.hint
    return str(caught.value).replace(f"{folder}/", "")


def test_a_date_is_a_bar_of_that_day_on_the_exchange(tmp_path: Path) -> None:
    bars = read(tmp_path, f"{HEADER}\nAAPL,2026-11-23,1,3,0.5,2,100\nAAPL,2026-11-24,2,2,2,2,0\nMSFT,2026-11-23,5,5,5,5,7\n")
    assert list(bars) == ["AAPL", "MSFT"]
    assert bars["AAPL"][0] == Bar("AAPL", *day_bounds(DAY), 1.0, 3.0, 0.5, 2.0, 100.0, 2.0, 0)
    assert [bar.start for bar in bars["AAPL"]] == [day_bounds(DAY)[0], day_bounds(date(2026, 11, 24))[0]]


def test_bars_with_times_are_as_long_as_the_shortest_time_between_two(tmp_path: Path) -> None:
    times = (
        "2026-11-23T09:30",
        "2026-11-23 09:31:00",
        "2026-11-23T14:35:00Z",
        f"{NINE + 60 * MINUTE}",
        f"{NINE // 1000 + 7200}",
    )
    text = "\n".join(["time,open,high,low,close,volume", *(f"{time},1,1,1,1,1" for time in times)])
    bars = read(tmp_path, text, ["AAPL"])["AAPL"]
    assert [(bar.start - NINE) // MINUTE for bar in bars] == [0, 1, 5, 60, 120]
    assert {bar.end - bar.start for bar in bars} == {MINUTE}


def test_a_time_without_a_zone_is_in_the_zone_that_is_given(tmp_path: Path) -> None:
    text = "time,open,high,low,close,volume\n2026-11-23T14:30,1,1,1,1,1\n"
    assert read(tmp_path, text, ["AAPL"], ZoneInfo("UTC"))["AAPL"][0].start == NINE


@pytest.mark.parametrize("name", ["time", "Date", "DATETIME", "timestamp", "bar", ""])
def test_names_of_the_time_and_other_columns(tmp_path: Path, name: str) -> None:
    """As other programs write bars: in any case and order, beside columns that do not matter."""
    text = f"{name},Adj Close,Close,Open,High,Low,Volume,VWAP,Trades\n2026-11-23,9,2,1,3,0.5,100,1.5,12\n"
    assert read(tmp_path, text, ["GOOG"])["GOOG"] == [Bar("GOOG", *day_bounds(DAY), 1.0, 3.0, 0.5, 2.0, 100.0, 1.5, 12)]


def test_only_the_symbols_that_are_asked_for(tmp_path: Path) -> None:
    text = f"{HEADER}\nAAPL,2026-11-23,1,1,1,1,1\nMSFT,2026-11-23,5,5,5,5,7\n"
    assert list(read(tmp_path, text, ["MSFT"])) == ["MSFT"]
    assert problem(tmp_path, text, ["MSFT", "AAPLE"]) == "bars.csv holds no bar of AAPLE"


def test_a_bar_without_open_and_close_is_left_out(tmp_path: Path) -> None:
    """As `metrics bars` writes one in which no trade may set the price."""
    text = f"{HEADER}\nAAPL,2026-11-23,,,,,100\nAAPL,2026-11-24,2,,,3,0\n"
    assert read(tmp_path, text) == {"AAPL": [Bar("AAPL", *day_bounds(date(2026, 11, 24)), 2.0, 3.0, 2.0, 3.0, 0.0, 3.0, 0)]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("AAPL,2026-11-23,x,1,1,1,1", "open is 'x', which is not a number"),
        ("AAPL,2026-11-23,1,1,1,,1", "close is empty"),
        ("AAPL,2026-11-23,1,1,1,1,", "volume is empty"),
        ("AAPL,2026-11-23,0,1,1,1,1", "open is '0': it must be above 0"),
        ("AAPL,2026-11-23,1,1,1,-1,1", "close is '-1': it must be above 0"),
        ("AAPL,2026-11-23,1,inf,1,1,1", "high is 'inf': it must be above 0"),
        ("AAPL,2026-11-23,1,1,nan,1,1", "low is 'nan': it must be above 0"),
        ("AAPL,2026-11-23,1,1,1,1,-1", "volume is '-1': it must be 0 or more"),
        ("AAPL,2026-11-23,2,1,3,2,1", "high 1 is below low 3"),
        ("AAPL,2026-13-23,1,1,1,1,1", "the time is '2026-13-23'"),
        ("AAPL,yesterday,1,1,1,1,1", "the time is 'yesterday'"),
        ("AAPL,,1,1,1,1,1", "the time is ''"),
        ("AAPL,12345678901,1,1,1,1,1", "the time is '12345678901'"),
        ("AAPL,0001-01-01,1,1,1,1,1", "the year 1 is not from 1900 to 2200"),
        (",2026-11-23,1,1,1,1,1", "the symbol is empty"),
        ("AAPL,2026-11-23T09:30,1,1,1,1,1", "dates and times are mixed"),
        ("AAPL,2026-11-22,1,1,1,1,1", "AAPL has the same time as line 2"),
        ("AAPL,2026-11-21,1,1,1,1,1", "AAPL has a time before line 2"),
    ],
)
def test_the_line_of_what_is_wrong(tmp_path: Path, row: str, message: str) -> None:
    text = f"{HEADER}\nAAPL,2026-11-22,1,1,1,1,1\nMSFT,2026-11-20,1,1,1,1,1\n\n{row}\n"
    assert problem(tmp_path, text) == f"bars.csv, line 5: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "bars.csv has no column time"),
        ("time,open,high,low,close\n", "bars.csv has no column volume"),
        ("open,,high,low,close,volume\n", "bars.csv has no column time"),
        (f"{HEADER},Close\n", "bars.csv has the column close twice"),
        (f"{HEADER}\n", "bars.csv holds no bar"),
        (f"{HEADER}\nAAPL,2026-11-23,1,1\n", "bars.csv, line 2 has 4 fields, and the first line 7"),
        ("time,open,high,low,close,volume\n2026-11-23,1,1,1,1,1\n", "bars.csv has no column symbol"),
    ],
)
def test_a_file_that_holds_no_bars(tmp_path: Path, text: str, message: str) -> None:
    assert problem(tmp_path, text) == message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def message(name: str) -> str:
        with pytest.raises(UsageError) as caught:
            read_bars_file(tmp_path / name)
        return str(caught.value).replace(f"{tmp_path}/", "")

    (tmp_path / "latin.csv").write_bytes(b"time,open\n\xe4,1\n")
    (tmp_path / "text.parquet").write_text("time")
    (tmp_path / "folder.parquet").mkdir()
    assert message("none.csv") == "cannot read none.csv: No such file or directory"
    assert message("none.parquet") == "cannot read none.parquet: No such file or directory"
    assert message("folder.parquet").startswith("cannot read folder.parquet: ")
    assert message("bars.xlsx") == "bars.xlsx is neither .csv nor .parquet"
    assert message("latin.csv").startswith("latin.csv is not CSV in UTF-8: ")
    assert message("text.parquet").startswith("text.parquet is not Parquet: ")


TIMES = {
    "dates": pa.array([DAY], pa.date32()),
    "text": pa.array(["2026-11-23"]),
    "zoned": pa.array([NINE], pa.timestamp("ms", "America/New_York")),
    "nanoseconds": pa.array([NINE * 10**6], pa.timestamp("ns", "UTC")),
    "plain": pa.array([datetime(2026, 11, 23, 9, 30)], pa.timestamp("us")),  # noqa: DTZ001  # a time without a zone is the case
    "milliseconds": pa.array([NINE]),
}


@pytest.mark.parametrize("kind", TIMES)
def test_parquet(tmp_path: Path, kind: str) -> None:
    table = pa.table(
        {
            "time": TIMES[kind],
            "symbol": pa.array(["AAPL"]).dictionary_encode(),
            "open": pa.array([1], pa.int32()),
            "high": pa.array([3.0], pa.float32()),
            "low": pa.array([0.5]),
            "close": pa.array(["2.0"]),
            "volume": pa.array([100], pa.uint64()),
            "vwap": pa.array([float("nan")]),
            "other": pa.array([[1]]),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "bars.parquet")
    (bar,) = read_bars_file(tmp_path / "bars.parquet")["AAPL"]
    assert bar[3:] == (1.0, 3.0, 0.5, 2.0, 100.0, 2.0, 0)
    assert bar.start == (day_bounds(DAY)[0] if kind in ("dates", "text") else NINE)


def test_the_row_and_the_column_of_what_is_wrong_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    columns = {name: pa.array([1.0, 1.0]) for name in ("open", "high", "low", "close", "volume")}
    for wrong, message in (
        ({"time": pa.array([DAY, DAY])}, "bars.parquet, row 2: AAPL has the same time as row 1"),
        ({"time": pa.array([1.5, 2.5])}, "bars.parquet, row 1: the time is 1.5"),
        (
            {"time": pa.array([DAY, DAY]), "open": pa.array([DAY, DAY])},
            "bars.parquet: the column open has the type date32[day]",
        ),
        ({"time": pa.array([DAY, DAY]), "low": pa.array([-1.0, 1.0])}, "bars.parquet, row 1: low is -1.0: it must be above 0"),
    ):
        pyarrow.parquet.write_table(pa.table(columns | wrong), path)
        with pytest.raises(UsageError) as caught:
            read_bars_file(path, ["AAPL"])
        assert str(caught.value).replace(f"{tmp_path}/", "") == message


@given(st.text(max_size=60) | st.lists(st.sampled_from([*HEADER, *"0123456789.-:T,\n\"'\0", "\r\n"]), max_size=40).map("".join))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    for header in ("", f"{HEADER}\n"):
        path = folder / "any.csv"
        path.write_text(header + text, encoding="utf-8", errors="surrogatepass", newline="")
        with suppress(UsageError):
            assert read_bars_file(path)
