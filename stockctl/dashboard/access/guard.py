"""What each request has to pass, and the headers of each answer."""

from __future__ import annotations

import asyncio
import math
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stockctl.dashboard.access.answers import problem
from stockctl.dashboard.access.hosts import Hosts, client_key, is_loopback, is_origin
from stockctl.dashboard.access.login import Login
from stockctl.dashboard.access.pages import EVENTS, LOGIN, OPEN
from stockctl.dashboard.access.rate import Rate
from stockctl.dashboard.defects import HINT, log_defect
from stockctl.settings.addresses import host_and_port

LONGEST_QUERY = 4096
"""Most bytes of a path, and of a query."""
POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
)
"""Plotly sets styles, and makes images of itself; everything else is a file of ours."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """Refuses what no page of ours asks, and puts the headers on every answer. Exceptions become answers, and are logged."""

    def __init__(self, app: ASGIApp, *, hosts: Hosts, login: Login, rate: Rate) -> None:
        self._app, self._hosts, self._login, self._rate = app, hosts, login, rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, begun = HTTPConnection(scope), False

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                _put_headers(request, MutableHeaders(scope=message))
            await send(message)

        # A server sends no body for HEAD, so that each path that answers GET answers HEAD too.
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            await (self._refusal(request) or self._app)(inner, receive, sending)
        except asyncio.CancelledError:
            # Only the server cancels requests: those that have not ended when it has to.
            if not begun:
                await problem(503, "the dashboard stops", "ask again once it runs")(scope, receive, sending)
        except Exception as error:  # noqa: BLE001  # the end of a request: anything unexpected ends in words, and the server goes on
            words = log_defect(f"{scope['method']} {quote(scope['path'])}", error)
            if not begun:
                await problem(500, words, HINT)(scope, receive, sending)

    def _refusal(self, request: HTTPConnection) -> Response | None:
        """The answer for a request that is not allowed."""
        client = client_key(request.client.host if request.client is not None else "")
        if wait := self._rate.take(client):
            seconds = {"Retry-After": str(math.ceil(wait))}
            return problem(429, "too many requests", "wait, or raise dashboard.requests_per_second", seconds)
        if max(len(request.scope["query_string"]), len(request.scope["path"])) > LONGEST_QUERY:
            return problem(414, "the address is too long", f"a path and a query have at most {LONGEST_QUERY} bytes each")
        return self._foreign(request) or self._wrong_method(request) or self._stranger(request)

    def _foreign(self, request: HTTPConnection) -> Response | None:
        """The answer if ``request`` names a host that is not ours, or comes from a page of another origin."""
        names = request.headers.getlist("host")
        server = request.scope.get("server")
        if len(names) != 1 or not self._hosts.allow(names[0], server[0] if server else None):
            return problem(421, "this host is not a name of the dashboard", "add it to the setting dashboard.hosts")
        origin = request.headers.get("origin")
        if origin is not None and not is_origin(origin, request.scope["scheme"], names[0]):
            return problem(403, "a page of another origin asks", "open the dashboard's own address")
        if request.scope["path"].startswith("/api/") and request.headers.get("sec-fetch-mode", "navigate") != "navigate":
            # A link to the API is fine; but no other page loads from it.
            site = request.headers.get("sec-fetch-site", "none")
            if site not in ("same-origin", "none"):
                return problem(403, "a page of another origin asks", "open the dashboard's own address")
        return None

    def _wrong_method(self, request: HTTPConnection) -> Response | None:
        method, path = request.scope["method"], request.scope["path"]
        methods = ["GET"] if path == EVENTS else ["GET", "HEAD"]
        if path == LOGIN and self._login.needed:
            methods.append("POST")
        if method in methods:
            return None
        allowed = ", ".join(methods)
        return problem(405, f"{path} takes no {method}", f"use {allowed}: the dashboard only reads", {"Allow": allowed})

    def _stranger(self, request: HTTPConnection) -> Response | None:
        """The answer if ``request`` needs the cookie, and lacks it: a browser is sent to the page that asks for the token."""
        path = request.scope["path"]
        if path in OPEN or self._login.knows(request):
            return None
        if "text/html" in request.headers.get("accept", "") and not path.startswith("/api/"):
            query = request.scope["query_string"].decode("latin-1")
            return RedirectResponse(f"{LOGIN}?next={quote(f'{path}?{query}' if query else path, safe='')}", 303)
        return problem(401, "this needs the token of the dashboard", f"log in at {LOGIN}", {"WWW-Authenticate": "Cookie"})


def _put_headers(request: HTTPConnection, headers: MutableHeaders) -> None:
    for name, value in HEADERS.items():
        headers[name] = value
    # Browsers heed it where nobody between can change it, and complain elsewhere.
    if request.scope["scheme"] == "https" or _is_here(request.headers.get("host", "")):
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if request.scope["path"].startswith("/api/") or request.scope["path"] == LOGIN:
        headers["Cache-Control"] = "no-store"
    else:
        # Kept, and asked for again with its tag: a newer version shows at once.
        headers.setdefault("Cache-Control", "no-cache")


def _is_here(host: str) -> bool:
    try:
        return is_loopback(host_and_port(host)[0])
    except ValueError:
        return False
