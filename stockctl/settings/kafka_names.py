"""Names of consumer groups and topics, which must be distinct."""

from __future__ import annotations

from itertools import combinations

from stockctl.errors import ConfigError
from stockctl.settings.model import LakeSettings, Settings, TopicsSettings
from stockctl.settings.signals import SignalsSettings

WATCH_GROUP = "stockctl-watch"
"""Consumer group of `metrics watch`."""
DEAD_LETTERS_GROUP = "stockctl-dlq"
"""Consumer group of `dlq`."""


def probe_group(settings: LakeSettings) -> str:
    """Consumer group with which the lake writer reads single records."""
    return f"{settings.group}-probe"


def signals_group(settings: SignalsSettings, strategy: str) -> str:
    """Consumer group, and transactional id, of the strategy of this name: each strategy has offsets of its own."""
    return f"{settings.group}-{strategy}"


def replayed_topic(settings: TopicsSettings) -> str:
    """Topic that records which dead letters were replayed."""
    return f"{settings.dead_letters.name}.replayed"


def check_names(settings: Settings) -> None:
    """ConfigError if two consumer groups, or two topics, have the same name."""
    groups = {
        "lake.group": settings.lake.group,
        "mongo.group": settings.mongo.group,
        "the group of connect.connector": settings.connect.group,
        "the group of the lake's probe": probe_group(settings.lake),
        "the group of signals.strategy": signals_group(settings.signals, settings.signals.strategy),
        "the group of `metrics watch`": WATCH_GROUP,
        "the group of `dlq`": DEAD_LETTERS_GROUP,
    }
    topics = {
        "topics.trades.name": settings.topics.trades.name,
        "topics.feed_events.name": settings.topics.feed_events.name,
        "topics.signals.name": settings.topics.signals.name,
        "topics.dead_letters.name": settings.topics.dead_letters.name,
        "the topic of replayed dead letters": replayed_topic(settings.topics),
        "connect.config_topic": settings.connect.config_topic,
        "connect.offset_topic": settings.connect.offset_topic,
        "connect.status_topic": settings.connect.status_topic,
    }
    for kind, names, harm in (
        ("consumer groups", groups, "each would skip what the other has read"),
        ("topics", topics, "records of both would mix"),
    ):
        for (first, name), (second, other) in combinations(names.items(), 2):
            if name == other:
                both = f"both {name}: {harm}"
            elif kind == "topics" and name.replace(".", "_") == other.replace(".", "_"):
                # Kafka replaces dots by underscores in the names of metrics.
                both = f"{name} and {other}: Kafka rejects two topics that differ only in `.` and `_`"
            else:
                continue
            raise ConfigError(
                f"{_from(settings, first)} and {_from(settings, second)} are {both}",
                hint=f"give the two {kind} different names",
            )


def _from(settings: Settings, name: str) -> str:
    return f"{name} ({origin})" if (origin := settings.origin(name)) != "default" else name
