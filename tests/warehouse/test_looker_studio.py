"""The SQL of ``docs/looker-studio.md``: on PostgreSQL, as its own user and within another ``SELECT``, equal to the lake.

Looker Studio itself is never reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stockctl.clients.redshift.client import Connection
from stockctl.errors import StockctlError
from stockctl.exchange.calendar import EXCHANGE_ZONE
from stockctl.metrics import definitions
from stockctl.metrics.coverage_report import read_coverage
from stockctl.metrics.lake_query import query as lake_query
from stockctl.metrics.query import Query
from stockctl.records import FeedEvent, Trade
from stockctl.settings import Settings, load_settings
from stockctl.warehouse.redshift_on_duckdb.session import query as local_query
from tests.command import clean_environment
from tests.lakes import at, covered, lay, trade
from tests.metrics.test_definitions import near
from tests.metrics.test_redshift_engine import apply, fill
from tests.test_readme import ROOT, blocks
from tests.warehouse.redshift import FakeRedshift

pytestmark = pytest.mark.postgres

PAGE = ROOT / "docs" / "looker-studio.md"
CREATE_USER, BARS, DAYS, COVERAGE = (block.text for block in blocks(PAGE.read_text()) if block.language == "sql")
PASSWORD = "Choose-1-of-your-own"
DATES = (date(2026, 11, 20), date(2026, 11, 23))


def some_trades() -> list[Trade]:
    """Two symbols on two dates, before, in and after the regular session, some with codes that do not count."""
    moments = [
        at(f"{day} {hour}") for day in DATES for hour in ("08:00", "09:30", "09:30:30", "12:00", "15:59:59.999", "17:00")
    ]
    return [
        trade(symbol, ms, price + number, 10.0 * (number % 3), "1,12" if number % 5 == 4 else "1")
        for symbol, price in (("AAPL", 260.0), ("MSFT", 500.0))
        for number, ms in enumerate(moments)
    ]


def some_coverage() -> list[FeedEvent]:
    """Events that overlap, that lie in each other, across the edges of the session, with a gap, and of one symbol alone."""
    return [
        covered("AAPL,MSFT", "2026-11-20 09:00", "2026-11-20 09:45"),
        covered("AAPL,MSFT", "2026-11-20 09:40", "2026-11-20 10:20:00.500"),
        covered("AAPL,MSFT", "2026-11-20 10:00", "2026-11-20 10:10"),
        covered("MSFT", "2026-11-20 11:00", "2026-11-20 11:30"),
        covered("AAPL,MSFT", "2026-11-20 11:30", "2026-11-20 12:00", kind="disconnected", reason="connection reset"),
        covered("AAPL,MSFT", "2026-11-20 15:30", "2026-11-20 16:25"),
        covered("AAPL,MSFT", "2026-11-23 04:00", "2026-11-23 05:00"),
        covered("AAPLE,AAPL", "2026-11-23 09:31", "2026-11-23 09:32"),
    ]


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    """A lake with the records."""
    flags = {"lake.url": (tmp_path / "lake").as_uri(), "state_dir": str(tmp_path / "state")}
    settings = load_settings(environ=clean_environment(), flags=flags)
    lay(settings, some_trades())
    lay(settings, some_coverage(), table="feed_events")
    return settings


@pytest.fixture
def looker(fake_redshift: FakeRedshift, redshift_flags: dict[str, str]) -> Iterator[Connection]:
    """Logged in as the user of the page, on views of the same records."""
    apply(redshift_flags)
    fill(fake_redshift, some_trades(), some_coverage())
    postgres = fake_redshift.postgres
    postgres.sql(fake_redshift.database, CREATE_USER)
    try:
        own = redshift_flags | {"redshift.user": "looker", "redshift.password": PASSWORD}
        with Connection(
            load_settings(environ=clean_environment(), flags=own | {"lake.url": "s3://my-bucket/market"})
        ) as redshift:
            yield redshift
    finally:
        postgres.sql(fake_redshift.database, "DROP OWNED BY looker; DROP ROLE looker")


def answered(looker: Connection, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a custom query, as Looker Studio asks for all fields of it: by symbol and time."""
    assert not sql.rstrip().endswith(";")
    return sorted(tuple(row) for row in looker.execute(f"SELECT t0.* FROM (\n{sql}\n) AS t0 LIMIT 10000"))  # noqa: S608


def test_the_user_reads_the_views_and_nothing_else(looker: Connection) -> None:
    """It sees the views, and can write nothing."""
    assert answered(looker, "SELECT COUNT(*) FROM stockctl.trades") == [(24,)]
    for refused in ("DELETE FROM lake.trades", "SELECT * FROM lake.trades", "CREATE TABLE stockctl.mine (a int)"):
        with pytest.raises(StockctlError, match="permission denied"):
            looker.execute(refused)


def test_bars_are_those_of_the_lake(looker: Connection, lake: Settings) -> None:
    """Each minute, and the same by ``spectrum query --local``."""
    found = answered(looker, BARS)
    sql = (
        'SELECT symbol, trade_date, bar, "open", high, low, "close", volume, vwap * volume AS turnover, trades FROM bars_1m '
        "ORDER BY symbol, bar"
    )
    expected = [tuple(row.values()) for row in lake_query(lake, sql).to_pylist()]
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    assert [row[2].timestamp() for row in found] == [row[2].timestamp() for row in expected]
    assert [list(row[3:]) for row in found] == [list(map(near_or_none, row[3:])) for row in expected]
    with local_query(lake, BARS) as answer:
        assert sorted(tuple(row) for row in answer.rows) == [tuple(map(near_or_none, row)) for row in found]


def near_or_none(value: Any) -> Any:
    """``value`` as other engines compute it."""
    return near(value) if isinstance(value, float) else value


def test_days_are_those_of_the_metrics(looker: Connection, lake: Settings) -> None:
    """VWAP, volume and trades of the regular session."""
    found = answered(looker, DAYS)
    query = Query(("AAPL", "MSFT"), "standard", "regular", EXCHANGE_ZONE, now=at("2026-11-24 12:00"), since=at("2026-11-20"))
    rows = definitions.vwap(lake, query).rows
    expected = sorted((row["symbol"], row["trade_date"], near(row["vwap"]), near(row["volume"]), row["trades"]) for row in rows)
    assert [(symbol, day, vwap, volume, int(trades)) for symbol, day, vwap, volume, *_, trades in found] == expected
    every_minute = definitions.bars(lake, replace(query, every_ms=60_000)).rows
    for symbol, day, vwap, volume, turnover, high, low, _ in found:
        bars = [row for row in every_minute if (row["symbol"], row["trade_date"]) == (symbol, day) and row["high"] is not None]
        assert (high, low) == (max(row["high"] for row in bars), min(row["low"] for row in bars))
        assert turnover == near(vwap * volume)


def test_coverage_is_that_of_the_lake(looker: Connection, lake: Settings) -> None:
    """Seconds and share of the regular session, of each symbol and date with a covered event in it."""
    found = answered(looker, COVERAGE)
    settings = lake.model_copy(update={"symbols": ["AAPL", "MSFT"]})
    totals = read_coverage(settings, at("2026-11-20"), at("2026-11-24"), whole=True).totals
    expected = sorted((symbol, day, near(ms / 1000), near(100 * ms / session)) for symbol, day, ms, session in totals if ms)
    assert [(symbol, day, float(seconds), float(share)) for symbol, day, seconds, share in found] == expected
    assert len(expected) == 3
