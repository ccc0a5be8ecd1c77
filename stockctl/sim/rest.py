"""Finnhub's REST API on the simulator's port: filings, symbols, profiles and quotes, with its limits and its error bodies.

Requests are counted per key over a sliding window. A request answered with 429 does not count.
"""

from __future__ import annotations

import http
import json
import re
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from functools import lru_cache
from random import Random
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from stockctl.exchange.calendar import from_ms, now_ms
from stockctl.exchange.venues import has_venue
from stockctl.sim import wire_format
from stockctl.sim.companies import Company
from stockctl.sim.counters import Counters
from stockctl.sim.distributions import BASE_PRICES
from stockctl.sim.statements import filings
from stockctl.sim.symbol_list import FUNDS, symbol_list

BASE, FILES = "/api/v1", "/files"
"""Path prefixes of the API, and of the files that it redirects to."""
GARBAGE = b"<html><body>upstream said something else</body></html>"
_SYMBOLS_FILE = f"{FILES}/us-symbols.json"
_SECOND = 1.0
_MOST_LISTED = 250  # filings in one answer of /stock/filings
_BODIES = {
    401: {"error": "Invalid API key."},
    403: {"error": "You don't have access to this resource."},
    429: {"error": "API limit reached. Please try again later. Remaining Limit: 0"},
}
_ABROAD = re.compile(r"[A-Z0-9]+\.(?:AS|DE|HK|MI|PA|SW|TO)")
"""Tickers of exchanges that the free plan does not include."""


class RestLimits(NamedTuple):
    """Requests per key in any ``window`` seconds (Finnhub: 60 per minute), and in any second."""

    per_window: int = 60
    per_second: int = 30
    window: float = 60.0


