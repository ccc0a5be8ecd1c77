"""The lake in Redshift: external schema, external tables and views; created, compared with the settings, and listed.

What someone else made is never replaced. A property marks the external tables that stockctl manages, a comment its views; the
comment has a fingerprint of the view's text. Redshift cannot change external tables in place: one that differs is reported.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from stockctl.clients.redshift.client import Redshift
from stockctl.reconcile import ABSENT, OWNER, Change, Difference, absent, owned_by_others
from stockctl.settings import RedshiftSettings, Settings
from stockctl.warehouse.partitions import LakePartitions, Values
from stockctl.warehouse.spectrum import ddl
from stockctl.warehouse.spectrum.ddl import MADE_BY, Statement, literal
from stockctl.warehouse.tables import TABLES, TRADES_PARQUET, Table, lake_url, location

_APPLY = "`stockctl spectrum apply`"
_ADOPT = "`stockctl spectrum apply --adopt`"
_EXTERNAL_TYPES = {"string": "text", "varchar": "text", "bigint": "integer", "double": "number", "date": "date"}
"""Kinds of columns by their types in svv_external_columns, which Redshift writes in several ways."""

SOUND = ("present", "managed")
"""States of what matches the settings."""


class ObjectStatus(NamedTuple):
    """The external schema, an external table or a view in Redshift; ``partitions`` is None except for a table.

    ``state`` is ``present``, ``managed`` (a view), ``absent``, or names what differs from the settings.
    """

    kind: str
    name: str
    state: str
    columns: int
    partitions: int | None
    location: str


class RedshiftObjects(NamedTuple):
    """What Redshift has: the database and options of the external schema, its tables, and the comments of the views."""

    schema: tuple[str, str] | None
    locations: dict[str, str]
    managed: frozenset[str]
    columns: dict[str, list[tuple[str, str]]]
    views: dict[str, str]


def existing_objects(redshift: Redshift, settings: RedshiftSettings) -> RedshiftObjects:
    """Read Redshift's system views."""
    external, views = literal(settings.external_schema), literal(settings.view_schema)
    schemas = redshift.execute(
        f"SELECT databasename, esoptions FROM svv_external_schemas WHERE schemaname = {external}"  # noqa: S608  # a checked name
    )
    tables = redshift.execute(
        f"SELECT tablename, location, parameters FROM svv_external_tables WHERE schemaname = {external}"  # noqa: S608
    )
    columns: dict[str, list[tuple[str, str]]] = {}
    for table, column, external_type in redshift.execute(
        "SELECT tablename, columnname, external_type FROM svv_external_columns "  # noqa: S608
        f"WHERE schemaname = {external} ORDER BY tablename, columnnum"
    ):
        columns.setdefault(table, []).append((column, external_type))
    comments = redshift.execute(
        "SELECT c.relname, COALESCE(d.description, '') FROM pg_class AS c "  # noqa: S608
        "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "LEFT JOIN pg_description AS d ON d.objoid = c.oid AND d.objsubid = 0 "
        f"WHERE n.nspname = {views} AND c.relkind = 'v'"
    )
    return RedshiftObjects(
        (str(schemas[0][0]), str(schemas[0][1])) if schemas else None,
        {str(name): str(place or "") for name, place, _ in tables},
        frozenset(str(name) for name, _, properties in tables if ddl.is_managed(str(properties or ""))),
        columns,
        {str(name): str(comment) for name, comment in comments},
    )


def partitions(redshift: Redshift, settings: RedshiftSettings, table: Table) -> dict[Values, str]:
    """The locations of an external table's partitions as Redshift sees them, by their values."""
    rows = redshift.execute(
        'SELECT "values", location FROM svv_external_partitions '  # noqa: S608  # checked names
        f"WHERE schemaname = {literal(settings.external_schema)} AND tablename = {literal(table.name)}"
    )
    return {tuple(map(str, json.loads(values))): str(place) for values, place in rows}


def apply(
    redshift: Redshift, settings: Settings, lake: LakePartitions, *, adopt: bool = False, prune: bool = False
) -> list[Change]:
    """Create what is absent and update what stockctl manages. Tables and views of others are changed only with ``adopt``.

    If the external schema is skipped, nothing below it is created: its tables are those of another database or role.
    With ``prune``, partitions that the lake does not have are dropped, unless the tables are Glue's.
    """
    url = lake_url(settings)
    existing = existing_objects(redshift, settings.redshift)
    changes = [_apply_schema(redshift, settings, existing)]
    if changes[0].action == "skipped":
        return changes
    if settings.redshift.catalog == "tables":
        for table in TABLES:
            change = _apply_table(redshift, settings.redshift, table, url, existing, adopt)
            changes.append(change)
            if change.action != "skipped":
                registered = partitions(redshift, settings.redshift, table) if table.name in existing.locations else {}
                changes += _apply_partitions(redshift, settings.redshift, table, lake, registered, prune)
    schema = next(item for item in ddl.statements(settings, lake) if item.kind == "schema")
    redshift.execute(schema.sql)
    compacted = readable(redshift, settings.redshift, lake)
    return [
        *changes,
        *(_apply_view(redshift, settings.redshift, view, existing, adopt) for view in ddl.views(settings.redshift, compacted)),
    ]


