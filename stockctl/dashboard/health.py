"""Health of the dashboard: whether its page answers, and whether it can be served."""

from __future__ import annotations

import http.client
from time import monotonic
from urllib.parse import urlsplit

from stockctl.check_runner import PROBE_WAIT, Check, CheckResult
from stockctl.clients.local_stack_lock import absent_stack
from stockctl.errors import StockctlError, UnreachableError
from stockctl.extras import missing_extra, missing_packages
from stockctl.settings import Settings

_SERVE = "`stockctl dashboard` serves one"
_HOPS = 2
"""Pages to follow: the dashboard, and the one that asks for the token."""
_BEGINNING = 4096
"""Bytes of a page in which its name stands."""


def checks(settings: Settings) -> list[Check]:
    """One check: nobody needs a dashboard, so one that does not run is a warning, and one that cannot run is a failure."""
    return [Check("dashboard", lambda: _check(settings))]


overview = checks


def reach(settings: Settings) -> float:
    """The seconds until the page at ``dashboard.bind`` and ``dashboard.port`` answers. UnreachableError if nothing answers,
    StockctlError if something else does.
    """
    address, started = settings.dashboard.address, monotonic()
    try:
        status, body = _get(address)
    except (OSError, http.client.HTTPException) as error:
        absent = absent_stack(settings, "dashboard.port", at=address, instead=f"`stockctl local up`, or {_SERVE}")
        raise absent or UnreachableError(
            f"no dashboard answers at {address}: {error}",
            hint=f"{_SERVE}; `stockctl local status` shows that of the local stack",
        ) from error
    if b"stockctl" not in body:
        raise StockctlError(
            f"{address} answers with status {status}, and is not a dashboard of stockctl",
            hint=f"set dashboard.port to another port; {_SERVE}",
        )
    return monotonic() - started


def _get(address: str) -> tuple[int, bytes]:
    """The status, and the beginning of the page at ``address``: the dashboard, or that which asks for the token."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=PROBE_WAIT)
    try:
        path = "/"
        for _ in range(_HOPS):
            connection.request("GET", path, headers={"Accept": "text/html"})
            response = connection.getresponse()
            body = response.read()[:_BEGINNING]
            path = response.headers.get("Location", "")
            if not path.startswith("/"):
                break
        return response.status, body
    finally:
        connection.close()


def _check(settings: Settings) -> CheckResult:
    if missing := missing_packages("dashboard"):
        error = missing_extra("the dashboard", "dashboard", missing)
        return CheckResult(str(error), "warn", error.hint)

    from stockctl.dashboard.access import token_of

    token_of(settings.dashboard)
    try:
        latency = reach(settings)
    except UnreachableError as error:
        return CheckResult(str(error), "warn", error.hint)
    return CheckResult(f"serves {settings.dashboard.address}", latency=latency)
