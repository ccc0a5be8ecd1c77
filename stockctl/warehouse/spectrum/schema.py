"""Redshift Spectrum as the settings want it: external schema, tables and views; made, compared, looked at.

What someone else made is never replaced: our views carry a comment with the fingerprint of their text, which also tells whether
they are as wanted; our external tables have a property. They cannot be changed in place: one that differs is told, and left.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from stockctl.clients.redshift.client import Redshift
from stockctl.settings import Settings
from stockctl.warehouse.glue.catalog import LEFT, Change, Difference
from stockctl.warehouse.partitions import Values, Wanted
from stockctl.warehouse.spectrum import ddl
from stockctl.warehouse.spectrum.ddl import MADE_BY, Statement, literal
from stockctl.warehouse.tables import TABLES, TRADES_PARQUET, Table, lake_url, location

_APPLY = "`stockctl spectrum apply`"
_ANOTHERS = "made by someone else"
_SAME = {"string": "text", "varchar": "text", "bigint": "integer", "double": "number", "date": "date"}


SOUND = ("there", "ours")
"""The states of what is as the settings say."""


class Standing(NamedTuple):
    """The external schema, one of its tables, or a view, in Redshift; ``partitions`` is None but for a table.

    ``state`` is ``there``, of a view ``ours``, or in what it differs from the settings.
    """

    what: str
    name: str
    state: str
    columns: int
    partitions: int | None
    location: str


class _There(NamedTuple):
    """What Redshift holds: the external schema's database and options, tables and which are ours, views with their comments."""

    schema: tuple[str, str] | None
    locations: dict[str, str]
    ours: frozenset[str]
    columns: dict[str, list[tuple[str, str]]]
    views: dict[str, str]


def look(redshift: Redshift, settings: Settings) -> _There:
    """Ask Redshift's system views for what is there."""
    external, views = literal(settings.redshift.external_schema), literal(settings.redshift.view_schema)
    schemas = redshift.execute(
        f"SELECT databasename, esoptions FROM svv_external_schemas WHERE schemaname = {external}"  # noqa: S608  # a checked name
    )
    tables = redshift.execute(
        f"SELECT tablename, location, parameters FROM svv_external_tables WHERE schemaname = {external}"  # noqa: S608
    )
    columns: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in redshift.execute(
        "SELECT tablename, columnname, external_type FROM svv_external_columns "  # noqa: S608
        f"WHERE schemaname = {external} ORDER BY tablename, columnnum"
    ):
        columns.setdefault(table, []).append((column, kind))
    found = redshift.execute(
        "SELECT c.relname, COALESCE(d.description, '') FROM pg_class AS c "  # noqa: S608
        "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "LEFT JOIN pg_description AS d ON d.objoid = c.oid AND d.objsubid = 0 "
        f"WHERE n.nspname = {views} AND c.relkind = 'v'"
    )
    return _There(
        (str(schemas[0][0]), str(schemas[0][1])) if schemas else None,
        {str(name): str(place or "") for name, place, _ in tables},
        frozenset(str(name) for name, _, properties in tables if ddl.is_ours(str(properties or ""))),
        columns,
        {str(name): str(comment) for name, comment in found},
    )


def partitions(redshift: Redshift, settings: Settings, table: Table) -> dict[Values, str]:
    """The partitions of an external table as Redshift sees them, by their values."""
    found = redshift.execute(
        'SELECT "values", location FROM svv_external_partitions '  # noqa: S608  # checked names
        f"WHERE schemaname = {literal(settings.redshift.external_schema)} AND tablename = {literal(table.name)}"
    )
    return {tuple(map(str, json.loads(values))): str(place) for values, place in found}


def apply(redshift: Redshift, settings: Settings, want: Wanted, *, adopt: bool = False, prune: bool = False) -> list[Change]:
    """Make what is absent and bring ours up to date; what was done. Tables and views of others only with ``adopt``.

    Below an external schema that is left as it is nothing is made: its tables are those of another database, or role.

    Partitions that the lake does not want are dropped only with ``prune``, and where the tables are not Glue's.
    """
    url = lake_url(settings)
    there = look(redshift, settings)
    changes = [_apply_schema(redshift, settings, there)]
    if changes[0].done == LEFT:
        return changes
    if settings.redshift.catalog == "tables":
        for table in TABLES:
            changes += _apply_table(redshift, settings, table, url, want, there, adopt, prune)
    schema = next(item for item in ddl.statements(settings, want) if item.what == "schema")
    redshift.execute(schema.sql)
    compacted = readable(redshift, settings, want)
    return [*changes, *(_apply_view(redshift, settings, view, there, adopt) for view in ddl.views(settings, compacted))]


