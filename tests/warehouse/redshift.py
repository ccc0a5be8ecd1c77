"""A Redshift for tests: PostgreSQL behind a proxy that speaks Redshift's start-up.

The driver's real protocol runs: login, statements, cursors, transactions, errors. The proxy drops the start-up parameters
that PostgreSQL does not know, and answers with Redshift's version. Of Spectrum it knows what the strict parser does: it keeps
book of external schemas, tables and partitions in tables named as Redshift's system views, and makes an ordinary table for each
external one. Whatever external statement the parser refuses is refused.
"""
# ruff: noqa: S608  # what is put into these statements was parsed, and is the tests' own

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tests.command import HANG
from tests.conftest import free_port
from tests.warehouse.parser import Garbage, Parsed, parse

_KNOWN = {b"user", b"database", b"application_name", b"options", b"client_encoding"}
_SSL = 80877103
_DROP = re.compile(r"DROP (?:SCHEMA (\w+)|TABLE (\w+)\.(\w+))")

SYSTEM_VIEWS = """
CREATE TABLE svv_external_schemas (schemaname text PRIMARY KEY, databasename text, esoptions text);
CREATE TABLE svv_external_tables (schemaname text, tablename text, location text, parameters text,
    PRIMARY KEY (schemaname, tablename));
CREATE TABLE svv_external_columns (schemaname text, tablename text, columnname text, external_type text, columnnum int);
CREATE TABLE svv_external_partitions (schemaname text, tablename text, "values" text, location text,
    PRIMARY KEY (schemaname, tablename, "values"));
"""


class Postgres:
    """PostgreSQL with a user ``analyst`` and its password, in a folder of its own that only its owner sees."""

    PASSWORD = "analyst-password"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="stockctl-postgres-"))
        self.port = free_port()
        # Root may not run it: then Debian's own user does.
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(self.folder, "postgres")
        self._bin = self._find()
        self._run("initdb", "-D", str(self.folder / "data"), "-U", "owner", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        lines = f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = ''\nfsync = off\n"
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.write(lines)
        (self.folder / "data" / "pg_hba.conf").write_text(
            "host all owner 127.0.0.1/32 trust\nhost all analyst 127.0.0.1/32 md5\nhost all all 127.0.0.1/32 md5\n"
        )
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.write("password_encryption = md5\n")
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-l", str(self.folder / "log"), "-w", "start")
        self.sql("postgres", f"CREATE ROLE analyst LOGIN CREATEDB PASSWORD '{self.PASSWORD}'")

    @staticmethod
    def _find() -> Path:
        found = shutil.which("initdb")
        candidates = [Path(found).parent] if found else []
        candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
        for folder in candidates:
            if (folder / "initdb").exists():
                return folder
        pytest.fail("PostgreSQL stands in for Redshift's wire, and there is no initdb: install the package postgresql")

    def _run(self, program: str, *arguments: str) -> None:
        # pg_ctl's server keeps the pipes that it inherits: what it says goes to a file.
        with tempfile.TemporaryFile("w+") as output:
            command = [*self._as, str(self._bin / program), *arguments]
            result = subprocess.run(command, stdout=output, stderr=output, cwd="/", timeout=HANG)
            output.seek(0)
            assert result.returncode == 0, f"{program}: {output.read()}"

    def sql(self, database: str, text: str) -> str:
        """Run statements as the owner; what psql says."""
        command = [
            "psql",
            "-X",
            "-q",
            "-At",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            "owner",
            database,
        ]
        result = subprocess.run(command, input=text, capture_output=True, text=True, timeout=HANG)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def stop(self) -> None:
        """Stop it and remove its data."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)


class FakeRedshift:
    """The proxy; ``statements`` are the statements that it received, ``startups`` the parameters of each login."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.statements: list[str] = []
        self.startups: list[dict[str, str]] = []
        self.database = ""
        self._open: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more, and cut all connections."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Cut all connections in the middle of whatever they do."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError, EOFError):
            while True:
                (length,) = struct.unpack("!i", _read(client, 4))
                body = _read(client, length - 4)
                (code,) = struct.unpack("!i", body[:4])
                if code != _SSL:
                    break
                client.sendall(b"N")
            parts = body[4:].split(b"\0")
            pairs = [(key, value) for key, value in zip(parts[0::2], parts[1::2], strict=False) if key]
            self.startups.append({key.decode(): value.decode() for key, value in pairs})
            kept = b"".join(key + b"\0" + value + b"\0" for key, value in pairs if key in _KNOWN) + b"\0"
            server = socket.create_connection(("127.0.0.1", self.postgres.port))
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open += [client, server]
            server.sendall(struct.pack("!ii", len(kept) + 8, code) + kept)
            threading.Thread(target=self._down, args=(server, client), daemon=True).start()
            self._up(client, server)

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        """Pass the client's messages on, statements as PostgreSQL can run them."""
        while True:
            kind = _read(client, 1)
            (length,) = struct.unpack("!i", _read(client, 4))
            body = _read(client, length - 4)
            if kind == b"P":
                name, text, rest = body.split(b"\0", 2)
                body = b"\0".join([name, self._statement(text.decode()).encode(), rest])
            server.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def _statement(self, text: str) -> str:
        self.statements.append(text)
        if text.startswith(("CREATE EXTERNAL", "ALTER TABLE")):
            try:
                return _bookkeeping(parse(text))
            except Garbage as error:
                return f"DO $$ BEGIN RAISE EXCEPTION 'syntax error: {str(error).replace(chr(39), '')}'; END $$"
        if dropped := _DROP.fullmatch(text):
            return _dropped(dropped[1] or dropped[2], dropped[3])
        # PostgreSQL takes settings that it does not know if their names have a dot.
        return text.replace("SET enable_", "SET redshift.enable_").removesuffix("\nWITH NO SCHEMA BINDING")

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        with server, suppress(OSError, EOFError):
            ready = False
            while True:
                kind = _read(server, 1)
                (length,) = struct.unpack("!i", _read(server, 4))
                body = _read(server, length - 4)
                if not ready and kind == b"S" and body.startswith(b"server_version\0"):
                    body = b"server_version\x008.0.2\0"
                ready = ready or kind == b"Z"
                client.sendall(kind + struct.pack("!i", len(body) + 4) + body)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


