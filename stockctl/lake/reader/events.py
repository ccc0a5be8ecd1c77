"""Reading feed events."""

from __future__ import annotations

from typing import Any

from stockctl.lake.reader.duckdb_session import duck
from stockctl.lake.reader.object_selection import LakeReader

_DAY = 86_400_000


def read_events(
    lake: LakeReader, since: int | None = None, until: int | None = None, as_of: int | None = None
) -> list[dict[str, Any]]:
    """The feed events that overlap ``[since, until)`` (ms UTC) and were received by ``as_of``, as mappings of their fields."""
    # An event is stored under the date of its end, and an event with coverage is at most an hour long.
    until_end = None if until is None else until + _DAY
    with duck() as connection:
        lake.view(connection, "feed_events", lake.find("feed_events", since=since, until=until_end))
        rows = connection.sql(
            "SELECT * EXCLUDE (trade_date) REPLACE (COALESCE(symbols, '') AS symbols, COALESCE(reason, '') AS reason) "
            "FROM feed_events "
            "WHERE ($since IS NULL OR span_end >= $since) AND ($until IS NULL OR span_start < $until) "
            "AND ($as_of IS NULL OR ts_recv <= $as_of) ORDER BY span_start, id",
            params={"since": since, "until": until, "as_of": as_of},
        )
        return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]
