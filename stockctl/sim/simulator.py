"""The simulator in a thread: what ``stockctl sim`` runs, and a double of Finnhub for tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from msgspec.structs import replace

from stockctl.errors import ConfigError, StockctlError, TimedOutError, UsageError, unreadable
from stockctl.sim.counters import Counters
from stockctl.sim.faults import Fault, parse_fault, refusal
from stockctl.sim.market import Row
from stockctl.symbols import parse_symbols

if TYPE_CHECKING:
    from stockctl.sim.server import FeedServer

T = TypeVar("T")

DEFAULT_TOKEN = "sim"  # noqa: S105 - the simulator's own, and no secret
_TIMEOUT = 60.0
"""Default timeout of a test's wait, in seconds. Long, because machines may be busy."""


class Simulator:
    """A server that behaves like Finnhub's WebSocket. A context manager starts and stops it.

        with Simulator(rate=0) as sim:
            client = connect(f"{sim.url}?token={sim.token}")
            client.send('{"type":"subscribe","symbol":"AAPL"}')
            sim.wait_for(lambda counters: "AAPL" in counters.subscribed)
            sim.send_rows(numbered_rows(25))

    ``rate`` is rows per second over all subscribed symbols (0: only rows of ``send_rows``). ``symbols`` are the known symbols
    (default: every well-formed one), ``token`` the only accepted key (default: any that is not empty), ``replay`` a file of
    captured frames, one JSON text per line, to send instead. ``real_hours`` limits stocks to exchange hours. ``faults`` are
    written as on the command line (``"drop@30s"``). ``port`` 0 picks a free one. ``record`` appends every sent text to
    ``sent``. Methods are thread-safe.

    The REST API is at ``rest_url``. ``filings`` is a folder of reports to serve instead of generated ones, ``rest_errors`` the
    share of requests that fail with 502. A key may make ``requests_per_second``, and ``requests_per_minute``, where a minute
    lasts ``request_window`` seconds.

    Raises ConfigError if the extra ``local`` is not installed, StockctlError if the port is in use, UsageError for an invalid
    rate, limit or fault.
    """

    def __init__(
        self,
        *,
        symbols: str | Sequence[str] | None = None,
        rate: float = 20.0,
        seed: int = 1,
        token: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        symbol_limit: int = 50,
        ping_interval: float = 60.0,
        real_hours: bool = False,
        replay: Path | str | None = None,
        faults: Iterable[str] = (),
        record: bool = False,
        filings: Path | str | None = None,
        rest_errors: float = 0.0,
        requests_per_minute: int = 60,
        requests_per_second: int = 30,
        request_window: float = 60.0,
    ) -> None:
        if ping_interval <= 0 or symbol_limit < 0:
            raise UsageError("the ping interval must be above 0 and the symbol limit 0 or more")
        if not 0 <= rest_errors <= 1 or min(requests_per_minute, requests_per_second) < 1 or request_window <= 0:
            raise UsageError("the share of REST errors must be 0 to 1, the requests 1 or more, their window above 0")
        self.token = token or DEFAULT_TOKEN
        self.sent: list[str] = []
        self._tokens = None if token is None else {token}
        self._symbols = parse_symbols(symbols) if symbols else None
        self._rate, self._seed, self._real_hours = _valid_rate(rate), seed, real_hours
        self._host, self._port = host, port
        self._symbol_limit, self._ping_interval = symbol_limit, ping_interval
        self._record = record
        self._replay = None if replay is None else read_frames(Path(replay))
        self._filings_folder = None if filings is None else Path(filings)
        self._rest_errors = rest_errors
        self._rest_limits = (requests_per_minute, requests_per_second, request_window)
        self._faults = [parse_fault(fault) for fault in faults]
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._server: FeedServer | None = None

    # Start and stop.

    def start(self) -> Self:
        """Listen. Returns once clients can connect."""
        try:
            import websockets.asyncio.server  # noqa: F401 - only to see that it is there
        except ImportError:
            raise ConfigError("the simulator needs the package websockets", hint="pip install 'stockctl[local]'") from None
        ready: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="simulator", daemon=True)
        self._thread.start()
        try:
            self._port = ready.result()
        except OSError as error:
            self._thread.join()
            raise StockctlError(
                f"the simulator cannot listen on {self._host}:{self._port}: {error.strerror or error}",
                hint="choose another port; 0 takes a free one",
            ) from error
        return self

    def stop(self) -> None:
        """Close every connection and stop listening. StockctlError if the simulator failed."""
        if self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        self.check()

    def check(self) -> None:
        """StockctlError if the simulator failed."""
        if self._failure is not None:
            raise StockctlError(f"the simulator failed: {self._failure!r}") from self._failure

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, ready: Future[int]) -> None:
        try:
            asyncio.run(self._main(ready))
        except BaseException as error:  # noqa: BLE001 - raised again where someone waits
            if ready.done():
                self._failure = error
            else:
                ready.set_exception(error)

    async def _main(self, ready: Future[int]) -> None:
        from stockctl.sim.rest import RestApi, RestLimits
        from stockctl.sim.server import FeedServer
        from stockctl.sim.trade_source import LiveSource, replay
        from stockctl.sim.user_filings import read_user_filings

        user_filings = read_user_filings(self._filings_folder) if self._filings_folder else None

        def rest(counters: Counters) -> RestApi:
            limits = RestLimits(*self._rest_limits)
            return RestApi(
                self._tokens,
                self._symbols,
                counters,
                seed=self._seed,
                limits=limits,
                errors=self._rest_errors,
                user_filings=user_filings,
            )

        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = self._server = FeedServer(
            tokens=self._tokens,
            listed=self._symbols,
            symbol_limit=self._symbol_limit,
            ping_interval=self._ping_interval,
            sent=self.sent if self._record else None,
            rest=rest,
        )
        server.set_rate(self._rate)
        try:
            port = await server.start(self._host, self._port)
            server.schedule(self._faults)
            ready.set_result(port)
            if self._replay is None:
                source = LiveSource(server, seed=self._seed, real_hours=self._real_hours).run()
            else:
                source = replay(server, self._replay)
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(source)
                await self._stopping.wait()
                task.cancel()
        finally:
            await server.close()

    # State and control.

    @property
    def url(self) -> str:
        """The address without a token: ``ws://127.0.0.1:40123``."""
        return f"ws://{self._host}:{self._port}"

    @property
    def rest_url(self) -> str:
        """Base address of the REST API: ``http://127.0.0.1:40123/api/v1``."""
        return f"http://{self._host}:{self._port}/api/v1"

    @property
    def counters(self) -> Counters:
        """Counters so far, also after ``stop``."""
        return replace(self._started.counters)

    @property
    def rows_sent(self) -> int:
        """Rows sent so far, over all connections, repetitions included."""
        return self._started.counters.rows

    def wait_for(self, condition: Callable[[Counters], bool], *, timeout: float = _TIMEOUT) -> Counters:
        """The counters once ``condition`` holds for them; TimedOutError after ``timeout`` seconds."""
        return self._await(self._started.wait_for(condition), timeout)

    def set_rate(self, rate: float) -> None:
        """Change the rate of generated rows; 0 leaves only pings, as when the market is closed."""
        self._run_in_loop(lambda server: server.set_rate(_valid_rate(rate)))

    def send_rows(self, rows: Sequence[Row | dict[str, object]]) -> int:
        """Send exactly ``rows``, in order, 10 per frame, to every open connection; returns the number of frames.

        Rows may be dicts with any content. StockctlError if no connection is open, as for all methods that need one.
        """
        return self._run_in_loop(lambda server: server.send_rows(rows))

    def send_raw(self, text: str) -> None:
        """Send ``text`` unchanged to every open connection."""
        self._run_in_loop(lambda server: server.send_text(text))

    def send_malformed(self) -> None:
        """Send a truncated trade frame."""
        self._run_in_loop(lambda server: server.apply(Fault("malformed")))

    def drop(self) -> None:
        """Close every connection without a closing handshake. Data sent before still arrives."""
        self._run_in_loop(lambda server: server.apply(Fault("drop")))

    def go_silent(self, seconds: float | None = None) -> None:
        """Send nothing on the open connections for ``seconds``, or until ``resume``. They stay open; new ones work."""
        self._run_in_loop(lambda server: server.apply(Fault("silent", span=seconds)))

    def resume(self) -> None:
        """End the silence. Data due during it is lost."""
        self._run_in_loop(lambda server: server.apply(Fault("resume")))

    def repeat_next(self, times: int = 3) -> None:
        """Send the next trade frame ``times`` times."""
        self._run_in_loop(lambda server: server.repeat_next(times))

    def refuse(self, status: int = 429, times: int = 1) -> None:
        """Refuse the next ``times`` handshakes with the HTTP ``status``."""
        self._run_in_loop(lambda server: server.apply(refusal(status, times)))

    def fail_requests(self, status: int = 502, times: int = 1) -> None:
        """Answer the next ``times`` REST requests with the HTTP ``status``; 200 stands for a body that is not JSON."""
        self._run_in_loop(lambda server: server.apply(Fault("rest", status=status, times=times)))

    @property
    def _started(self) -> FeedServer:
        if self._server is None:
            raise StockctlError("the simulator is not running", hint="start() it, or use it in a with statement")
        return self._server

    def _run_in_loop(self, action: Callable[[FeedServer], T]) -> T:
        async def act() -> T:
            return action(self._started)

        return self._await(act(), _TIMEOUT)

    def _await(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(timeout):
                return await work

        if self._thread is None or not self._thread.is_alive():
            work.close()
            self.check()
            raise StockctlError("the simulator is not running", hint="start() it, or use it in a with statement")
        try:
            return asyncio.run_coroutine_threadsafe(bounded(), self._loop).result()
        except TimeoutError:
            raise TimedOutError(f"the simulator did not get there within {timeout:g} s: {self.counters}") from None


def read_frames(path: Path) -> list[str]:
    """The lines of a file of captured frames, without empty ones. UsageError if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise unreadable(path, error, "name a file of captured frames, one JSON text per line") from error
    return [line for line in text.split("\n") if line.strip()]


def _valid_rate(rate: float) -> float:
    if not 0 <= rate < float("inf"):
        raise UsageError(f"{rate:g} is not a rate of rows per second", hint="use 0 or more")
    return rate
