"""``lake query``: user SQL can read the lake's views and nothing else on the machine."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stockctl.clients.object_store import open_store
from stockctl.errors import StockctlError, UsageError
from stockctl.metrics import definitions
from stockctl.metrics.lake_query import query
from stockctl.settings import Settings
from tests.lakes import at, covered, lay, trade

OPEN = at("2026-11-20 09:30")


@pytest.fixture
def lake(lake_settings: Settings) -> Settings:
    """Two symbols over two dates, one of them covered for a while."""
    rows = [trade("AAPL", OPEN + ms, 100.0 + ms / 1000, 10) for ms in range(0, 180_000, 1000)]
    lay(lake_settings, [*rows, trade("MSFT", "2026-11-21 10:00", 300.0)], batches=3)
    lay(lake_settings, [covered("AAPL", OPEN, OPEN + 60_000)], table="feed_events")
    return lake_settings


def rows(settings: Settings, text: str, **bounds: Any) -> list[tuple[Any, ...]]:
    """The result as tuples."""
    return [tuple(row.values()) for row in query(settings, text, **bounds).to_pylist()]


def test_trades_are_a_view(lake: Settings) -> None:
    """Its columns are the record's fields, the date, and the time as a timestamp in the settings' zone."""
    assert rows(lake, "SELECT symbol, count(*), min(trade_date) FROM trades GROUP BY symbol ORDER BY symbol") == [
        ("AAPL", 180, date(2026, 11, 20)),
        ("MSFT", 1, date(2026, 11, 21)),
    ]
    (moment,) = rows(lake, "SELECT min(time) FROM trades")[0]
    assert moment.isoformat() == "2026-11-20T09:30:00-05:00"


def test_bounds_apply_to_the_time_of_trades(lake: Settings) -> None:
    """``since`` is included, ``until`` is not."""
    assert rows(lake, "SELECT count(*) FROM trades", since=OPEN + 1000, until=OPEN + 3000) == [(2,)]


def test_user_sql_divides_as_duckdb_does_and_the_views_as_redshift_does(lake: Settings) -> None:
    assert rows(lake, "SELECT 1/3, 7//2, -7/2") == [(1 / 3, 3, -3.5)]
    text = "SELECT b.trades / 7, ts_event / 7 FROM bars_1m b JOIN trades t ON time = bar WHERE b.symbol = 'AAPL' ORDER BY bar"
    assert rows(lake, text) == [(60 / 7, (OPEN + ms) / 7) for ms in (0, 60_000, 120_000)]
    assert rows(lake, "SELECT sum(trades) FROM bars_1m") == rows(
        lake, "SELECT count(*) FROM trades WHERE contains(updates, 'v')"
    )


def test_bars_1m_equals_metrics_bars(lake: Settings) -> None:
    """Both have one definition."""
    found = rows(lake, "FROM bars_1m WHERE symbol = 'AAPL'")
    table = definitions.read_bars("AAPL", settings=lake)
    assert found == [tuple(row.values()) for row in table.drop_columns("session").to_pylist()]
    assert len(found) == 3


def test_a_trade_without_conditions_counts_as_in_metrics_bars(lake_settings: Settings) -> None:
    """Both for null and for empty conditions."""
    made = trade("AAPL", OPEN, 100.0, conditions="")
    lay(lake_settings, [made, msgspec.structs.replace(made, id="null", price=101.0, conditions=None)])
    found = rows(lake_settings, "FROM bars_1m")
    table = definitions.read_bars("AAPL", settings=lake_settings).drop_columns("session")
    assert found == [tuple(row.values()) for row in table.to_pylist()]
    assert rows(lake_settings, "SELECT sum(trades), max(high) FROM bars_1m") == [(2, 101.0)]
    assert rows(lake_settings, "SELECT count(*) FROM trades WHERE conditions = ''") == [(2,)]


def test_coverage_is_a_view(lake: Settings) -> None:
    """Covered and missed session time at all hours, from the feed's first connection on, or complete with ``whole``."""
    text = "SELECT symbol, covered, epoch(until - since), reason FROM coverage ORDER BY since"
    after = [("AAPL", True, 60.0, None), ("AAPL", False, 37_740.0, "no feed events")]
    assert rows(lake, text) == after
    assert rows(lake, text, since=at("2026-11-20"), whole=True) == [("AAPL", False, 19_800.0, "no feed events"), *after]


def test_an_empty_lake_has_the_views_too(lake_settings: Settings) -> None:
    """No rows, and no error."""
    open_store(lake_settings)
    for view in ("trades", "bars_1m", "coverage"):
        assert rows(lake_settings, f"FROM {view}") == []


@pytest.mark.parametrize(
    "text",
    [
        "SELECT content FROM read_text('/etc/hostname')",
        "FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "FROM read_csv('/etc/hostname')",
        "COPY (SELECT 1) TO 'out.csv'",
        "COPY trades TO '{object}'",
        "ATTACH 'other.db'",
        "INSTALL httpfs",
        "LOAD icu",
        "SET enable_external_access = true",
        "SET memory_limit = '1TB'",
        "PRAGMA database_list",
        "CREATE TABLE t AS SELECT 1",
        "DROP VIEW trades",
        "SELECT 1; SELECT 2",
        "",
    ],
)
def test_a_query_reads_the_views_and_does_nothing_else(lake: Settings, text: str) -> None:
    """Other files, writes, other databases, extensions and settings are refused, and the lake does not change."""
    store = open_store(lake)
    before = {item.key: store.get(item.key) for item in store.objects("trades")}
    with pytest.raises(UsageError) as caught:
        query(lake, text.format(object=Path(store.folder or "") / next(iter(before))))
    assert "SELECT" in (caught.value.hint or "")
    assert {item.key: store.get(item.key) for item in store.objects("trades")} == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SELEC 1", "Error"),
        ("SELECT nope FROM trades", "Error"),
        ("SELECT * FROM nowhere", "there is no table nowhere"),
        ("SELECT CAST('x' AS INTEGER)", "Error"),
    ],
)
def test_wrong_sql_is_a_usage_error(lake: Settings, text: str, words: str) -> None:
    """With DuckDB's message, unless the table is unknown."""
    with pytest.raises(UsageError, match=words):
        query(lake, text)


def test_a_damaged_object_is_not_a_usage_error(lake: Settings) -> None:
    """The error names the object and the command for details."""
    store = open_store(lake)
    key = next(item.key for item in store.objects("trades"))
    store.put(key, b"damaged")
    with pytest.raises(StockctlError, match=r"trades-g1") as caught:
        query(lake, "SELECT sum(price) FROM trades")
    assert caught.value.exit_code == 1