def _read(sock: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        some = sock.recv(length - len(data))
        if not some:
            raise EOFError
        data += some
    return data


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _bookkeeping(found: Parsed) -> str:
    """The replacement for a Spectrum statement in PostgreSQL."""
    schema, table = _quoted(found.schema), _quoted(found.table)
    if found.kind == "schema":
        options = _quoted('{"IAM_ROLE":"' + found.options["role"] + '"}')
        database = _quoted(found.options["database"])
        done = [
            f"INSERT INTO svv_external_schemas VALUES ({schema}, {database}, {options}) ON CONFLICT DO NOTHING",
            f"CREATE SCHEMA IF NOT EXISTS {found.schema}",
        ]
    elif found.kind == "table":
        columns = [*found.columns, *found.keys]
        kept = _quoted(json.dumps(found.properties))
        done = [f"INSERT INTO svv_external_tables VALUES ({schema}, {table}, {_quoted(found.location)}, {kept})"]
        done += [
            f"INSERT INTO svv_external_columns VALUES ({schema}, {table}, {_quoted(name)}, {_quoted(kind)}, {number})"
            for number, (name, kind) in enumerate(columns)
        ]
        done.append(
            f"CREATE TABLE {found.schema}.{found.table} ("
            + ", ".join(f'"{name}" {"text" if kind.startswith("varchar") else kind}' for name, kind in columns)
            + ")"
        )
    elif found.kind == "properties":
        kept = f"(COALESCE(parameters, '{{}}')::jsonb || {_quoted(json.dumps(found.properties))})::text"
        done = [f"UPDATE svv_external_tables SET parameters = {kept} WHERE schemaname = {schema} AND tablename = {table}"]
    else:
        done = []
        for values, place in found.partitions:
            listed = _quoted("[" + ",".join(f'"{value}"' for value in values) + "]")
            book = "svv_external_partitions"
            where = f'WHERE schemaname = {schema} AND tablename = {table} AND "values" = {listed}'
            if found.kind == "drop":
                done.append(f"DELETE FROM {book} {where}")
            elif found.kind == "move":
                done.append(f"UPDATE {book} SET location = {_quoted(place)} {where}")
            else:
                place = _quoted(place)
                done.append(f"INSERT INTO {book} VALUES ({schema}, {table}, {listed}, {place}) ON CONFLICT DO NOTHING")
    return "DO $$ BEGIN " + " ".join(f"{statement};" for statement in done) + " END $$"


def _dropped(schema: str, table: str | None) -> str:
    """Delete an external table or the external schema from the system views. The tables of a schema stay in its database."""
    if table is None:
        done = f"DELETE FROM svv_external_schemas WHERE schemaname = {_quoted(schema)};"
    else:
        where = f"WHERE schemaname = {_quoted(schema)} AND tablename = {_quoted(table)}"
        books = ("tables", "columns", "partitions")
        done = "".join(f"DELETE FROM svv_external_{book} {where};" for book in books)
        # Redshift's views, which have no binding, would stay.
        done += f"DROP TABLE {schema}.{table} CASCADE;"
    return f"DO $$ BEGIN {done} END $$"