def readable(redshift: Redshift, settings: RedshiftSettings, lake: LakePartitions) -> tuple[date, ...]:
    """The compacted dates whose Parquet is registered at its location. The view reads all other dates from raw trades."""
    locations, registered = lake.locations[TRADES_PARQUET.name], partitions(redshift, settings, TRADES_PARQUET)
    current = {values for values, place in locations.items() if registered.get(values, "").rstrip("/") == place.rstrip("/")}
    return tuple(day for day in lake.compacted if (day.isoformat(),) in current)


def _apply_schema(redshift: Redshift, settings: Settings, existing: RedshiftObjects) -> Change:
    statement = ddl.external_schema(settings)
    if existing.schema is None:
        redshift.execute(statement.sql)
        return Change(statement.kind, statement.name, "created")
    return _unchanged_or_skipped(statement.kind, statement.name, _schema_difference(settings, existing))


def _unchanged_or_skipped(kind: str, name: str, difference: Difference | None) -> Change:
    if difference is None:
        return Change(kind, name, "unchanged")
    words = f"{difference.field} is {difference.actual}, not {difference.wanted}"
    return Change(kind, name, "skipped", f"{words}: {difference.fix}")


def _schema_difference(settings: Settings, existing: RedshiftObjects) -> Difference | None:
    name = settings.redshift.external_schema
    if existing.schema is None:
        return absent("external schema", name, _APPLY)
    fix = f"DROP SCHEMA {name}, then apply, or set redshift.external_schema to another"
    database, options = existing.schema
    if database != settings.glue.database:
        return Difference("external schema", name, "database", settings.glue.database, database, fix)
    role = settings.redshift.role
    if role is not None and role != "default" and role not in options:
        return Difference("external schema", name, "role", role, "another role", fix)
    return None


def _apply_table(
    redshift: Redshift, settings: RedshiftSettings, table: Table, url: str, existing: RedshiftObjects, adopt: bool
) -> Change:
    difference = _table_difference(settings, table, url, existing)
    if difference is not None and difference.actual == ABSENT:
        redshift.execute(ddl.external_table(settings, table, url).sql)
        return Change("external table", table.name, "created")
    if difference is not None and difference.field == OWNER and adopt:
        redshift.execute(ddl.adopt_table(settings, table).sql)
        return Change("external table", table.name, "adopted")
    return _unchanged_or_skipped("external table", table.name, difference)


def _apply_partitions(
    redshift: Redshift,
    settings: RedshiftSettings,
    table: Table,
    lake: LakePartitions,
    registered: dict[Values, str],
    prune: bool,
) -> Iterator[Change]:
    locations = lake.locations[table.name]
    # A partition whose location changed, such as Parquet's after a compaction, is moved: dropped, its date would miss trades.
    stale = _stale(locations, registered)
    foreign = registered.keys() - locations.keys() if prune else set()
    for values in sorted(stale):
        redshift.execute(ddl.move_partition(settings, table, values, locations[values]).sql)
    for values in sorted(foreign):
        redshift.execute(ddl.drop_partition(settings, table, values).sql)
    missing = {values: place for values, place in locations.items() if values not in registered}
    for statement in ddl.add_partitions(settings, table, missing):
        redshift.execute(statement.sql)
    if missing:
        yield Change("partitions", table.name, "created", str(len(missing)))
    if stale:
        yield Change("partitions", table.name, "changed", f"{len(stale)} moved")
    if foreign:
        yield Change("partitions", table.name, "deleted", f"{len(foreign)} that the lake does not have")


def _stale(locations: dict[Values, str], registered: dict[Values, str]) -> set[Values]:
    """The partitions that are registered at another location."""
    shared = locations.keys() & registered.keys()
    return {values for values in shared if locations[values].rstrip("/") != registered[values].rstrip("/")}


def _table_difference(settings: RedshiftSettings, table: Table, url: str, existing: RedshiftObjects) -> Difference | None:
    """In a Glue catalog it does not matter here who manages a table: ``glue diff`` compares that."""
    glue = settings.catalog == "glue"
    if table.name not in existing.locations:
        return absent("external table", table.name, "`stockctl glue apply`" if glue else _APPLY)
    drop = f"DROP TABLE {settings.external_schema}.{table.name}, then apply"
    fix = "`stockctl glue diff` shows how to correct it in Glue" if glue else drop
    wanted, actual = location(url, table.folder), existing.locations[table.name]
    if actual.rstrip("/") != wanted.rstrip("/"):
        return Difference("external table", table.name, "location", wanted, actual, fix)
    columns = [(column.name, str(column.kind)) for column in (*table.columns, *table.keys)]
    actual_columns = [(name, _kind(external_type)) for name, external_type in existing.columns.get(table.name, [])]
    if columns != actual_columns:
        return Difference("external table", table.name, "columns", _column_list(columns), _column_list(actual_columns), fix)
    if not glue and table.name not in existing.managed:
        return owned_by_others("external table", table.name, _ADOPT)
    return None


