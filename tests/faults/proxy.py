"""An HTTP proxy in front of the S3 server, whose rules inject faults at one step of the writer's protocol.

A rule waits for the n-th request whose method and key match it. Signatures stay valid, because the host header is passed on.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from tests.conftest import wait_for

Action = Literal["hold", "hold the answer", "lose", "lose the answer", "answer"]

CLAIM = r"_log/trades/g\d+/\d+/\d+\.json"
OBJECT = r"/trades/trade_date="


class Rule:
    """What happens to the requests from number ``nth`` to ``nth + times - 1`` of those that match.

    ``hold`` waits for ``release`` before the request is passed on, ``hold the answer`` after; ``lose`` cuts the connection
    instead of passing it on, ``lose the answer`` after; ``answer`` gives ``status`` without passing it on.
    """

    def __init__(self, method: str, pattern: str, action: Action, *, nth: int = 1, times: int = 1, status: int = 0) -> None:
        self.method, self.pattern, self.action, self.status = method, re.compile(pattern), action, status
        self._numbers = range(nth, nth + times)
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._passes_on = False
        self.matched = 0
        self.hits = 0
        """The number of requests that got the fault."""

    def matches(self, method: str, path: str) -> bool:
        """Whether the rule applies to this request; counts it."""
        if method != self.method or not self.pattern.search(path):
            return False
        with self._lock:
            self.matched += 1
            hit = self.matched in self._numbers
            self.hits += hit
        return hit

    def reached(self) -> None:
        """Wait until the rule has injected its fault."""
        wait_for(lambda: self.hits, f"a {self.method} of {self.pattern.pattern}")

    def release(self, *, passes_on: bool = True) -> None:
        """Let what is held go on, or be lost; later requests are not held."""
        self._passes_on = passes_on
        self._released.set()

    def wait(self) -> bool:
        """Wait for the release; whether the request is to be passed on."""
        self._released.wait()
        return self._passes_on


class Proxy:
    """Passes requests on to the S3 server at ``upstream``, except where a rule injects a fault."""

    def __init__(self, upstream: str) -> None:
        self._rules: list[Rule] = []
        self.requests: list[tuple[str, str]] = []
        """Method and path of every request, in the order of their arrival."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, urlsplit(upstream).netloc))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def rule(self, method: str, pattern: str, action: Action, *, nth: int = 1, times: int = 1, status: int = 0) -> Rule:
        """Add a rule; the first one that applies decides."""
        rule = Rule(method, pattern, action, nth=nth, times=times, status=status)
        self._rules.append(rule)
        return rule

    def clear(self, *, passes_on: bool = False) -> None:
        """Take all rules away; what they hold is lost, or passed on now."""
        rules, self._rules = self._rules, []
        for rule in rules:
            rule.release(passes_on=passes_on)

    def rule_for(self, method: str, path: str) -> Rule | None:
        """The rule that applies to this request, if any."""
        self.requests.append((method, path))
        return next((rule for rule in list(self._rules) if rule.matches(method, path)), None)

    def close(self) -> None:
        """Stop; what is held is lost."""
        self.clear()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(proxy: Proxy, upstream: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            rule = proxy.rule_for(self.command, unquote(self.path))
            action = rule.action if rule is not None else None
            if rule is not None and (action == "lose" or (action == "hold" and not rule.wait())):
                self.close_connection = True
                return
            if rule is not None and action == "answer":
                self._answer(rule.status, _error(rule.status))
                return
            with _sent(upstream, self.command, self.path, self.headers.items(), body) as response:
                data = response.read()
            if rule is not None and (action == "lose the answer" or (action == "hold the answer" and not rule.wait())):
                self.close_connection = True
                return
            self._answer(response.status, data, response.getheaders())

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass

        def _answer(self, status: int, data: bytes, headers: list[tuple[str, str]] | None = None) -> None:
            try:
                self.send_response_only(status)
                length = str(len(data))
                for name, value in headers or []:
                    if name.lower() == "content-length" and self.command == "HEAD":
                        length = value
                    elif name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", length)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)
            except OSError:
                self.close_connection = True  # the writer is dead: that is what the tests do to it

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                self.close_connection = True

        def log_message(self, *_arguments: Any) -> None:
            """The tests look at ``requests``."""

    return Handler


@contextmanager
def _sent(upstream: str, method: str, path: str, headers: Any, body: bytes) -> Iterator[HTTPResponse]:
    connection = HTTPConnection(upstream, timeout=60)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            if name.lower() != "connection":
                connection.putheader(name, value)
        connection.endheaders(body or None)
        yield connection.getresponse()
    finally:
        connection.close()


def _error(status: int) -> bytes:
    code = {500: "InternalError", 503: "SlowDown", 409: "ConditionalRequestConflict"}[status]
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>injected fault</Message></Error>'.encode()
