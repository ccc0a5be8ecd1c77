"""What the settings' own types take and derive."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel

from stockctl.errors import ConfigError
from stockctl.settings import Settings, load_settings


def sections(model: type[BaseModel]) -> list[type[BaseModel]]:
    inner = [field.annotation for field in model.model_fields.values()]
    return [model, *(one for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel) for one in sections(kind))]


def test_every_setting_says_what_it_is_for() -> None:
    for section in sections(Settings):
        for name, field in section.model_fields.items():
            kind = field.annotation
            if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
                assert field.description, f"{section.__name__}.{name}"
                assert field.description[0].isupper(), name
                assert field.description.endswith("."), name


@pytest.mark.parametrize(
    ("url", "real"),
    [
        ("wss://ws.finnhub.io", True),
        ("wss://finnhub.io/x", True),
        ("ws://127.0.0.1:9999", False),
        ("wss://finnhub.io.example.org", False),
        ("wss://notfinnhub.io", False),
    ],
)
def test_records_are_named_finnhub_only_when_they_come_from_finnhub(url: str, real: bool) -> None:
    settings = load_settings(environ={}, flags={"finnhub.url": url})
    assert settings.finnhub.is_real is real
    assert settings.finnhub.source == ("finnhub" if real else "sim")


READERS = (
    ("lake.group", "mongo.group"),
    ("lake.group", "connect.connector"),
    ("mongo.group", "connect.connector"),
    ("lake.group", "metrics watch"),
    ("mongo.group", "dlq"),
    ("mongo.group", "the lake's probe"),
    ("topics.trades.name", "topics.feed_events.name"),
    ("topics.feed_events.name", "topics.dead_letters.name"),
    ("topics.feed_events.name", "topics.signals.name"),
    ("topics.trades.name", "replayed dead letters"),
    ("topics.trades.name", "connect.offset_topic"),
)
NAMES = {
    "connect.connector": ("sink", "connect-sink"),
    "metrics watch": (None, "stockctl-watch"),
    "dlq": (None, "stockctl-dlq"),
    "the lake's probe": (None, "stockctl-lake-probe"),
    "replayed dead letters": (None, "trades.dlq.replayed"),
}
"""What a name is set to, and what it then is in Kafka, where that is another."""


@pytest.mark.parametrize(("one", "other"), READERS)
def test_two_groups_or_two_topics_of_one_name_are_refused(one: str, other: str) -> None:
    """Two readers of one group skip what the other has read, without a word."""
    given, name = NAMES.get(other, ("same", "same"))
    flags = {one: name} | ({other: given} if given else {})
    with pytest.raises(ConfigError, match=re.escape(f"{one} (command line) and ")) as refused:
        load_settings(environ={}, flags=flags)
    assert other in str(refused.value)
    assert f"are both {name}" in str(refused.value)
    assert "different names" in str(refused.value.hint)
    load_settings(environ={}, flags=flags | {one: f"{name}-2"})


def test_topics_that_differ_in_dots_alone_are_refused() -> None:
    """Kafka would refuse the second one."""
    with pytest.raises(ConfigError, match=r"my\.trades and my_trades: Kafka rejects two topics"):
        load_settings(environ={}, flags={"topics.trades.name": "my.trades", "topics.feed_events.name": "my_trades"})
    load_settings(environ={}, flags={"lake.group": "a.b", "mongo.group": "a_b"})
