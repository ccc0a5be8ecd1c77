"""Operate a real-time stock data pipeline: Finnhub to Kafka to an S3 lake, with metrics."""

__version__ = "0.1.0"
