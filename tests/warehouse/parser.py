"""A strict parser of Spectrum's DDL statements: it rejects everything else.

General SQL parsers take external tables for opaque commands, and garbage in them for granted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

_Item = TypeVar("_Item")
_TOKEN = re.compile(
    r"\s+|(?P<literal>'(?:[^']|'')*')|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<quoted>\"[a-z_]+\")|(?P<number>\d+)|(?P<sign>[().,=])"
)
_RESERVED = {"offset", "open", "order", "partition", "tag", "timestamp", "to", "top", "user", "when", "where", "with"}
"""Words, among those that a column may be called, that Redshift takes for a name only in quotes."""
_TYPES = {"varchar", "bigint", "double", "date"}


class Garbage(ValueError):
    """The text is not one of the statements."""


@dataclass
class Parsed:
    """A parsed statement; fields that its kind does not have are empty."""

    kind: str
    schema: str = ""
    table: str = ""
    options: dict[str, str] = field(default_factory=dict)
    columns: list[tuple[str, str]] = field(default_factory=list)
    keys: list[tuple[str, str]] = field(default_factory=list)
    serde: str = ""
    serde_options: dict[str, str] = field(default_factory=dict)
    stored: str = ""
    location: str = ""
    properties: dict[str, str] = field(default_factory=dict)
    partitions: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    partition_keys: list[str] = field(default_factory=list)


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        place = 0
        while place < len(text):
            found = _TOKEN.match(text, place)
            if found is None:
                raise Garbage(f"no token at {text[place : place + 20]!r}")
            if found.lastgroup is not None:
                self.tokens.append((found.lastgroup, found[0]))
            place = found.end()
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at][1].upper() if self.at < len(self.tokens) else ""

    def take(self, group: str) -> str:
        if self.at >= len(self.tokens) or self.tokens[self.at][0] != group:
            raise Garbage(f"a {group} is wanted at {self.tokens[self.at : self.at + 3]}")
        self.at += 1
        return self.tokens[self.at - 1][1]

    def words(self, text: str) -> None:
        for word in text.split():
            if self.peek() != word:
                raise Garbage(f"{word} is wanted at {self.tokens[self.at : self.at + 3]}")
            self.at += 1

    def literal(self) -> str:
        return self.take("literal")[1:-1].replace("''", "'")

    def name(self) -> str:
        found = self.take("word")
        if found != found.lower():
            raise Garbage(f"{found} is no plain name")
        return found

    def listed(self, item: Callable[[], _Item]) -> list[_Item]:
        self.words("(")
        found = [item()]
        while self.peek() == ",":
            self.words(",")
            found.append(item())
        self.words(")")
        return found

    def column(self) -> tuple[str, str]:
        is_quoted = self.at < len(self.tokens) and self.tokens[self.at][0] == "quoted"
        name = self.take("quoted").strip('"') if is_quoted else self.name()
        if name in _RESERVED and not is_quoted:
            raise Garbage(f"{name} is a reserved word")
        kind = self.name()
        if kind not in _TYPES:
            raise Garbage(f"{kind} is no type")
        if kind == "double":
            self.words("PRECISION")
            kind = "double precision"
        if kind == "varchar":
            self.words("(")
            kind = f"varchar({self.take('number')})"
            self.words(")")
        return name, kind

    def pair(self) -> tuple[str, str]:
        key = self.literal()
        self.words("=")
        return key, self.literal()

    def key_value(self) -> tuple[str, str]:
        key = self.name()
        self.words("=")
        return key, self.literal()


def parse(text: str) -> Parsed:
    """Parse the whole statement. Garbage if it is not valid."""
    reader = _Reader(text)
    if reader.peek() == "ALTER":
        found = _alter(reader)
    else:
        reader.words("CREATE EXTERNAL")
        found = _schema(reader) if reader.peek() == "SCHEMA" else _table(reader)
    if reader.at != len(reader.tokens):
        raise Garbage(f"more than a statement: {reader.tokens[reader.at :][:3]}")
    return found


def _schema(reader: _Reader) -> Parsed:
    reader.words("SCHEMA IF NOT EXISTS")
    found = Parsed("schema", schema=reader.name())
    reader.words("FROM DATA CATALOG DATABASE")
    found.options["database"] = reader.literal()
    reader.words("REGION")
    found.options["region"] = reader.literal()
    reader.words("IAM_ROLE")
    if reader.peek() == "DEFAULT":
        reader.words("DEFAULT")
        found.options["role"] = "default"
    else:
        found.options["role"] = reader.literal()
    if reader.peek() == "CREATE":
        reader.words("CREATE EXTERNAL DATABASE IF NOT EXISTS")
        found.options["create"] = "yes"
    return found


def _table(reader: _Reader) -> Parsed:
    reader.words("TABLE")
    found = Parsed("table", schema=reader.name())
    reader.words(".")
    found.table = reader.name()
    found.columns = reader.listed(reader.column)
    reader.words("PARTITIONED BY")
    found.keys = reader.listed(reader.column)
    if reader.peek() == "ROW":
        reader.words("ROW FORMAT SERDE")
        found.serde = reader.literal()
        reader.words("WITH SERDEPROPERTIES")
        found.serde_options = dict(reader.listed(reader.pair))
    reader.words("STORED AS")
    found.stored = reader.take("word")
    if found.stored not in ("TEXTFILE", "PARQUET"):
        raise Garbage(f"{found.stored} is no form")
    reader.words("LOCATION")
    found.location = reader.literal()
    reader.words("TABLE PROPERTIES")
    found.properties = dict(reader.listed(reader.pair))
    names = [name for name, _ in (*found.columns, *found.keys)]
    if len(set(names)) != len(names):
        raise Garbage("a name stands twice")
    return found


def _alter(reader: _Reader) -> Parsed:
    reader.words("ALTER TABLE")
    found = Parsed("partitions", schema=reader.name())
    reader.words(".")
    found.table = reader.name()
    if reader.peek() == "DROP":
        reader.words("DROP PARTITION")
        pairs = reader.listed(reader.key_value)
        found.kind = "drop"
        found.partition_keys = [key for key, _ in pairs]
        found.partitions = [(tuple(value for _, value in pairs), "")]
        return found
    if reader.peek() == "PARTITION":
        reader.words("PARTITION")
        pairs = reader.listed(reader.key_value)
        reader.words("SET LOCATION")
        found.kind = "move"
        found.partition_keys = [key for key, _ in pairs]
        found.partitions = [(tuple(value for _, value in pairs), reader.literal())]
        return found
    if reader.peek() == "SET":
        reader.words("SET TABLE PROPERTIES")
        found.kind = "properties"
        found.properties = dict(reader.listed(reader.pair))
        return found
    reader.words("ADD IF NOT EXISTS")
    while True:
        reader.words("PARTITION")
        pairs = reader.listed(reader.key_value)
        found.partition_keys = [key for key, _ in pairs]
        reader.words("LOCATION")
        found.partitions.append((tuple(value for _, value in pairs), reader.literal()))
        if reader.peek() != "PARTITION":
            return found
