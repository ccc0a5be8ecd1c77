"""The kernel of strategies: what a strategy is, how it is loaded, and how it is run on the records of one symbol.

Live signals, backtests and verification run a strategy through the same ``SymbolRun``.
"""

from stockctl.strategies.strategy import Bar, Filing, NoParams, Signal, Strategy, buy, exit_, sell

__all__ = ["Bar", "Filing", "NoParams", "Signal", "Strategy", "buy", "exit_", "sell"]
