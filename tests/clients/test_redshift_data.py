"""The Data API, on a double of ours that answers as the service documents: states, pages, typed fields, errors.

moto's Redshift answers invented rows. The double runs statements in DuckDB and hands the rows out in pages of two.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import duckdb
import pytest

from stockctl.clients.redshift.client import connect
from stockctl.errors import ConfigError, RefusedError, TimedOutError, UsageError
from stockctl.settings import Settings, load_settings
from tests.command import clean_environment
from tests.conftest import free_port

PAGE = 2


def field(value: Any) -> dict[str, Any]:
    if value is None:
        return {"isNull": True}
    for kind, name in ((bool, "booleanValue"), (int, "longValue"), (float, "doubleValue")):
        if isinstance(value, kind):
            return {name: value}
    return {"stringValue": str(value)}


class FakeDataApi:
    """Listens at ``url``; ``requests`` holds what was asked. A statement is done when it was looked at twice."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.results: dict[str, dict[str, Any]] = {}
        self.refuses = False
        self.endless = False
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        self.requests.append((action, body))
        number = body.get("Id", f"statement-{len(self.results)}")
        if action == "ExecuteStatement":
            self.results[number] = self._run(body["Sql"]) | {"looks": 0}
            return {"Id": number}
        result = self.results[number]
        if action == "DescribeStatement":
            result["looks"] += 1
            done = result["looks"] > 1 and not self.endless
            details: dict[str, Any] = result["details"]
            return {"Id": number, "Status": result["status"] if done else "STARTED"} | details
        if action == "CancelStatement":
            return {"Status": True}
        start = int(body.get("NextToken", 0))
        rows = result["rows"]
        more = {"NextToken": str(start + PAGE)} if start + PAGE < len(rows) else {}
        return {"ColumnMetadata": result["columns"], "Records": rows[start : start + PAGE], "TotalNumRows": len(rows)} | more

    @staticmethod
    def _run(text: str) -> dict[str, Any]:
        with duckdb.connect() as connection:
            try:
                found = connection.execute(text)
            except duckdb.Error:
                words = 'ERROR: column "prize" does not exist\n  Position: 8'
                return {"status": "FAILED", "details": {"Error": words}, "rows": [], "columns": []}
            kinds = {"DECIMAL(3,2)": "numeric", "INTEGER": "int4", "VARCHAR": "varchar"}
            columns = [
                {"name": name, "label": name, "typeName": kinds.get(str(kind), "float8")}
                for name, kind, *_ in found.description or ()
            ]
            rows = [[field(value) for value in row] for row in found.fetchall()]
        return {"status": "FINISHED", "details": {"HasResultSet": bool(columns)}, "rows": rows, "columns": columns}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                action = self.headers["X-Amz-Target"].partition(".")[2]
                if fake.refuses:
                    self._send(400, {"__type": "AccessDeniedException", "message": f"not authorized: redshift-data:{action}"})
                else:
                    self._send(200, fake.answer(action, body))

            def _send(self, status: int, document: dict[str, Any]) -> None:
                data = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def fake() -> Iterator[FakeDataApi]:
    fake = FakeDataApi()
    yield fake
    fake.close()


def settings(fake: FakeDataApi, **more: str) -> Settings:
    flags = {
        "redshift.via": "data-api",
        "redshift.workgroup": "analysts",
        "redshift.endpoint_url": fake.url,
        "s3.region": "us-east-1",
        "s3.access_key_id": "anyone",
        "s3.secret_access_key": "any-secret",
    }
    return load_settings(
        environ=clean_environment(), flags=flags | {name.replace("__", "."): value for name, value in more.items()}
    )


def test_rows_come_page_by_page_with_their_types(fake: FakeDataApi) -> None:
    with connect(settings(fake)) as redshift:
        columns, rows = redshift.query(
            "SELECT n, n / 2.0 AS half, NULL AS nothing, 'é' AS txt, n > 2 AS big, 1.25 AS num FROM range(1, 6) AS t(n)"
        )
        assert columns == ("n", "half", "nothing", "txt", "big", "num")
        assert next(rows) == (1, 0.5, None, "é", False, 1.25)
        asked = [action for action, _ in fake.requests]
        assert asked.count("GetStatementResult") == 1, "the next page is fetched when it is needed"
        assert [row[0] for row in rows] == [2, 3, 4, 5]
    assert [action for action, _ in fake.requests].count("GetStatementResult") == 3
    sent = dict(fake.requests)["ExecuteStatement"]
    assert (sent["WorkgroupName"], sent["Database"]) == ("analysts", "dev")


def test_a_statement_without_an_answer_gives_no_rows(fake: FakeDataApi) -> None:
    with connect(settings(fake)) as redshift:
        fake.results.clear()
        assert redshift.execute("SELECT 1 WHERE false") == []


def test_an_error_marks_its_place(fake: FakeDataApi) -> None:
    with connect(settings(fake)) as redshift, pytest.raises(UsageError) as caught:
        redshift.query("SELECT prize FROM range(3)")
    assert str(caught.value).endswith('column "prize" does not exist\n  line 1: SELECT prize FROM range(3)\n                 ^')


def test_a_statement_that_does_not_end_is_cancelled(fake: FakeDataApi) -> None:
    fake.endless = True
    with connect(settings(fake, redshift__timeout="300ms")) as redshift, pytest.raises(TimedOutError, match="was cancelled"):
        redshift.execute("SELECT 1")
    assert fake.requests[-1][0] == "CancelStatement"


def test_missing_rights_are_a_refusal(fake: FakeDataApi) -> None:
    fake.refuses = True
    with connect(settings(fake)) as redshift, pytest.raises(RefusedError, match="not authorized"):
        redshift.execute("SELECT 1")


def test_a_cluster_is_named_with_its_user_or_its_secret(fake: FakeDataApi) -> None:
    cluster = {"redshift__workgroup": "", "redshift__cluster": "warehouse", "redshift__user": "ann"}
    own_settings = settings(fake, **cluster)
    flagless = own_settings.model_copy(update={"redshift": own_settings.redshift.model_copy(update={"workgroup": None})})
    with connect(flagless) as redshift:
        redshift.execute("SELECT 1")
    sent = dict(fake.requests)["ExecuteStatement"]
    assert (sent["ClusterIdentifier"], sent["DbUser"]) == ("warehouse", "ann")
    assert "WorkgroupName" not in sent


def test_without_a_name_it_says_what_is_missing(fake: FakeDataApi) -> None:
    own_settings = settings(fake)
    with pytest.raises(ConfigError, match="needs the name"):
        connect(own_settings.model_copy(update={"redshift": own_settings.redshift.model_copy(update={"workgroup": None})}))
