"""A view: what a browser looks at, as its address says it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date as Date
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from stockctl.errors import UsageError, quoted
from stockctl.exchange.calendar import EXCHANGE_ZONE, from_ms
from stockctl.exchange.time_parsing import parse_as_of, parse_date
from stockctl.metrics.definitions import build_query
from stockctl.metrics.query import SESSION_CHOICES, Query, SessionChoice
from stockctl.metrics.trade_policies import POLICIES, Policy
from stockctl.settings import Settings

WIDTHS = {"10s": 10_000, "30s": 30_000, "1m": 60_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000}
"""The widths of bars in ms, by name. Each divides a day, and either divides a minute or is a multiple of it."""
DEFAULT_WIDTH = "1m"


class View(NamedTuple):
    """A symbol's session on a date, in bars. ``as_of`` is ms UTC.

    Without ``date`` it is the newest session that has trades; without ``session`` that of the settings, or a later one if that
    has no trades.
    """

    symbol: str
    date: Date | None
    session: SessionChoice | None
    every: str
    policy: Policy
    as_of: int | None

    @property
    def every_ms(self) -> int:
        """Width of a bar in ms."""
        return WIDTHS[self.every]

    def query(self, settings: Settings) -> Query:
        """The query that ``stockctl metrics summary`` makes of the same view."""
        query = build_query(settings, [self.symbol], day=self.date)
        return replace(
            query,
            policy=self.policy,
            session=self.session or query.session,
            as_of=self.as_of,
            configured=frozenset(settings.symbols),
            fall_back=self.session is None and self.date is None,
        )

    def values(self, zone: ZoneInfo) -> dict[str, Any]:
        """The view as parameters of an address; ``as_of`` in ISO 8601."""
        return {
            "symbol": self.symbol,
            "date": None if self.date is None else self.date.isoformat(),
            "session": self.session,
            "every": self.every,
            "policy": self.policy,
            "as_of": None if self.as_of is None else from_ms(self.as_of, zone).isoformat(),
        }


def parse_view(
    settings: Settings,
    symbol: str,
    *,
    date: str | None = None,
    session: str | None = None,
    every: str | None = None,
    policy: str | None = None,
    as_of: str | None = None,
) -> View:
    """The view that these texts name; empty ones count as left out. UsageError for what is none."""
    if not symbol.strip() or len(symbol) > 64:
        raise UsageError("no symbol is named", hint="name one, such as AAPL")
    zone = ZoneInfo(settings.timezone)
    return View(
        symbol.strip(),
        None if not date else parse_date(date, EXCHANGE_ZONE),
        _one_of("session", session, SESSION_CHOICES) if session else None,
        _one_of("every", every or DEFAULT_WIDTH, tuple(WIDTHS)),
        _one_of("policy", policy or settings.metrics.policy, POLICIES),
        None if not as_of else parse_as_of(as_of, zone),
    )


def _one_of(name: str, value: str, known: tuple[str, ...]) -> Any:
    if value not in known:
        raise UsageError(f"there is no {name} {quoted(value)}", hint=f"there are {', '.join(known)}")
    return value
