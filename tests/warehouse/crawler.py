"""A Glue for tests: the catalog is moto's, the crawlers are a double of ours in front of it.

moto's crawlers change their state and find nothing. The double does what the service documents for a crawler with a catalog
target: it lists the table's location, makes the partitions that are absent, with the table's own descriptor
(InheritFromTable), and changes and deletes nothing (LOG). It refuses as the service does: a crawler that runs cannot be
started, changed or deleted. One that looks at folders makes a table of each. A run ends when it was looked at ``looks`` times.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3

from tests.command import HANG
from tests.conftest import free_port

Document = dict[str, Any]


class Refusal(Exception):
    """An error of the service: its code and words."""


class FakeGlue:
    """Listens at ``url`` and passes every request that is not about crawlers to ``moto``.

    ``keys_in`` lists the keys of the objects below an S3 address. ``fails`` has, by crawler, the error message of its runs.
    ``requests`` holds the name and body of each request, ``denied`` the names of those that are denied, and
    ``before`` functions that are called once, before the next request of a name.
    """

    def __init__(self, moto: str, keys_in: Callable[[str], Iterable[str]]) -> None:
        self.moto = moto
        self.keys_in = keys_in
        self.crawlers: dict[str, Document] = {}
        self.left: dict[str, int] = {}
        self.looks = 2
        self.fails: dict[str, str] = {}
        self.requests: list[tuple[str, Document]] = []
        self.denied: set[str] = set()
        self.before: dict[str, Callable[[], None]] = {}
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    def named(self, name: str) -> list[Document]:
        """Bodies of the requests of that name."""
        return [body for action, body in self.requests if action == name]

    def admit(self, action: str, body: Document) -> None:
        """Refuse what is denied, and what is beyond the service's limits."""
        if action in self.denied:
            raise Refusal("AccessDeniedException", f"not authorized to perform: glue:{action}")
        field, most = _LIMITS.get(action, ("", 0))
        if field and len(body[field]) > most:
            raise Refusal("ValidationException", f"{field} has more than {most} members")

    def answer(self, action: str, body: Document) -> Document:
        """The answer to a crawler's action. Refusal as the service refuses."""
        name = body.get("Name", "")
        if action == "GetCrawlerMetrics":
            return {"CrawlerMetricsList": [{"CrawlerName": name, "TimeLeftSeconds": 30.0} for name in body["CrawlerNameList"]]}
        if action == "CreateCrawler":
            if name in self.crawlers:
                raise Refusal("AlreadyExistsException", f"Crawler {name} already exists")
            self._put(body)
            return {}
        if name not in self.crawlers:
            raise Refusal("EntityNotFoundException", f"Crawler {name} not found")
        crawler = self.crawlers[name]
        if action == "GetCrawler":
            self._look(crawler)
            return {"Crawler": crawler}
        if crawler["State"] != "READY":
            raise Refusal("CrawlerRunningException", f"Crawler with name {name} has already started")
        if action == "UpdateCrawler":
            self._put(crawler | body)
        elif action == "DeleteCrawler":
            del self.crawlers[name]
        elif action == "StartCrawler":
            crawler["State"] = "RUNNING"
            self.left[name] = self.looks
        return {}

    def _put(self, body: Document) -> None:
        targets = body["Targets"]
        if targets.get("CatalogTargets") and body.get("SchemaChangePolicy", {}).get("DeleteBehavior") != "LOG":
            raise Refusal("InvalidInputException", "The DeleteBehavior of a crawler with catalog targets must be LOG")
        if targets.get("CatalogTargets") and targets.get("S3Targets"):
            raise Refusal("InvalidInputException", "A crawler has either catalog targets or others")
        schedule = body.get("Schedule")
        if isinstance(schedule, str):
            body = body | {"Schedule": {"ScheduleExpression": schedule, "State": "SCHEDULED"} if schedule else None}
        self.crawlers[body["Name"]] = {"State": "READY"} | body

    def _look(self, crawler: Document) -> None:
        if crawler["State"] != "RUNNING":
            return
        self.left[crawler["Name"]] -= 1
        if self.left[crawler["Name"]] > 0:
            return
        crawler["State"] = "READY"
        logs = {"LogGroup": "/aws-glue/crawlers", "LogStream": crawler["Name"]}
        if crawler["Name"] in self.fails:
            crawler["LastCrawl"] = {"Status": "FAILED", "ErrorMessage": self.fails[crawler["Name"]]} | logs
            return
        for target in crawler["Targets"].get("CatalogTargets", ()):
            for table in target["Tables"]:
                self._crawl(target["DatabaseName"], table)
        for target in crawler["Targets"].get("S3Targets", ()):
            self._discover(crawler["DatabaseName"], crawler["TablePrefix"], target["Path"])
        crawler["LastCrawl"] = {"Status": "SUCCEEDED"} | logs

    def _catalog(self) -> Any:
        return boto3.client(
            "glue", endpoint_url=self.moto, region_name="us-east-1", aws_access_key_id="double", aws_secret_access_key="double"
        )

    def _discover(self, database: str, prefix: str, place: str) -> None:
        """Make the table of the folder ``place``, named and keyed as its folders are, and its partitions."""
        first = next(iter(self.keys_in(place)), None)
        if first is None:
            return
        name = prefix + place.rstrip("/").rpartition("/")[2]
        glue = self._catalog()
        if name not in [table["Name"] for table in glue.get_tables(DatabaseName=database)["TableList"]]:
            keys = [{"Name": folder.partition("=")[0], "Type": "string"} for folder in first.split("/")[:-1]]
            descriptor = {"Columns": [], "Location": place}
            glue.create_table(
                DatabaseName=database, TableInput={"Name": name, "StorageDescriptor": descriptor, "PartitionKeys": keys}
            )
        glue.close()
        self._crawl(database, name)

    def _crawl(self, database: str, name: str) -> None:
        glue = self._catalog()
        table = glue.get_table(DatabaseName=database, Name=name)["Table"]
        descriptor, keys = table["StorageDescriptor"], [key["Name"] for key in table["PartitionKeys"]]
        there = glue.get_partitions(DatabaseName=database, TableName=name)["Partitions"]
        known = {tuple(item["Values"]) for item in there}
        found: dict[tuple[str, ...], str] = {}
        for key in self.keys_in(descriptor["Location"]):
            folders = key.split("/")[:-1]
            named = [folder.partition("=") for folder in folders]
            if [key for key, _, _ in named] == keys:
                # The service leaves out the slash at the end.
                found[tuple(value for _, _, value in named)] = descriptor["Location"] + "/".join(folders)
        new = [
            {"Values": list(values), "StorageDescriptor": descriptor | {"Location": place}}
            for values, place in found.items()
            if values not in known
        ]
        for start in range(0, len(new), 100):
            glue.batch_create_partition(DatabaseName=database, TableName=name, PartitionInputList=new[start : start + 100])
        glue.close()


