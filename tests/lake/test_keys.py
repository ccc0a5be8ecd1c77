"""Through the real writer: whatever a symbol contains, its objects lie below the lake's prefix, and its name finds it."""

from __future__ import annotations

import json
import re
import time

import pytest

from stockctl.clients.kafka import Admin, Producer
from stockctl.clients.object_store import open_store
from stockctl.lake.format.keys import parse_object
from stockctl.lake.reader.trades import read_trades
from stockctl.records import Trade, encode
from stockctl.settings import Settings, load_settings
from tests.command import Command, clean_environment

SYMBOLS = [
    "../../../etc/passwd",
    "..",
    ".",
    "/absolute",
    "a/../../b",
    "..\\..\\windows",
    "%2e%2e%2f",
    "BINANCE:BTCUSDT",
    "BRK.B",
    "with space",
    "ticker=AAPL/x",
    "trade_date=2026-01-01",
    "日経225",
    "🚀",
    "*?[a]{b}",
    "'; DROP TABLE trades; --",
    "_log",
    "x" * 64,
]


@pytest.mark.parametrize("cut", ["ticker", "bucket"])
@pytest.mark.parametrize("place", ["folder", "s3"])
def test_no_symbol_leaves_the_prefix(
    settings: Settings, command: Command, s3_environment: dict[str, str], s3_bucket: str, cut: str, place: str
) -> None:
    """Every key is one of ours, nothing lies beside the lake, and each symbol's trade is found by its exact name."""
    command.environment["STOCKCTL_LAKE__PARTITION_BY"] = cut
    prefix = f"keys-{cut}/lake"
    if place == "s3":
        command.environment |= s3_environment | {"STOCKCTL_LAKE__URL": f"s3://{s3_bucket}/{prefix}"}
    own = {name: value for name, value in command.environment.items() if name.startswith("STOCKCTL_")}
    own_settings = load_settings(environ=clean_environment(**own))
    admin = Admin(settings)
    for topic in (settings.topics.trades, settings.topics.feed_events, settings.topics.signals, settings.topics.dead_letters):
        admin.create_topic(topic.name, topic.partitions, 1, {})
    producer = Producer(settings)
    now = int(time.time() * 1000)
    for number, symbol in enumerate(SYMBOLS):
        row = Trade(f"keys-{number:03d}", symbol, 1.0 + number, 1.0, now, now, "1", "vhl", "sim")
        producer.produce(settings.topics.trades.name, value=encode(row), key=symbol.encode(), timestamp=now)
    assert producer.flush(30) == 0
    before = set(command.folder.parent.glob("*"))
    assert f"wrote {len(SYMBOLS)} rows" in command.run("consume", "s3", "--once").stderr

    keys = [item.key for item in open_store(own_settings).objects()]
    trades = [key for key in keys if not key.startswith("_log/")]
    assert trades
    for key in trades:
        assert parse_object(key) is not None, key
        assert re.fullmatch(r"[A-Za-z0-9._=/-]+", key)
        assert not {"..", ".", ""} & set(key.split("/")), key
    if place == "folder":
        files = {str(path.relative_to(command.folder)) for path in command.folder.rglob("*") if path.is_file()}
        assert {name for name in files if not name.startswith(("lake/", "state/"))} == set()
        assert set(command.folder.parent.glob("*")) == before
    else:
        above = own_settings.lake.model_copy(update={"url": f"s3://{s3_bucket}/keys-{cut}"})
        beside = [item.key for item in open_store(own_settings.model_copy(update={"lake": above})).objects()]
        assert sorted(beside) == sorted(f"lake/{key}" for key in keys)
    for number, symbol in enumerate(SYMBOLS):
        found = read_trades(symbol, settings=own_settings)
        assert found.column("id").to_pylist() == [f"keys-{number:03d}"], symbol
    listed = json.loads(command.run("lake", "list", "-o", "json").stdout)
    assert sum(row["rows"] for row in listed if row["table"] == "trades") == len(SYMBOLS)
    command.run("lake", "verify", "--deep")
