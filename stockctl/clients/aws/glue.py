"""Glue's Data Catalog and its crawlers; the service's limits and pages end here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from stockctl.clients.aws.session import AbsentError, ExistsError, client, translated
from stockctl.errors import StockctlError
from stockctl.settings import Settings

BATCH = 100
"""Most partitions that one request creates, or updates."""
DELETE_BATCH = 25
"""Most partitions that one request deletes."""

Document = dict[str, Any]


class Failure(NamedTuple):
    """A partition that the service refused, and why."""

    values: tuple[str, ...]
    code: str
    message: str


class Glue:
    """The catalog of the settings' account and region. Nothing is contacted when it is made."""

    def __init__(self, settings: Settings) -> None:
        self.database = settings.glue.database
        self._glue = client(settings, "glue", settings.glue.endpoint_url)

    def find_database(self) -> Document | None:
        """The settings' database; None if there is none."""
        try:
            with translated(f"look at the database {self.database}"):
                return dict(self._glue.get_database(Name=self.database)["Database"])
        except AbsentError:
            return None

    def create_database(self, about: str, parameters: dict[str, str]) -> None:
        """Make the settings' database; one that is there meanwhile is no error."""
        wanted = {"Name": self.database, "Description": about, "Parameters": parameters}
        try:
            with translated(f"make the database {self.database}"):
                self._glue.create_database(DatabaseInput=wanted)
        except ExistsError:
            return

    def delete_database(self) -> None:
        """Delete the settings' database with all that is in it."""
        with translated(f"delete the database {self.database}"):
            self._glue.delete_database(Name=self.database)

    def tables(self) -> list[Document]:
        """All tables of the database."""
        with translated(f"list the tables of {self.database}"):
            pages = self._glue.get_paginator("get_tables").paginate(DatabaseName=self.database)
            return [table for page in pages for table in page["TableList"]]

    def find_table(self, name: str) -> Document | None:
        """The table ``name``; None if there is none, or no database."""
        try:
            with translated(f"look at the table {self.database}.{name}"):
                return dict(self._glue.get_table(DatabaseName=self.database, Name=name)["Table"])
        except AbsentError:
            return None

    def create_table(self, table: Document) -> None:
        """Make a table. ExistsError if there is one of its name."""
        with translated(f"make the table {self.database}.{table['Name']}"):
            self._glue.create_table(DatabaseName=self.database, TableInput=table)

    def update_table(self, table: Document) -> None:
        """Put ``table`` in place of the one of its name; the old version is kept by the service."""
        with translated(f"change the table {self.database}.{table['Name']}"):
            self._glue.update_table(DatabaseName=self.database, TableInput=table)

    def delete_table(self, name: str) -> None:
        """Delete the table with its partitions; the objects in S3 stay."""
        with translated(f"delete the table {self.database}.{name}"):
            self._glue.delete_table(DatabaseName=self.database, Name=name)

    def partitions(self, table: str, expression: str | None = None) -> Iterator[Document]:
        """The table's partitions, without their columns; those of ``expression`` (``trade_date >= '2026-11-23'``) if given."""
        asked = {"DatabaseName": self.database, "TableName": table, "ExcludeColumnSchema": True}
        with translated(f"list the partitions of {self.database}.{table}"):
            paginator = self._glue.get_paginator("get_partitions")
            for page in paginator.paginate(**asked, **({"Expression": expression} if expression else {})):
                yield from page["Partitions"]

    def create_partitions(self, table: str, partitions: Sequence[Document]) -> list[Failure]:
        """Make partitions, in batches; those that the service refused. One that is there already is among them."""
        failures: list[Failure] = []
        for some in _batches(partitions, BATCH):
            with translated(f"make partitions of {self.database}.{table}"):
                told = self._glue.batch_create_partition(
                    DatabaseName=self.database, TableName=table, PartitionInputList=list(some)
                )
            failures += [_failure(error["PartitionValues"], error) for error in told.get("Errors", ())]
        return failures

    def update_partitions(self, table: str, partitions: Sequence[Document]) -> list[Failure]:
        """Put partitions in place of those of the same values, in batches; those that the service refused."""
        failures: list[Failure] = []
        for some in _batches(partitions, BATCH):
            entries = [{"PartitionValueList": item["Values"], "PartitionInput": item} for item in some]
            with translated(f"change partitions of {self.database}.{table}"):
                told = self._glue.batch_update_partition(DatabaseName=self.database, TableName=table, Entries=entries)
            failures += [_failure(error["PartitionValueList"], error) for error in told.get("Errors", ())]
        return failures

    def delete_partitions(self, table: str, values: Sequence[tuple[str, ...]]) -> list[Failure]:
        """Delete partitions, in batches; those that the service refused. One that is gone meanwhile is no failure."""
        failures: list[Failure] = []
        for some in _batches(values, DELETE_BATCH):
            with translated(f"delete partitions of {self.database}.{table}"):
                told = self._glue.batch_delete_partition(
                    DatabaseName=self.database,
                    TableName=table,
                    PartitionsToDelete=[{"Values": list(value)} for value in some],
                )
            failures += [_failure(error["PartitionValues"], error) for error in told.get("Errors", ())]
        return [failure for failure in failures if failure.code != "EntityNotFoundException"]

    def find_crawler(self, name: str) -> Document | None:
        """The crawler ``name``; None if there is none."""
        try:
            with translated(f"look at the crawler {name}"):
                return dict(self._glue.get_crawler(Name=name)["Crawler"])
        except AbsentError:
            return None

    def create_crawler(self, crawler: Document) -> None:
        """Make a crawler. ExistsError if there is one of its name."""
        with translated(f"make the crawler {crawler['Name']}"):
            self._glue.create_crawler(**crawler)

    def update_crawler(self, crawler: Document) -> None:
        """Change the crawler of that name. BusyError while it runs."""
        with translated(f"change the crawler {crawler['Name']}"):
            self._glue.update_crawler(**crawler)

    def delete_crawler(self, name: str) -> None:
        """Delete the crawler ``name``. BusyError while it runs."""
        with translated(f"delete the crawler {name}"):
            self._glue.delete_crawler(Name=name)

    def start_crawler(self, name: str) -> None:
        """Start the crawler ``name``. BusyError if it runs already."""
        with translated(f"start the crawler {name}"):
            self._glue.start_crawler(Name=name)

    def crawler_metrics(self, name: str) -> Document:
        """What the service tells of the crawler's runs: ``TimeLeftSeconds``, ``TablesUpdated``; empty if nothing."""
        with translated(f"ask for the metrics of the crawler {name}"):
            return next(iter(self._glue.get_crawler_metrics(CrawlerNameList=[name])["CrawlerMetricsList"]), {})


def _failure(values: Sequence[str], error: Document) -> Failure:
    told = error.get("ErrorDetail", {})
    return Failure(tuple(values), told.get("ErrorCode", ""), told.get("ErrorMessage", ""))


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def first_failure(failures: Sequence[Failure], doing: str) -> None:
    """StockctlError that tells how many partitions were refused, and the first with its reason; nothing if none was."""
    if failures:
        values, code, message = failures[0]
        raise StockctlError(
            f"cannot {doing}: {len(failures)} refused, the first is {'/'.join(values)}: {message} ({code})",
            hint="`stockctl glue status`",
        )