_OURS = {"CreateCrawler", "UpdateCrawler", "DeleteCrawler", "StartCrawler", "GetCrawler", "GetCrawlerMetrics"}
_LIMITS = {
    "BatchCreatePartition": ("PartitionInputList", 100),
    "BatchUpdatePartition": ("Entries", 100),
    "BatchDeletePartition": ("PartitionsToDelete", 25),
}
"""The limits of the service, which moto does not enforce."""


def _handler(fake: FakeGlue) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body are two writes: the second would wait for the other side's delayed acknowledgement.
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            service, _, action = self.headers.get("X-Amz-Target", "").partition(".")
            if service != "AWSGlue":
                self._pass(data)
                return
            body = json.loads(data)
            fake.requests.append((action, body))
            if (first := fake.before.pop(action, None)) is not None:
                first()
            try:
                fake.admit(action, body)
                if action in _OURS:
                    self._send(200, fake.answer(action, body))
                else:
                    self._pass(data)
            except Refusal as refusal:
                code, words = refusal.args
                self._send(400, {"__type": code, "message": words})

        def _pass(self, data: bytes) -> None:
            connection = http.client.HTTPConnection(fake.moto.removeprefix("http://"), timeout=HANG)
            connection.request("POST", self.path, data, dict(self.headers))
            answer = connection.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() in ("content-type", "x-amzn-errortype"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            connection.close()

        def _send(self, status: int, document: Document) -> None:
            body = json.dumps(document, default=str).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
