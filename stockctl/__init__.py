"""Operate a real-time stock data pipeline: Finnhub to Kafka to an S3 lake, with metrics.

The Python API is in ``__all__``; docs/python.md describes it.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stockctl.backtest.lake_run import run_backtest
    from stockctl.errors import (
        ConfigError,
        RefusedError,
        StockctlError,
        TimedOutError,
        UnhealthyError,
        UnreachableError,
        UsageError,
    )
    from stockctl.lake.reader.signals import read_signals
    from stockctl.lake.reader.trades import read_trades
    from stockctl.metrics.definitions import read_bars
    from stockctl.settings import Settings, load_settings

__version__ = "0.1.0"
__all__ = [
    "ConfigError",
    "RefusedError",
    "Settings",
    "StockctlError",
    "TimedOutError",
    "UnhealthyError",
    "UnreachableError",
    "UsageError",
    "__version__",
    "load_settings",
    "read_bars",
    "read_signals",
    "read_trades",
    "run_backtest",
]

# A library is silent unless its user configures logging. The command's services add a handler (stockctl.service).
logging.getLogger("stockctl").addHandler(logging.NullHandler())

_MODULES = {
    "Settings": "stockctl.settings",
    "load_settings": "stockctl.settings",
    "read_bars": "stockctl.metrics.definitions",
    "read_signals": "stockctl.lake.reader.signals",
    "read_trades": "stockctl.lake.reader.trades",
    "run_backtest": "stockctl.backtest.lake_run",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: DuckDB, Arrow and pydantic would slow down the start of every command.
    if name in __all__:
        return getattr(import_module(_MODULES.get(name, "stockctl.errors")), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
