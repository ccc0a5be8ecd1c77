"""Reads dead letters, of stockctl's services and of Kafka Connect, and the marks of replayed letters.

Kafka Connect sends the rejected record unchanged and describes the failure in headers. Both kinds become a ``DeadLetter``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from stockctl.clients.kafka import Admin, Message
from stockctl.records import UNREADABLE
from stockctl.settings import Settings, TopicsSettings
from stockctl.settings.kafka_names import DEAD_LETTERS_GROUP, replayed_topic
from stockctl.stream.dead_letters.record import DeadLetter, dead_letter
from stockctl.stream.kafka_connect.stack_trace import root_cause
from stockctl.stream.topic_reader import messages
from stockctl.stream.topics import TopicSpec

FEED, LAKE = "produce", "consume s3"
"""Who rejected a letter that does not say so itself: one that never was in Kafka, and a record of a topic."""

_NUMBER = re.compile(r"(?:(?<=\dT)|(?<![\dA-Za-z_])(?<![A-Z][+-]))\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
"""Numbers that vary between reasons of one kind, such as offsets and values; not digits in names such as UTF-8 or U+0007."""
_CONNECT = "__connect.errors."
_decode = msgspec.json.Decoder(DeadLetter).decode


class Letter(NamedTuple):
    """A dead letter, and who rejected it: ``produce``, ``consume s3``, ``consume mongo`` or ``connect NAME``."""

    letter: DeadLetter
    rejected_by: str

    @property
    def digest(self) -> str:
        """Identifies the letter, also among letters with the same id of a recreated topic."""
        return hashlib.sha256(f"{self.letter.id}\n{self.letter.raw}".encode(errors="surrogatepass")).hexdigest()[:32]

    @property
    def found_at(self) -> str:
        """Where it was found: topic, partition and offset, or its origin."""
        letter = self.letter
        return f"{letter.topic}/{letter.partition}@{letter.offset}" if letter.topic else letter.origin


class Summary(NamedTuple):
    """Equal letters together: ``at`` is when the newest was received, ``replayed`` when it was replayed (ms UTC, or None)."""

    id: str
    at: int
    rejected_by: str
    found_at: str
    reason: str
    times: int
    replayed: int | None


class Count(NamedTuple):
    """The letters of one kind of reason, with ``#`` in place of numbers. Times are ms UTC."""

    reason: str
    rejected_by: str
    letters: int
    replayed: int
    first: int
    last: int


def read(settings: Settings, since: int | None = None, *, say: Callable[[str], None] = lambda _: None) -> Iterator[Letter]:
    """Every letter in the dead letter topic, from ``since`` on (ms UTC, by the timestamps of the messages).

    ``say`` is called before a wait for Kafka. UnknownTopicError if the topic does not exist.
    """
    admin, topic = Admin(settings), settings.topics.dead_letters.name
    admin.wait(say=say)
    return map(_parse, messages(admin, settings, topic, DEAD_LETTERS_GROUP, since))


def marks_topic(settings: TopicsSettings) -> TopicSpec:
    """The topic of marks, kept permanently: a reader may send a letter again long after its replay."""
    dead = settings.dead_letters
    return TopicSpec("topics.dead_letters", replayed_topic(settings), 1, dead.replication, {"cleanup.policy": "compact"})


def marks(settings: Settings) -> dict[str, int]:
    """When each replayed letter was replayed (ms UTC), by the letter's digest."""
    admin, topic = Admin(settings), marks_topic(settings.topics).name
    if admin.topic(topic) is None:
        return {}
    stored = messages(admin, settings, topic, DEAD_LETTERS_GROUP)
    return {message.key().decode(): message.timestamp()[1] for message in stored if message.key()}


def _parse(message: Message) -> Letter:
    headers = _headers(message)
    if _CONNECT + "topic" in headers:
        return _from_connect(message, headers)
    try:
        letter = _decode(message.value() or b"")
    except UNREADABLE:
        place = (message.topic(), message.partition(), message.offset())
        letter = dead_letter(
            "neither a dead letter of stockctl nor of Kafka Connect",
            message.value() or b"",
            ts_recv=message.timestamp()[1],
            source="",
            id="{}-{}-{}".format(*place),
            origin="{}/{}@{}".format(*place),
        )
        return Letter(letter, "unknown")
    return Letter(letter, (letter.origin or LAKE) if letter.topic else FEED)