def _kind(external_type: str) -> str:
    return _EXTERNAL_TYPES.get(external_type.partition("(")[0].split()[0], external_type)


def _column_list(columns: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns)


def _apply_view(
    redshift: Redshift, settings: RedshiftSettings, view: Statement, existing: RedshiftObjects, adopt: bool
) -> Change:
    difference = _view_difference(settings, view, existing)
    if difference is None or (difference.field == OWNER and not adopt):
        return _unchanged_or_skipped("view", view.name, difference)
    redshift.execute(view.sql)
    redshift.execute(ddl.comment(settings, view).sql)
    if difference.field == OWNER:
        return Change("view", view.name, "adopted")
    return Change("view", view.name, "created" if difference.actual == ABSENT else "changed")


def _view_difference(settings: RedshiftSettings, view: Statement, existing: RedshiftObjects) -> Difference | None:
    comment = existing.views.get(view.name)
    if comment is None:
        return absent("view", view.name, _APPLY)
    if not comment.startswith(MADE_BY):
        name = f"{settings.view_schema}.{view.name}"
        return owned_by_others("view", view.name, f"{_ADOPT}; if its columns differ, DROP VIEW {name} first")
    wanted = ddl.fingerprint(view)
    # The text of the view has the dates that are read from Parquet: it changes with each compaction.
    return None if comment == wanted else Difference("view", view.name, "definition", wanted, comment, _APPLY)


def differences(redshift: Redshift, settings: Settings, lake: LakePartitions) -> list[Difference]:
    """The differences of schema, tables, partitions and views from the settings and the lake."""
    url = lake_url(settings)
    existing = existing_objects(redshift, settings.redshift)
    result: list[Difference] = []
    if (difference := _schema_difference(settings, existing)) is not None:
        result.append(difference)
    for table in TABLES if existing.schema is not None else ():
        if (difference := _table_difference(settings.redshift, table, url, existing)) is not None:
            result.append(difference)
        else:
            result += _partition_differences(redshift, settings.redshift, table, lake)
    for view in ddl.views(settings.redshift, readable(redshift, settings.redshift, lake)):
        if (difference := _view_difference(settings.redshift, view, existing)) is not None:
            result.append(difference)
    return result


def _partition_differences(
    redshift: Redshift, settings: RedshiftSettings, table: Table, lake: LakePartitions
) -> Iterator[Difference]:
    registered, locations = partitions(redshift, settings, table), lake.locations[table.name]
    fix = "stockctl glue sync" if settings.catalog == "glue" else "stockctl spectrum apply"
    for field, differing, option in (
        ("missing", locations.keys() - registered.keys(), ""),
        ("stale", _stale(locations, registered), ""),
        ("foreign", registered.keys() - locations.keys(), " --prune"),
    ):
        if differing:
            actual = f"{len(differing)}, such as {'/'.join(min(differing))}"
            yield Difference("partitions", table.name, field, "0", actual, f"`{fix}{option}`")


def status(redshift: Redshift, settings: Settings, lake: LakePartitions) -> list[ObjectStatus]:
    """The external schema, its tables and the views, and whether each matches the settings."""
    url = lake_url(settings)
    existing = existing_objects(redshift, settings.redshift)
    database = existing.schema[0] if existing.schema else ""
    state = _state(_schema_difference(settings, existing))
    rows = [ObjectStatus("external schema", settings.redshift.external_schema, state, 0, None, database)]
    for table in TABLES:
        state = _state(_table_difference(settings.redshift, table, url, existing))
        count = len(partitions(redshift, settings.redshift, table)) if table.name in existing.locations else 0
        place = existing.locations.get(table.name, "")
        rows.append(ObjectStatus("external table", table.name, state, len(existing.columns.get(table.name, [])), count, place))
    for view in ddl.views(settings.redshift, readable(redshift, settings.redshift, lake)):
        state = _state(_view_difference(settings.redshift, view, existing), "managed")
        rows.append(ObjectStatus("view", view.name, state, 0, None, settings.redshift.view_schema))
    return rows


def _state(difference: Difference | None, sound: str = "present") -> str:
    if difference is None:
        return sound
    if difference.field == OWNER:
        return "made by someone else"
    return f"{difference.field} differs" if difference.field else difference.actual
