"""Strategies for the tests of ``backtest check``: those that cheat, each with what must be found, and honest ones."""

from __future__ import annotations

from typing import NamedTuple


class Cheat(NamedTuple):
    """A strategy's code. ``check`` is the one that must fail; ``line`` holds the code whose line must be named."""

    name: str
    check: str
    line: str
    code: str


_ON_TRADE = """

class User(Strategy):
    def __init__(self, params, symbol):
        super().__init__(params, symbol)
        self.seen = 0

    def on_trade(self, trade):
        self.seen += 1
        if self.seen % 50 == 0:
"""


def _deciding(name: str, check: str, line: str, *code: str, before: str = "") -> Cheat:
    """A strategy that runs ``code`` at every fiftieth trade."""
    body = "".join(f"            {one}\n" for one in code)
    return Cheat(name, check, line, before + _ON_TRADE + body)


CHEATS = [
    # Files, sockets and processes
    Cheat(
        "file-at-import",
        "files",
        "PRICES =",
        "from pathlib import Path\nPRICES = Path(__file__).with_name('prices.csv').read_text().split()\n"
        + _ON_TRADE
        + "            yield buy(strength=float(PRICES[0]))\n",
    ),
    _deciding("file-open", "files", "open(", "yield buy(strength=float(open('/etc/hostname').read() != ''))"),
    _deciding(
        "file-swallowed",
        "files",
        "open(",
        "try:",
        "    seen = len(open('/etc/passwd').read())",
        "except Exception:",
        "    seen = 0",
        "yield buy(strength=seen)",
    ),
    _deciding(
        "file-by-arrow",
        "files",
        "read_csv(",
        "from pyarrow.csv import read_csv",
        "yield buy(strength=read_csv(__file__.replace('.py', '.csv')).num_rows)",
    ),
    _deciding(
        "file-by-numpy", "files", "fromfile(", "yield buy(strength=np.fromfile(__file__)[0])", before="import numpy as np\n"
    ),
    Cheat(
        "arrow-at-import",
        "files",
        "TABLE =",
        "from pyarrow.csv import read_csv\nTABLE = read_csv(__file__.replace('.py', '.csv'))\n"
        + _ON_TRADE
        + "            yield buy(strength=TABLE.num_rows)\n",
    ),
    _deciding(
        "the-lake",
        "files",
        "read_trades(",
        "yield buy(strength=stockctl.read_trades('AAPL').num_rows)",
        before="import stockctl\n",
    ),
    _deciding(
        "database",
        "files",
        "connect(",
        "yield buy(strength=sqlite3.connect(':memory:').total_changes)",
        before="import sqlite3\n",
    ),
    _deciding("socket", "files", "create_connection", "socket.create_connection(('127.0.0.1', 9))", before="import socket\n"),
    _deciding("process", "files", "check_output", "subprocess.check_output(['date'])", before="import subprocess\n"),
    _deciding("system", "files", "os.system", "os.system('true')", before="import os\n"),
    _deciding("c-library", "files", "CDLL", "ctypes.CDLL(None).time(None)", before="import ctypes\n"),
    _deciding("thread", "files", ".start()", "threading.Thread(target=print).start()", before="import threading\n"),
    _deciding(
        "folder", "files", "iterdir", "yield buy(strength=len(list(Path('/').iterdir())))", before="from pathlib import Path\n"
    ),
    # A module beside the strategy, read as data: no import statement names it.
    _deciding(
        "module-by-its-file",
        "files",
        "exec_module",
        "spec = util.spec_from_file_location('prices', __file__.replace('user', 'prices'))",
        "module = util.module_from_spec(spec)",
        "spec.loader.exec_module(module)",
        "yield buy(strength=module.PRICE)",
        before="from importlib import util\n",
    ),
    _deciding(
        "module-by-its-name",
        "files",
        "import_module",
        "sys.path.append(__file__.rpartition('/')[0])",
        "yield buy(strength=importlib.import_module('prices').PRICE)",
        before="import importlib\nimport sys\n",
    ),
    _deciding(
        "module-elsewhere",
        "files",
        "load_module",
        "path = __file__.replace('user', '../prices')",
        "yield buy(strength=SourceFileLoader('prices', path).load_module().PRICE)",
        before="from importlib.machinery import SourceFileLoader\n",
    ),
    _deciding(
        "module-as-text",
        "files",
        "getline",
        "yield buy(reason=linecache.getline(__file__.replace('user', 'prices'), 1))",
        before="import linecache\n",
    ),
    _deciding(
        "file-by-a-loader",
        "files",
        "get_data",
        "yield buy(reason=str(__loader__.get_data(__file__.replace('.py', '.csv'))))",
    ),
    _deciding("objects", "files", "get_objects", "yield buy(strength=len(gc.get_objects()))", before="import gc\n"),
    # What changes from run to run
    _deciding("clock", "clock", "time.time()", "yield buy(strength=time.time() // 86400 % 7)", before="import time\n"),
    _deciding(
        "monotonic",
        "clock",
        "monotonic()",
        "yield buy(strength=monotonic() > 30_000_000)",
        before="from time import monotonic\n",
    ),
    _deciding("date", "clock", "now()", "yield buy(reason=str(datetime.now().year))", before="from datetime import datetime\n"),
    _deciding("today", "clock", "today()", "yield buy(reason=date.today().isoformat())", before="from datetime import date\n"),
    _deciding(
        "kernel-clock",
        "clock",
        "now_ms()",
        "yield buy(strength=now_ms())",
        before="from stockctl.exchange.calendar import now_ms\n",
    ),
    _deciding("clock-unused", "clock", "perf_counter", "time.perf_counter()", "yield buy()", before="import time\n"),
    _deciding("localtime", "clock", "strftime", "yield buy(reason=time.strftime('%H:%M'))", before="import time\n"),
    _deciding("random", "random numbers", "random.random()", "yield buy(strength=random.random())", before="import random\n"),
    _deciding("uuid", "random numbers", "uuid4()", "yield buy(reason=str(uuid.uuid4()))", before="import uuid\n"),
    _deciding("generator", "repeat", "", "yield buy(strength=DRAW.random())", before="import random\nDRAW = random.Random()\n"),
    _deciding("set-order", "hash seed", "", "yield buy(reason=' '.join({'a', 'b', 'c', 'd', 'e', 'f'}))"),
    _deciding("hash", "hash seed", "", "yield buy(strength=hash(self.symbol) % 1000)"),
    _deciding("id", "repeat", "id(trade)", "yield buy(strength=id(trade))"),
    _deciding("object-hash", "repeat", "hash(object())", "yield buy(strength=hash(object()) % 100_003)"),
    _deciding("environment", "environment", "os.environ", "yield buy(reason=os.environ.get('HOME', ''))", before="import os\n"),
    _deciding("folder-name", "environment", "os.getcwd", "yield buy(reason=os.getcwd())", before="import os\n"),
    # State outside the instance
    _deciding(
        "counter", "symbols", "SEEN = []", "SEEN.append(trade.price)", "yield buy(strength=len(SEEN))", before="SEEN = []\n"
    ),
    _deciding(
        "class-attribute",
        "symbols",
        "prices = []",
        "self.prices.append(trade.price)",
        "yield buy(strength=len(self.prices))",
        before="class Kept:\n    prices = []\n",
    )._replace(
        code="class Kept(Strategy):\n    prices = []\n\n    def on_trade(self, trade):\n        self.prices.append(1)\n"
        "        if len(self.prices) % 50 == 0:\n            yield buy(strength=len(self.prices))\n"
    ),
    _deciding(
        "kept-by-symbol",
        "dates",
        "SEEN = {}",
        "SEEN.setdefault(self.symbol, []).append(trade.price)",
        "yield buy(strength=len(SEEN[self.symbol]))",
        before="SEEN = {}\n",
    ),
    # It decides the same on these records, so only what outlives the run shows it.
    _deciding(
        "sums",
        "globals",
        "SUMS = {}",
        "if SUMS[self.symbol] > 0:",
        "    yield buy()",
        before="SUMS = {}\n",
    )._replace(
        code="SUMS = {}\n"
        + _ON_TRADE.replace(
            "self.seen += 1", "self.seen += 1\n        SUMS[self.symbol] = SUMS.get(self.symbol, 0.0) + trade.price"
        )
        + "            if SUMS[self.symbol] > 0:\n                yield buy()\n"
    ),
    _deciding(
        "default-value",
        "globals",
        "def kept",
        "kept(trade.price)",
        "yield buy()",
        before="def kept(price, prices=[]):\n    prices.append(price)\n",
    ),
    _deciding(
        "attribute",
        "globals",
        "def kept",
        "kept.count += 1",
        "yield buy()",
        before="def kept():\n    pass\n\n\nkept.count = 0\n",
    ),
    _deciding("parameter", "globals", "", "self.params.__dict__.setdefault('seen', []).append(trade.price)", "yield buy()"),
    # The future, from an earlier run in the process.
    _deciding(
        "future",
        "globals",
        "PRICES = {}",
        "times = PRICES.setdefault(self.symbol, {})",
        "times[trade.ts_event] = trade.price",
        "if any(price > trade.price for at, price in times.items() if at > trade.ts_event):",
        "    yield buy()",
        before="PRICES = {}\n",
    ),
    _deciding(
        "other-symbols",
        "symbols",
        "PRICES = []",
        "PRICES.append((trade.symbol, trade.ts_event, trade.price))",
        "if any(symbol != self.symbol and at > trade.ts_event for symbol, at, _ in PRICES):",
        "    yield buy()",
        before="PRICES = []\n",
    ),
    # Look-ahead
    _deciding(
        "caller",
        "files",
        "_getframe",
        "frame = sys._getframe(2)",
        "yield buy(strength=len(str(frame.f_locals)))",
        before="import sys\n",
    ),
    _deciding(
        "caller-by-traceback",
        "repeat",
        "",
        "try:",
        "    raise ValueError",
        "except ValueError as error:",
        "    frame = error.__traceback__.tb_frame",
        "    while 'trades' not in frame.f_locals:",
        "        frame = frame.f_back",
        "    rows = frame.f_locals['trades']",
        "    after = rows[rows.index(trade) + 1 :][:5]",
        "    if after and after[-1].price > trade.price:",
        "        yield buy()",
    ),
    _deciding(
        "changed-record",
        "records",
        "",
        "msgspec.structs.force_setattr(trade, 'price', trade.price * 2)",
        "yield buy()",
        before="import msgspec\n",
    ),
]

