"""The WebSocket session with the feed: connect, subscribe, detect silence, reconnect.

The session yields frames and events. The caller publishes them.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from typing import NamedTuple

from stockctl.clients.finnhub.websocket import FeedConnection, FeedLostError, TooManyConnectsError
from stockctl.errors import StockctlError, UnreachableError
from stockctl.exchange.calendar import calendar_of, now_ms
from stockctl.feed.coverage import feed_event
from stockctl.feed.decoder import Decoder, Frame
from stockctl.feed.market_status import MarketStatus
from stockctl.records import STOPPED, EventKind, FeedEvent, connection_token
from stockctl.settings import Settings
from stockctl.units import format_duration

log = logging.getLogger("stockctl.produce")

TICK = 0.2
"""Longest time in seconds between two items, and so until the stop signal is noticed."""
JUMP = 1.0
"""Most seconds that the wall clock may jump against the monotonic clock, which stops while the machine sleeps."""
STABLE = 15.0
"""A connection that lasted this many seconds counts as a success and resets the backoff."""
_KEY_IN_USE = (
    "key in use elsewhere: the feed closes the connection soon after each subscription. It allows one connection per key: "
    "stop the other one"
)
_PROTOCOL_PING = Frame("ping", [], [])
_TOO_MANY_SYMBOLS = re.compile(r"too many symbols", re.IGNORECASE)
_INVALID_SYMBOL = re.compile(r"invalid symbol\s+(\S+)", re.IGNORECASE)


class _SilentError(FeedLostError):
    """The connection is open, but no frame arrives."""


class _ClockError(FeedLostError):
    """The wall clock jumped, or the machine slept: receipt times across the jump are unknown."""


class ReceivedFrame(NamedTuple):
    """A decoded frame and its time of receipt (ms UTC)."""

    frame: Frame
    ts_recv: int


SessionItem = ReceivedFrame | FeedEvent | None
"""A frame, an event of the session, or None if nothing happened for ``TICK`` seconds."""


class Backoff:
    """Pauses between attempts: they double from 0.5 s up to ``longest`` seconds. Each is shortened at random by up to half."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._failures = 0

    def next(self) -> float:
        """The pause before the next attempt, in seconds."""
        pause = min(self._longest, 0.5 * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return pause * random.uniform(0.5, 1)  # noqa: S311 - spreads reconnects, guards no secret

    def reset(self) -> None:
        """Start with short pauses again."""
        self._failures = 0


class FeedSession:
    """The feed's frames and events for ``symbols`` until ``stop`` is set.

    Calls ``decoder.start`` for each new connection. The public attributes are the current state.
    """

    def __init__(self, settings: Settings, symbols: Sequence[str], decoder: Decoder, stop: threading.Event) -> None:
        self._settings = settings
        self._finnhub = settings.finnhub
        self._symbols = list(dict.fromkeys(symbols))
        self._decoder = decoder
        self._stop = stop
        self._market = MarketStatus(self._symbols, calendar_of(settings.finnhub.source))
        self._backoff = Backoff(self._finnhub.backoff_max)
        self._early_drops = 0
        self._events = 0
        self._token = connection_token()
        self._down_since = time.monotonic()
        self.connections = 0
        """Connections opened so far."""
        self.connected = False
        """Whether a connection is open now."""
        self.last_error: StockctlError | None = None
        """Why the last connection failed or ended."""

    @property
    def trouble(self) -> str | None:
        """The problem, if any: no connection for longer than ``finnhub.silence_timeout``, or the key is in use elsewhere."""
        if self._early_drops > 1:
            return _KEY_IN_USE
        if self.connected:
            return None
        if not self.connections:
            return f"not connected to the feed yet: {self.last_error or 'connecting'}"
        away = time.monotonic() - self._down_since
        if away > self._finnhub.silence_timeout or isinstance(self.last_error, TooManyConnectsError):
            return f"not connected to the feed for {format_duration(away)}: {self.last_error}"
        return None

    def run(self) -> Iterator[SessionItem]:
        """Yield frames and events as they happen, and None at least every ``TICK`` seconds.

        Raises RefusedError for a wrong key and ConfigError for an invalid address. All other errors lead to a reconnect.
        """
        limit = self._finnhub.symbol_limit
        if len(self._symbols) > limit:
            log.warning(
                "%d symbols exceed the %d that the plan allows (finnhub.symbol_limit): the feed may refuse the last %d",
                len(self._symbols),
                limit,
                len(self._symbols) - limit,
            )
        while not self._stop.is_set():
            began = now_ms()
            try:
                connection = yield from self._open()
            except (UnreachableError, TooManyConnectsError) as error:
                if type(error) is not type(self.last_error):
                    yield self._event("refused", (began, now_ms()), self._symbols, str(error))
                self.last_error = error
                log.warning("%s", error)
            else:
                if connection is None:
                    return
                yield from self._run_connection(connection, began)
            if not self._stop.is_set():
                pause = self._backoff.next()
                log.info("reconnecting in %s", format_duration(pause))
                yield from self._wait(pause)

    def _open(self) -> Generator[None, None, FeedConnection | None]:
        """Connect, in a thread because it may block on the network. None if the stop signal comes first."""
        attempt: Future[FeedConnection] = Future()

        def connect() -> None:
            try:
                attempt.set_result(FeedConnection(self._settings))
            except BaseException as error:  # noqa: BLE001 - raised again below
                attempt.set_exception(error)

        threading.Thread(target=connect, name="connect", daemon=True).start()
        while not attempt.done():
            if self._stop.is_set():
                attempt.add_done_callback(_close_unused)
                return None
            wait([attempt], TICK)
            yield None
        return attempt.result()

    def _run_connection(self, connection: FeedConnection, began: int) -> Iterator[SessionItem]:
        """Run one connection until it ends."""
        self._token = connection_token()
        self._decoder.start(self._token)
        self._refused: list[str] = []
        self._reported: set[str] = set()
        self._last_frame = now_ms()
        self._opened = time.monotonic()
        self.connections += 1
        self.connected = True
        reason = STOPPED
        try:
            yield self._event("connected", (began, self._last_frame), self._symbols, "")
            for symbol in self._symbols:
                connection.subscribe(symbol)
            at = now_ms()
            self._market.connected(at)
            log.info("connected to %s, symbols subscribed: %d", self._finnhub.url, len(self._symbols))
            yield self._event("subscribed", (at, at), self._symbols, "")
            yield from self._listen(connection)
        except FeedLostError as error:
            self.last_error = error
            reason = str(error)
            early = time.monotonic() - self._opened < STABLE and not isinstance(error, _SilentError | _ClockError)
            self._early_drops = self._early_drops + 1 if early else 0
            log.warning("%s", _KEY_IN_USE if self._early_drops > 1 else error)
        finally:
            connection.close()
            self.connected = False
            self._down_since = time.monotonic()
        # Coverage ends just after the last frame.
        since = self._last_frame + 1
        yield self._event("disconnected", (since, max(now_ms(), since)), self._symbols, reason)

    def _listen(self, connection: FeedConnection) -> Iterator[SessionItem]:
        last_frame = last_check = time.monotonic()
        offset = now_ms() / 1000 - last_frame
        while not self._stop.is_set():
            text = connection.receive(TICK)
            now, moment = now_ms(), time.monotonic()
            previous, offset = offset, now / 1000 - moment
            if abs(offset - previous) > JUMP:
                if text:  # received before the jump, or buffered while the machine slept
                    yield ReceivedFrame(self._decoder.frame(text, self._last_frame), self._last_frame)
                direction = "forward, or the machine slept," if offset > previous else "back"
                raise _ClockError(f"the clock was set {direction} by {format_duration(abs(offset - previous))}")
            now = max(now, self._last_frame)
            received = None
            if text is not None:
                last_frame, self._last_frame = moment, now
                received = ReceivedFrame(self._decoder.frame(text, now) if text else _PROTOCOL_PING, now)
                self._log(self._market.frame(received.frame, now))
                if received.frame.kind == "error":
                    yield from self._refusal(connection.scrubbed(received.frame.message), now)
            elif moment - last_frame > self._finnhub.silence_timeout:
                silence = f"feed silent: no frame for {format_duration(moment - last_frame)}, pings included"
                yield self._event("silent", (self._last_frame + 1, now), self._symbols, silence)
                raise _SilentError(silence)
            if moment - last_check > 1:
                last_check = moment
                self._log(self._market.messages(now, self._decoder.symbols))
                if moment - self._opened > STABLE:
                    self._backoff.reset()
                    self._early_drops = 0
                    self.last_error = None
            yield received

    def _refusal(self, message: str, now: int) -> Iterator[FeedEvent]:
        """Handle an error frame. It refuses the symbol that it names, else the last subscribed one that isn't refused yet."""
        named = _INVALID_SYMBOL.search(message)
        left = [symbol for symbol in self._symbols if symbol not in self._refused]
        if named and named[1] in left:
            symbol = named[1]
        elif _TOO_MANY_SYMBOLS.search(message) and left:
            # The feed accepts symbols in the order of subscription, and does not name the one that it refuses.
            symbol = left[-1]
        else:
            if message not in self._reported and len(self._reported) < 100:
                self._reported.add(message)
                log.warning("error from the feed: %s", message)
            return
        self._refused.append(symbol)
        log.warning("the feed refuses %s: %s", symbol, message)
        yield self._event("refused", (now, now), [symbol], message)

    def _log(self, messages: Iterable[str]) -> None:
        for message in messages:
            log.info("%s", message)

    def _wait(self, seconds: float) -> Iterator[None]:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stop.wait(min(left, TICK)):
            yield None

    def _event(self, kind: EventKind, span: tuple[int, int], symbols: Iterable[str], reason: str) -> FeedEvent:
        self._events += 1
        return feed_event(
            kind,
            span,
            symbols,
            reason,
            connection=self._token,
            number=self._events,
            ts_recv=now_ms(),
            source=self._finnhub.source,
        )


def _close_unused(attempt: Future[FeedConnection]) -> None:
    if attempt.exception() is None:
        attempt.result().close()
