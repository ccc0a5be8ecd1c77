"""The Glue Data Catalog and its crawlers. It splits requests into batches, and reads all pages of a response."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from stockctl.clients.aws.boto import AbsentError, ExistsError, client, translate_errors
from stockctl.errors import StockctlError
from stockctl.settings import Settings

BATCH = 100
"""Partitions that one request can create or update."""
DELETE_BATCH = 25
"""Partitions that one request can delete."""

Document = dict[str, Any]


class Failure(NamedTuple):
    """A partition that Glue refused, and why."""

    values: tuple[str, ...]
    code: str
    message: str


class Glue:
    """The Data Catalog of the account and the region in the settings. Creating it sends no request."""

    def __init__(self, settings: Settings) -> None:
        self.database = settings.glue.database
        self._glue = client(settings.s3, "glue", settings.glue.endpoint_url)

    def find_database(self) -> Document | None:
        """The database of the settings; None if it does not exist."""
        try:
            with translate_errors(f"get the database {self.database}"):
                return dict(self._glue.get_database(Name=self.database)["Database"])
        except AbsentError:
            return None

    def create_database(self, about: str, parameters: dict[str, str]) -> None:
        """Create the database of the settings, unless it exists."""
        wanted = {"Name": self.database, "Description": about, "Parameters": parameters}
        try:
            with translate_errors(f"create the database {self.database}"):
                self._glue.create_database(DatabaseInput=wanted)
        except ExistsError:
            return

    def delete_database(self) -> None:
        """Delete the database of the settings with all its tables."""
        with translate_errors(f"delete the database {self.database}"):
            self._glue.delete_database(Name=self.database)

    def tables(self) -> list[Document]:
        """All tables of the database."""
        with translate_errors(f"list the tables of {self.database}"):
            pages = self._glue.get_paginator("get_tables").paginate(DatabaseName=self.database)
            return [table for page in pages for table in page["TableList"]]

    def find_table(self, name: str) -> Document | None:
        """The table ``name``; None if it or the database does not exist."""
        try:
            with translate_errors(f"get the table {self.database}.{name}"):
                return dict(self._glue.get_table(DatabaseName=self.database, Name=name)["Table"])
        except AbsentError:
            return None

    def create_table(self, table: Document) -> None:
        """Create a table. ExistsError if it exists."""
        with translate_errors(f"create the table {self.database}.{table['Name']}"):
            self._glue.create_table(DatabaseName=self.database, TableInput=table)

    def update_table(self, table: Document) -> None:
        """Replace the table of that name; Glue keeps the old version."""
        with translate_errors(f"update the table {self.database}.{table['Name']}"):
            self._glue.update_table(DatabaseName=self.database, TableInput=table)

    def delete_table(self, name: str) -> None:
        """Delete the table and its partitions; the objects in S3 stay."""
        with translate_errors(f"delete the table {self.database}.{name}"):
            self._glue.delete_table(DatabaseName=self.database, Name=name)

    def partitions(self, table: str, expression: str | None = None) -> Iterator[Document]:
        """The table's partitions, without their columns; those of ``expression`` (``trade_date >= '2026-11-23'``) if given."""
        request = {"DatabaseName": self.database, "TableName": table, "ExcludeColumnSchema": True}
        with translate_errors(f"list the partitions of {self.database}.{table}"):
            paginator = self._glue.get_paginator("get_partitions")
            for page in paginator.paginate(**request, **({"Expression": expression} if expression else {})):
                yield from page["Partitions"]

    def create_partitions(self, table: str, partitions: Sequence[Document]) -> list[Failure]:
        """Create partitions; return those that Glue refused, including those that exist."""
        failures: list[Failure] = []
        for some in _batches(partitions, BATCH):
            with translate_errors(f"create partitions of {self.database}.{table}"):
                response = self._glue.batch_create_partition(
                    DatabaseName=self.database, TableName=table, PartitionInputList=list(some)
                )
            failures += [_failure(error["PartitionValues"], error) for error in response.get("Errors", ())]
        return failures

    def update_partitions(self, table: str, partitions: Sequence[Document]) -> list[Failure]:
        """Update the partitions with the same values; return those that Glue refused."""
        failures: list[Failure] = []
        for some in _batches(partitions, BATCH):
            entries = [{"PartitionValueList": item["Values"], "PartitionInput": item} for item in some]
            with translate_errors(f"update partitions of {self.database}.{table}"):
                response = self._glue.batch_update_partition(DatabaseName=self.database, TableName=table, Entries=entries)
            failures += [_failure(error["PartitionValueList"], error) for error in response.get("Errors", ())]
        return failures

    def delete_partitions(self, table: str, values: Sequence[tuple[str, ...]]) -> list[Failure]:
        """Delete partitions; return those that Glue refused. A partition that does not exist is not a failure."""
        failures: list[Failure] = []
        for some in _batches(values, DELETE_BATCH):
            with translate_errors(f"delete partitions of {self.database}.{table}"):
                response = self._glue.batch_delete_partition(
                    DatabaseName=self.database,
                    TableName=table,
                    PartitionsToDelete=[{"Values": list(value)} for value in some],
                )
            failures += [_failure(error["PartitionValues"], error) for error in response.get("Errors", ())]
        return [failure for failure in failures if failure.code != "EntityNotFoundException"]

    def find_crawler(self, name: str) -> Document | None:
        """The crawler ``name``; None if it does not exist."""
        try:
            with translate_errors(f"get the crawler {name}"):
                return dict(self._glue.get_crawler(Name=name)["Crawler"])
        except AbsentError:
            return None

    def create_crawler(self, crawler: Document) -> None:
        """Create a crawler. ExistsError if it exists."""
        with translate_errors(f"create the crawler {crawler['Name']}"):
            self._glue.create_crawler(**crawler)

    def update_crawler(self, crawler: Document) -> None:
        """Update the crawler of that name. BusyError while it runs."""
        with translate_errors(f"update the crawler {crawler['Name']}"):
            self._glue.update_crawler(**crawler)

    def delete_crawler(self, name: str) -> None:
        """Delete the crawler ``name``. BusyError while it runs."""
        with translate_errors(f"delete the crawler {name}"):
            self._glue.delete_crawler(Name=name)

    def start_crawler(self, name: str) -> None:
        """Start the crawler ``name``. BusyError if it runs already."""
        with translate_errors(f"start the crawler {name}"):
            self._glue.start_crawler(Name=name)

    def crawler_metrics(self, name: str) -> Document:
        """Metrics of the crawler's runs, such as ``TimeLeftSeconds`` and ``TablesUpdated``; empty if there are none."""
        with translate_errors(f"get the metrics of the crawler {name}"):
            return next(iter(self._glue.get_crawler_metrics(CrawlerNameList=[name])["CrawlerMetricsList"]), {})


def _failure(values: Sequence[str], error: Document) -> Failure:
    details = error.get("ErrorDetail", {})
    return Failure(tuple(values), details.get("ErrorCode", ""), details.get("ErrorMessage", ""))


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def raise_failures(failures: Sequence[Failure], action: str) -> None:
    """StockctlError with the number of refused partitions, and the first of them with its reason; nothing if there are none."""
    if failures:
        values, code, message = failures[0]
        raise StockctlError(
            f"cannot {action}: {len(failures)} refused, the first is {'/'.join(values)}: {message} ({code})",
            hint="`stockctl glue status`",
        )