HONEST = {
    "state": """
from collections import deque
from datetime import datetime, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo
import logging
import math
import random

EXCHANGE = ZoneInfo("Asia/Tokyo")
log = logging.getLogger(__name__)
LEVELS = {1: 0.25, 2: 0.5, 3: 1.0}
ROOTS = {}


class UserParams(BaseModel):
    start: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)
    width: float = 0.0005


@lru_cache
def squared(value):
    return value * value


class User(Strategy):
    Params = UserParams

    def __init__(self, params, symbol):
        super().__init__(params, symbol)
        self.prices = deque(maxlen=20)
        self.level = 0
        self.draw = random.Random(symbol)

    def on_trade(self, trade):
        self.prices.append(trade.price)
        if trade.volume not in ROOTS:
            ROOTS[trade.volume] = math.sqrt(trade.volume)
        mean = math.fsum(self.prices) / len(self.prices)
        moment = datetime.fromtimestamp(trade.ts_event / 1000, EXCHANGE)
        assert isinstance(moment, datetime) and moment > self.params.start
        if abs(trade.price / mean - 1) > self.params.width:
            self.level = self.level % 3 + 1
            log.warning("the level is %d", self.level)
            strength = squared(self.level) + self.draw.random() + ROOTS[trade.volume]
            yield buy(LEVELS[self.level], strength=strength, reason=f"at {moment:%H:%M:%S}")
""",
    "libraries": """
import numpy as np


class User(Strategy):
    every = "5s"
    warmup_days = 1

    def __init__(self, params, symbol):
        super().__init__(params, symbol)
        self.closes = []

    def on_bar(self, bar):
        from statistics import fmean
        import decimal

        self.closes.append(bar.close)
        if len(self.closes) >= 10:
            mean = float(np.mean(self.closes[-10:]))
            if bar.close > mean * 1.0005:
                yield buy(0.5, strength=float(np.std(self.closes)), reason=str(decimal.Decimal(fmean(self.closes)).quantize(1)))
""",
}

LAZY = {
    "standard": ("import statistics, xmlrpc.client, sqlite3", "statistics.fmean([trade.price])"),
    # Compiled code of pandas imports more of it, and pandas reads a time zone once more.
    "pandas": (
        "import pandas as pd",
        "pd.DataFrame({'a': [trade.price]}).groupby('a').size().iloc[0] + len(pd.Series([1.0, 2.0]).describe().to_string())"
        " + pd.Series([1.0], index=pd.to_datetime([0], utc=True).tz_convert('Asia/Tokyo')).resample('2D').mean().iloc[0]",
    ),
    "at-run-time": ("import importlib; module = importlib.import_module('fractions')", "module.Fraction(1, 2)"),
    "beside": ("from levels import LEVEL", "LEVEL"),
    # It opens a socket while it is imported.
    "urllib3": ("import urllib3", "len(urllib3.__version__)"),
    "late": (
        "from importlib.util import LazyLoader, find_spec, module_from_spec; spec = find_spec('colorsys')",
        "lazily(spec, LazyLoader, module_from_spec).rgb_to_hsv(0.0, 0.0, 0.5)[2]",
    ),
}
"""Imports within a handler, and what is then used: all of it is code."""
