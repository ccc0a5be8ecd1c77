"""Redshift's Data API: SQL over HTTPS, for machines without a way to the port. Answers come in pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from stockctl.clients.aws import session
from stockctl.clients.redshift.client import Result, Row
from stockctl.clients.redshift.errors import sql_error
from stockctl.errors import ConfigError, StockctlError, TimedOutError
from stockctl.service import wait_for
from stockctl.settings import Settings
from stockctl.units import format_duration

_POLL, _LONGEST_POLL = 0.1, 2.0
"""Seconds between two requests for the status of a statement: the first pause, and the longest."""


class DataApi:
    """Statements run one by one, each in a session of its own."""

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
                "the Data API needs the name of what it talks to", hint="set redshift.workgroup, or redshift.cluster"
            )
        if redshift.secret_arn is not None:
            self._to["SecretArn"] = redshift.secret_arn
        self.place = f"{redshift.workgroup or redshift.cluster}/{redshift.database}"
        self._limit = redshift.timeout
        self._api = session.client(settings, "redshift-data", redshift.endpoint_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def execute(self, sql: str) -> list[Row]:
        """As in ``Redshift``."""
        return list(self.query(sql).rows)

    def query(self, sql: str) -> Result:
        """As in ``Redshift``."""
        with session.translated(f"send a statement to {self.place}"):
            number = self._api.execute_statement(Sql=sql, StatementName="stockctl", **self._to)["Id"]
        told = self._follow(number)
        if told["Status"] != "FINISHED":
            raise sql_error("run the statement", str(told.get("Error") or told["Status"]), "", sql)
        if not told.get("HasResultSet"):
            return Result((), iter(()))
        first = self._page(number, None)
        columns = tuple(column.get("label") or column["name"] for column in first["ColumnMetadata"])
        return Result(columns, self._rows(number, first))

    def _follow(self, number: str) -> dict[str, Any]:
        """Wait until the statement has ended; what the service tells of it."""

        def look() -> dict[str, Any] | None:
            with session.translated(f"ask after a statement of {self.place}"):
                status: dict[str, Any] = self._api.describe_statement(Id=number)
            return status if status["Status"] in ("FINISHED", "FAILED", "ABORTED") else None

        ended = wait_for(look, within=self._limit, every=_POLL, longest=_LONGEST_POLL)
        if ended is None:
            with suppress(StockctlError), session.translated("cancel a statement"):
                self._api.cancel_statement(Id=number)
            raise TimedOutError(
                f"the statement was not done after {format_duration(self._limit)}, and was cancelled",
                hint="narrow the question, by trade_date above all, or set redshift.timeout higher",
            )
        return ended

    def _page(self, number: str, token: str | None) -> dict[str, Any]:
        with session.translated(f"fetch rows from {self.place}"):
            told: dict[str, Any] = self._api.get_statement_result(Id=number, **({"NextToken": token} if token else {}))
        return told

    def _rows(self, number: str, page: dict[str, Any]) -> Iterator[Row]:
        kinds = [str(column.get("typeName", "")) for column in page["ColumnMetadata"]]
        while True:
            for record in page["Records"]:
                yield tuple(_value(field, kind) for field, kind in zip(record, kinds, strict=True))
            if not page.get("NextToken"):
                return
            page = self._page(number, page["NextToken"])


def _value(field: dict[str, Any], kind: str) -> Any:
    """A field's value; numbers that the service sends as text become numbers again, dates and times stay ISO text."""
    if field.get("isNull"):
        return None
    value = next(value for name, value in field.items() if name != "isNull")
    if isinstance(value, str) and kind in ("numeric", "decimal"):
        return float(value)
    return value
