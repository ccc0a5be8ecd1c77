"""A seeded market: trade rows as Finnhub sends them, with realistic prices, sizes, times and condition codes.

    market = Market(["AAPL", "MSFT", "BINANCE:BTCUSDT"], seed=7)
    for frame in frames(market.day(date(2026, 11, 20), trades=1_000_000)):
        ...  # b'{"data":[{"c":["1","12"],"p":189.51,"s":"AAPL","t":1795186800123,"v":5}, …],"type":"trade"}'

Each row takes one random draw. Its bits choose arrival, size, codes and price step from the tables in ``distributions``, which
is fast in plain Python. Symbol, price, volume and codes depend only on the draws, and times are added to them. So a seed always
gives the same rows in the same order, independent of the clock.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import accumulate
from random import Random
from statistics import NormalDist

import msgspec

from stockctl.exchange.calendar import EXCHANGE, SESSION_NAMES, Calendar, SessionName, session_at, sessions_of
from stockctl.exchange.venues import has_venue, is_currency
from stockctl.sim import distributions

MAX_FRAME_ROWS = 10
"""Most rows in one frame."""

FLUSH_MS = 1000
"""A frame that is not full is sent this long after its first row."""

_SLICE_MS = 60_000  # a day is laid out minute by minute
_STALE_MS = 1000  # a repeated row this much older than its slice gets a new time


class Row(msgspec.Struct, frozen=True, gc=False):
    """One trade in a frame: codes, price, symbol, time (ms UTC), volume. Whole numbers are ints."""

    c: tuple[str, ...] | None
    p: float
    s: str
    t: int
    v: float


class _Frame(msgspec.Struct, gc=False):
    data: Sequence[Row | dict[str, object]]
    type: str = "trade"


_encode = msgspec.json.Encoder().encode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def encode_frame(rows: Sequence[Row | dict[str, object]]) -> bytes:
    """``rows`` as one trade frame: compact, keys in alphabetical order."""
    if all(type(row) is Row for row in rows):
        return _encode(_Frame(rows))
    return _encode_sorted(_Frame(rows))


def frames(rows: Iterable[Row]) -> Iterator[bytes]:
    """Group ``rows`` into trade frames of at most 10 rows, each spanning at most a second."""
    pending: list[Row] = []
    until = 0
    for row in rows:
        if pending and (len(pending) == MAX_FRAME_ROWS or row.t > until):
            yield _encode(_Frame(pending))
            pending = []
        if not pending:
            until = row.t + FLUSH_MS
        pending.append(row)
    if pending:
        yield _encode(_Frame(pending))


def numbered_rows(count: int, *, symbol: str = "AAPL", first: int = 1, since: int = 1_795_186_800_000) -> list[Row]:
    """``count`` rows that a test can distinguish: row n has the volume n and the time ``since`` + n ms."""
    return [
        Row(("1", "12") if n < distributions.ROUND_LOT else ("1",), 100 + n % 100 / 100, symbol, since + n, n)
        for n in range(first, first + count)
    ]


class _Instrument:
    """A symbol's own state: its price in ticks, and the tables its rows are drawn from."""

    __slots__ = ("high", "is_stock", "low", "name", "price", "sizes", "step", "unit")

    def __init__(self, name: str, seed: int) -> None:
        random = Random(f"{seed}:{name}")
        base = distributions.BASE_PRICES.get(name) or round(math.exp(random.uniform(math.log(15), math.log(400))), 2)
        ticks = 100 if base >= 10 else 100_000  # a unit of the currency has this many ticks
        self.name = name
        self.is_stock = not has_venue(name)
        self.price = round(base * random.uniform(0.95, 1.05) * ticks)
        self.low, self.high = self.price * 3 // 4, self.price * 5 // 4
        self.step = max(1, self.price // 20_000) | 1  # odd, so that the noise within a step is symmetric
        self.unit = ticks * 100
        self.sizes: Sequence[float] = distributions.STOCK_SIZES
        if is_currency(name):
            self.sizes = (0,) * len(distributions.STOCK_SIZES)
        elif not self.is_stock:
            self.sizes = _crypto_sizes(base)


def _crypto_sizes(price: float) -> tuple[float, ...]:
    """Fractional sizes around 300 units of the currency, log-normal, six decimals."""
    normal, count = NormalDist(math.log(300 / price), 1.7), len(distributions.STOCK_SIZES)
    sizes = (max(1e-5, round(math.exp(normal.inv_cdf((i + 0.5) / count)), 6)) for i in range(count))
    return tuple(int(size) if size.is_integer() else size for size in sizes)


class Market:
    """Rows of ``symbols``, the first the most active (Zipf-like). The same seed and calls give the same rows.

    Symbols with a venue have no codes: ``BINANCE:BTCUSDT`` has fractional volumes, ``OANDA:EUR_USD`` price updates of volume 0.
    All others are US stocks, with the codes of the exchange's sessions unless ``calendar`` has none.
    """

    def __init__(self, symbols: Iterable[str], *, seed: int = 1, calendar: Calendar = EXCHANGE) -> None:
        self._seed = seed
        self._calendar = calendar
        self._random = Random(seed)
        self._heat_random = Random(f"{seed}:heat")
        self._heat = 0.0
        self._known: dict[str, _Instrument] = {}
        self._last: Row | None = None
        self._session: SessionName | None = None
        self._prints: list[tuple[_Instrument, distributions.Print]] = []  # the next one last
        self.symbols: tuple[str, ...] = ()
        self.set_symbols(symbols)

    def set_symbols(self, symbols: Iterable[str]) -> None:
        """Trade ``symbols`` from now on. A symbol that traded before continues from its last price."""
        self.symbols = tuple(dict.fromkeys(symbols))
        for name in self.symbols:
            if name not in self._known:
                self._known[name] = _Instrument(name, self._seed)
        self._instruments = [self._known[name] for name in self.symbols]
        weights = list(accumulate((rank + 1) ** -0.7 for rank in range(len(self.symbols))))
        self._bounds = [int(weight / weights[-1] * distributions.SYMBOL_RANGE) for weight in weights[:-1]]
        self._current = self._instruments[0] if self._instruments else None
        self._prints = [(stock, print_) for stock, print_ in self._prints if stock in self._instruments]
        self._last = None

    def next_heat(self) -> float:
        """Activity of the next slice relative to the average of 1; autocorrelated."""
        self._heat = 0.85 * self._heat + 0.22 * self._heat_random.gauss(0, 1)
        return math.exp(self._heat - 0.087)  # less half the stationary variance, so that the mean is 1

    def rows(self, since: int, until: int, count: int) -> list[Row]:
        """``count`` rows with times in ``[since, until)`` ms, in the order they arrive: not quite sorted by time.

        The codes are those of the session at ``since``. Official prints at the start of a session come first, some ms after it.
        """
        instrument = self._current
        if instrument is None or count <= 0:
            return []
        extended = self._enter(since)
        draw = self._random.getrandbits
        bits = [draw(distributions.DRAW_BITS) for _ in range(count)]
        gaps = [distributions.GAPS[b & 4095] for b in bits]
        # One more gap at the end keeps the last row before `until`.
        scale = (until - since) / (sum(gaps) + 1)
        kinds, specials, steps = distributions.KINDS, distributions.SPECIALS, distributions.STEPS
        subpennies, lags, codes_of = distributions.SUBPENNIES, distributions.LAGS, distributions.CODES
        instruments, bounds, last = self._instruments, self._bounds, self._last
        clock = float(since)
        rows: list[Row] = []
        append = rows.append
        for b, gap in zip(bits, gaps, strict=True):
            clock += gap * scale
            if self._prints:
                append(self._print(b, since, until))
                last = None  # an auction is printed once
                continue
            kind = kinds[b & 4095]
            if kind == distributions.EQUAL and last is not None:
                if last.t < since - _STALE_MS:
                    last = Row(last.c, last.p, last.s, int(clock), last.v)
                append(last)
                continue
            if kind == distributions.NEW:
                instrument = instruments[bisect_right(bounds, b >> 58)]
            volume = instrument.sizes[b >> 12 & 1023]
            special = specials[b >> 22 & 1023]
            delta = steps[b >> 32 & 255] * instrument.step + (b >> 58) % instrument.step - instrument.step // 2
            price = instrument.price + delta
            if not instrument.low < price < instrument.high:
                price -= 2 * delta  # reflect the price at the bounds
            instrument.price = price
            price *= 100
            if instrument.is_stock:
                if special == distributions.PLAIN:
                    price += subpennies[b >> 40 & 255]
                codes = codes_of[special + extended + (volume < distributions.ROUND_LOT)] if volume else ()
            else:
                codes = None
            lag = lags[b >> 48 & 1023]
            time = int(clock)
            last = Row(
                codes,
                price / instrument.unit if price % instrument.unit else price // instrument.unit,
                instrument.name,
                time if not lag else max(since, time - lag),
                volume,
            )
            append(last)
        self._current, self._last = instrument, last
        return rows

    def day(self, day: date, trades: int, *, sessions: Sequence[SessionName] = SESSION_NAMES) -> Iterator[Row]:
        """``trades`` rows over the named sessions of the trading day ``day``; ValueError if the exchange is closed then.

        Activity follows the day: thin before and after hours, high at the open and the close, in bursts.
        """
        slices = [
            (since, min(since + _SLICE_MS, session.until))
            for session in sessions_of(day)
            if session.name in sessions
            for since in range(session.since, session.until, _SLICE_MS)
        ]
        if not slices:
            raise ValueError(f"{day} is no trading day: it has no sessions")
        weights = list(accumulate(activity_at((since + until) // 2) * self.next_heat() for since, until in slices))
        done = 0
        for (since, until), weight in zip(slices, weights, strict=True):
            due = round(trades * weight / weights[-1])
            yield from self.rows(since, until, due - done)
            done = due

    def _enter(self, since: int) -> int:
        """Set the session at ``since``. Returns the offset of its codes in the table of codes."""
        if self._calendar.always_open:
            return 0
        session = session_at(since)
        name = session.name if session else None
        if name != self._session:
            self._session = name
            self._last = None  # its codes were those of the session before
        if session and since == session.since:
            stocks = [instrument for instrument in self._instruments if instrument.is_stock]
            self._prints = [(stock, print_) for stock in stocks for print_ in distributions.prints(session.name, stock.name)][
                ::-1
            ]
        return 0 if name == "regular" else distributions.EXTENDED

    def _print(self, b: int, since: int, until: int) -> Row:
        """The next official print of an exchange, at the price of its auction, drawn from the bits ``b``."""
        stock, print_ = self._prints.pop()
        if print_.auction:
            stock.price = min(max(stock.price + distributions.STEPS[b >> 32 & 255] * stock.step, stock.low + 1), stock.high - 1)
        ticks = stock.price * 100
        price = ticks / stock.unit if ticks % stock.unit else ticks // stock.unit
        return Row(print_.codes, price, stock.name, min(since + 20 + (b >> 48 & 255), until - 1), 100 * (50 + (b >> 12 & 1023)))


def activity_at(ms: int) -> float:
    """Trades at ``ms`` in relation to the regular session's average: a U over the day, thin before and after, 0 when closed."""
    session = session_at(ms)
    if session is None:
        return 0.0
    x = (ms - session.since) / (session.until - session.since)
    match session.name:
        case "pre":
            return 0.02 + 0.2 * x * x
        case "regular":
            return 0.55 + 1.35 * (2 * x - 1) ** 2
        case "post":
            return 0.02 + 0.25 * (1 - x) ** 4
