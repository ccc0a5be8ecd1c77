"""Operate a real-time stock data pipeline: Finnhub to Kafka to an S3 lake, with metrics.

For Python: ``stockctl.read_trades()`` and ``stockctl.read_bars()`` answer with Arrow tables from the lake.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stockctl.lake.reader.trades import read_trades
    from stockctl.metrics.definitions import read_bars

__version__ = "0.1.0"
__all__ = ["__version__", "read_bars", "read_trades"]

# A library says nothing unless its user asks; the command's long-running services configure a handler (stockctl.service).
logging.getLogger("stockctl").addHandler(logging.NullHandler())

_HOMES = {"read_trades": "stockctl.lake.reader.trades", "read_bars": "stockctl.metrics.definitions"}


def __getattr__(name: str) -> Any:
    # Imported when first asked for: DuckDB and Arrow would cost every command's start more than all else.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