def readable(redshift: Redshift, settings: Settings, want: Wanted) -> tuple[date, ...]:
    """The compacted dates whose Parquet Redshift sees where it lies. The view reads others raw, or it would miss trades."""
    wanted, known = want.partitions[TRADES_PARQUET.name], partitions(redshift, settings, TRADES_PARQUET)
    seen = {values for values, place in wanted.items() if known.get(values, "").rstrip("/") == place.rstrip("/")}
    return tuple(day for day in want.compacted if (day.isoformat(),) in seen)


def _apply_schema(redshift: Redshift, settings: Settings, there: _There) -> Change:
    statement = ddl.external_schema(settings)
    if there.schema is None:
        redshift.execute(statement.sql)
        return Change(statement.what, statement.name, "made")
    problem = _schema_problem(settings, there)
    detail = f"{problem}: {_drop_schema(settings)}" if problem else ""
    return Change(statement.what, statement.name, LEFT if problem else "unchanged", detail)


def _drop_schema(settings: Settings) -> str:
    return f"DROP SCHEMA {settings.redshift.external_schema}, then apply, or set redshift.external_schema to another"


def _drop_table(settings: Settings, table: Table) -> str:
    return f"DROP TABLE {settings.redshift.external_schema}.{table.name}, then apply"


def _schema_problem(settings: Settings, there: _There) -> str:
    """In what the external schema differs; empty if in nothing."""
    if there.schema is None:
        return "absent"
    database, options = there.schema
    if database != settings.glue.database:
        return f"it is over the database {database}, not {settings.glue.database}"
    role = settings.redshift.role
    if role is not None and role != "default" and role not in options:
        return f"it reads by another role than {role}"
    return ""


def _apply_table(
    redshift: Redshift, settings: Settings, table: Table, url: str, want: Wanted, there: _There, adopt: bool, prune: bool
) -> Iterator[Change]:
    problem = _table_problem(settings, table, url, there)
    if problem == "absent":
        redshift.execute(ddl.external_table(settings, table, url).sql)
        yield Change("external table", table.name, "made")
    elif problem == _ANOTHERS and adopt:
        redshift.execute(ddl.adopt_table(settings, table).sql)
        yield Change("external table", table.name, "adopted")
    elif problem:
        remedy = "`--adopt` takes it over" if problem == _ANOTHERS else _drop_table(settings, table)
        yield Change("external table", table.name, LEFT, f"{problem}: {remedy}")
        return
    else:
        yield Change("external table", table.name, "unchanged")
    known = partitions(redshift, settings, table) if table.name in there.locations else {}
    wanted = want.partitions[table.name]
    # One whose place has changed, as Parquet's does with each compaction, is moved: dropped, its date would miss trades.
    stale = {values for values in wanted.keys() & known.keys() if wanted[values].rstrip("/") != known[values].rstrip("/")}
    foreign = known.keys() - wanted.keys() if prune else set()
    for values in sorted(stale):
        redshift.execute(ddl.move_partition(settings, table, values, wanted[values]).sql)
    for values in sorted(foreign):
        redshift.execute(ddl.drop_partition(settings, table, values).sql)
    missing = {values: place for values, place in wanted.items() if values not in known}
    for statement in ddl.add_partitions(settings, table, missing):
        redshift.execute(statement.sql)
    if missing or stale:
        yield Change("partitions", table.name, "made", f"{len(missing) + len(stale)}, of them {len(stale)} moved")
    if foreign:
        yield Change("partitions", table.name, "deleted", f"{len(foreign)} that the lake does not hold")


def _table_problem(settings: Settings, table: Table, url: str, there: _There) -> str:
    """In what the external table differs; empty if in nothing. Whose those of Glue are is Glue's matter."""
    if table.name not in there.locations:
        return "absent"
    if there.locations[table.name].rstrip("/") != location(url, table.folder).rstrip("/"):
        return f"it lies at {there.locations[table.name]}"
    wanted = [(column.name, str(column.kind)) for column in (*table.columns, *table.keys)]
    have = [(name, _SAME.get(kind.partition("(")[0].split()[0], kind)) for name, kind in there.columns.get(table.name, [])]
    if wanted != have:
        differing = sorted({name for name, _ in set(wanted) ^ set(have)}) or ["their order"]
        return f"its columns differ: {', '.join(differing)}"
    return _ANOTHERS if settings.redshift.catalog == "tables" and table.name not in there.ours else ""


