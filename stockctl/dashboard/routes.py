"""The API of the page: what it shows, and the stream of what changes."""

# Without lazy annotations: FastAPI reads them, and they name what `api` is given.

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from stockctl.dashboard.events import events
from stockctl.dashboard.live.hub import Hub
from stockctl.dashboard.trades import ARROW, arrow_of, json_of, read_trades_of
from stockctl.dashboard.view.views import DEFAULT_WIDTH, WIDTHS, View, parse_view
from stockctl.metrics.query import SESSION_CHOICES
from stockctl.metrics.trade_policies import POLICIES
from stockctl.settings import Settings

_JSON = "application/json"
Symbol = Annotated[str, Query(max_length=64, description="Symbol, in any case: AAPL, BINANCE:BTCUSDT.", examples=["AAPL"])]
Date = Annotated[str | None, Query(max_length=32, description="Trade date: 2026-11-23, today. Else the newest with trades.")]
SessionName = Annotated[str | None, Query(max_length=16, description="regular, pre, post or all.")]
Every = Annotated[str | None, Query(max_length=8, description="Width of bars: 10s, 30s, 1m, 5m, 15m or 1h.")]
PolicyName = Annotated[str | None, Query(max_length=16, description="Which trades count: standard, all or price-forming.")]
AsOf = Annotated[str | None, Query(max_length=40, description="Only what had been received by then: 2026-11-23T14:30:00Z.")]

Since = Annotated[str, Query(max_length=40, description="First time: 2026-11-23T09:30, -5m.", examples=["-5m"])]
Until = Annotated[str, Query(max_length=40, description="Time after the last one: 2026-11-23T09:35, now.", examples=["now"])]


def api(settings: Settings, hub: Hub) -> APIRouter:
    """The routes under ``/api``."""
    router = APIRouter(prefix="/api")

    def view_of(
        symbol: Symbol,
        date: Date = None,
        session: SessionName = None,
        every: Every = None,
        policy: PolicyName = None,
        as_of: AsOf = None,
    ) -> View:
        return parse_view(settings, symbol, date=date, session=session, every=every, policy=policy, as_of=as_of)

    @router.get("/symbols", summary="Symbols with trades, and what a view can be")
    def symbols() -> dict[str, Any]:
        names = list(dict.fromkeys([*settings.symbols, *hub.overview.symbols()]))
        return {
            "symbols": [{"symbol": name, "name": None} for name in names],
            "policies": list(POLICIES),
            "sessions": list(SESSION_CHOICES),
            "every": list(WIDTHS),
            "timezone": settings.timezone,
            "profile": settings.profile,
            "default": {
                "symbol": next(iter(names), None),
                "session": None,
                "every": DEFAULT_WIDTH,
                "policy": settings.metrics.policy,
            },
        }

    @router.get("/snapshot", summary="A view: numbers, figure, bars, gaps, filings and signals")
    def snapshot(view: Annotated[View, Depends(view_of)]) -> Response:
        return Response(hub.snapshot(view), media_type=_JSON)

    @router.get("/bars", summary="The bars of a view")
    def bars(view: Annotated[View, Depends(view_of)]) -> Response:
        return Response(hub.bars(view), media_type=_JSON)

    @router.get("/trades", summary="Trades of a symbol, as JSON or Arrow", responses={200: {"content": {ARROW: {}}}})
    def trades(request: Request, symbol: Symbol, since: Since, until: Until, as_of: AsOf = None) -> Response:
        found = read_trades_of(settings, symbol, since, until, as_of)
        if ARROW in request.headers.get("accept", ""):
            return Response(arrow_of(found), media_type=ARROW)
        return Response(json_of(found), media_type=_JSON)

    @router.get("/overview", summary="All symbols at a glance")
    def overview() -> Response:
        return Response(hub.overview_answer(), media_type=_JSON)

    @router.get("/health", summary="The pipeline, as `stockctl status` shows it")
    def health() -> dict[str, Any]:
        return hub.pipeline.answer or hub.pipeline.check()

    @router.get("/events", summary="What changes, as server-sent events", response_class=StreamingResponse)
    async def stream(view: Annotated[View, Depends(view_of)], after: str | None = None) -> StreamingResponse:
        return StreamingResponse(events(hub, view, after), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    return router
