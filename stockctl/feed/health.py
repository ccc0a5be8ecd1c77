"""Health checks of the feed: the address answers, TLS works, a token is set. And a status row with the newest feed event.

The checks open no WebSocket: the feed allows one connection per key, and a second one would disconnect a running producer.
"""

from __future__ import annotations

import socket
import ssl
import time
from urllib.parse import urlsplit

from stockctl.check_runner import PROBE_WAIT, Check, CheckResult
from stockctl.clients.finnhub.websocket import feed_token
from stockctl.clients.kafka import Admin
from stockctl.clients.kafka.record_reader import RecordReader
from stockctl.clients.local_stack_lock import absent_stack
from stockctl.errors import RefusedError, UnreachableError
from stockctl.record_validation import FEED_EVENTS, InvalidRecordError
from stockctl.settings import Settings
from stockctl.units import format_duration

SILENT_AFTER = 60.0
"""Seconds without a feed event after which no producer seems to be running. A producer writes one every 10 s."""


def checks(settings: Settings) -> list[Check]:
    """The check of the feed's address and token."""
    return [Check("feed", lambda: reach(settings))]


def reach(settings: Settings) -> CheckResult:
    """That the feed can be reached, and a token is set; one of our errors where it is not so."""
    url = urlsplit(settings.finnhub.url)
    secure = url.scheme == "wss"
    host, port = str(url.hostname), url.port or (443 if secure else 80)
    feed_token(settings)
    if (absent := absent_stack(settings, "finnhub.url")) is not None:
        raise absent
    latency = _connect(host, port, secure=secure)
    kind = "Finnhub, with a key set," if settings.finnhub.is_real else "a simulator"
    return CheckResult(
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


def _newest_event(settings: Settings) -> CheckResult:
    admin = Admin(settings)
    admin.wait(PROBE_WAIT)
    offsets = admin.offsets(admin.partitions(settings.topics.feed_events.name))
    with RecordReader(settings) as probe:
        newest = [probe.first(partition, held.end - 1) for partition, held in offsets.items() if held.end > held.start]
    try:
        events = [FEED_EVENTS.record(message.value()) for message in newest if message is not None]
    except InvalidRecordError as error:
        topic = settings.topics.feed_events.name
        return CheckResult(f"the newest record of {topic} is not valid: {error}", "fail", f"find who else writes to {topic}")
    if not events:
        return CheckResult("no event yet", "warn", "`stockctl produce` connects to the feed")
    last = max(events, key=lambda event: event.ts_recv)
    age = max(0.0, time.time() - last.ts_recv / 1000)
    detail = f"{last.kind} {format_duration(age)} ago: {last.reason or last.symbols} (source {last.source})"
    if age > SILENT_AFTER:
        return CheckResult(detail, "warn", "no producer seems to be running: `stockctl produce` starts one")
    return CheckResult(detail)
