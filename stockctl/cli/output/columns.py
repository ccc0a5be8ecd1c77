"""What the columns hold: the kind of each column name, stated here once for all commands.

A terminal shows a value by its kind. A column that has none is text, or plain numbers.
"""

from __future__ import annotations

import re
from enum import Enum, auto

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class Kind(Enum):
    """What a column holds."""

    text = auto()
    """Prose, addresses and paths: the only kind that a narrow terminal cuts."""
    whole = auto()
    """Text that is useless in part, such as an address to copy: it continues below itself."""
    below = auto()
    """Text that is too long for a column and useless in part, such as a formula: it stands below its row, unless it fits."""
    key = auto()
    """A name, a state or a number that is a name."""
    count = auto()
    quantity = auto()
    """Shares or coins, in whole or in part."""
    price = auto()
    """A price, or an average of prices, by the tick of its market."""
    exact_price = auto()
    """The price of one trade, with every digit that was received."""
    money = auto()
    """An amount in the currency of the prices."""
    figure = auto()
    """A statistic, of which four digits count."""
    percent = auto()
    fraction = auto()
    """A share of 1, shown in percent."""
    bytes = auto()
    seconds = auto()
    milliseconds = auto()
    timestamp = auto()
    """A time in which milliseconds matter."""


_NAMES: dict[Kind, str] = {
    Kind.key: (
        "symbol ticker trade_date date day topic group table collection name service system part setting identity kpi "
        "accession id role crawler form period_start period_end filed state done holds problem kind ready session policy every "
        "window unit statement field action found_at rejected_by strategy side statistic"
    ),
    Kind.count: (
        "trades rows objects records documents letters restarts partitions scanned_partitions scanned_rows files claims lag "
        "committed start end lost times replayed left_out returns new kept missing stale foreign unread created changed "
        "deleted unchanged added lake catalog round_trips decisions fills"
    ),
    Kind.quantity: "volume quantity shares",
    Kind.price: "vwap open high low close last entry_price exit_price",
    Kind.exact_price: "price",
    Kind.money: "start_equity final_equity equity profit fee fees slippage",
    Kind.figure: "volatility deviation rate sharpe sortino calmar turnover profit_factor target strength",
    Kind.percent: "coverage",
    Kind.fraction: "annual_volatility total_return annual_return max_drawdown drawdown exposure win_rate",
    Kind.bytes: "bytes scanned_bytes",
    Kind.seconds: "seconds covered_seconds uptime age",
    Kind.milliseconds: "latency_ms retention_ms",
    Kind.timestamp: "ts_event ts_recv",
    Kind.whole: "value origin hash version",
    Kind.below: "from notes definition",
    Kind.text: "detail fix message reason address last_log location indexes wanted actual feed left_out_by report index",
}

KINDS: dict[str, Kind] = {name: kind for kind, names in _NAMES.items() for name in names.split()}

IN_SQL = frozenset(
    ("symbol", "trade_date", "ts_event", "ts_recv", "price", "volume", "vwap", "open", "high", "low", "close", "trades")
)
"""Columns of the lake's views: in an answer to SQL they are what they are in a view. All other names are the user's own."""

HEADERS = {"latency_ms": "latency", "retention_ms": "retention", "covered_seconds": "covered", "seconds": "duration"}
"""Headers on a terminal, where values have their own units, that differ from the column's name."""

FIX = "fix"
"""The column that says what to do: too long for a table, too important to be cut."""

LINKS = {"accession": "report"}
"""Columns whose cells are links on a terminal, each with the column that has the address."""


def kind_of(name: str) -> Kind | None:
    """The kind of a column; the columns of a statement are named by the ends of its periods."""
    return Kind.key if _DATE.fullmatch(name) else KINDS.get(name)
