"""MongoDB's row of ``stockctl status``: how much it holds, and how old its newest bar is."""

from __future__ import annotations

from datetime import UTC, datetime

from stockctl.checks import PROBE_WAIT, Check, Finding
from stockctl.clients.mongo import Mongo
from stockctl.mongo.schema import BARS, COMPANIES, COVERAGE, TRADES
from stockctl.settings import Settings
from stockctl.units import format_duration


def overview(settings: Settings) -> list[Check]:
    """The row; none where no ``mongo.url`` is set."""
    return [Check("mongo", lambda: _holding(settings))] if settings.mongo.url else []


def _holding(settings: Settings) -> Finding:
    with Mongo(settings, wait=PROBE_WAIT) as mongo:
        held = {name: mongo.count(name) for name in (TRADES, COVERAGE, BARS)}
        last = max((one["last"]["ts_event"] for one in mongo.find(COMPANIES, {}, ["last"]) if one.get("last")), default=None)
    detail = ", ".join(f"{number:,} {name}" for name, number in held.items())
    if last is None:
        return Finding(f"{detail}; no company yet", "warn", "`stockctl consume mongo` fills it")
    age = (datetime.now(UTC) - last).total_seconds()
    return Finding(f"{detail}; newest trade {format_duration(max(0.0, age))} ago")
