"""Redshift through a connection to its port; the Data API is in ``data_api``. Errors become StockctlErrors.

The driver keeps the whole result of a statement in memory, so ``query`` fetches through a server-side cursor, a thousand rows
at a time.
"""

from __future__ import annotations

import socket
import struct
import uuid
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from stockctl.clients import aws
from stockctl.clients.closing import Closing
from stockctl.clients.redshift.errors import sql_error
from stockctl.errors import ConfigError, StockctlError, UnreachableError
from stockctl.settings import Settings, require

FETCH = 1000
"""Rows per fetch: the most that a single-node cluster allows."""

Row = tuple[Any, ...]


class Result(NamedTuple):
    """The result of a query: column names, and rows that are fetched while you iterate."""

    columns: tuple[str, ...]
    rows: Iterator[Row]


class Redshift(Closing):
    """A connection to the port or to the Data API."""

    @abstractmethod
    def execute(self, sql: str) -> list[Row]:
        """Run one statement and return all its rows."""

    @abstractmethod
    def query(self, sql: str) -> Result:
        """Run one SELECT and return its rows one by one, in constant memory."""


def connect(settings: Settings, *, timeout: float | None = None) -> Redshift:
    """Connect as the settings say. RefusedError, UnreachableError or ConfigError if that fails."""
    if settings.redshift.via == "data-api":
        from stockctl.clients.redshift.data_api import DataApi

        return DataApi(settings)
    return Connection(settings, timeout=timeout)


class Login(NamedTuple):
    """A user and a password."""

    user: str
    password: str


def login(settings: Settings) -> Login:
    """User and password of the settings, or temporary credentials from IAM for the cluster or the workgroup."""
    redshift = settings.redshift
    if redshift.password is not None:
        return Login(str(require(settings, "redshift.user")), redshift.password.get_secret_value())
    if redshift.workgroup is not None:
        serverless = aws.client(settings.s3, "redshift-serverless", redshift.endpoint_url)
        with aws.translate_errors(f"get credentials for the workgroup {redshift.workgroup}"):
            credentials = serverless.get_credentials(workgroupName=redshift.workgroup, dbName=redshift.database)
        return Login(credentials["dbUser"], credentials["dbPassword"])
    if redshift.cluster is None:
        raise ConfigError(
            "cannot log in to Redshift: neither redshift.password is set nor what IAM needs for temporary credentials",
            hint="set redshift.user and redshift.password, or redshift.cluster, or redshift.workgroup",
        )
    provisioned = aws.client(settings.s3, "redshift", redshift.endpoint_url)
    request = {"DbName": redshift.database, "ClusterIdentifier": redshift.cluster}
    with aws.translate_errors(f"get credentials for the cluster {redshift.cluster}"):
        if redshift.user is not None:
            credentials = provisioned.get_cluster_credentials(DbUser=redshift.user, **request)
        else:
            credentials = provisioned.get_cluster_credentials_with_iam(**request)
    return Login(credentials["DbUser"], credentials["DbPassword"])


class Connection(Redshift):
    """A connection to the port of Redshift, with autocommit: DDL for external tables cannot run in a transaction."""

    def __init__(self, settings: Settings, *, timeout: float | None = None) -> None:
        import redshift_connector
        from redshift_connector.error import Error

        redshift = settings.redshift
        host = str(require(settings, "redshift.host"))
        self.place = f"{host}:{redshift.port}/{redshift.database}"
        self._failures = (Error, OSError, struct.error)
        user, password = login(settings)
        self._reach(host, redshift.port, timeout or redshift.connect_wait)
        try:
            self._connection = redshift_connector.connect(
                host=host,
                port=redshift.port,
                database=redshift.database,
                user=user,
                password=password,
                ssl=redshift.ssl,
                sslmode="verify-full" if redshift.ssl else None,
                # For each response: the statement timeout of the server, set below, comes first and its error says more.
                timeout=round(redshift.timeout) + 30,
                tcp_keepalive=True,
                # As the Data API returns them, and as JSON has them.
                numeric_to_float=True,
                application_name="stockctl",
            )
        except self._failures as error:
            raise self._translate(error, "log in") from error
        self._connection.autocommit = True
        self.execute(f"SET statement_timeout TO {round(1000 * redshift.timeout)}")

    def _reach(self, host: str, port: int, wait: float) -> None:
        """UnreachableError if nothing listens there: the driver would wait as long as for a response."""
        try:
            socket.create_connection((host, port), timeout=wait).close()
        except OSError as error:
            raise UnreachableError(
                f"cannot reach Redshift at {self.place}: {error}",
                hint='check redshift.host, redshift.port and the security group; redshift.via = "data-api" needs no port',
            ) from error

    def close(self) -> None:
        """Close the connection; nothing happens if it is lost."""
        with suppress(*self._failures):
            self._connection.close()

    def execute(self, sql: str) -> list[Row]:
        """Run one statement and return all its rows."""
        with self._connection.cursor() as cursor:
            try:
                cursor.execute(sql)
                return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
            except self._failures as error:
                raise self._translate(error, "run the statement", sql) from error

    def query(self, sql: str) -> Result:
        """Run one SELECT through a server-side cursor, in a transaction that ends with the last row."""
        name = f"stockctl_{uuid.uuid4().hex}"
        opening = f"DECLARE {name} CURSOR FOR "
        cursor = self._connection.cursor()
        try:
            self._connection.autocommit = False
            cursor.execute(opening + sql)
            cursor.execute(f"FETCH FORWARD {FETCH} FROM {name}")
            columns = tuple(_text(item[0]) for item in cursor.description or ())
            first = cursor.fetchall()
        except self._failures as error:
            self._end()
            raise self._translate(error, "run the statement", sql, shift=len(opening)) from error
        return Result(columns, self._rows(cursor, name, first))

    def _rows(self, cursor: Any, name: str, some: Sequence[Sequence[Any]]) -> Iterator[Row]:
        try:
            while some:
                yield from map(tuple, some)
                if len(some) < FETCH:
                    break
                try:
                    cursor.execute(f"FETCH FORWARD {FETCH} FROM {name}")
                    some = cursor.fetchall()
                except self._failures as error:
                    raise self._translate(error, "fetch the next rows") from error
        finally:
            self._end()
            cursor.close()

    def _end(self) -> None:
        """End the transaction of the cursor; nothing happens if the connection is lost."""
        with suppress(*self._failures):
            self._connection.rollback()
        self._connection.autocommit = True

    def _translate(self, error: Exception, action: str, sql: str = "", shift: int = 0) -> StockctlError:
        details = error.args[0] if error.args and isinstance(error.args[0], dict) else None
        if details is None:
            return UnreachableError(
                f"cannot {action}: the connection to Redshift at {self.place} is lost: {error}",
                hint="try again; `stockctl doctor` shows whether Redshift is reachable",
            )
        position = int(details["P"]) - shift if str(details.get("P", "")).isdigit() else None
        return sql_error(action, str(details.get("M", error)), str(details.get("C", "")), sql, position)


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
