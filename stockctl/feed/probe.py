"""How the feed is probed without disturbing it: the address answers, TLS is in order, a token is set; and its newest event.

No WebSocket is opened: the feed allows one connection a key, and a second one would drop a running producer's.
"""

from __future__ import annotations

import socket
import ssl
import time
from urllib.parse import urlsplit

import msgspec

from stockctl.checks import PROBE_WAIT, Check, Finding
from stockctl.clients.finnhub import feed_token
from stockctl.clients.kafka import Admin
from stockctl.errors import ConfigError, RefusedError, UnreachableError
from stockctl.lake.probe import Probe
from stockctl.records import UNREADABLE, FeedEvent, why_unreadable
from stockctl.settings import Settings
from stockctl.units import format_duration

SILENT_AFTER = 60.0
"""Seconds without any feed event after which no producer seems to be running: one comes every 10 s."""


def checks(settings: Settings) -> list[Check]:
    """The check of the feed's address and token."""
    return [Check("feed", lambda: _probe(settings))]


def _probe(settings: Settings) -> Finding:
    url = urlsplit(settings.finnhub.url)
    secure = url.scheme == "wss"
    try:
        host, port = url.hostname, url.port or (443 if secure else 80)
    except ValueError:
        host, port = None, 0
    if url.scheme not in ("ws", "wss") or not host:
        raise ConfigError(f"finnhub.url is {settings.finnhub.url}, which is no WebSocket address", hint="write wss://host")
    feed_token(settings)
    latency = _connect(host, port, secure=secure)
    kind = "Finnhub, with a key set," if settings.finnhub.is_real else "a simulator"
    return Finding(
        f"{kind} answers at {host}:{port}; not logged in, because that would drop a running producer", latency=latency
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


def overview(settings: Settings) -> list[Check]:
    """The row of ``stockctl status`` for the feed: its newest event, as Kafka has it."""
    return [Check("feed", lambda: _newest_event(settings))]


def _newest_event(settings: Settings) -> Finding:
    admin = Admin(settings)
    admin.wait(PROBE_WAIT)
    offsets = admin.offsets(admin.partitions(settings.topics.feed_events.name))
    probe = Probe(settings)
    try:
        newest = [probe.first(partition, held.end - 1) for partition, held in offsets.items() if held.end > held.start]
    finally:
        probe.close()
    try:
        events = [msgspec.json.decode(message.value(), type=FeedEvent) for message in newest if message is not None]
    except UNREADABLE as error:
        topic = settings.topics.feed_events.name
        return Finding(
            f"the newest record of {topic} is no feed event: {why_unreadable(error)}",
            "fail",
            f"find who else writes to {topic}",
        )
    if not events:
        return Finding("no event yet", "warn", "`stockctl produce` connects to the feed")
    last = max(events, key=lambda event: event.ts_recv)
    age = max(0.0, time.time() - last.ts_recv / 1000)
    detail = f"{last.kind} {format_duration(age)} ago: {last.reason or last.symbols} (source {last.source})"
    if age > SILENT_AFTER:
        return Finding(detail, "warn", "no producer seems to be running: `stockctl produce` starts one")
    return Finding(detail)
