"""Spectrum's DDL: the statements of ``sql/spectrum/*.sql`` with their named parameters filled in.

``:name`` in a file is a parameter. What fills it is checked before: a name is a name, a text is quoted. A parameter that is
missing or left over is an error, so that a file and its caller cannot drift apart.
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
from stockctl.filings.standardize.line_items import StandardItem
from stockctl.filings.standardize.line_items import table as standard_items
from stockctl.resources import resource
from stockctl.settings import Settings, require
from stockctl.warehouse import tables
from stockctl.warehouse.partitions import LakePartitions, Values
from stockctl.warehouse.tables import JSON_OPTIONS, JSON_SERDE, TABLES, Table, check, lake_url, location

FOLDER = "sql/spectrum"
VIEWS = ("trades", "feed_events", "bars_1m", "latest_filings", "statements")
"""The views, each behind those it stands on."""
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
"""The columns of the view ``statements``, and the standard item that each holds."""
MADE_BY = "made by stockctl"
"""How the comment on our views begins; the fingerprint of the view's text follows."""
_MANAGED = {tables.MADE_BY: tables.OURS}
"""The property of our external tables, in Glue's catalog too."""
_PER_STATEMENT = 100
"""Most partitions that one ALTER TABLE adds."""

_BESIDE_CONTRACTS = (
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
"""Names of income of a business that is not revenue from contracts."""
_REVENUE = (
    "(name LIKE '%Revenue' OR name LIKE '%Revenues' OR name LIKE '%RevenueNet' OR name LIKE 'SalesRevenue%Net' "
    "OR name LIKE 'RevenueFromContract%ExcludingAssessedTax') AND name NOT LIKE '%Cost%' AND name NOT LIKE '%Tax%Revenue%'"
)
"""Lines of revenue, and of its parts."""

_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,126}")
_COMMENT = re.compile(r"^--.*\n", re.MULTILINE)


class Statement(NamedTuple):
    """One statement, without a semicolon; ``what`` is schema, table, partitions or view, ``name`` whose."""

    what: str
    name: str
    sql: str


def name(text: str) -> str:
    """``text`` as a name of SQL. UsageError if it is none that needs no quotes."""
    if not _NAME.fullmatch(text):
        raise UsageError(f"{quoted(text)} is no plain name in SQL", hint="use a-z, 0-9 and _")
    return text


def literal(text: str) -> str:
    """``text`` as a literal of SQL. A backslash would be an escape in Redshift: it is doubled like a quote."""
    if "\0" in text:
        raise UsageError("a text with a zero byte cannot stand in SQL")
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@cache
def template(file: str) -> str:
    """The text of the file, without the comments at its head."""
    text = (resource(FOLDER) / f"{file}.sql").read_text(encoding="utf-8")
    return _COMMENT.sub("", text).strip()


def fill(file: str, parameters: Mapping[str, str]) -> str:
    """The file's statement with its parameters, each already SQL."""
    text = template(file)
    asked = set(_PARAMETER.findall(text))
    if asked != parameters.keys():
        raise StockctlError(f"sql/spectrum/{file}.sql asks for {sorted(asked)} and gets {sorted(parameters)}")
    return _PARAMETER.sub(lambda found: parameters[found[1]], text)


def external_schema(settings: Settings) -> Statement:
    """The external schema: over Glue's database as it is, or one that is made for the tables written out here."""
    role = str(require(settings, "redshift.role"))
    same = {
        "external_schema": name(settings.redshift.external_schema),
        "database": literal(settings.glue.database),
        "region": literal(aws.session(settings, "the external schema").region_name or ""),
        "role": "default" if role == "default" else literal(role),
    }
    file = "schema_glue" if settings.redshift.catalog == "glue" else "schema_tables"
    return Statement("external schema", settings.redshift.external_schema, fill(file, same))


def external_table(settings: Settings, table: Table, url: str) -> Statement:
    """One external table, written out."""
    check(table)
    width = max(len(column.name) for column in table.columns)
    columns = ",\n    ".join(f"{column.name:<{width}} {column.redshift}" for column in table.columns)
    parameters = {
        "external_schema": name(settings.redshift.external_schema),
        "table": name(table.name),
        "columns": columns,
        "keys": ", ".join(f"{key.name} {key.redshift}" for key in table.keys),
        "location": literal(location(url, table.folder)),
        "properties": _pairs(_MANAGED | ({"compression_type": "gzip"} if table.form == "json" else {})),
    }
    if table.form == "json":
        parameters |= {"serde": literal(JSON_SERDE), "options": _pairs(JSON_OPTIONS)}
    return Statement("external table", table.name, fill(f"table_{table.form}", parameters))


