"""Finnhub's REST API, or that of a simulator which speaks the same: one gateway that keeps to the key's limits.

The key goes into a header, which no address, log or error shows; and never to another host that an answer points to.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Literal, NoReturn, Self, TypeVar

import httpx
import msgspec

from stockctl.clients.finnhub.responses import FilingEntry, Listed, Profile, Quote, Reported
from stockctl.clients.finnhub.websocket import SIMULATOR_TOKEN, key_of
from stockctl.clients.http import http_client
from stockctl.clients.local_stack import absent_stack
from stockctl.clients.rate_limit import Limit, RateLimit
from stockctl.errors import ConfigError, RefusedError, StockctlError, TimedOutError, UnreachableError, quoted
from stockctl.records import UNREADABLE, decode
from stockctl.service import retry
from stockctl.settings import Settings
from stockctl.units import format_duration
from stockctl.validation import decode_problem

Answer = TypeVar("Answer")
Frequency = Literal["annual", "quarterly"]

_HEADER = "X-Finnhub-Token"
_MOST_REDIRECTS = 3
_LONGEST_WAIT = 3600.0  # a Retry-After beyond this is not believed
_SECOND = 1.0


class NoAccessError(RefusedError):
    """The key is good, and its plan does not include what was asked for (HTTP 403)."""


class LimitReachedError(RefusedError):
    """The key's limit was still reached after every try (HTTP 429)."""


_PLANS = {
    "/stock/financials-reported": "the free plan covers companies that file with the SEC",
    "/stock/filings": "the free plan covers companies that file with the SEC",
    "/stock/symbol": "the free plan covers the exchange US",
    "/stock/profile2": "the free plan covers companies listed in the US",
    "/quote": "the free plan covers stocks listed in the US",
}


