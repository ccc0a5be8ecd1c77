"""Handles requests before the WebSocket handshake: authentication, and plain HTTP on the same port."""

from __future__ import annotations

import http
import logging
from collections.abc import Callable, Collection
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from stockctl.errors import StockctlError, UsageError
from stockctl.sim.faults import Fault, parse_command
from stockctl.sim.rest import RestApi

logger = logging.getLogger("stockctl.sim")


class RequestHandler:
    """Answers plain HTTP requests, and accepts or refuses WebSocket handshakes.

    ``tokens`` are the accepted keys; None accepts any that is not empty. ``GET /counters`` returns ``counters()``,
    ``GET /control/KIND[:ARGUMENT]`` calls ``apply`` with a fault. ``on_refusal`` is called for each refused handshake. ``rest``
    answers requests of the REST API.
    """

    def __init__(
        self,
        tokens: Collection[str] | None,
        counters: Callable[[], object],
        apply: Callable[[Fault], None],
        on_refusal: Callable[[], None],
        rest: RestApi,
    ) -> None:
        self.refusals: list[int] = []
        """HTTP statuses of the next refused handshakes."""
        self._tokens = tokens
        self._counters = counters
        self._apply = apply
        self._on_refusal = on_refusal
        self._rest = rest

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """The response to a plain request or a refused handshake. None accepts the handshake."""
        path = urlsplit(request.path).path
        if self._rest.handles(path):
            return self._rest.answer(request)
        if path == "/counters":
            return self._counters_response(connection)
        if path.startswith("/control/"):
            return self._control(connection, path.removeprefix("/control/"))
        if self.refusals:
            return self._refuse(connection, self.refusals.pop(0), "refused on demand\n")
        key = key_of(request)
        if not key or (self._tokens is not None and key not in self._tokens):
            return self._refuse(connection, http.HTTPStatus.UNAUTHORIZED, "Invalid API key\n")
        return None

    def _refuse(self, connection: ServerConnection, status: int, text: str) -> Response:
        logger.info("handshake refused with %d", status)
        self._on_refusal()
        return connection.respond(status, text)

    def _control(self, connection: ServerConnection, command: str) -> Response:
        kind, _, argument = command.partition(":")
        try:
            self._apply(parse_command(kind, argument))
        except UsageError as error:
            return connection.respond(http.HTTPStatus.NOT_FOUND, f"{error}: {error.hint}\n")
        except StockctlError as error:
            return connection.respond(http.HTTPStatus.CONFLICT, f"{error}\n")
        return self._counters_response(connection)

    def _counters_response(self, connection: ServerConnection) -> Response:
        response = connection.respond(http.HTTPStatus.OK, msgspec.json.encode(self._counters()).decode() + "\n")
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response


def key_of(request: Request) -> str:
    """The API key of ``request``; empty if none."""
    return parse_qs(urlsplit(request.path).query).get("token", [""])[0]
