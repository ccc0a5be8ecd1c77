"""Pages and files that are not the dashboard's own: the login, the API's description, Plotly's library."""

from __future__ import annotations

import asyncio
import json
import logging
from importlib.resources import files
from pathlib import Path
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from stockctl.dashboard.access.answers import problem
from stockctl.dashboard.access.login import COOKIE, Login
from stockctl.errors import UsageError

log = logging.getLogger("stockctl.dashboard")

LOGIN = "/login"
EVENTS = "/api/events"
OPEN = frozenset({LOGIN, "/static/login.js", "/favicon.ico", "/healthz"})
"""What needs no cookie."""
_STATIC = Path(str(files("stockctl.dashboard"))) / "static"
_FILES = {
    "/static/plotly.min.js": Path(str(files("plotly"))) / "package_data" / "plotly.min.js",
    "/static/swagger-ui.css": Path(str(files("fastapi_offline"))) / "static" / "swagger-ui.css",
    "/static/swagger-ui-bundle.js": Path(str(files("fastapi_offline"))) / "static" / "swagger-ui-bundle.js",
    "/favicon.ico": _STATIC / "favicon.svg",
    "/docs": _STATIC / "docs.html",
}
LARGEST_BODY = 4096
"""Most bytes of a login."""
SLOWEST_BODY = 10.0
"""Seconds in which a login has to come."""


def add_pages(app: FastAPI, login: Login) -> None:
    """Add the pages and files to ``app``."""
    for path, file in _FILES.items():
        _add_file(app, path, file)

    @app.get("/healthz", include_in_schema=False)
    async def alive() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.get(LOGIN, include_in_schema=False)
    async def ask(request: Request) -> Response:
        if login.knows(request):
            return RedirectResponse("/", 303)
        return await _file_answer(_STATIC / "login.html", request)

    @app.post(LOGIN, include_in_schema=False)
    async def enter(request: Request) -> Response:
        client = request.client.host if request.client is not None else ""
        if wait := login.wait(client):
            seconds = {"Retry-After": str(int(wait) + 1)}
            return problem(429, "too many wrong tokens", f"try again in {int(wait) + 1} s", seconds)
        is_json, token = await _token_of(request)
        if not login.accept(client, token):
            log.warning("a wrong token from %s", client)
            return problem(401, "this is not the token of the dashboard", "take it from the setting dashboard.token")
        answer = JSONResponse({}) if is_json else RedirectResponse("/", 303)
        secure = request.scope["scheme"] == "https"
        answer.set_cookie(COOKIE, login.cookie, httponly=True, samesite="strict", secure=secure)
        return answer


def _add_file(app: FastAPI, path: str, file: Path) -> None:
    @app.get(path, include_in_schema=False)
    async def answer(request: Request) -> Response:
        return await _file_answer(file, request)


async def _file_answer(file: Path, request: Request) -> Response:
    """``file``, or 304 if the browser has it."""
    return await StaticFiles(directory=file.parent).get_response(file.name, request.scope)


async def _token_of(request: Request) -> tuple[bool, str]:
    """Whether the body of a login is JSON, and its token. UsageError for anything else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(SLOWEST_BODY):
            body = b""
            async for part in request.stream():
                body += part
                if len(body) > LARGEST_BODY:
                    raise UsageError("the login is too large", hint="send the token alone")
        if kind == "application/json":
            token = json.loads(body)["token"]
        elif kind == "application/x-www-form-urlencoded":
            token = parse_qs(body.decode(), strict_parsing=True)["token"][0]
        else:
            raise UsageError(f"a login of the type {kind or 'nothing'} is not understood", hint="send JSON, or a form")
    except (ValueError, KeyError, TypeError, RecursionError, TimeoutError) as error:
        raise UsageError("the login has no token", hint='send {"token": "…"}') from error
    if not isinstance(token, str):
        raise UsageError("the token is not a text", hint='send {"token": "…"}')
    return kind == "application/json", token
