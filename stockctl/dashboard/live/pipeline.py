"""The pipeline at a glance, as ``stockctl status`` shows it, and when it was checked."""

from __future__ import annotations

from typing import Any

from stockctl.check_runner import run
from stockctl.exchange.calendar import now_ms
from stockctl.feed import health as feed
from stockctl.lake import health as lake
from stockctl.mongo import health as mongo
from stockctl.settings import Settings
from stockctl.signals import health as signals
from stockctl.stream import health as stream
from stockctl.stream.dead_letters import health as dead_letters
from stockctl.stream.kafka_connect import health as connector

_OVERVIEWS = (
    feed.overview,
    stream.overview,
    dead_letters.checks,
    signals.overview,
    connector.overview,
    lake.overview,
    mongo.overview,
)
_TIMEOUT = 20.0


class Pipeline:
    """The parts of the pipeline that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.answer: dict[str, Any] | None = None
        """What the last check found; None before the first."""

    def check(self) -> dict[str, Any]:
        """Check all parts now, which takes seconds where one does not answer."""
        results = run([check for overview in _OVERVIEWS for check in overview(self._settings)], timeout=_TIMEOUT)
        parts = [{"part": part, "state": one.state, "detail": one.detail, "fix": one.fix} for part, one in results]
        self.answer = {"parts": parts, "at": now_ms()}
        return self.answer
