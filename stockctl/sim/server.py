"""The simulator's server: connections, handshake, subscriptions, frames and faults. Runs in one asyncio loop, without threads.

``simulator.Simulator`` puts it in a thread; ``source`` feeds it with rows.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, cast
from weakref import WeakSet

import msgspec
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request
from websockets.protocol import State

from stockctl.errors import StockctlError
from stockctl.sim import wire_format
from stockctl.sim.counters import Counters
from stockctl.sim.faults import Fault
from stockctl.sim.handshake import RequestHandler, key_of
from stockctl.sim.market import FLUSH_MS, MAX_FRAME_ROWS, Row, encode_frame
from stockctl.sim.rest import RestApi

logger = logging.getLogger("stockctl.sim")
_wire_logger = logging.getLogger("stockctl.sim.websockets")
_wire_logger.setLevel(logging.WARNING)  # it logs every connection and every plain HTTP request

_SLOW_READER_BYTES = 16 * 1000**2  # a client this far behind is dropped, as real servers do
_CLOSE_SECONDS = 1.0  # how long a client may take to read what was sent before the simulator closed


class _Client:
    """One connection and what is on its way to it."""

    def __init__(self, connection: ServerConnection, key: str) -> None:
        self.connection = connection
        self.key = key
        self.symbols: dict[str, None] = {}  # in the order of subscription
        self.pending: list[Row] = []
        self.pending_since = 0.0
        self.silent = False
        self.repeat = 1


class FeedServer:
    """A server like Finnhub's WebSocket. Call all methods in the loop where it was started.

    ``tokens`` are the accepted keys; None accepts any that is not empty. ``listed`` are the known symbols; None accepts every
    well-formed one. Every sent text is appended to ``sent``. ``rest`` creates the REST API on the same port.
    """

    def __init__(
        self,
        *,
        tokens: Collection[str] | None = None,
        listed: Sequence[str] | None = None,
        symbol_limit: int = 50,
        ping_interval: float = 60.0,
        sent: list[str] | None = None,
        rest: Callable[[Counters], RestApi] | None = None,
    ) -> None:
        self.counters = Counters()
        self.subscribed: tuple[str, ...] = ()
        """Subscribed symbols that trade."""
        self.rate = 0.0
        """Rows per second over all symbols that the source sends."""
        self.wanted = asyncio.Event()
        """Set while rows are wanted: a connection has a subscription, and the rate is above 0."""
        self._listed = listed
        self._symbol_limit = symbol_limit
        self._ping_interval = ping_interval
        self._sent = sent
        self._clients: dict[str, _Client] = {}
        self._accepted: WeakSet[ServerConnection] = WeakSet()
        self._rest = rest(self.counters) if rest else RestApi(tokens, listed, self.counters)
        self._rest.changed = self._changed
        self._handler = RequestHandler(tokens, lambda: self.counters, self.apply, self._refused, self._rest)
        self._faults: list[Fault] = []  # those due by frames, the next first
        self._timers: list[asyncio.TimerHandle] = []
        self._change = asyncio.Event()
        self._server: Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port. OSError if that fails."""

        @functools.wraps(ServerConnection)
        def connect(*arguments: Any, **options: Any) -> ServerConnection:
            connection = ServerConnection(*arguments, **options)
            self._accepted.add(connection)
            return connection

        self._server = await serve(
            self._serve,
            host,
            port,
            process_request=self._handler.answer,
            compression=None,
            server_header=None,
            ping_interval=None,  # Finnhub pings in text frames
            open_timeout=5,
            create_connection=cast(type[ServerConnection], connect),
            logger=_wire_logger,
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening, and close every connection, also unfinished handshakes."""
        for timer in self._timers:
            timer.cancel()
        if self._server is None:
            return
        self._server.close(close_connections=False)
        transports = [connection.transport for connection in self._accepted if hasattr(connection, "transport")]
        for transport in transports:
            transport.close()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._server.wait_closed()
        except TimeoutError:
            for transport in transports:
                transport.abort()
            await self._server.wait_closed()

    def _refused(self) -> None:
        self.counters.refused += 1
        self._changed()

    # Connections.

    async def _serve(self, connection: ServerConnection) -> None:
        client = _Client(connection, key_of(cast(Request, connection.request)))
        if (previous := self._clients.get(client.key)) is not None:
            logger.info("a second connection with the same key: dropping the first")
            self._drop(previous)
        self._clients[client.key] = client
        self.counters.connections += 1
        self._clients_changed()
        logger.info("connection %d open", self.counters.connections)
        pings = asyncio.create_task(self._ping(client))
        try:
            async for message in connection:
                self._receive(client, message)
        except ConnectionClosed:
            logger.info("connection lost")
        finally:
            pings.cancel()
            self._forget(client)

    async def _ping(self, client: _Client) -> None:
        while True:
            await asyncio.sleep(self._ping_interval)
            self._write(client, wire_format.PING, pings=1)

    def _receive(self, client: _Client, message: str | bytes) -> None:
        request = wire_format.read_request(message)
        if request is None:
            logger.warning("ignoring an invalid request: %.200r", message)
        elif request.type == "unsubscribe":
            client.symbols.pop(request.symbol, None)
        elif request.symbol in client.symbols:
            return
        elif len(client.symbols) >= self._symbol_limit:
            self._write(client, wire_format.TOO_MANY_SYMBOLS, errors=1)
        elif ":" in request.symbol and not wire_format.is_traded(request.symbol, self._listed):
            self._write(client, wire_format.invalid_symbol(request.symbol), errors=1)
        else:
            # The server accepts an unknown US ticker without a response. It never trades.
            client.symbols[request.symbol] = None
        self._clients_changed()

    def _drop(self, client: _Client) -> None:
        """Close the connection without a closing handshake. Data sent before still arrives."""
        self._forget(client)
        client.connection.transport.close()

    def _forget(self, client: _Client) -> None:
        if self._clients.get(client.key) is client:
            del self._clients[client.key]
            self._clients_changed()

    def _clients_changed(self) -> None:
        wanted = dict.fromkeys(symbol for client in self._clients.values() for symbol in client.symbols)
        ordered = wanted if self._listed is None else self._listed
        self.subscribed = tuple(s for s in ordered if s in wanted and wire_format.is_traded(s, self._listed))
        self.counters.open = len(self._clients)
        self.counters.subscribed = list(wanted)
        self.set_rate(self.rate)
        self._changed()

    def set_rate(self, rate: float) -> None:
        """Change the rate. 0 stops the trades, as when the market is closed; pings continue."""
        self.rate = rate
        if rate > 0 and self.counters.subscribed:
            self.wanted.set()
        else:
            self.wanted.clear()

    # Sending.

    def deliver(self, rows: Iterable[Row]) -> None:
        """Queue each row for its subscribers. Full frames are sent at once, others by ``flush``."""
        for client in list(self._clients.values()):
            if client.silent or not client.symbols:
                continue
            for row in rows:
                if row.s in client.symbols:
                    if not client.pending:
                        client.pending_since = time.monotonic()
                    client.pending.append(row)
                    if len(client.pending) == MAX_FRAME_ROWS:
                        self._send_pending(client)

    def flush(self) -> None:
        """Send frames whose first row has waited about a second."""
        due = time.monotonic() - FLUSH_MS / 1000
        for client in list(self._clients.values()):
            if client.pending and client.pending_since <= due:
                self._send_pending(client)

    def _send_pending(self, client: _Client) -> None:
        rows, client.pending = client.pending, []
        self._send(client, encode_frame(rows).decode(), len(rows))

    def send_rows(self, rows: Sequence[Row | dict[str, object]]) -> int:
        """Send exactly ``rows`` in frames of 10 to every open connection, subscribed or not; returns the number of frames."""
        self._open()
        cuts = range(0, len(rows), MAX_FRAME_ROWS)
        for start in cuts:
            self.publish(encode_frame(rows[start : start + MAX_FRAME_ROWS]).decode())
        return len(cuts)

    def send_text(self, text: str) -> None:
        """Send ``text`` unchanged to every open connection. StockctlError if there is none."""
        self._open()
        self.publish(text)

    def publish(self, text: str) -> None:
        """Send ``text`` unchanged to every connection, if any."""
        rows = wire_format.rows_in(text)
        for client in list(self._clients.values()):
            self._send(client, text, rows)

    def _send(self, client: _Client, text: str, rows: int) -> None:
        """Send one text. If it has rows, it is a trade frame, which may be repeated on demand."""
        if not rows:
            self._write(client, text)
            return
        times, client.repeat = client.repeat, 1
        for _ in range(times):
            self._write(client, text, frames=1, rows=rows)
            while self._faults and self._faults[0].frames <= self.counters.frames:
                self._apply_or_log(self._faults.pop(0))

    def _write(self, client: _Client, text: str, *, frames: int = 0, rows: int = 0, pings: int = 0, errors: int = 0) -> None:
        """Send ``text`` now and count it, unless the client is silent, gone or too slow."""
        if client.silent or client.connection.state is not State.OPEN or self._clients.get(client.key) is not client:
            return
        if client.connection.transport.get_write_buffer_size() > _SLOW_READER_BYTES:
            logger.warning("a client reads too slowly and is dropped")
            self._drop(client)
            return
        # Count first: a client that has received a row must find it in the counters.
        self.counters.frames += frames
        self.counters.rows += rows
        self.counters.pings += pings
        self.counters.errors += errors
        if self._sent is not None:
            self._sent.append(text)
        broadcast([client.connection], text)
        self._changed()

    def _open(self) -> list[_Client]:
        clients = [client for client in self._clients.values() if not client.silent]
        if not clients:
            raise StockctlError("no connection is open", hint="wait until a client has connected")
        return clients

    # Faults.

    def schedule(self, faults: Iterable[Fault]) -> None:
        """Schedule each fault, counted from now."""
        loop = asyncio.get_running_loop()
        for fault in faults:
            if fault.seconds is None:
                self._faults.append(fault)
            else:
                self._timers.append(loop.call_later(fault.seconds, self._apply_or_log, fault))
        self._faults.sort(key=lambda fault: fault.frames)

    def _apply_or_log(self, fault: Fault) -> None:
        try:
            self.apply(fault)
        except StockctlError as error:
            logger.warning("fault %s had no effect: %s", fault.kind, error)

    def apply(self, fault: Fault) -> None:
        """Apply ``fault`` now. StockctlError if it needs an open connection and there is none."""
        match fault.kind:
            case "refuse":
                self._handler.refusals += [fault.status] * fault.times
            case "rest":
                self._rest.failures += [fault.status] * fault.times
            case "drop":
                for client in self._open():
                    self._drop(client)
            case "silent":
                self._go_silent(fault.span)
            case "resume":
                self._resume(list(self._clients.values()))
            case "triple":
                self.repeat_next(3)
            case "malformed":
                self.send_text(wire_format.MALFORMED)
        logger.info("fault: %s", fault.kind)

    def _go_silent(self, span: float | None) -> None:
        clients = self._open()
        for client in clients:
            client.silent = True
            client.pending = []
            # A half-open connection answers no protocol ping either.
            client.connection.transport.pause_reading()
        if span is not None:
            self._timers.append(asyncio.get_running_loop().call_later(span, self._resume, clients))

    def _resume(self, clients: Iterable[_Client]) -> None:
        for client in clients:
            client.silent = False
            client.connection.transport.resume_reading()

    def repeat_next(self, times: int) -> None:
        """Send the next trade frame on each open connection ``times`` times."""
        for client in self._open():
            client.repeat = times

    # Waiting.

    async def wait_for(self, condition: Callable[[Counters], bool]) -> Counters:
        """A copy of the counters once ``condition`` holds for them."""
        while not condition(self.counters):
            self._change.clear()
            await self._change.wait()
        return msgspec.structs.replace(self.counters)

    def _changed(self) -> None:
        self._change.set()
