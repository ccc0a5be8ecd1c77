"""``stockctl lake read|query|gaps`` as a process."""

from __future__ import annotations

import io
import json

import pyarrow.parquet
import pytest

from tests.command import Command
from tests.conftest import own
from tests.lakes import at, covered, lay, trade

OPEN = at("2026-11-20 09:30")


@pytest.fixture(scope="module")
def filled(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command over a lake with two symbols and half an hour of coverage, which every test here only reads."""
    settings, command = own(broker, tmp_path_factory.mktemp("read"))
    lay(settings, [trade("AAPL", OPEN + 1, 2.0), trade("AAPL", OPEN, 1.0), trade("MSFT", OPEN, 3.0)])
    lay(settings, [covered("AAPL", OPEN, OPEN + 1_800_000)], table="feed_events")
    return command


def test_read_gives_trades_in_order(filled: Command) -> None:
    """Of the symbols and the time that were asked for, in exchange time."""
    result = filled.run("lake", "read", "AAPL", "-o", "jsonl")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["price"], row["ts_event"]) for row in rows] == [
        (1.0, "2026-11-20T09:30:00-05:00"),
        (2.0, "2026-11-20T09:30:00.001000-05:00"),
    ]
    assert len(filled.run("lake", "read", "-o", "csv").stdout.splitlines()) == 4
    assert filled.run("lake", "read", "--date", "2026-11-19", "-o", "jsonl").stdout == ""


def test_read_gives_parquet(filled: Command) -> None:
    """Typed, as ``read_trades`` gives it."""
    result = filled.run_bytes("lake", "read", "MSFT", "-o", "parquet")
    table = pyarrow.parquet.read_table(io.BytesIO(result.stdout))
    assert table.column("price").to_pylist() == [3.0]
    assert str(table.schema.field("ts_event").type) == "timestamp[ms, tz=America/New_York]"


def test_nothing_read_is_said(filled: Command) -> None:
    """Exit 0, the header alone, and words."""
    result = filled.run("lake", "read", "NVDA")
    assert result.stdout.splitlines()[0].startswith("id  symbol  price")
    assert "has no such trade" in result.stderr


def test_a_time_in_the_future_is_named(filled: Command) -> None:
    for arguments in (("lake", "read", "--since"), ("lake", "gaps", "--date"), ("metrics", "vwap", "AAPL", "--date")):
        result = filled.run(*arguments, "2099-01-05")
        assert "that time is in the future" in result.stderr
        assert "try again" not in result.stderr


def test_query_runs_sql(filled: Command) -> None:
    """Over the asked time; wrong SQL is exit 2."""
    result = filled.run(
        "lake", "query", "SELECT symbol, sum(price) AS total FROM trades GROUP BY symbol ORDER BY symbol", "-o", "csv"
    )
    assert result.stdout == "symbol,total\nAAPL,3.0\nMSFT,3.0\n"
    bounded = filled.run("lake", "query", "SELECT count(*) AS n FROM trades", "--until", "2026-11-20T09:30:00.001", "-o", "csv")
    assert bounded.stdout == "n\n2\n"
    assert "one SELECT" in filled.run("lake", "query", "DELETE FROM trades", check=2).stderr


def test_only_tables_of_the_lake_are_suggested(filled: Command) -> None:
    result = filled.run("lake", "query", "SELECT * FROM trade", check=2)
    assert result.stderr.splitlines()[0] == "error: there is no table trade: did you mean trades?"
    assert (
        filled.run("lake", "query", "SELECT * FROM pg_enun", check=2).stderr.splitlines()[0]
        == "error: there is no table pg_enun"
    )


def test_query_gives_json_whatever_the_types(filled: Command) -> None:
    """Sums of integers, lengths of time, lists and maps among them."""
    sql = (
        "SELECT sum(ts_event) AS total, max(time) - min(time) AS length, list(DISTINCT trade_date) AS days, "
        "map {'AAPL': 0.25} AS shares FROM trades"
    )
    for form in ("json", "jsonl"):
        result = json.loads(filled.run("lake", "query", sql, "-o", form).stdout)
        assert (result[0] if form == "json" else result) == {
            "total": 3 * OPEN + 1,
            "length": [0, 0, 1_000_000],
            "days": ["2026-11-20"],
            "shares": [["AAPL", 0.25]],
        }


def test_query_keeps_columns_of_one_name_apart(filled: Command) -> None:
    """In Parquet too."""
    sql = "SELECT min(price) AS price, max(price) AS price FROM trades WHERE symbol = 'AAPL'"
    assert filled.run("lake", "query", sql, "-o", "csv").stdout == "price,price_2\n1.0,2.0\n"
    result = filled.run_bytes("lake", "query", sql, "-o", "parquet")
    assert pyarrow.parquet.read_table(io.BytesIO(result.stdout)).to_pylist() == [{"price": 1.0, "price_2": 2.0}]


def test_gaps_lists_what_was_missed(filled: Command) -> None:
    """Rows on stdout, each symbol's share on stderr."""
    result = filled.run("lake", "gaps", "AAPL", "-o", "json")
    (gap,) = json.loads(result.stdout)
    assert (gap["since"], gap["seconds"], gap["reason"]) == ("2026-11-20T10:00:00-05:00", 21_600.0, "no feed events")
    assert "AAPL 2026-11-20: 30m of 6h 30m covered" in result.stderr


def test_time_before_the_feeds_first_connection_is_missed_where_since_asks_for_it(filled: Command) -> None:
    """In the view of ``lake query`` too."""
    count = "SELECT sum(epoch(until - since)) AS missed FROM coverage WHERE NOT covered"
    for bounds, seconds in ((("--date", "2026-11-20"), 36_000.0), (("--since", "2026-11-20"), 55_800.0)):
        gaps = json.loads(filled.run("lake", "gaps", "AAPL", "--session", "all", *bounds, "-o", "json").stdout)
        assert sum(gap["seconds"] for gap in gaps if gap["trade_date"] == "2026-11-20") == seconds
        assert json.loads(filled.run("lake", "query", count, *bounds, "-o", "json").stdout) == [{"missed": seconds}]


def test_gaps_has_its_types_where_nothing_was_missed(filled: Command) -> None:
    def schema(*arguments: str) -> pyarrow.Schema:
        result = filled.run_bytes("lake", "gaps", "AAPL", *arguments, "-o", "parquet")
        return pyarrow.parquet.read_schema(io.BytesIO(result.stdout))

    assert schema("--since", "2026-11-20T09:30", "--until", "2026-11-20T09:45") == schema()
