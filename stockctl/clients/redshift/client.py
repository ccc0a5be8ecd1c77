"""Redshift, two ways: a connection to its port, or the Data API over HTTPS; its errors in our words.

The driver holds a statement's whole answer in memory, so that results that may be large are fetched through a cursor of the
server's, a thousand rows at a time.
"""

from __future__ import annotations

import socket
import struct
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from stockctl.clients.aws import session
from stockctl.clients.redshift.errors import sql_error
from stockctl.errors import ConfigError, StockctlError, UnreachableError
from stockctl.settings import Settings, require

FETCH = 1000
"""Rows of one fetch: more than a single node takes is refused by Redshift."""

Row = tuple[Any, ...]


class Result(NamedTuple):
    """An answer: names of its columns, and its rows, fetched as they are asked for."""

    columns: tuple[str, ...]
    rows: Iterator[Row]


class Redshift(Protocol):
    """What both ways can do; a context that closes what it opened."""

    def execute(self, sql: str) -> list[Row]:
        """Run one statement; its rows, all at once."""
        ...

    def query(self, sql: str) -> Result:
        """Run one SELECT; its rows one after the other, in constant memory."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


def connect(settings: Settings, *, timeout: float | None = None) -> Redshift:
    """Redshift as the settings reach it. RefusedError, UnreachableError or ConfigError where they do not."""
    if settings.redshift.via == "data-api":
        from stockctl.clients.redshift.data_api import DataApi

        return DataApi(settings)
    return Connection(settings, timeout=timeout)


class Login(NamedTuple):
    """A user and a password."""

    user: str
    password: str


def login(settings: Settings) -> Login:
    """The settings' user and password, or temporary ones that IAM gives for the cluster or workgroup."""
    redshift = settings.redshift
    if redshift.password is not None:
        return Login(str(require(settings, "redshift.user")), redshift.password.get_secret_value())
    if redshift.workgroup is not None:
        serverless = session.client(settings, "redshift-serverless", redshift.endpoint_url)
        with session.translated(f"get credentials for the workgroup {redshift.workgroup}"):
            told = serverless.get_credentials(workgroupName=redshift.workgroup, dbName=redshift.database)
        return Login(told["dbUser"], told["dbPassword"])
    if redshift.cluster is None:
        raise ConfigError(
            "no way to log in to Redshift: redshift.password is not set, nor what IAM needs for temporary credentials",
            hint="set redshift.user and redshift.password, or redshift.cluster, or redshift.workgroup",
        )
    provisioned = session.client(settings, "redshift", redshift.endpoint_url)
    asked = {"DbName": redshift.database, "ClusterIdentifier": redshift.cluster}
    with session.translated(f"get credentials for the cluster {redshift.cluster}"):
        if redshift.user is not None:
            told = provisioned.get_cluster_credentials(DbUser=redshift.user, **asked)
        else:
            told = provisioned.get_cluster_credentials_with_iam(**asked)
    return Login(told["DbUser"], told["DbPassword"])


class Connection:
    """A connection to Redshift's port. Each statement stands for itself, as external tables want it."""

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
                # Of each answer: the server's own limit, set below, comes first and says more.
                timeout=round(redshift.timeout) + 30,
                tcp_keepalive=True,
                # As the Data API gives them, and as they are written in JSON.
                numeric_to_float=True,
                application_name="stockctl",
            )
        except self._failures as error:
            raise self._translate(error, "log in") from error
        self._connection.autocommit = True
        self.execute(f"SET statement_timeout TO {round(1000 * redshift.timeout)}")

    def _reach(self, host: str, port: int, wait: float) -> None:
        """UnreachableError if nothing takes connections there: the driver would wait for as long as for an answer."""
        try:
            socket.create_connection((host, port), timeout=wait).close()
        except OSError as error:
            raise UnreachableError(
                f"cannot reach Redshift at {self.place}: {error}",
                hint='check redshift.host, redshift.port and the security group; redshift.via = "data-api" needs no port',
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; one that is lost is none any more."""
        with suppress(*self._failures):
            self._connection.close()

    def execute(self, sql: str) -> list[Row]:
        """As in ``Redshift``."""
        with self._connection.cursor() as cursor:
            try:
                cursor.execute(sql)
                return [tuple(row) for row in cursor.fetchall()] if cursor.description else []
            except self._failures as error:
                raise self._translate(error, "run the statement", sql) from error

    def query(self, sql: str) -> Result:
        """As in ``Redshift``: the rows come through a cursor of the server's, in a transaction that ends with them."""
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
        """End the transaction of a cursor; where the connection is lost there is none."""
        with suppress(*self._failures):
            self._connection.rollback()
        self._connection.autocommit = True

    def _translate(self, error: Exception, doing: str, sql: str = "", shift: int = 0) -> StockctlError:
        told = error.args[0] if error.args and isinstance(error.args[0], dict) else None
        if told is None:
            return UnreachableError(
                f"cannot {doing}: the connection to Redshift at {self.place} is lost: {error}",
                hint="try again; `stockctl doctor` tells whether Redshift is reachable",
            )
        position = int(told["P"]) - shift if str(told.get("P", "")).isdigit() else None
        return sql_error(doing, str(told.get("M", error)), str(told.get("C", "")), sql, position)


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
