"""Health of MongoDB: its server, its documents, and the age of its newest trade."""

from __future__ import annotations

import time
from contextlib import suppress

from stockctl.check_runner import PROBE_WAIT, Check, CheckResult
from stockctl.clients.mongo import Mongo
from stockctl.errors import StockctlError
from stockctl.exchange.calendar import now_ms
from stockctl.mongo.documents import ms_of
from stockctl.mongo.schema import BARS, COMPANIES, COVERAGE, TRADES
from stockctl.settings import Settings
from stockctl.stream.lag import mongo_writer
from stockctl.stream.waiting_records import pending
from stockctl.units import format_duration

_AHEAD = 60.0
"""Seconds by which clocks may differ."""


def checks(settings: Settings) -> list[Check]:
    """Login, latency and version; no check without ``mongo.url``."""
    return [Check("mongo", lambda: _server(settings))] if settings.mongo.url else []


def _server(settings: Settings) -> CheckResult:
    with Mongo(settings, wait=PROBE_WAIT) as mongo:
        # The first request includes connecting and authentication.
        version = mongo.version()
        started = time.monotonic()
        mongo.version()
        return CheckResult(f"version {version} at {mongo.place}", latency=time.monotonic() - started)


def overview(settings: Settings) -> list[Check]:
    """The row; none where no ``mongo.url`` is set."""
    return [Check("mongo", lambda: _contents(settings))] if settings.mongo.url else []


def _contents(settings: Settings) -> CheckResult:
    with Mongo(settings, wait=PROBE_WAIT) as mongo:
        counts = {name: mongo.count(name) for name in (TRADES, COVERAGE, BARS)}
        last = max((one["last"]["ts_event"] for one in mongo.find(COMPANIES, {}, ["last"]) if one.get("last")), default=None)
    detail = ", ".join(f"{number:,} {name}" for name, number in counts.items())
    if last is None:
        return _without_companies(settings, detail)
    age = (now_ms() - ms_of(last)) / 1000
    if age < -_AHEAD:
        return CheckResult(
            f"{detail}; newest trade is {format_duration(-age)} ahead of this clock: later trades don't show until then",
            "warn",
            "set this machine's clock, or that of the producer",
        )
    return CheckResult(f"{detail}; newest trade {format_duration(max(0.0, age))} ago")


def _without_companies(settings: Settings, detail: str) -> CheckResult:
    """In a new stack, whose writer has derived no company yet, nothing is wrong."""
    writer = mongo_writer(settings)
    with suppress(StockctlError):  # other rows report what is wrong there
        waits = pending(settings, writer)
        if waits.running:
            schedule = f"companies follow every {format_duration(settings.mongo.derive_every)} (mongo.derive_every)"
            return CheckResult(f"{detail}; no company so far: {waits.message}, and {schedule}")
    return CheckResult(f"{detail}; no company yet", "warn", f"`{writer.command}` fills it")
