"""``--engine redshift`` results as the lake does, to 1e-9 relative and 1e-12 absolute: the same SQL, run by PostgreSQL.

PostgreSQL stands in for Redshift behind its wire; each file of ``sql/metrics`` goes there as it is written.
"""
# ruff: noqa: S608  # the tests build these statements from their own values

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings

from stockctl.clients.redshift.client import Connection
from stockctl.errors import ConfigError
from stockctl.exchange.calendar import EXCHANGE_ZONE, trade_date
from stockctl.lake.format.keys import ticker_slug
from stockctl.lake.reader.duckdb_session import COLUMNS
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.metrics import definitions, sql_templates
from stockctl.metrics.engines.redshift import RedshiftEngine
from stockctl.metrics.engines.relations import RELATIONS
from stockctl.metrics.query import Query
from stockctl.metrics.query_context import execute
from stockctl.metrics.results import Result
from stockctl.records import FeedEvent, Trade
from stockctl.settings import Settings, env_name, load_settings
from stockctl.warehouse.partitions import LakePartitions, Values
from stockctl.warehouse.spectrum import ddl
from stockctl.warehouse.tables import TABLES
from tests.command import Command, clean_environment
from tests.conftest import examples
from tests.lakes import at, covered, lay, trade
from tests.metrics.test_mongo_engine import (
    EXCHANGE_DAY,
    LATE,
    LATE_CONNECTED,
    OPEN,
    SYMBOLS,
    Measure,
    as_known,
    same,
    some_coverage,
    some_days,
    some_queries,
    with_ends,
)
from tests.warehouse.conftest import fake_redshift, postgres, redshift_flags
from tests.warehouse.redshift import FakeRedshift

pytestmark = pytest.mark.postgres
__all__ = ["fake_redshift", "postgres", "redshift_flags"]

BUCKET = "s3://my-bucket/market"


def apply(flags: dict[str, str]) -> None:
    """Create tables and views as ``spectrum apply`` does; the test fills the tables."""
    settings = load_settings(environ=clean_environment(), flags=flags | {"lake.url": BUCKET})
    with Connection(settings) as redshift:
        for statement in ddl.statements(settings, LakePartitions({table.name: {} for table in TABLES}, (), {})):
            redshift.execute(statement.sql)


def fill(fake: FakeRedshift, trades: list[Trade], events: list[FeedEvent]) -> None:
    """Replace the rows of the external tables, and add their partitions."""

    def quoted(value: Any) -> str:
        return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)

    text = "TRUNCATE lake.trades, lake.feed_events, svv_external_partitions;"
    known: set[tuple[str, Values]] = set()
    for table, records, moment in (("trades", trades, "ts_event"), ("feed_events", events, "span_end")):
        for record in records:
            day = trade_date(getattr(record, moment)).isoformat()
            values = [quoted(getattr(record, name)) for name in COLUMNS[table]] + [quoted(day)]
            if isinstance(record, Trade):
                values.append(quoted(ticker_slug(record.symbol)))
                known.add((table, (day, ticker_slug(record.symbol))))
            else:
                known.add((table, (day,)))
            text += f"INSERT INTO lake.{table} VALUES ({', '.join(values)});"
    for table, partition in known:
        text += f"INSERT INTO svv_external_partitions VALUES ('lake', '{table}', {quoted(json.dumps(partition))}, '');"
    fake.postgres.sql(fake.database, text)


@contextmanager
def both(fake: FakeRedshift, flags: dict[str, str], trades: list[Trade], events: list[FeedEvent]) -> Iterator[Settings]:
    """A lake and a Redshift with the same records."""
    trades = with_ends(trades)
    with tempfile.TemporaryDirectory() as folder:
        own = {"lake.url": (Path(folder) / "lake").as_uri(), "lake.max_age": "1s"}
        settings = load_settings(environ=clean_environment(), flags=flags | own)
        lay(settings, trades, batches=2)
        if events:
            lay(settings, events, table="feed_events")
        fill(fake, trades, events)
        yield settings


@pytest.fixture
def flags(redshift_flags: dict[str, str]) -> dict[str, str]:
    apply(redshift_flags)
    return redshift_flags


