"""Finnhub's WebSocket, or a simulator of it; the only importer of websocket-client.

The API key is in the URL. So messages of the library never go into errors unchanged: they are rewritten, without the key.
"""

from __future__ import annotations

import contextlib
import json
import ssl
from typing import Any
from urllib.parse import quote

import websocket

from stockctl.clients.local_stack_lock import absent_stack
from stockctl.errors import RefusedError, StockctlError, UnreachableError
from stockctl.settings import Settings, require

SIMULATOR_TOKEN = "sim"  # noqa: S105 - the simulator accepts it when no key is set
_UNAUTHORIZED = (401, 403)
_TOO_MANY = 429


class FeedLostError(UnreachableError):
    """The open connection to the feed was closed or lost."""


class TooManyConnectsError(RefusedError):
    """The feed refuses a connection for now (HTTP 429): too many connections, or the API key is in use elsewhere."""


def feed_token(settings: Settings) -> str:
    """The API key for the WebSocket, see ``key_of``."""
    return key_of(settings, "finnhub.url", real=settings.finnhub.is_real)


def key_of(settings: Settings, name: str, *, real: bool) -> str:
    """The API key for the URL in the setting ``name``: Finnhub's if ``real``, else a simulator's, which accepts any key.

    ConfigError without a key; UnreachableError if the URL is that of the local stack, and the stack is not running.
    """
    if not real and settings.finnhub.token is None:
        return SIMULATOR_TOKEN
    if settings.finnhub.token is None and settings.origin(name) == "default":
        instead = "`stockctl local up` for a simulator, or export STOCKCTL_FINNHUB__TOKEN=… for Finnhub's own feed"
        if (absent := absent_stack(settings, "kafka.bootstrap_servers", instead=instead)) is not None:
            raise absent
    return str(require(settings, "finnhub.token").get_secret_value())


class FeedConnection:
    """An open WebSocket to the feed. Creating one connects, within ``finnhub.connect_timeout``.

    ConfigError without an API key, RefusedError for a wrong key, TooManyConnectsError for HTTP 429, and UnreachableError for
    all other failures.
    """

    def __init__(self, settings: Settings) -> None:
        self._where = settings.finnhub.url
        self._token = feed_token(settings)
        self._socket = _new_socket()
        failure: StockctlError | None = None
        try:
            self._socket.connect(
                f"{settings.finnhub.url}?token={quote(self._token, safe='')}", timeout=settings.finnhub.connect_timeout
            )
        except (websocket.WebSocketException, OSError, ValueError) as error:
            failure = self._describe(error)
        if failure is not None:
            # Raised here, so that the exception of the library, which may have the key, is not chained.
            raise failure

    def subscribe(self, symbol: str) -> None:
        """Subscribe to the trades of ``symbol``; the feed does not confirm it. FeedLostError if the connection is closed."""
        self._send({"type": "subscribe", "symbol": symbol})

    def receive(self, timeout: float) -> bytes | None:
        """The text of the next frame, empty for a ping or pong; None after ``timeout`` seconds without a frame.

        FeedLostError if the connection is closed.
        """
        lost: str | None = None
        try:
            self._socket.settimeout(timeout)
            opcode, frame = self._socket.recv_data_frame(True)
        except websocket.WebSocketTimeoutException:
            return None
        except (websocket.WebSocketException, OSError) as error:
            lost = self._words(error)
        if lost is None and opcode == websocket.ABNF.OPCODE_CLOSE:
            lost = self.scrubbed(_close_words(frame.data))
        if lost is not None:
            raise FeedLostError(f"the feed at {self._where} ended the connection: {lost}")
        return bytes(frame.data) if opcode in (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY) else b""

    def close(self) -> None:
        """Close the connection, with a close frame if it is open."""
        with contextlib.suppress(websocket.WebSocketException, OSError):  # a broken connection needs no close frame
            self._socket.close(timeout=0.3)
        self._socket.shutdown()

    def _send(self, request: dict[str, str]) -> None:
        lost: str | None = None
        try:
            self._socket.send(json.dumps(request))
        except (websocket.WebSocketException, OSError) as error:
            lost = self._words(error)
        if lost is not None:
            raise FeedLostError(f"the feed at {self._where} ended the connection: {lost}")

    def _words(self, error: Exception) -> str:
        text = (error.strerror if isinstance(error, OSError) else None) or str(error).rstrip(".") or type(error).__name__
        return self.scrubbed(text)

    def scrubbed(self, text: str) -> str:
        """``text`` without the API key."""
        for secret in (self._token, quote(self._token, safe="")):
            text = text.replace(secret, "****")
        return text

    def _describe(self, error: Exception) -> StockctlError:
        status = getattr(error, "status_code", None)
        if status in _UNAUTHORIZED:
            return RefusedError(
                f"the feed at {self._where} refuses the key (HTTP {status})",
                hint="check STOCKCTL_FINNHUB__TOKEN; `stockctl config show` shows its last characters",
            )
        if status == _TOO_MANY:
            return TooManyConnectsError(
                f"the feed at {self._where} refuses the connection (HTTP 429): "
                "too many connections, or the API key is in use elsewhere",
                hint="stop the other producer with this key, or wait a minute",
            )
        if status is not None:
            return UnreachableError(f"the feed at {self._where} answered the handshake with HTTP {status}", hint="try later")
        if isinstance(error, ssl.SSLError):
            return UnreachableError(
                f"the TLS handshake with the feed at {self._where} failed: {self._words(error)}",
                hint="check proxies in between",
            )
        return UnreachableError(
            f"cannot reach the feed at {self._where}: {self._words(error)}", hint="check finnhub.url and the network"
        )


def _new_socket() -> Any:  # many functions of the library have no types
    return websocket.WebSocket(skip_utf8_validation=True, enable_multithread=False)


def _close_words(payload: bytes) -> str:
    """Code and reason of a close frame."""
    if len(payload) < 2:
        return "closed without a reason"
    reason = payload[2:].decode("utf-8", errors="replace")
    return f"closed with {int.from_bytes(payload[:2], 'big')} {reason}".rstrip()
