"""Finnhub's REST API, or a simulator of it, within the rate limits of the API key.

The key is sent in a header, so that no URL, log or error shows it. It is never sent to another host after a redirect.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, NoReturn, TypeVar

import httpx
import msgspec

from stockctl.clients.closing import Closing
from stockctl.clients.finnhub.responses import FilingEntry, Listed, Quote, Reported
from stockctl.clients.finnhub.websocket import SIMULATOR_TOKEN, key_of
from stockctl.clients.http import http_client
from stockctl.clients.local_stack_lock import absent_stack
from stockctl.clients.rate_limit import Limit, RateLimit
from stockctl.errors import ConfigError, RefusedError, StockctlError, TimedOutError, UnreachableError, quoted
from stockctl.records import UNREADABLE, decode
from stockctl.service import retry
from stockctl.settings import Settings
from stockctl.units import format_duration
from stockctl.validation_errors import decode_problem

Answer = TypeVar("Answer")
Frequency = Literal["annual", "quarterly"]

_HEADER = "X-Finnhub-Token"
_MOST_REDIRECTS = 3
_LONGEST_WAIT = 3600.0  # a longer Retry-After is ignored
_SECOND = 1.0


class NoAccessError(RefusedError):
    """The plan of the API key does not include the request (HTTP 403)."""


class LimitReachedError(RefusedError):
    """The rate limit was still exceeded after all retries (HTTP 429)."""


_PLANS = {
    "/stock/financials-reported": "the free plan covers companies that file with the SEC",
    "/stock/filings": "the free plan covers companies that file with the SEC",
    "/stock/symbol": "the free plan covers the exchange US",
    "/quote": "the free plan covers stocks listed in the US",
}


class _TransientError(Exception):
    """A failure to retry: ``error`` is raised after the last retry, ``after`` are the seconds of Retry-After."""

    def __init__(self, error: StockctlError, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.after = error, after


def rest_token(settings: Settings) -> str:
    """The API key for the REST API, see ``key_of``."""
    return key_of(settings, "finnhub.rest_url", real=settings.finnhub.rest_is_real)


class FinnhubRest(Closing):
    """The REST client. It is thread-safe, and a context manager that closes its connections.

    Every call raises ConfigError without an API key, RefusedError for a wrong key, NoAccessError for what its plan lacks,
    LimitReachedError, UnreachableError and TimedOutError after ``finnhub.request_tries`` attempts, and StockctlError for an
    invalid response. ``stop`` ends the wait between attempts.
    """

    def __init__(self, settings: Settings, *, stop: threading.Event | None = None) -> None:
        finnhub = settings.finnhub
        self._settings, self._stop = finnhub, stop or threading.Event()
        self._base = finnhub.rest_url.rstrip("/")
        if (absent := absent_stack(settings, "finnhub.rest_url")) is not None:
            raise absent
        self._key = rest_token(settings)
        if not (self._key.isascii() and self._key.isprintable()):
            raise ConfigError("finnhub.token has a character that HTTP headers cannot have", hint="copy the key again")
        self._limit = RateLimit(
            [Limit(finnhub.requests_per_minute, finnhub.request_window), Limit(finnhub.requests_per_second, _SECOND)]
        )
        url = httpx.URL(self._base)
        self._origin = (url.scheme, url.host, url.port)
        self._http = http_client(
            timeout=httpx.Timeout(finnhub.request_timeout, connect=finnhub.connect_timeout),
            headers={"User-Agent": "stockctl"},
            limits=httpx.Limits(max_connections=None),
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def reported(self, symbol: str, frequency: Frequency, since: date | None = None) -> list[bytes]:
        """Reports as filed, each as received: 10-K for ``annual``, 10-Q for ``quarterly``.

        With ``since``, only reports of periods that end on or after it.
        """
        query = {"symbol": symbol, "freq": frequency} | ({"from": since.isoformat()} if since else {})
        return [bytes(one) for one in self._ask("/stock/financials-reported", query, Reported).data or ()]

    def filings(self, symbol: str, since: date | None = None) -> list[FilingEntry]:
        """The newest 250 filings of ``symbol`` filed on or after ``since``."""
        query = {"symbol": symbol} | ({"from": since.isoformat()} if since else {})
        return self._ask("/stock/filings", query, list[FilingEntry])

    def symbols(self) -> list[Listed]:
        """Every symbol of the exchange US."""
        return self._ask("/stock/symbol", {"exchange": "US"}, list[Listed])

    def quote(self, symbol: str) -> Quote:
        """The last price of ``symbol``; zeros for an unknown symbol."""
        return self._ask("/quote", {"symbol": symbol}, Quote)

    # One request, its retries, and its errors.

    def _ask(self, path: str, query: Mapping[str, str], kind: type[Answer]) -> Answer:
        body = self._get(path, query)
        problem: str | None = None
        try:
            return decode(body, kind)
        except UNREADABLE as error:
            problem = decode_problem(error)
        raise StockctlError(
            f"Finnhub at {self._base} sent an unreadable response to {_request_name(path, query)}: {problem}; "
            f"it begins {quoted(self._scrubbed(body[:60].decode(errors='replace')))}",
            hint="try later; is finnhub.rest_url right?",
        )

    def _get(self, path: str, query: Mapping[str, str]) -> bytes:
        try:
            return retry(
                lambda: self._try(path, query),
                lambda error: isinstance(error, _TransientError),
                stop=self._stop,
                attempts=self._settings.request_tries,
                first=_SECOND,
                longest=self._settings.backoff_max,
                retry_after=lambda error: error.after if isinstance(error, _TransientError) else None,
            )
        except _TransientError as transient:
            failure = transient.error
        # Raised here, so that the exceptions of httpx, whose requests have the key, are not chained.
        raise failure

    def _try(self, path: str, query: Mapping[str, str]) -> bytes:
        request = _request_name(path, query)
        response = self._send(httpx.URL(self._base + path), query, request)
        for _ in range(_MOST_REDIRECTS):
            if not response.has_redirect_location:
                break
            response = self._send(self._target(response, request), {}, request)
        if response.status_code != httpx.codes.OK:
            self._refuse(response, path, request)
        return response.content

    def _target(self, response: httpx.Response, request: str) -> httpx.URL:
        """The target of a redirect."""
        try:
            return response.url.join(response.headers["Location"])
        except httpx.InvalidURL:
            raise UnreachableError(f"Finnhub at {self._base} redirects {request} to an invalid URL", hint="try later") from None

    def _send(self, url: httpx.URL, params: Mapping[str, str], request: str) -> httpx.Response:
        failure: StockctlError
        try:
            # Another host (of the list of symbols) gets no API key, and has no rate limit.
            if (url.scheme, url.host, url.port) != self._origin:
                return self._http.get(url, params=params or None)
            with self._limit.request(self._stop):
                return self._http.get(url, params=params or None, headers={_HEADER: self._key})
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            failure = UnreachableError(
                f"cannot reach Finnhub at {self._base}: {self._words(error)}", hint="check finnhub.rest_url and the network"
            )
        except httpx.TimeoutException:
            failure = TimedOutError(
                f"Finnhub at {self._base} did not answer {request} within {format_duration(self._settings.request_timeout)}",
                hint="try later; or raise finnhub.request_timeout",
            )
        except (httpx.TransportError, httpx.DecodingError) as error:
            failure = UnreachableError(
                f"Finnhub at {self._base} closed the connection during {request}: {self._words(error)}", hint="try later"
            )
        raise _TransientError(failure)

    def _refuse(self, response: httpx.Response, path: str, request: str) -> NoReturn:
        status, words = response.status_code, self._error(response)
        if status == httpx.codes.UNAUTHORIZED:
            raise RefusedError(
                f"Finnhub at {self._base} refuses the key: {words}",
                hint="check STOCKCTL_FINNHUB__TOKEN; `stockctl config show` shows its last characters",
            )
        if status == httpx.codes.FORBIDDEN:
            raise NoAccessError(
                f"the plan of this key does not include {request}: {words}",
                hint=f"{_PLANS.get(path, 'the free plan covers the US')}; everything else needs a paid plan, https://finnhub.io/pricing",
            )
        if status == httpx.codes.TOO_MANY_REQUESTS:
            # Another program uses the same key, or an earlier run did: the window has passed after four such pauses.
            after = _retry_after(response)
            pause = self._settings.request_window / 4 if after is None else after
            self._limit.pause(pause)
            raise _TransientError(
                LimitReachedError(
                    f"the rate limit of the API key at Finnhub is still exceeded: {words}",
                    hint="is the key in use elsewhere? set finnhub.requests_per_minute to the limit of the plan",
                ),
                pause,
            )
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            error = UnreachableError(f"Finnhub at {self._base} answers {request} with HTTP {status}", hint="try later")
            raise _TransientError(error, _retry_after(response))
        raise StockctlError(
            f"Finnhub at {self._base} answers {request} with HTTP {status}: {words}", hint="is finnhub.rest_url right?"
        )

    def _error(self, response: httpx.Response) -> str:
        """The error in the body of the response, without the API key."""
        try:
            content = msgspec.json.decode(response.content)
        except UNREADABLE:
            content = None
        text = str(content["error"]) if isinstance(content, dict) and "error" in content else response.text
        return self._scrubbed(" ".join(text.split())[:200]) or f"HTTP {response.status_code}"

    def _words(self, error: Exception) -> str:
        return self._scrubbed(str(error) or type(error).__name__)

    def _scrubbed(self, text: str) -> str:
        return text.replace(self._key, "****") if len(self._key) > len(SIMULATOR_TOKEN) else text


def _request_name(path: str, query: Mapping[str, str]) -> str:
    """The name of the request in messages: its path, with its symbol or exchange."""
    subject = query.get("symbol") or query.get("exchange")
    return f"{path} of {subject}" if subject else path


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds of the header Retry-After, which has seconds or a date; None without it."""
    text = response.headers.get("Retry-After", "").strip()
    try:
        seconds = float(text) if text.isdigit() else (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(0.0, seconds), _LONGEST_WAIT)
