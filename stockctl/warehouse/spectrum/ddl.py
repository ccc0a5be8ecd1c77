"""The DDL of Spectrum: the statements of ``sql/spectrum/*.sql`` with values for their named parameters.

``:name`` in a file is a parameter. Identifiers must be plain names, and texts are quoted. A missing or unused parameter is
an error, so that a file and its caller stay in step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from hashlib import sha256
from typing import NamedTuple

from stockctl.clients import aws
from stockctl.errors import StockctlError, UsageError, quoted
from stockctl.exchange.trade_conditions import NEVER_PRICE_FORMING
from stockctl.filings.standardize.standard_items import StandardItem
from stockctl.filings.standardize.standard_items import table as standard_items
from stockctl.resources import resource
from stockctl.settings import RedshiftSettings, Settings, require
from stockctl.warehouse import tables
from stockctl.warehouse.partitions import LakePartitions, Values
from stockctl.warehouse.tables import JSON_OPTIONS, JSON_SERDE, TABLES, Table, check, lake_url, location

FOLDER = "sql/spectrum"
VIEWS = ("trades", "feed_events", "signals", "bars_1m", "latest_filings", "statements")
"""The views, each after those that it reads."""
STATEMENTS = {
    "assets": "assets",
    "liabilities": "liabilities",
    "equity": "equity",
    "cash": "cash",
    "revenue": "revenue",
    "gross_profit": "gross_profit",
    "operating_income": "operating_income",
    "net_income": "net_income",
    "eps_basic": "eps_basic",
    "eps_diluted": "eps",
    "operating_cash_flow": "operating_cash_flow",
}
"""The columns of the view ``statements``, each with its standard item."""
MADE_BY = "made by stockctl"
"""The prefix of the comment on views that stockctl manages; the fingerprint of the view's text follows."""
_MANAGED = {tables.MADE_BY: tables.OURS}
"""The property of external tables that stockctl manages, also in Glue's catalog."""
_PER_STATEMENT = 100
"""Most partitions that one ALTER TABLE adds."""

_OTHER_REVENUE = (
    "%Premium%",
    "%Lease%Income%",
    "%Rental%",
    "%LeaseRevenue%",
    "InterestAndDividendIncome%",
    "InterestAndFeeIncome%",
    "InterestIncomeExpense%",
    "InterestIncomeOperating%",
    "NoninterestIncome%",
    "NetInvestmentIncome%",
    "%NotFromContract%",
    "%Commissions%",
    "%InvestmentBanking%",
)
"""Concepts of revenue that is not from contracts with customers."""
_REVENUE = (
    "(name LIKE '%Revenue' OR name LIKE '%Revenues' OR name LIKE '%RevenueNet' OR name LIKE 'SalesRevenue%Net' "
    "OR name LIKE 'RevenueFromContract%ExcludingAssessedTax') AND name NOT LIKE '%Cost%' AND name NOT LIKE '%Tax%Revenue%'"
)
"""Line items of revenue and its parts."""

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,126}")
_COMMENT = re.compile(r"^--.*\n", re.MULTILINE)


class Statement(NamedTuple):
    """One statement, without a semicolon, with the kind and name of what it creates or changes."""

    kind: str
    name: str
    sql: str


def name(text: str) -> str:
    """``text`` as an SQL identifier. UsageError if it would need quotes."""
    if not _NAME.fullmatch(text):
        raise UsageError(f"{quoted(text)} is not a plain SQL name", hint="use a-z, 0-9 and _")
    return text


def literal(text: str) -> str:
    """``text`` as an SQL literal. Quotes and backslashes, which Redshift reads as escapes, are written twice."""
    if "\0" in text:
        raise UsageError("SQL cannot contain a text with a zero byte")
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@cache
def template(file: str) -> str:
    """The text of the file, without its comments."""
    text = (resource(FOLDER) / f"{file}.sql").read_text(encoding="utf-8")
    return _COMMENT.sub("", text).strip()


def fill(file: str, parameters: Mapping[str, str]) -> str:
    """The statement of the file with the values of its parameters, each an SQL text."""
    text = template(file)
    names = set(_PARAMETER.findall(text))
    if names != parameters.keys():
        raise StockctlError(f"sql/spectrum/{file}.sql has the parameters {sorted(names)}, not {sorted(parameters)}")
    return _PARAMETER.sub(lambda match: parameters[match[1]], text)


