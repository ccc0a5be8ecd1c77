"""Errors as JSON: what happened, and what to try. No answer has a stack trace."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from stockctl.errors import ConfigError, RefusedError, StockctlError, TimedOutError, UnreachableError, UsageError
from stockctl.symbols import UnknownSymbolError

log = logging.getLogger("stockctl.dashboard")

_STATUSES: tuple[tuple[type[StockctlError], int], ...] = (
    (UnknownSymbolError, 404),
    (UsageError, 400),
    (RefusedError, 502),
    (UnreachableError, 503),
    (TimedOutError, 503),
    (ConfigError, 503),
)
_FAILED = 500


class Problem(BaseModel):
    """An error: what happened, and what to try."""

    error: str
    hint: str | None


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "What is asked is wrong, unknown, not allowed, or too much"},
    "5XX": {"model": Problem, "description": "A store is not reachable, or something failed"},
}
"""The answers that each path can give besides its own, for the description of the API."""


def problem(status: int, error: str, hint: str | None = None, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer for an error."""
    return JSONResponse({"error": error, "hint": hint}, status, headers)


def status_of(error: StockctlError) -> int:
    """The status of an answer for ``error``."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), _FAILED)


def handle_errors(app: FastAPI) -> None:
    """Make ``app`` answer errors as JSON."""

    @app.exception_handler(StockctlError)
    def failed(request: Request, error: StockctlError) -> JSONResponse:
        status = status_of(error)
        if status >= _FAILED:
            log.warning("%s %s: %s", request.method, quote(request.scope["path"]), error)
        return problem(status, str(error), error.hint)

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 404:
            return problem(404, f"there is nothing at {quote(request.scope['path'])}", "/docs lists what there is")
        return problem(error.status_code, error.detail, None, error.headers)

    @app.exception_handler(RequestValidationError)
    def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()]
        return problem(400, "; ".join(wrong), "/docs describes each parameter")