def _apply_view(redshift: Redshift, settings: Settings, view: Statement, there: _There, adopt: bool) -> Change:
    problem = _view_problem(view, there)
    if not problem:
        return Change("view", view.name, "unchanged")
    if problem == _ANOTHERS and not adopt:
        return Change("view", view.name, LEFT, f"{problem}: `--adopt` replaces it")
    redshift.execute(view.sql)
    redshift.execute(ddl.comment(settings, view).sql)
    return Change("view", view.name, "made" if problem == "absent" else "changed")


def _view_problem(view: Statement, there: _There) -> str:
    if view.name not in there.views:
        return "absent"
    if not there.views[view.name].startswith(MADE_BY):
        return _ANOTHERS
    return "" if there.views[view.name] == ddl.fingerprint(view) else "differs"


def differences(redshift: Redshift, settings: Settings, want: Wanted) -> list[Difference]:
    """In what schema, tables, partitions and views differ from the settings and from the lake; nothing is changed."""
    url = lake_url(settings)
    there = look(redshift, settings)
    found: list[Difference] = []
    if problem := _schema_problem(settings, there):
        remedy = _APPLY if problem == "absent" else _drop_schema(settings)
        found.append(Difference("external schema", settings.redshift.external_schema, problem, remedy))
    glues = settings.redshift.catalog == "glue"
    for table in TABLES if there.schema is not None else ():
        problem = _table_problem(settings, table, url, there)
        if problem == "absent":
            found.append(Difference("external table", table.name, problem, "`stockctl glue apply`" if glues else _APPLY))
        elif problem == _ANOTHERS:
            found.append(Difference("external table", table.name, problem, "`stockctl spectrum apply --adopt`"))
        elif problem:
            remedy = "`stockctl glue diff` tells how to mend it in Glue" if glues else _drop_table(settings, table)
            found.append(Difference("external table", table.name, problem, remedy))
        else:
            found += _partition_differences(redshift, settings, table, want)
    for view in ddl.views(settings, readable(redshift, settings, want)):
        if problem := _view_problem(view, there):
            # The dates that were compacted, or reopened by a late claim, stand in the view.
            name = f"{settings.redshift.view_schema}.{view.name}"
            adopt = f"`stockctl spectrum apply --adopt`; where its columns are others, DROP VIEW {name} first"
            remedy = adopt if problem == _ANOTHERS else _APPLY
            found.append(Difference("view", view.name, problem, remedy))
    return found


def _partition_differences(redshift: Redshift, settings: Settings, table: Table, want: Wanted) -> Iterator[Difference]:
    known, wanted = partitions(redshift, settings, table), want.partitions[table.name]
    mend = "stockctl glue sync" if settings.redshift.catalog == "glue" else "stockctl spectrum apply"
    stale = [values for values in wanted.keys() & known.keys() if wanted[values].rstrip("/") != known[values].rstrip("/")]
    for problem, values in (
        ("missing", wanted.keys() - known.keys()),
        ("stale", set(stale)),
        ("foreign", known.keys() - wanted.keys()),
    ):
        if values:
            first = "/".join(min(values))
            prune = " --prune" if problem == "foreign" else ""
            yield Difference("partitions", table.name, f"{len(values)} {problem}, as {first}", f"`{mend}{prune}`")


def standing(redshift: Redshift, settings: Settings, want: Wanted) -> list[Standing]:
    """What is there of the external schema, its tables and the views, in numbers, and whether it is as the settings say."""
    url = lake_url(settings)
    there = look(redshift, settings)
    schema, database = settings.redshift.external_schema, there.schema[0] if there.schema else ""
    rows = [Standing("external schema", schema, _schema_problem(settings, there) or "there", 0, None, database)]
    for table in TABLES:
        state = _table_problem(settings, table, url, there) or "there"
        count = 0 if state == "absent" else len(partitions(redshift, settings, table))
        place = there.locations.get(table.name, "")
        rows.append(Standing("external table", table.name, state, len(there.columns.get(table.name, [])), count, place))
    for view in ddl.views(settings, readable(redshift, settings, want)):
        rows.append(Standing("view", view.name, _view_problem(view, there) or "ours", 0, None, settings.redshift.view_schema))
    return rows