def external_schema(settings: Settings) -> Statement:
    """The external schema: over the existing Glue database, or over one that Redshift creates for the external tables."""
    role = str(require(settings, "redshift.role"))
    parameters = {
        "external_schema": name(settings.redshift.external_schema),
        "database": literal(settings.glue.database),
        "region": literal(aws.session(settings.s3, "the external schema").region_name or ""),
        "role": "default" if role == "default" else literal(role),
    }
    file = "schema_glue" if settings.redshift.catalog == "glue" else "schema_tables"
    return Statement("external schema", settings.redshift.external_schema, fill(file, parameters))


def external_table(settings: RedshiftSettings, table: Table, url: str) -> Statement:
    """The statement that creates an external table."""
    check(table)
    width = max(len(column.identifier) for column in table.columns)
    columns = ",\n    ".join(f"{column.identifier:<{width}} {column.redshift}" for column in table.columns)
    parameters = {
        "external_schema": name(settings.external_schema),
        "table": name(table.name),
        "columns": columns,
        "keys": ", ".join(f"{key.name} {key.redshift}" for key in table.keys),
        "location": literal(location(url, table.folder)),
        "properties": _pairs(_MANAGED | ({"compression_type": "gzip"} if table.form == "json" else {})),
    }
    if table.form == "json":
        parameters |= {"serde": literal(JSON_SERDE), "options": _pairs(JSON_OPTIONS)}
    return Statement("external table", table.name, fill(f"table_{table.form}", parameters))


def adopt_table(settings: RedshiftSettings, table: Table) -> Statement:
    """The statement that marks an external table of someone else as managed by stockctl."""
    parameters = {
        "external_schema": name(settings.external_schema),
        "table": name(table.name),
        "properties": _pairs(_MANAGED),
    }
    return Statement("external table", table.name, fill("adopt_table", parameters))


def is_managed(properties: str) -> bool:
    """Whether stockctl manages the table with these properties, which Redshift reports as JSON."""
    try:
        document = json.loads(properties or "{}")
    except ValueError:
        return False
    return isinstance(document, dict) and _MANAGED.items() <= document.items()


def add_partitions(settings: RedshiftSettings, table: Table, locations: Mapping[Values, str]) -> list[Statement]:
    """The statements that add partitions, up to 100 each."""
    items = sorted(locations.items())
    return [
        Statement(
            "partitions",
            table.name,
            fill(
                "partitions",
                {
                    "external_schema": name(settings.external_schema),
                    "table": name(table.name),
                    "partitions": "\n".join(_partition(table, *item) for item in items[start : start + _PER_STATEMENT]),
                },
            ),
        )
        for start in range(0, len(items), _PER_STATEMENT)
    ]


def drop_partition(settings: RedshiftSettings, table: Table, values: Values) -> Statement:
    """The statement that drops a partition of the table; its objects stay."""
    parameters = {
        "external_schema": name(settings.external_schema),
        "table": name(table.name),
        "keys": _keys(table, values),
    }
    return Statement("partitions", table.name, fill("drop_partition", parameters))


def move_partition(settings: RedshiftSettings, table: Table, values: Values, place: str) -> Statement:
    """The statement that changes the location of a partition."""
    parameters = {
        "external_schema": name(settings.external_schema),
        "table": name(table.name),
        "keys": _keys(table, values),
        "location": _place(place),
    }
    return Statement("partitions", table.name, fill("move_partition", parameters))


def _place(place: str) -> str:
    return literal(place if place.endswith("/") else place + "/")


def _keys(table: Table, values: Values) -> str:
    return ", ".join(f"{key.name}={literal(value)}" for key, value in zip(table.keys, values, strict=True))


def _partition(table: Table, values: Values, place: str) -> str:
    return f"PARTITION ({_keys(table, values)}) LOCATION {_place(place)}"


def _pairs(options: Mapping[str, str]) -> str:
    return ", ".join(f"{literal(key)}={literal(value)}" for key, value in options.items())


