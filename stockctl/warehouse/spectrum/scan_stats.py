"""``--explain-scan``: what Spectrum scans for a statement, from the system views of a provisioned cluster."""

from __future__ import annotations

from typing import NamedTuple

from stockctl.clients.redshift.client import Redshift
from stockctl.errors import ConfigError, UsageError
from stockctl.settings import RedshiftSettings

_SUMMARY = """
SELECT
    q.external_table_name,
    MAX(p.total_partitions) AS partitions,
    MAX(p.qualified_partitions) AS scanned_partitions,
    SUM(q.files) AS files,
    SUM(q.s3_scanned_rows) AS scanned_rows,
    SUM(q.s3_scanned_bytes) AS scanned_bytes
FROM svl_s3query_summary AS q
LEFT JOIN svl_s3partition_summary AS p ON p.query = q.query AND p.segment = q.segment
WHERE q.query = {query:d}
GROUP BY q.external_table_name, q.segment
ORDER BY q.external_table_name, q.segment
"""


class Scan(NamedTuple):
    """What was scanned of one external table; partitions are None if Redshift does not report them."""

    table: str
    partitions: int | None
    scanned_partitions: int | None
    files: int
    scanned_rows: int
    scanned_bytes: int


def explain(redshift: Redshift, settings: RedshiftSettings, text: str) -> list[Scan]:
    """Run the SELECT ``text`` and return what Spectrum scanned; empty if it read no object.

    Fetching the first rows of a cursor makes Redshift run the whole statement. ConfigError over the Data API, which has no
    session whose last statement could be found; UsageError on serverless, which does not have these views.
    """
    if settings.via == "data-api":
        raise ConfigError("the Data API does not report scans", hint="set redshift.via to connector")
    # A cached result scans nothing.
    redshift.execute("SET enable_result_cache_for_session TO off")
    next(redshift.query(text).rows, None)
    try:
        ((query,),) = redshift.execute("SELECT pg_last_query_id()")
        rows = redshift.execute(_SUMMARY.format(query=int(query)))
    except UsageError as error:
        raise UsageError(
            f"this Redshift does not report scans: {error}",
            hint="serverless has sys_external_query_detail instead: `stockctl spectrum query` reads it",
        ) from error
    return [
        Scan(str(name), _count(partitions), _count(scanned), int(files), int(rows_read), int(size))
        for name, partitions, scanned, files, rows_read, size in rows
    ]


def _count(value: object) -> int | None:
    return None if value is None else int(str(value))