@hypothesis_settings(
    max_examples=examples(0.03),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    # The tables are filled again for each example.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(trades=some_days(), events=some_coverage(), query=some_queries())
def test_every_measure(
    fake_redshift: FakeRedshift,
    flags: dict[str, str],
    trades: list[Trade],
    events: list[FeedEvent],
    query: list[tuple[Measure, Query]],
) -> None:
    """Of several symbols at once."""
    with both(fake_redshift, flags, trades, events) as settings:
        for measure, one in query:
            result = measure(settings, replace(one, engine="redshift"))
            notes = [line.replace("Redshift holds", "the lake holds") for line in result.notes]
            same(result._replace(notes=notes), measure(settings, one))


def test_later_feed_events_were_not_known(fake_redshift: FakeRedshift, flags: dict[str, str]) -> None:
    trades = [trade("AAPL", OPEN + 500 * n, 1.0) for n in range(240)]
    with both(fake_redshift, flags, trades, LATE) as settings:
        assert as_known("redshift", settings, OPEN + 130_000) == [(60.0, 50.0)]
    with both(fake_redshift, flags, trades, LATE_CONNECTED) as settings:
        assert as_known("redshift", settings, OPEN + 70_000) == [(30.0, 100.0)]
        assert [round(coverage, 9) for _, coverage in as_known("redshift", settings, OPEN + 310_000)] == [10.0]


def test_an_earlier_date_is_complete_to_its_end(fake_redshift: FakeRedshift, flags: dict[str, str]) -> None:
    """A trade on a later date proves that an earlier date had no more trades."""
    watched = covered("AAPL", at("2026-11-20 09:30"), at("2026-11-20 20:00"))
    query = Query(("AAPL",), "standard", "all", EXCHANGE_ZONE, now=OPEN + 60_000_000, day=date(2026, 11, 20))
    with both(fake_redshift, flags, [], [watched]) as settings:
        result = definitions.rate(settings, replace(query, engine="redshift"))
        assert [row["covered_seconds"] for row in result.rows] == [10.5 * 3600]
        same(result, definitions.rate(settings, query))


def test_each_sql_file_runs_unchanged(fake_redshift: FakeRedshift, flags: dict[str, str]) -> None:
    """Only parameters are replaced by values."""
    rows = [trade("AAPL", OPEN + ms, 100.0 + ms / 1000) for ms in range(0, 60_000, 1000)]
    with both(fake_redshift, flags, rows, [covered("AAPL", OPEN, OPEN + 60_000)]) as settings:
        query = Query(
            ("AAPL",), "standard", "regular", EXCHANGE_ZONE, now=OPEN + 60_000_000, since=at("2026-11-20"), across=True
        )
        query = replace(query, engine="redshift")
        before = len(fake_redshift.statements)
        definitions.summary(settings, query)
        definitions.volatility(settings, query, definitions.Window(None, 60_000))
        with execute(settings, query) as context:
            context.run("recent", since_ms=OPEN)
            context.run("newest_prices", most=100)
            context.provide("anchors", [(0, OPEN)])
            context.run("trades_at")
        ran = "\n".join(fake_redshift.statements[before:])
    for name in sql_templates.names():
        head = sql_templates.text(name).split(":")[0]
        assert head in ran, name


def test_the_bars_of_the_view_equal_metrics_bars(fake_redshift: FakeRedshift, flags: dict[str, str]) -> None:
    """The view ``bars_1m`` in Redshift, run by PostgreSQL, and ``metrics bars`` of the lake."""
    codes = ["1", "1,10", "1,12", "37", "1,8", ""]
    rows = [
        trade("AAPL", OPEN + ms, 100.0 + (ms % 7000) / 1000, float(ms % 3), codes[ms // 1000 % len(codes)])
        for ms in range(0, 180_000, 1000)
    ]
    with both(fake_redshift, flags, rows, []) as settings, Connection(settings) as redshift:
        found = redshift.execute(
            'SELECT "open", "high", "low", "close", volume, vwap, trades FROM stockctl.bars_1m ORDER BY symbol, bar'
        )
        table = definitions.read_bars(SYMBOLS, every="1m", session="all", settings=settings)
        with LakeReader(settings) as lake:
            assert lake.dates() == [date(2026, 11, 20), date(2026, 11, 23)]
    wanted = [tuple(row.values())[3:] for row in table.drop_columns("session").to_pylist()]
    assert len(found) == len(wanted) > 3
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, rel=1e-9)


@pytest.mark.parametrize("path", ["public", "public, pg_temp"])
def test_user_tables_of_the_same_names_are_neither_read_nor_changed(
    fake_redshift: FakeRedshift, flags: dict[str, str], path: str
) -> None:
    """Even if the user's search path finds them before the temporary tables."""
    names = sorted({*RELATIONS, "trades", "placed"})
    own = "".join(f"CREATE TABLE public.{name} AS SELECT 'mine' AS note;" for name in names)
    fake_redshift.postgres.sql(
        fake_redshift.database,
        f"SET ROLE analyst; {own} RESET ROLE;ALTER ROLE analyst IN DATABASE {fake_redshift.database} SET search_path = {path}",
    )
    rows = [trade("AAPL", OPEN + ms, 100.0 + ms / 1000) for ms in range(0, 60_000, 1000)]
    with both(fake_redshift, flags, rows, [covered("AAPL", OPEN, OPEN + 60_000)]) as settings:
        query = Query(("AAPL",), "standard", "regular", EXCHANGE_ZONE, now=OPEN + 60_000_000, day=EXCHANGE_DAY)

        def volatility(settings: Settings, query: Query) -> Result:
            return definitions.volatility(settings, query, definitions.Window(None, 60_000))

        for measure in (definitions.summary, volatility):
            result = measure(settings, replace(query, engine="redshift"))
            notes = [line.replace("Redshift holds", "the lake holds") for line in result.notes]
            same(result._replace(notes=notes), measure(settings, query))
        with RedshiftEngine.connect(settings) as engine:
            for edge in (1, 2):
                engine.provide("anchors", [(0, edge)])
        with Connection(settings) as redshift:
            for name in names:
                assert redshift.execute(f"SELECT note FROM public.{name}") == [("mine",)]


def test_the_command_uses_redshift(fake_redshift: FakeRedshift, flags: dict[str, str], tmp_path: Path) -> None:
    """The option selects the engine. A symbol without trades is a note and exit code 0, an unknown symbol a usage error."""
    with both(fake_redshift, flags, [], []):
        command = Command(tmp_path, **{env_name(name): value for name, value in flags.items()})
        command.environment["STOCKCTL_SYMBOLS"] = "TSLA"
        query = ("--engine", "redshift", "--date", "2026-11-20", "-o", "json")
        result = command.run("metrics", "vwap", "aapl,tsla", *query)
        unknown = command.run("metrics", "vwap", "APPL", *query, check=2)
    assert [row["vwap"] for row in json.loads(result.stdout)] == [5.0, None]
    assert "TSLA 2026-11-20 regular: no trades" in result.stderr
    assert "there is nothing of APPL in Redshift\n  try: did you mean AAPL?" in unknown.stderr


def test_the_data_api_is_a_configuration_error_with_the_reason(flags: dict[str, str]) -> None:
    settings = load_settings(environ=clean_environment(), flags=flags | {"redshift.via": "data-api", "redshift.workgroup": "w"})
    query = Query(("AAPL",), "standard", "regular", EXCHANGE_ZONE, now=OPEN, engine="redshift")
    with pytest.raises(ConfigError, match="forgets temporary tables"):
        definitions.vwap(settings, query)


@pytest.mark.parametrize(
    ("sources", "before", "session", "coverage"),
    [
        (["sim"], None, "all", 100.0),
        (["sim", "replay"], None, "regular", 50.0),
        (["finnhub"], None, "regular", 50.0),
        (["finnhub"], "2026-11-19 10:00", "regular", 25.0),
        (["finnhub"], "2026-11-21 10:00", "regular", 50.0),
    ],
)
def test_the_rows_decide_hours_and_coverage(
    fake_redshift: FakeRedshift, flags: dict[str, str], sources: list[str], before: str | None, session: str, coverage: float
) -> None:
    """Their source, and whether the feed was connected on an earlier date."""
    middle, later = at("2026-11-20 12:45"), at("2026-11-20 14:22:30")
    trades = [trade("AAPL", middle, 5.0, source=source) for source in sources]
    events = [covered("AAPL", middle, later), *([covered("AAPL", before, before, kind="subscribed")] if before else [])]
    with both(fake_redshift, flags, [], []) as settings:
        fill(fake_redshift, [*trades, trade("AAPL", "2026-11-20 17:00", 5.0, source=sources[0])], events)
        now = later if session == "all" else OPEN
        query = Query(("AAPL",), "standard", "regular", EXCHANGE_ZONE, now=now, engine="redshift", fall_back=True)
        (row,) = definitions.vwap(settings, query).rows
    assert (row["session"], row["trade_date"], row["coverage"]) == (session, date(2026, 11, 20), coverage)


@pytest.mark.parametrize(
    ("late", "session", "volume"), [([], "post", 1.0), ([("2026-11-20 16:00:01", "1,36")], "regular", 5.0)]
)
def test_a_session_without_trades_in_its_hours_falls_back_unless_late_reports_belong_to_it(
    fake_redshift: FakeRedshift, flags: dict[str, str], late: list[tuple[str, str]], session: str, volume: float
) -> None:
    """The trades of the post-market lie within the time in which late reports of the regular session may come."""
    trades = [trade("AAPL", "2026-11-20 17:00", 7.0, 1.0)]
    trades += [trade("AAPL", moment, 7.0, 5.0, conditions=codes) for moment, codes in late]
    with both(fake_redshift, flags, [], []) as settings:
        fill(fake_redshift, trades, [])
        query = Query(("AAPL",), "standard", "regular", EXCHANGE_ZONE, now=OPEN, engine="redshift", fall_back=True)
        (row,) = definitions.vwap(settings, query).rows
    assert (row["session"], row["volume"]) == (session, volume)
