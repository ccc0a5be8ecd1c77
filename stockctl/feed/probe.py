"""How the feed is probed without disturbing it: the address answers, TLS is in order, a token is set.

No WebSocket is opened: the feed allows one connection a key, and a second one would drop a running producer's.
"""

from __future__ import annotations

import socket
import ssl
import time
from urllib.parse import urlsplit

from stockctl.checks import PROBE_WAIT, Check, Finding
from stockctl.errors import ConfigError, RefusedError, UnreachableError
from stockctl.settings import Settings, require


def checks(settings: Settings) -> list[Check]:
    """The check of the feed's address and token."""
    return [Check("feed", lambda: _probe(settings))]


def _probe(settings: Settings) -> Finding:
    url = urlsplit(settings.finnhub.url)
    if url.scheme not in ("ws", "wss") or not url.hostname:
        raise ConfigError(f"finnhub.url is {settings.finnhub.url}, which is no WebSocket address", hint="write wss://host")
    secure = url.scheme == "wss"
    latency = _connect(url.hostname, url.port or (443 if secure else 80), secure=secure)
    require(settings, "finnhub.token")
    kind = "Finnhub" if settings.finnhub.is_real else "a simulator"
    return Finding(
        f"{kind} at {url.hostname} answers, and a token is set; not logged in, which would drop a running producer",
        latency=latency,
    )


def _connect(host: str, port: int, *, secure: bool) -> float:
    started = time.monotonic()
    try:
        with socket.create_connection((host, port), timeout=PROBE_WAIT) as connection:
            if secure:
                ssl.create_default_context().wrap_socket(connection, server_hostname=host).close()
    except ssl.SSLError as error:
        raise RefusedError(
            f"cannot speak TLS with {host}:{port}: {error.reason or error}", hint="check finnhub.url, and proxies on the way"
        ) from error
    except OSError as error:
        raise UnreachableError(
            f"cannot reach the feed at {host}:{port}: {error.strerror or error}",
            hint="check finnhub.url and the network; `stockctl local up` starts a simulator",
        ) from error
    return time.monotonic() - started
