"""Backtests over the lake, in the order of Kafka's log."""
