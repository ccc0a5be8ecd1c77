"""The Redshift Data API: SQL over HTTPS, for machines that cannot reach the port. Results come in pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from stockctl.clients import aws
from stockctl.clients.redshift.client import Redshift, Result, Row
from stockctl.clients.redshift.errors import sql_error
from stockctl.errors import ConfigError, StockctlError, TimedOutError
from stockctl.service import wait_for
from stockctl.settings import Settings
from stockctl.units import format_duration

_POLL, _LONGEST_POLL = 0.1, 2.0
"""Seconds between two requests for the status of a statement: the first pause, and the longest."""


class DataApi(Redshift):
    """Runs statements one by one, each in its own session."""

    def __init__(self, settings: Settings) -> None:
        redshift = settings.redshift
        self._to: dict[str, Any] = {"Database": redshift.database}
        if redshift.workgroup is not None:
            self._to["WorkgroupName"] = redshift.workgroup
        elif redshift.cluster is not None:
            self._to["ClusterIdentifier"] = redshift.cluster
            if redshift.secret_arn is None and redshift.user is not None:
                self._to["DbUser"] = redshift.user
        else:
            raise ConfigError(
                "the Data API needs the name of a workgroup or a cluster", hint="set redshift.workgroup, or redshift.cluster"
            )
        if redshift.secret_arn is not None:
            self._to["SecretArn"] = redshift.secret_arn
        self.place = f"{redshift.workgroup or redshift.cluster}/{redshift.database}"
        self._limit = redshift.timeout
        self._api = aws.client(settings.s3, "redshift-data", redshift.endpoint_url)

    def close(self) -> None:
        """Nothing is open: each request has its own connection."""

    def execute(self, sql: str) -> list[Row]:
        """Run one statement and return all its rows."""
        return list(self.query(sql).rows)

    def query(self, sql: str) -> Result:
        """Run one SELECT and return its rows one by one, page by page."""
        with aws.translate_errors(f"send a statement to {self.place}"):
            number = self._api.execute_statement(Sql=sql, StatementName="stockctl", **self._to)["Id"]
        statement = self._wait(number)
        if statement["Status"] != "FINISHED":
            raise sql_error("run the statement", str(statement.get("Error") or statement["Status"]), "", sql)
        if not statement.get("HasResultSet"):
            return Result((), iter(()))
        first = self._page(number, None)
        columns = tuple(column.get("label") or column["name"] for column in first["ColumnMetadata"])
        return Result(columns, self._rows(number, first))

    def _wait(self, number: str) -> dict[str, Any]:
        """Wait until the statement has ended; return its description."""

        def look() -> dict[str, Any] | None:
            with aws.translate_errors(f"describe a statement of {self.place}"):
                status: dict[str, Any] = self._api.describe_statement(Id=number)
            return status if status["Status"] in ("FINISHED", "FAILED", "ABORTED") else None

        ended = wait_for(look, within=self._limit, every=_POLL, longest=_LONGEST_POLL)
        if ended is None:
            with suppress(StockctlError), aws.translate_errors("cancel a statement"):
                self._api.cancel_statement(Id=number)
            raise TimedOutError(
                f"the statement did not finish within {format_duration(self._limit)}, and was cancelled",
                hint="narrow the query, first by trade_date, or raise redshift.timeout",
            )
        return ended

    def _page(self, number: str, token: str | None) -> dict[str, Any]:
        with aws.translate_errors(f"fetch rows from {self.place}"):
            page: dict[str, Any] = self._api.get_statement_result(Id=number, **({"NextToken": token} if token else {}))
        return page

    def _rows(self, number: str, page: dict[str, Any]) -> Iterator[Row]:
        kinds = [str(column.get("typeName", "")) for column in page["ColumnMetadata"]]
        while True:
            for record in page["Records"]:
                yield tuple(_value(field, kind) for field, kind in zip(record, kinds, strict=True))
            if not page.get("NextToken"):
                return
            page = self._page(number, page["NextToken"])


def _value(field: dict[str, Any], kind: str) -> Any:
    """The value of a field. Decimals, which the Data API sends as text, become numbers; dates and times stay ISO text."""
    if field.get("isNull"):
        return None
    value = next(value for name, value in field.items() if name != "isNull")
    if isinstance(value, str) and kind in ("numeric", "decimal"):
        return float(value)
    return value