class RestApi:
    """Answers requests of the REST API. ``user_filings`` are filings by symbol, served instead of generated ones."""

    def __init__(
        self,
        tokens: Collection[str] | None,
        listed: Sequence[str] | None,
        counters: Counters,
        *,
        seed: int = 1,
        limits: RestLimits | None = None,
        errors: float = 0.0,
        user_filings: Mapping[str, list[dict[str, Any]]] | None = None,
    ) -> None:
        self.failures: list[int] = []
        """HTTP statuses of the next failing requests; 200 stands for a body that is not JSON."""
        self.changed: Callable[[], None] = lambda: None
        """Called after each counted request."""
        self._tokens, self._listed, self._counters, self._seed = tokens, listed, counters, seed
        self._limits = limits or RestLimits()
        self._errors, self._random = errors, Random(seed)
        self._user_filings = user_filings or {}
        self._times: dict[str, deque[float]] = {}
        self._filings = lru_cache(maxsize=512)(self._generate)
        self._routes: dict[str, Callable[[dict[str, str]], Response]] = {
            "/stock/financials-reported": self._reported,
            "/stock/filings": self._index,
            "/stock/symbol": lambda _: _respond(302, b"", Location=_SYMBOLS_FILE),
            "/stock/profile2": self._profile,
            "/quote": self._quote,
        }

    def handles(self, path: str) -> bool:
        """Whether ``path`` belongs to the API."""
        return path.startswith((f"{BASE}/", f"{FILES}/"))

    def answer(self, request: Request) -> Response:
        """The response to one request."""
        url = urlsplit(request.path)
        if url.path == _SYMBOLS_FILE:
            return _respond(200, _encode(symbol_list(self._listed or list(BASE_PRICES))))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        key = request.headers.get("X-Finnhub-Token") or query.get("token", "")
        if not key:
            return _refuse(401, "Please use an API key.")
        if self._tokens is not None and key not in self._tokens:
            return _refuse(401)
        admitted = self._admitted(key)
        self._counters.requests += 1
        self._counters.limited += not admitted
        self.changed()
        if not admitted:
            return _refuse(429)
        if self.failures:
            return self._fail(self.failures.pop(0))
        if self._random.random() < self._errors:
            return self._fail(502)
        route = self._routes.get(url.path.removeprefix(BASE))
        if route is None:
            return _respond(404, b"404 page not found\n", kind="text/plain")
        if _ABROAD.fullmatch(query.get("symbol", "")):
            return _refuse(403)
        return route(query)

    def _admitted(self, key: str) -> bool:
        now, limits = time.monotonic(), self._limits
        times = self._times.setdefault(key, deque(maxlen=max(limits.per_window, limits.per_second)))
        for most, span in ((limits.per_window, limits.window), (limits.per_second, _SECOND)):
            if len(times) >= most and now - times[-most] < span:
                return False
        times.append(now)
        return True

    def _fail(self, status: int) -> Response:
        if status == 200:
            return _respond(200, GARBAGE)
        if status in _BODIES:
            return _refuse(status)
        return _respond(status, f"<html>{status} {http.HTTPStatus(status).phrase}</html>".encode(), kind="text/html")

    # Endpoints.

    def _reported(self, query: dict[str, str]) -> Response:
        symbol = self._named(query)
        annual = query.get("freq", "annual") == "annual"
        matching = [
            one
            for one in self._filings(symbol)
            if str(one["form"]).startswith("10-K") == annual
            and query.get("from", "") <= str(one["endDate"])[:10] <= query.get("to", "9999")
            and query.get("accessNumber") in (None, one["accessNumber"])
        ]
        return _respond(
            200, _encode({"cik": matching[0].get("cik", "") if matching else "", "data": matching, "symbol": symbol})
        )

    def _index(self, query: dict[str, str]) -> Response:
        symbol = self._named(query)
        matching = [
            one
            for one in self._filings(symbol)
            if query.get("from", "") <= str(one["filedDate"])[:10] <= query.get("to", "9999")
            and query.get("form") in (None, one["form"])
            and query.get("accessNumber") in (None, one["accessNumber"])
        ]
        return _respond(200, _encode([_listed(one) for one in matching[:_MOST_LISTED]]))

    def _profile(self, query: dict[str, str]) -> Response:
        symbol = self._named(query)
        if not self._reports(symbol):
            return _respond(200, b"{}")
        company = self._company(symbol)
        shares = company.periods[-1].quarters[-1].basic / 1e6
        return _respond(
            200,
            _encode(
                {
                    "country": "US",
                    "currency": "USD",
                    "exchange": "NASDAQ NMS - GLOBAL MARKET",
                    "finnhubIndustry": "Technology",
                    "ipo": "1999-01-22",
                    "logo": "",
                    "marketCapitalization": shares * self._price(symbol),
                    "name": company.name,
                    "phone": "14089961010",
                    "shareOutstanding": shares,
                    "ticker": symbol,
                    "weburl": f"https://www.{symbol.lower()}.example/",
                }
            ),
        )

    def _quote(self, query: dict[str, str]) -> Response:
        symbol = query.get("symbol", "")
        if not wire_format.is_traded(symbol, self._listed):
            return _respond(200, _encode({"c": 0, "d": None, "dp": None, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0}))
        price = self._price(symbol)
        before = round(price * 0.99, 2)
        return _respond(
            200,
            _encode(
                {
                    "c": price,
                    "d": round(price - before, 4),
                    "dp": round((price / before - 1) * 100, 4),
                    "h": round(price * 1.01, 2),
                    "l": before,
                    "o": before,
                    "pc": before,
                    "t": now_ms() // 1000,
                }
            ),
        )

    # Data.

    def _named(self, query: dict[str, str]) -> str:
        """The requested symbol, also by CIK or accession number."""
        if symbol := query.get("symbol"):
            return symbol
        cik = query.get("cik") or query.get("accessNumber", "").partition("-")[0]
        known = [*self._user_filings, *(self._listed or BASE_PRICES)]
        return next((symbol for symbol in known if self._cik(symbol) == cik.lstrip("0")), "")

    def _cik(self, symbol: str) -> str:
        if symbol in self._user_filings:
            return str(self._user_filings[symbol][0].get("cik", ""))
        return str(self._company(symbol).cik)

    def _reports(self, symbol: str) -> bool:
        return not has_venue(symbol) and symbol not in FUNDS and wire_format.is_traded(symbol, self._listed)

    def _company(self, symbol: str) -> Company:
        return Company(symbol, seed=self._seed, last_year=_today().year)

    def _generate(self, symbol: str) -> list[dict[str, Any]]:
        if symbol in self._user_filings:
            return self._user_filings[symbol]
        return filings(self._company(symbol), _today()) if self._reports(symbol) else []

    def _price(self, symbol: str) -> float:
        return BASE_PRICES.get(symbol) or round(Random(f"{self._seed}:{symbol}").uniform(15, 400), 2)


def _listed(filing: Mapping[str, Any]) -> dict[str, Any]:
    plain = str(filing["accessNumber"]).replace("-", "")
    folder = f"https://www.sec.gov/Archives/edgar/data/{filing.get('cik', '')}"
    report = f"{str(filing.get('symbol', '')).lower()}-{str(filing['endDate'])[:10].replace('-', '')}.htm"
    names = ("accessNumber", "symbol", "cik", "form", "filedDate", "acceptedDate")
    return {name: filing.get(name) for name in names} | {
        "reportUrl": f"{folder}/{plain}/{report}",
        "filingUrl": f"{folder}/{plain}/{filing['accessNumber']}-index.html",
    }


def _today() -> date:
    return from_ms(now_ms()).date()


def _encode(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _refuse(status: int, message: str | None = None) -> Response:
    return _respond(status, _encode({"error": message} if message else _BODIES[status]))


def _respond(status: int, body: bytes, *, kind: str = "application/json; charset=utf-8", **headers: str) -> Response:
    head = Headers({"Connection": "close", "Content-Length": str(len(body)), "Content-Type": kind} | headers)
    return Response(status, http.HTTPStatus(status).phrase, head, body)
