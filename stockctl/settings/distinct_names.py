"""The names that the pipeline goes by in Kafka, no two of which may be equal."""

from __future__ import annotations

from itertools import combinations

from stockctl.errors import ConfigError
from stockctl.settings.model import Settings

WATCH_GROUP = "stockctl-watch"
"""The name that `metrics watch` reads under."""
DEAD_LETTERS_GROUP = "stockctl-dlq"
"""The name that `dlq` reads under."""


def probe_group(settings: Settings) -> str:
    """The name that the lake's writer looks at single records under."""
    return f"{settings.lake.group}-probe"


def replayed_topic(settings: Settings) -> str:
    """The topic that notes which dead letters were replayed."""
    return f"{settings.topics.dead_letters.name}.replayed"


def check_names(settings: Settings) -> None:
    """ConfigError if two consumer groups, or two topics, have one name."""
    groups = {
        "lake.group": settings.lake.group,
        "mongo.group": settings.mongo.group,
        "the group of connect.connector": settings.connect.group,
        "the group of the lake's probe": probe_group(settings),
        "the group of `metrics watch`": WATCH_GROUP,
        "the group of `dlq`": DEAD_LETTERS_GROUP,
    }
    topics = {
        "topics.trades.name": settings.topics.trades.name,
        "topics.feed_events.name": settings.topics.feed_events.name,
        "topics.dead_letters.name": settings.topics.dead_letters.name,
        "the topic of replayed dead letters": replayed_topic(settings),
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
                # The names of its metrics have no dots.
                both = f"{name} and {other}: Kafka takes no two topics that differ in `.` and `_` alone"
            else:
                continue
            raise ConfigError(
                f"{_from(settings, first)} and {_from(settings, second)} are {both}",
                hint=f"give the two {kind} different names",
            )


def _from(settings: Settings, name: str) -> str:
    return f"{name} ({origin})" if (origin := settings.origin(name)) != "default" else name
