"""Streams of trades for the tests of ``signals run``, and what must be published about them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from stockctl.clients.kafka import Admin, Partition, Producer
from stockctl.records import Trade, encode
from stockctl.settings import Settings
from stockctl.settings.kafka_names import signals_group
from stockctl.strategies.loading import load_strategy
from stockctl.strategies.symbol_run import History, SeenFiling, SymbolRun, record_id
from tests.command import HANG
from tests.topics import messages

SYMBOLS = ["AAPL", "MSFT", "BINANCE:BTCUSDT"]
T0 = 1_790_000_400_000
"""2026-09-21 14:20:00 UTC, a Monday's session."""
DAY = 86_400_000

COUNTING = '''\
"""Signals on every seventh trade of a date, with all that it has seen in the reason."""

from stockctl.strategies import Strategy, buy, exit_


class Counting(Strategy):
    warmup_days = {warmup}

    def __init__(self, params, symbol):
        super().__init__(params, symbol)
        self.trades, self.total = 0, 0.0

    def on_trade(self, trade):
        self.trades += 1
        self.total += trade.price
        {extra}
        if self.trades % 7 == 0:
            yield buy(0.5, strength=self.total, reason=f"trade {{self.trades}}, total {{self.total:.4f}}")
            yield exit_(reason="as well")
'''


def strategy_file(folder: Path, *, warmup: int = 0, extra: str = "pass") -> Path:
    """A strategy named ``counting``; ``extra`` is a statement that runs on each trade."""
    path = folder / "counting.py"
    path.write_text(COUNTING.format(warmup=warmup, extra=extra))
    return path


def make_topics(settings: Settings, partitions: int = 3) -> None:
    """The topics of a test."""
    admin, topics = Admin(settings), settings.topics
    admin.create_topic(topics.trades.name, partitions, 1, {"retention.ms": "-1"})
    for topic in (topics.feed_events, topics.signals, topics.dead_letters):
        admin.create_topic(topic.name, 1, 1, {"retention.ms": "-1"})


def trades(count: int, *, first: int = 0, start: int = T0) -> list[Trade]:
    """Numbered trades of ``SYMBOLS`` in turn, a tenth of a second apart; each is received after 20 ms."""
    return [
        Trade(
            f"t-{row:08d}", SYMBOLS[row % len(SYMBOLS)], 100.0 + row % 11, 2.0,
            start + 100 * row, start + 100 * row + 20, "1", "vhl", "sim",
        )
        for row in range(first, first + count)
    ]  # fmt: skip


def send(settings: Settings, records: Iterable[Trade | bytes]) -> None:
    """Send trades by their symbols, and bytes that are none."""
    producer = Producer(settings)
    for record in records:
        value, key = (record, "AAPL") if isinstance(record, bytes) else (encode(record), record.symbol)
        producer.produce(settings.topics.trades.name, value=value, key=key, timestamp=T0)
    assert producer.flush(HANG) == 0


def published(settings: Settings, kind: str | None = "signal") -> list[dict[str, Any]]:
    """The committed records of a kind in the topic of signals, in its order."""
    found = [json.loads(message.value()) for message in messages(settings, settings.topics.signals.name)]
    return [record for record in found if kind is None or record["kind"] == kind]


def expected(
    path: Path, stream: Sequence[Trade], after: int = 0, filings: Sequence[SeenFiling] = ()
) -> dict[str, dict[str, Any]]:
    """The signals by id that must be published about ``stream`` from its record ``after`` on; ``filings`` are of AAPL."""
    strategy = load_strategy(str(path))
    found = {}
    known = {trade.id for trade in stream[:after]}
    for symbol in SYMBOLS:
        own = [trade for trade in stream if trade.symbol == symbol]
        run = SymbolRun(strategy, symbol, lambda _day, days: History(days), filings=filings if symbol == "AAPL" else ())
        for decision in run.trades(own):
            if decision.record not in known:
                found[record_id(strategy.name, symbol, decision.record, decision.n)] = {
                    "symbol": symbol,
                    "reason": decision.reason,
                    "inputs": decision.inputs,
                    "side": decision.side,
                    "ts_decided": decision.ts_decided,
                }
    return found


def figures(record: dict[str, Any]) -> dict[str, Any]:
    """What ``expected`` has of a published signal."""
    return {name: record[name] for name in ("symbol", "reason", "inputs", "side", "ts_decided")}


def committed(settings: Settings, strategy: str = "counting") -> dict[Partition, int]:
    """The committed offsets of the strategy's group."""
    admin = Admin(settings)
    group = signals_group(settings.signals, strategy)
    found = admin.committed(group, admin.partitions(settings.topics.trades.name))
    return {partition: one.offset for partition, one in found.items()}