def _headers(message: Message) -> dict[str, str]:
    # Of several headers with one name, the last counts.
    return {name: (value or b"").decode(errors="replace") for name, value in message.headers() or ()}


def _from_connect(message: Message, headers: Mapping[str, str]) -> Letter:
    failure = {name.removeprefix(_CONNECT): value for name, value in headers.items()}
    unexplained = failure.get("exception.message") or "Kafka Connect gives no reason"
    reason = root_cause(failure.get("exception.stacktrace", "")) or unexplained
    reader = f"connect {failure.get('connector.name', '')}".strip()
    letter = dead_letter(
        reason,
        message.value() or b"",
        ts_recv=message.timestamp()[1],
        source="",
        topic=failure["topic"],
        partition=_number(failure.get("partition")),
        offset=_number(failure.get("offset")),
        origin=reader,
    )
    return Letter(letter, reader)


def _number(text: str | None) -> int:
    return int(text) if text is not None and re.fullmatch(r"\d+", text) else -1


def matches(letter: DeadLetter, *, reason: str | None = None, topic: str | None = None, since: int | None = None) -> bool:
    """Whether the letter's reason contains ``reason``, it is of ``topic``, and was received at ``since`` (ms UTC) or later."""
    return (
        (reason is None or reason.casefold() in letter.reason.casefold())
        and (topic is None or letter.topic == topic)
        and (since is None or letter.ts_recv >= since)
    )


def summaries(settings: Settings, *, say: Callable[[str], None] = lambda _: None, **filters: Any) -> list[Summary]:
    """The letters that match ``filters`` (see ``matches``), the newest first."""
    letters: dict[tuple[str, str, str], tuple[Letter, int]] = {}
    for item in read(settings, filters.get("since"), say=say):
        if matches(item.letter, **filters):
            # Without the raw text: the topic may be larger than memory.
            key = (item.digest, item.letter.reason, item.rejected_by)
            light = item._replace(letter=msgspec.structs.replace(item.letter, raw=""))
            letters[key] = (light, letters[key][1] + 1 if key in letters else 1)
    replayed = marks(settings) if letters else {}
    rows = [
        Summary(
            light.letter.id,
            light.letter.ts_recv,
            light.rejected_by,
            light.found_at,
            light.letter.reason,
            times,
            replayed.get(digest),
        )
        for (digest, _, _), (light, times) in letters.items()
    ]
    return sorted(rows, key=lambda row: row.at, reverse=True)


def counts(rows: list[Summary]) -> list[Count]:
    """``rows`` counted by kind of reason, the most frequent first."""
    kinds: dict[tuple[str, str], list[Summary]] = {}
    for row in rows:
        kinds.setdefault((_NUMBER.sub("#", row.reason), row.rejected_by), []).append(row)
    counted = [
        Count(
            reason,
            rejected_by,
            len(alike),
            sum(row.replayed is not None for row in alike),
            min(row.at for row in alike),
            max(row.at for row in alike),
        )
        for (reason, rejected_by), alike in kinds.items()
    ]
    return sorted(counted, key=lambda count: (-count.letters, count.reason))


def letters_of(settings: Settings, id: str, *, say: Callable[[str], None] = lambda _: None) -> tuple[list[Letter], int | None]:
    """Every different letter with that id, and the time of the newest replay (ms UTC, or None)."""
    letters: dict[tuple[str, str, str], Letter] = {}
    for item in read(settings, say=say):
        if item.letter.id == id:
            letters[item.digest, item.letter.reason, item.rejected_by] = item
    replayed = marks(settings) if letters else {}
    times = [replayed[letter.digest] for letter in letters.values() if letter.digest in replayed]
    return list(letters.values()), max(times, default=None)