def view_query(view: str, schemas: Mapping[str, str], compacted: Iterable[date]) -> str:
    """The SELECT of a view; ``schemas`` has ``external_schema`` and ``view_schema``. Without dates it reads raw trades."""
    dates = ", ".join(f"'{day.isoformat()}'" for day in compacted)
    file = "trades_raw" if view == "trades" and not dates else view
    names = set(_PARAMETER.findall(template(f"views/{file}")))
    # Codes are digits between commas.
    never = " OR ".join(f"codes LIKE '%,{code},%'" for code in sorted(NEVER_PRICE_FORMING, key=_number))
    parameters = {"compacted": dates, "never_price_forming": never, "items": _items()} | dict(schemas)
    return fill(f"views/{file}", {key: value for key, value in parameters.items() if key in names})


def _items() -> str:
    """The columns of the view ``statements``: for each item the first of its concepts that the report has."""
    return ",\n    ".join(f"{_column(standard_items()[name])} AS {column}" for column, name in STATEMENTS.items())


def _column(item: StandardItem) -> str:
    """An item as SQL over line items; null where its concepts alone do not decide its value."""
    lines = f"statement = '{item.statement}'"
    whens = []
    for concept in item.concepts:
        present = f"{lines} AND name = '{concept}'"
        needs = "".join(f" AND COUNT(CASE WHEN {lines} AND {one} THEN most END) = 0" for one in _without(item, concept))
        value = f"MAX(CASE WHEN {present} THEN value END)"
        whens.append(f"WHEN COUNT(CASE WHEN {present} THEN most END) > 0 THEN CASE WHEN TRUE{needs} THEN {value} END")
    expression = "CASE\n        " + "\n        ".join(whens) + "\n    END"
    if item.rule != "revenue":
        return expression
    # A part cannot be more than the total.
    most = f"MAX(CASE WHEN {lines} AND {_REVENUE} THEN most END)"
    return f"CASE WHEN {most} > {expression} THEN NULL ELSE {expression} END"


def _without(item: StandardItem, concept: str) -> list[str]:
    """Conditions of line items that a report must not have if the concept is to be the total of the item."""
    if item.rule == "revenue" and concept.startswith("RevenueFromContract"):
        return ["(" + " OR ".join(f"name LIKE '{one}'" for one in _OTHER_REVENUE) + ")"]
    if item.rule in ("net_income", "equity") and (concept == "ProfitLoss" or "Noncontrolling" in concept):
        return ["most <> 0 AND (name LIKE '%AttributableTo%Noncontrolling%' OR name LIKE 'MinorityInterest%')"]
    return []


def _number(code: str) -> tuple[int, str]:
    return (len(code), code)


def view_statement(settings: RedshiftSettings, view: str, compacted: Iterable[date]) -> Statement:
    """The statement that creates or replaces a view."""
    query = view_query(view, schemas(settings), compacted if settings.parquet else ())
    parameters = {"view_schema": name(settings.view_schema), "view": name(view), "query": query}
    return Statement("view", view, fill("view", parameters))


def schemas(settings: RedshiftSettings) -> dict[str, str]:
    """The two schemas, as parameters."""
    return {
        "external_schema": name(settings.external_schema),
        "view_schema": name(settings.view_schema),
    }


def fingerprint(statement: Statement) -> str:
    """The comment on a view, by which ``diff`` recognises that stockctl manages it, and that its text is current."""
    return f"{MADE_BY}: {sha256(statement.sql.encode()).hexdigest()[:16]}"


def comment(settings: RedshiftSettings, statement: Statement) -> Statement:
    """The statement that sets the comment with the fingerprint."""
    parameters = {
        "view_schema": name(settings.view_schema),
        "view": name(statement.name),
        "comment": literal(fingerprint(statement)),
    }
    return Statement("comment", statement.name, fill("comment", parameters))


def statements(settings: Settings, lake: LakePartitions) -> list[Statement]:
    """All statements that ``spectrum apply`` runs on an empty Redshift, in order."""
    url = lake_url(settings)
    ordered = [external_schema(settings)]
    if settings.redshift.catalog == "tables":
        for table in TABLES:
            ordered += [
                external_table(settings.redshift, table, url),
                *add_partitions(settings.redshift, table, lake.locations[table.name]),
            ]
    schema = {"view_schema": name(settings.redshift.view_schema)}
    ordered.append(Statement("schema", settings.redshift.view_schema, fill("view_schema", schema)))
    for view in views(settings.redshift, lake.compacted):
        ordered += [view, comment(settings.redshift, view)]
    return ordered


def views(settings: RedshiftSettings, compacted: Sequence[date]) -> list[Statement]:
    """The statements of all views."""
    return [view_statement(settings, view, compacted) for view in VIEWS]