def adopt_table(settings: Settings, table: Table) -> Statement:
    """The statement that notes on an external table of someone else that it is ours from now on."""
    parameters = {
        "external_schema": name(settings.redshift.external_schema),
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


def add_partitions(settings: Settings, table: Table, places: Mapping[Values, str]) -> list[Statement]:
    """Statements that add partitions, a hundred each."""
    items = sorted(places.items())
    return [
        Statement(
            "partitions",
            table.name,
            fill(
                "partitions",
                {
                    "external_schema": name(settings.redshift.external_schema),
                    "table": name(table.name),
                    "partitions": "\n".join(_partition(table, *item) for item in items[start : start + _PER_STATEMENT]),
                },
            ),
        )
        for start in range(0, len(items), _PER_STATEMENT)
    ]


def drop_partition(settings: Settings, table: Table, values: Values) -> Statement:
    """The statement that takes a partition out of the table; its objects stay."""
    parameters = {
        "external_schema": name(settings.redshift.external_schema),
        "table": name(table.name),
        "keys": _keys(table, values),
    }
    return Statement("partitions", table.name, fill("drop_partition", parameters))


def move_partition(settings: Settings, table: Table, values: Values, place: str) -> Statement:
    """The statement that points a partition of the table to another place."""
    parameters = {
        "external_schema": name(settings.redshift.external_schema),
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
    """The SELECT of a view; ``schemas`` names ``external_schema`` and ``view_schema``. Without compacted dates all is raw."""
    dates = ", ".join(f"'{day.isoformat()}'" for day in compacted)
    file = "trades_raw" if view == "trades" and not dates else view
    asked = set(_PARAMETER.findall(template(f"views/{file}")))
    # A code stands between commas; it holds digits alone.
    never = " OR ".join(f"codes LIKE '%,{code},%'" for code in sorted(NEVER_PRICE_FORMING, key=_number))
    known = {"compacted": dates, "never_price_forming": never, "items": _items()} | dict(schemas)
    return fill(f"views/{file}", {key: value for key, value in known.items() if key in asked})


def _items() -> str:
    """The columns of the view ``statements``: of each item the first of its concepts that the report has."""
    return ",\n    ".join(f"{_column(standard_items()[name])} AS {column}" for column, name in STATEMENTS.items())


def _column(item: StandardItem) -> str:
    """An item as SQL over lines; null where more than its concepts decides what it is."""
    lines = f"statement = '{item.statement}'"
    whens = []
    for concept in item.concepts:
        told = f"{lines} AND name = '{concept}'"
        needs = "".join(f" AND COUNT(CASE WHEN {lines} AND {one} THEN most END) = 0" for one in _without(item, concept))
        value = f"MAX(CASE WHEN {told} THEN value END)"
        whens.append(f"WHEN COUNT(CASE WHEN {told} THEN most END) > 0 THEN CASE WHEN TRUE{needs} THEN {value} END")
    found = "CASE\n        " + "\n        ".join(whens) + "\n    END"
    if item.rule != "revenue":
        return found
    # A part cannot be more than the whole.
    most = f"MAX(CASE WHEN {lines} AND {_REVENUE} THEN most END)"
    return f"CASE WHEN {most} > {found} THEN NULL ELSE {found} END"


def _without(item: StandardItem, concept: str) -> list[str]:
    """Lines that a report must not have for the concept to be the whole item, and its own."""
    if item.rule == "revenue" and concept.startswith("RevenueFromContract"):
        return ["(" + " OR ".join(f"name LIKE '{one}'" for one in _BESIDE_CONTRACTS) + ")"]
    if item.rule in ("net_income", "equity") and (concept == "ProfitLoss" or "Noncontrolling" in concept):
        return ["most <> 0 AND (name LIKE '%AttributableTo%Noncontrolling%' OR name LIKE 'MinorityInterest%')"]
    return []


def _number(code: str) -> tuple[int, str]:
    return (len(code), code)


def view_statement(settings: Settings, view: str, compacted: Iterable[date]) -> Statement:
    """The statement that makes or replaces a view."""
    query = view_query(view, schemas(settings), compacted if settings.redshift.parquet else ())
    parameters = {"view_schema": name(settings.redshift.view_schema), "view": name(view), "query": query}
    return Statement("view", view, fill("view", parameters))


def schemas(settings: Settings) -> dict[str, str]:
    """The two schemas, as parameters."""
    return {
        "external_schema": name(settings.redshift.external_schema),
        "view_schema": name(settings.redshift.view_schema),
    }


def fingerprint(statement: Statement) -> str:
    """What the comment on a view says, by which ``diff`` tells whether it is ours and as wanted."""
    return f"{MADE_BY}: {sha256(statement.sql.encode()).hexdigest()[:16]}"


def comment(settings: Settings, statement: Statement) -> Statement:
    """The statement that notes the fingerprint on the view."""
    parameters = {
        "view_schema": name(settings.redshift.view_schema),
        "view": name(statement.name),
        "comment": literal(fingerprint(statement)),
    }
    return Statement("comment", statement.name, fill("comment", parameters))


def statements(settings: Settings, lake: LakePartitions) -> list[Statement]:
    """Everything that ``spectrum apply`` runs on an empty Redshift, in order."""
    url = lake_url(settings)
    found = [external_schema(settings)]
    if settings.redshift.catalog == "tables":
        for table in TABLES:
            found += [external_table(settings, table, url), *add_partitions(settings, table, lake.locations[table.name])]
    schema = {"view_schema": name(settings.redshift.view_schema)}
    found.append(Statement("schema", settings.redshift.view_schema, fill("view_schema", schema)))
    for view in views(settings, lake.compacted):
        found += [view, comment(settings, view)]
    return found


def views(settings: Settings, compacted: Sequence[date]) -> list[Statement]:
    """The statements of all views."""
    return [view_statement(settings, view, compacted) for view in VIEWS]
