"""The relations that the metrics' SQL finds beside the trades, as tables in DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

from stockctl.exchange.trade_conditions import LATE_EXTENDED, LATE_REGULAR, NEVER_PRICE_FORMING, table

RELATIONS: dict[str, dict[str, str]] = {
    "pieces": dict.fromkeys(("span", "part"), "BIGINT")
    | dict.fromkeys(("symbol", "session", "told"), "VARCHAR")
    | dict.fromkeys(("quotes", "since_ms", "until_ms", "origin_ms", "every_ms"), "BIGINT"),
    "codes": {"code": "VARCHAR"} | dict.fromkeys(("never_price_forming", "late_extended", "late_regular"), "BIGINT"),
    "covered": dict.fromkeys(("span", "bar_ms", "since_ms", "until_ms"), "BIGINT"),
    "segments": dict.fromkeys(("segment", "span"), "BIGINT")
    | {"session": "VARCHAR"}
    | dict.fromkeys(("since_ms", "until_ms", "late_until_ms", "origin_ms", "opening_edge", "last_edge"), "BIGINT"),
    "anchors": dict.fromkeys(("span", "anchor_ms"), "BIGINT"),
    "backs": {"back": "BIGINT"},
    "stretches": {"symbol": "VARCHAR", "trade_date": "DATE"}
    | dict.fromkeys(("since_ms", "until_ms"), "BIGINT")
    | {"covered": "BOOLEAN", "reason": "VARCHAR"},
}
"""What the SQL finds beside the trades, with types: ``pieces`` of spans, condition ``codes``, ``covered`` time by bar,
``segments`` of covered time within one session, ``anchors`` from which steps of time count backwards, ``backs``: the steps of a
window; and ``stretches`` of session time that the feed covered or missed."""


def provide(connection: duckdb.DuckDBPyConnection, name: str, rows: Sequence[Sequence[Any]]) -> None:
    """Make ``rows`` the table ``name`` of ``RELATIONS``, in place of what it held."""
    columns = RELATIONS[name]
    lists = list(zip(*rows, strict=True)) or [()] * len(columns)
    unnested = ", ".join(f"unnest(CAST(${column} AS {kind}[])) AS {column}" for column, kind in columns.items())
    connection.execute(
        f"CREATE OR REPLACE TABLE {name} AS SELECT {unnested}",
        {column: list(values) for column, values in zip(columns, lists, strict=True)},
    )


def fill_nulls(connection: duckdb.DuckDBPyConnection) -> None:
    """Make ``filled``: the trades of ``stored``, with empty text for no conditions and no updates, as in Redshift's views."""
    connection.sql(
        "SELECT * REPLACE (COALESCE(conditions, '') AS conditions, COALESCE(updates, '') AS updates) FROM stored"
    ).create_view("filled")


def condition_codes() -> list[tuple[str, int, int, int]]:
    """The rows of ``codes``."""
    return [(code, int(code in NEVER_PRICE_FORMING), int(code in LATE_EXTENDED), int(code in LATE_REGULAR)) for code in table()]
