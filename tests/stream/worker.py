"""A small stand-in for a worker of Kafka Connect: real HTTP, a connector in memory, and answers that a test sets."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from stockctl.stream.kafka_connect.config import CONVERTER_CLASS, SINK_CLASS


class Worker:
    """Answers as a worker does. A test sets what it answers next."""

    def __init__(self) -> None:
        self.configs: dict[str, dict[str, str]] = {}
        self.states = ["RUNNING"]
        """States of the tasks."""
        self.state = "RUNNING"
        """State of the connector."""
        self.trace = ""
        self.heals = False
        """Whether a restart makes all run."""
        self.classes = [SINK_CLASS, CONVERTER_CLASS]
        self.cluster = ""
        self.errors: dict[str, list[str]] = {}
        """What it finds wrong with a configuration, by the setting's name."""
        self.answers: list[tuple[int, Any]] = []
        """Status and body of the next answers, before it answers by itself again; text is sent as text."""
        self.busy: list[str] = []
        """Methods and last parts of the path (``GET tasks``) of which the next request is refused, as in a rebalance."""
        self.asked: list[str] = []
        """Method and path of every request."""
        worker = self

        class Handler(BaseHTTPRequestHandler):
            def _handle(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                worker.asked.append(f"{self.command} {self.path}")
                status, said = worker.answers.pop(0) if worker.answers else worker._answer(self.command, self.path, body)
                data = said.encode() if isinstance(said, str) else b"" if said is None else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if isinstance(said, str) else "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_DELETE = _handle

            def log_message(self, *_arguments: Any) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        parts = path.split("?")[0].strip("/").split("/")
        if (asked := f"{method} {parts[-1]}") in self.busy:
            self.busy.remove(asked)
            return 409, {"message": "rebalance in process"}
        if parts == [""]:
            return 200, {"version": "4.3.1", "kafka_cluster_id": self.cluster}
        if parts[0] == "connector-plugins":
            if len(parts) == 1:
                shown = self.classes if "connectorsOnly=false" in path else self.classes[:1]
                return 200, [{"class": name} for name in shown]
            return 200, {"configs": [{"value": {"name": name, "errors": said}} for name, said in self.errors.items()]}
        name = parts[1]
        if (method, parts[-1]) == ("PUT", "config"):
            self.configs[name] = body
            return 201, {}
        if name not in self.configs:
            return 404, {"error_code": 404, "message": f"Connector {name} not found"}
        if method == "DELETE":
            del self.configs[name]
            return 204, None
        if parts[-1] == "restart":
            self.states = ["RUNNING"] if self.heals else self.states
            return 202, {}
        if parts[-1] == "resume":
            self.state = "RUNNING"
            return 202, None
        if parts[-1] == "config":
            return 200, self.configs[name]
        if parts[-1] == "tasks":
            return 200, [{"config": self.configs[name]} for _ in self.states]
        tasks = [
            {"id": number, "state": state, "worker_id": "w:1", "trace": self.trace} for number, state in enumerate(self.states)
        ]
        return 200, {"connector": {"state": self.state, "worker_id": "w:1"}, "tasks": tasks}

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
