"""Operate a real-time stock data pipeline: Finnhub to Kafka to an S3 lake, with metrics."""

import logging

__version__ = "0.1.0"

# A library says nothing unless its user asks; the command's long-running roles configure a handler (stockctl.roles).
logging.getLogger("stockctl").addHandler(logging.NullHandler())
