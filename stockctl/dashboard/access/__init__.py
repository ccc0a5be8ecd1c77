"""Who may ask the dashboard what: hosts, origins, the token, a rate for each client, headers, and errors as JSON."""

from __future__ import annotations

from fastapi import FastAPI

from stockctl.dashboard.access.answers import PROBLEMS, handle_errors
from stockctl.dashboard.access.guard import Guard
from stockctl.dashboard.access.hosts import Hosts, is_loopback
from stockctl.dashboard.access.login import Login
from stockctl.dashboard.access.pages import add_pages
from stockctl.dashboard.access.rate import Rate
from stockctl.errors import ConfigError
from stockctl.settings.dashboard import SHORTEST_TOKEN, DashboardSettings

__all__ = ["PROBLEMS", "protect", "token_of"]

BURST = 5
"""Seconds of requests that a client may send at once: a page asks for its files in one go."""


def protect(app: FastAPI, settings: DashboardSettings) -> None:
    """Put the rules around ``app``, and add its pages ``/login``, ``/docs`` and ``/healthz``, before ``/static`` is mounted.

    ConfigError as ``token_of``.
    """
    login = Login(token_of(settings))
    handle_errors(app)
    add_pages(app, login)
    rate = Rate(per_second=settings.requests_per_second, burst=BURST * settings.requests_per_second)
    app.add_middleware(Guard, hosts=Hosts(settings), login=login, rate=rate)


def token_of(settings: DashboardSettings) -> str | None:
    """The token, None if none is needed.

    ConfigError if ``dashboard.bind`` is no loopback address and there is no token, or if the token is too short.
    """
    token = settings.token.get_secret_value() if settings.token is not None else None
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise ConfigError(
            f"dashboard.token has fewer than {SHORTEST_TOKEN} characters",
            hint="make a longer one, such as with: openssl rand -hex 16",
        )
    if token is None and not is_loopback(settings.bind):
        raise ConfigError(
            f"dashboard.bind is {settings.bind}, which other machines can reach, and there is no dashboard.token",
            hint="set dashboard.token, such as one of: openssl rand -hex 16; or bind 127.0.0.1",
        )
    return token