class _PassingError(Exception):
    """A failure that may pass: ``error`` is what it becomes if it does not, ``after`` the wait that was asked for."""

    def __init__(self, error: StockctlError, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.after = error, after


def rest_token(settings: Settings) -> str:
    """The key for the REST API, as ``key_of`` has it."""
    return key_of(settings, "finnhub.rest_url", real=settings.finnhub.rest_is_real)


class FinnhubRest:
    """The gateway. Usable from several threads; a context that closes its connections.

    Every call raises ConfigError for an absent key, RefusedError for a wrong one, NoAccessError for what its plan lacks,
    LimitReachedError, UnreachableError and TimedOutError after ``finnhub.request_tries`` tries, and StockctlError for an answer
    that is not what it should be. ``stop`` ends the waiting between tries.
    """

    def __init__(self, settings: Settings, *, stop: threading.Event | None = None) -> None:
        finnhub = settings.finnhub
        self._settings, self._stop = finnhub, stop or threading.Event()
        self._base = finnhub.rest_url.rstrip("/")
        if (absent := absent_stack(settings, "finnhub.rest_url")) is not None:
            raise absent
        self._key = rest_token(settings)
        if not (self._key.isascii() and self._key.isprintable()):
            raise ConfigError("finnhub.token holds a character that no HTTP header may hold", hint="copy the key once more")
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def reported(self, symbol: str, frequency: Frequency, since: date | None = None) -> list[bytes]:
        """Reports as filed, each as received: 10-K for ``annual``, 10-Q for ``quarterly``.

        With ``since``, those of periods that end from then on.
        """
        query = {"symbol": symbol, "freq": frequency} | ({"from": since.isoformat()} if since else {})
        return [bytes(one) for one in self._ask("/stock/financials-reported", query, Reported).data or ()]

    def filings(self, symbol: str, since: date | None = None) -> list[FilingEntry]:
        """The newest 250 filings of ``symbol``, of those filed from ``since`` on."""
        query = {"symbol": symbol} | ({"from": since.isoformat()} if since else {})
        return self._ask("/stock/filings", query, list[FilingEntry])

    def symbols(self, exchange: str = "US") -> list[Listed]:
        """Every symbol of ``exchange``."""
        return self._ask("/stock/symbol", {"exchange": exchange}, list[Listed])

    def profile(self, symbol: str) -> Profile:
        """The company of ``symbol``; empty for what is none."""
        return self._ask("/stock/profile2", {"symbol": symbol}, Profile)

    def quote(self, symbol: str) -> Quote:
        """The last price of ``symbol``; zeros for an unknown one."""
        return self._ask("/quote", {"symbol": symbol}, Quote)

    # One request, its tries, and what its answer means.

    def _ask(self, path: str, query: Mapping[str, str], kind: type[Answer]) -> Answer:
        body = self._get(path, query)
        trouble: str | None = None
        try:
            return decode(body, kind)
        except UNREADABLE as error:
            trouble = decode_problem(error)
        raise StockctlError(
            f"Finnhub at {self._base} answers {_told(path, query)} with what cannot be read: {trouble}; "
            f"it begins {quoted(self._scrubbed(body[:60].decode(errors='replace')))}",
            hint="try later; is finnhub.rest_url right?",
        )

    def _get(self, path: str, query: Mapping[str, str]) -> bytes:
        try:
            return retry(
                lambda: self._try(path, query),
                lambda error: isinstance(error, _PassingError),
                stop=self._stop,
                attempts=self._settings.request_tries,
                first=_SECOND,
                longest=self._settings.backoff_max,
                retry_after=lambda error: error.after if isinstance(error, _PassingError) else None,
            )
        except _PassingError as passing:
            failure = passing.error
        # Raised out here, so that the library's exceptions, whose requests hold the key, do not hang on to ours.
        raise failure

    def _try(self, path: str, query: Mapping[str, str]) -> bytes:
        told = _told(path, query)
        answer = self._send(httpx.URL(self._base + path), query, told)
        for _ in range(_MOST_REDIRECTS):
            if not answer.has_redirect_location:
                break
            answer = self._send(self._target(answer, told), {}, told)
        if answer.status_code != httpx.codes.OK:
            self._refuse(answer, path, told)
        return answer.content

    def _target(self, answer: httpx.Response, told: str) -> httpx.URL:
        """Where a redirect leads."""
        try:
            return answer.url.join(answer.headers["Location"])
        except httpx.InvalidURL:
            raise UnreachableError(f"Finnhub at {self._base} sends {told} to what is no address", hint="try later") from None

    def _send(self, url: httpx.URL, params: Mapping[str, str], told: str) -> httpx.Response:
        failure: StockctlError
        try:
            # What another host serves (the list of symbols) is none of the key's business, nor of its limits.
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
                f"Finnhub at {self._base} has not answered {told} within {format_duration(self._settings.request_timeout)}",
                hint="try later; finnhub.request_timeout gives it longer",
            )
        except (httpx.TransportError, httpx.DecodingError) as error:
            failure = UnreachableError(f"Finnhub at {self._base} broke off {told}: {self._words(error)}", hint="try later")
        raise _PassingError(failure)

    def _refuse(self, answer: httpx.Response, path: str, told: str) -> NoReturn:
        status, words = answer.status_code, self._error(answer)
        if status == httpx.codes.UNAUTHORIZED:
            raise RefusedError(
                f"Finnhub at {self._base} refuses the key: {words}",
                hint="check STOCKCTL_FINNHUB__TOKEN; `stockctl config show` shows its last characters",
            )
        if status == httpx.codes.FORBIDDEN:
            raise NoAccessError(
                f"the plan of this key does not include {told}: {words}",
                hint=f"{_PLANS.get(path, 'the free plan covers the US')}; all else needs a paid plan, https://finnhub.io/pricing",
            )
        if status == httpx.codes.TOO_MANY_REQUESTS:
            # Somebody else asks with the same key, or a run before this one did: four quarters of a window pass it.
            after = _retry_after(answer)
            pause = self._settings.request_window / 4 if after is None else after
            self._limit.pause(pause)
            raise _PassingError(
                LimitReachedError(
                    f"the key's limit at Finnhub stays reached: {words}",
                    hint="is the key in use elsewhere? finnhub.requests_per_minute is what the plan allows",
                ),
                pause,
            )
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            error = UnreachableError(f"Finnhub at {self._base} answers {told} with HTTP {status}", hint="try later")
            raise _PassingError(error, _retry_after(answer))
        raise StockctlError(
            f"Finnhub at {self._base} answers {told} with HTTP {status}: {words}", hint="is finnhub.rest_url right?"
        )

    def _error(self, answer: httpx.Response) -> str:
        """What the answer's body says, without the key."""
        try:
            told = msgspec.json.decode(answer.content)
        except UNREADABLE:
            told = None
        text = str(told["error"]) if isinstance(told, dict) and "error" in told else answer.text
        return self._scrubbed(" ".join(text.split())[:200]) or f"HTTP {answer.status_code}"

    def _words(self, error: Exception) -> str:
        return self._scrubbed(str(error) or type(error).__name__)

    def _scrubbed(self, text: str) -> str:
        return text.replace(self._key, "****") if len(self._key) > len(SIMULATOR_TOKEN) else text


def _told(path: str, query: Mapping[str, str]) -> str:
    """The request in words: its path, and the symbol or exchange that it is about."""
    about = query.get("symbol") or query.get("exchange")
    return f"{path} of {about}" if about else path


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds that the answer asks to wait, told as seconds or as a date; None if it does not."""
    text = answer.headers.get("Retry-After", "").strip()
    try:
        seconds = float(text) if text.isdigit() else (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(0.0, seconds), _LONGEST_WAIT)
