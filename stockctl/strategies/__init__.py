"""The kernel of strategies: what a strategy is, how it is loaded, and how it is run on the records of one symbol.

Live signals, backtests and verification run a strategy through the same ``SymbolRun``. A strategy imports what it needs from
here, and its figures from ``stockctl.strategies.indicators``.
"""

from stockctl.records import Trade
from stockctl.strategies.loading import LoadedStrategy, load_strategy
from stockctl.strategies.strategy import Bar, Filing, NoParams, Signal, Strategy, buy, exit_, sell
from stockctl.strategies.symbol_run import Decision, History, StrategyError, SymbolRun

__all__ = [
    "Bar",
    "Decision",
    "Filing",
    "History",
    "LoadedStrategy",
    "NoParams",
    "Signal",
    "Strategy",
    "StrategyError",
    "SymbolRun",
    "Trade",
    "buy",
    "exit_",
    "load_strategy",
    "sell",
]
