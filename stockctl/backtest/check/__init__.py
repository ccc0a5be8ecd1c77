"""``backtest check``: whether a strategy decides from its records, its parameters and its own state alone.

The command writes the records of each symbol to a file. Fresh processes run the strategy on them under different conditions,
and the decisions must be the same.
"""
