"""MongoDB's row of ``stockctl status``: how much it holds, and how old its newest bar is."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from stockctl.clients.mongo import Mongo
from stockctl.errors import StockctlError
from stockctl.health import PROBE_WAIT, Check, CheckResult
from stockctl.mongo.schema import BARS, COMPANIES, COVERAGE, TRADES
from stockctl.settings import Settings
from stockctl.stream.lag import mongo_writer
from stockctl.stream.pending import pending
from stockctl.units import format_duration

_AHEAD = 60.0
"""Seconds that clocks may differ."""


def overview(settings: Settings) -> list[Check]:
    """The row; none where no ``mongo.url`` is set."""
    return [Check("mongo", lambda: _holding(settings))] if settings.mongo.url else []


def _holding(settings: Settings) -> CheckResult:
    with Mongo(settings, wait=PROBE_WAIT) as mongo:
        held = {name: mongo.count(name) for name in (TRADES, COVERAGE, BARS)}
        last = max((one["last"]["ts_event"] for one in mongo.find(COMPANIES, {}, ["last"]) if one.get("last")), default=None)
    detail = ", ".join(f"{number:,} {name}" for name, number in held.items())
    if last is None:
        return _without_companies(settings, detail)
    age = (datetime.now(UTC) - last).total_seconds()
    if age < -_AHEAD:
        return CheckResult(
            f"{detail}; newest trade lies {format_duration(-age)} ahead of this clock: no later one is seen until then",
            "warn",
            "set this machine's clock, or that of the producer",
        )
    return CheckResult(f"{detail}; newest trade {format_duration(max(0.0, age))} ago")


def _without_companies(settings: Settings, detail: str) -> CheckResult:
    """A new stack's writer has derived none yet, and all is well."""
    writer = mongo_writer(settings)
    with suppress(StockctlError):  # other rows report what is wrong there
        waits = pending(settings, writer)
        if waits.running:
            derived = f"companies follow every {format_duration(settings.mongo.derive_every)} (mongo.derive_every)"
            return CheckResult(f"{detail}; no company so far: {waits.message}, and {derived}")
    return CheckResult(f"{detail}; no company yet", "warn", f"`{writer.command}` fills it")
