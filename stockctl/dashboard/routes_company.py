"""Routes of what stands beside a day's trades: the company, signals replayed, and time that the feed missed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from stockctl.dashboard.company import MOST_PERIODS, company_answer
from stockctl.dashboard.gaps import gaps_answer
from stockctl.dashboard.signal_replay import signals_answer
from stockctl.filings.fundamentals.statements import Period
from stockctl.metrics.query import SessionChoice
from stockctl.settings import Settings

Symbol = Annotated[
    str, Path(min_length=1, max_length=64, description="In any case, as the feed writes it: AAPL, BINANCE:BTCUSDT.")
]
AsOf = Annotated[
    str | None, Query(max_length=40, description="Only data of this time: 2026-11-23T14:30, or a date with its whole day.")
]
Day = Annotated[str | None, Query(max_length=40, description="A trade date: 2026-11-23, today, last-session.")]


def company_routes(settings: Settings) -> APIRouter:
    """The routes of ``settings``. Errors are for the handlers of ``access``."""
    router = APIRouter(prefix="/api", tags=["company"])

    @router.get("/company/{symbol}")
    def company(
        symbol: Symbol,
        as_of: AsOf = None,
        period: Annotated[Period, Query(description="Years, quarters, or twelve months to each quarter's end.")] = "annual",
        last: Annotated[int, Query(ge=1, le=MOST_PERIODS, description="How many periods, the newest first.")] = 8,
    ) -> dict[str, Any]:
        """The company document, KPIs with their formulas, and statements."""
        return company_answer(settings, symbol, as_of, period=period, last=last)

    @router.get("/gaps")
    def gaps(
        symbol: Annotated[str | None, Query(max_length=64, description="Default: the setting symbols.")] = None,
        date: Day = None,
        session: SessionChoice | None = None,
        as_of: AsOf = None,
    ) -> dict[str, Any]:
        """Session time that the feed did not cover, as the lake's feed events say."""
        return gaps_answer(settings, symbol, date, session, as_of)

    @router.get("/signals")
    def signals(
        symbol: Annotated[str, Query(min_length=1, max_length=64)],
        date: Day = None,
        strategy: Annotated[str | None, Query(max_length=200, description="Only this one; default: all that ran.")] = None,
    ) -> dict[str, Any]:
        """Signals that ran live, and the same date replayed from the lake. One replay at a time, a minute at most."""
        return signals_answer(settings, symbol, date, strategy)

    return router
