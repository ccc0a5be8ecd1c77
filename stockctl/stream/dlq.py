"""Reading dead letters, those of our own roles and those of Kafka Connect, and the marks of what was replayed.

Kafka Connect puts the record that it could not take there as it was, and what it knows of it into headers. Both come out of
here as the same ``DeadLetter``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from stockctl.clients.kafka import Admin, Message
from stockctl.records import UNREADABLE, DeadLetter
from stockctl.settings import Settings
from stockctl.settings.distinct_names import DEAD_LETTERS_GROUP, replayed_topic
from stockctl.stream.dead_letters import dead_letter
from stockctl.stream.mongo_sink.stack_trace import first_cause
from stockctl.stream.topic_reader import messages
from stockctl.stream.topics import TopicSpec

FEED, LAKE = "produce", "consume s3"
"""Who refused it, for letters that don't say so themselves: what never was in Kafka, and what was."""

_NUMBER = re.compile(r"(?:(?<=\dT)|(?<![\dA-Za-z_])(?<![A-Z][+-]))\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
"""What varies between two reasons of a kind, as offsets and values do; not the digits of a name, as of UTF-8 or U+0007."""
_CONNECT = "__connect.errors."
_decode = msgspec.json.Decoder(DeadLetter).decode


class Letter(NamedTuple):
    """A dead letter, and who refused it: ``produce``, ``consume s3``, ``consume mongo``, ``connect NAME``."""

    letter: DeadLetter
    refused_by: str

    @property
    def digest(self) -> str:
        """Tells this letter from every other, also from one of a later topic whose offsets began anew."""
        return hashlib.sha256(f"{self.letter.id}\n{self.letter.raw}".encode(errors="surrogatepass")).hexdigest()[:32]

    @property
    def found_at(self) -> str:
        """Where it was found: topic, partition and offset, or its origin."""
        letter = self.letter
        return f"{letter.topic}/{letter.partition}@{letter.offset}" if letter.topic else letter.origin


class Summary(NamedTuple):
    """Equal letters together: ``at`` is the newest one's receipt, ``replayed`` when it was replayed (ms UTC, or None)."""

    id: str
    at: int
    refused_by: str
    found_at: str
    reason: str
    times: int
    replayed: int | None


class Count(NamedTuple):
    """Letters of one kind of reason; numbers in it stand as ``#``. Times are ms UTC."""

    reason: str
    refused_by: str
    letters: int
    replayed: int
    first: int
    last: int


def read(settings: Settings, since: int | None = None, *, say: Callable[[str], None] = lambda _: None) -> Iterator[Letter]:
    """Every letter that the topic of dead letters holds now, from ``since`` (ms UTC, by the messages' time) on.

    ``say`` is told of a wait for Kafka. UnknownTopicError if there is no such topic.
    """
    admin, topic = Admin(settings), settings.topics.dead_letters.name
    admin.wait(say=say)
    return map(_understood, messages(admin, settings, topic, DEAD_LETTERS_GROUP, since))


def marks_topic(settings: Settings) -> TopicSpec:
    """The topic of marks. It keeps each one for ever, because a reader may send a letter again long after it was replayed."""
    dead = settings.topics.dead_letters
    return TopicSpec("topics.dead_letters", replayed_topic(settings), 1, dead.replication, {"cleanup.policy": "compact"})


def marks(settings: Settings) -> dict[str, int]:
    """When each replayed letter was replayed (ms UTC), by the letter's digest."""
    admin, topic = Admin(settings), marks_topic(settings).name
    if admin.topic(topic) is None:
        return {}
    found = messages(admin, settings, topic, DEAD_LETTERS_GROUP)
    return {message.key().decode(): message.timestamp()[1] for message in found if message.key()}


def _understood(message: Message) -> Letter:
    headers = _headers(message)
    if _CONNECT + "topic" in headers:
        return _from_connect(message, headers)
    try:
        letter = _decode(message.value() or b"")
    except UNREADABLE:
        place = (message.topic(), message.partition(), message.offset())
        letter = dead_letter(
            "no dead letter of ours, and without Kafka Connect's headers",
            message.value() or b"",
            ts_recv=message.timestamp()[1],
            source="",
            id="{}-{}-{}".format(*place),
            origin="{}/{}@{}".format(*place),
        )
        return Letter(letter, "unknown")
    return Letter(letter, (letter.origin or LAKE) if letter.topic else FEED)


def _headers(message: Message) -> dict[str, str]:
    # A header of a name that came twice: the newest counts.
    return {name: (value or b"").decode(errors="replace") for name, value in message.headers() or ()}


def _from_connect(message: Message, headers: Mapping[str, str]) -> Letter:
    said = {name.removeprefix(_CONNECT): value for name, value in headers.items()}
    reason = (
        first_cause(said.get("exception.stacktrace", "")) or said.get("exception.message") or "Kafka Connect gave no reason"
    )
    reader = f"connect {said.get('connector.name', '')}".strip()
    letter = dead_letter(
        reason,
        message.value() or b"",
        ts_recv=message.timestamp()[1],
        source="",
        topic=said["topic"],
        partition=_number(said.get("partition")),
        offset=_number(said.get("offset")),
        origin=reader,
    )
    return Letter(letter, reader)


def _number(text: str | None) -> int:
    return int(text) if text is not None and re.fullmatch(r"\d+", text) else -1


def matches(letter: DeadLetter, *, reason: str | None = None, topic: str | None = None, since: int | None = None) -> bool:
    """Whether ``reason`` is in the letter's, it was found in ``topic``, and received at ``since`` (ms UTC) or later."""
    return (
        (reason is None or reason.casefold() in letter.reason.casefold())
        and (topic is None or letter.topic == topic)
        and (since is None or letter.ts_recv >= since)
    )


def summaries(settings: Settings, *, say: Callable[[str], None] = lambda _: None, **asked: Any) -> list[Summary]:
    """The letters that match what is ``asked`` (as ``matches``), the newest first."""
    found: dict[tuple[str, str, str], tuple[Letter, int]] = {}
    for item in read(settings, asked.get("since"), say=say):
        if matches(item.letter, **asked):
            # Without its text: a topic of letters may be larger than memory.
            key = (item.digest, item.letter.reason, item.refused_by)
            light = item._replace(letter=msgspec.structs.replace(item.letter, raw=""))
            found[key] = (light, found[key][1] + 1 if key in found else 1)
    replayed = marks(settings) if found else {}
    rows = [
        Summary(
            light.letter.id,
            light.letter.ts_recv,
            light.refused_by,
            light.found_at,
            light.letter.reason,
            times,
            replayed.get(digest),
        )
        for (digest, _, _), (light, times) in found.items()
    ]
    return sorted(rows, key=lambda row: row.at, reverse=True)


def counts(rows: list[Summary]) -> list[Count]:
    """``rows`` by kind of reason, the most frequent first."""
    kinds: dict[tuple[str, str], list[Summary]] = {}
    for row in rows:
        kinds.setdefault((_NUMBER.sub("#", row.reason), row.refused_by), []).append(row)
    counted = [
        Count(
            reason,
            refused_by,
            len(alike),
            sum(row.replayed is not None for row in alike),
            min(row.at for row in alike),
            max(row.at for row in alike),
        )
        for (reason, refused_by), alike in kinds.items()
    ]
    return sorted(counted, key=lambda count: (-count.letters, count.reason))


def letters_of(settings: Settings, id: str, *, say: Callable[[str], None] = lambda _: None) -> tuple[list[Letter], int | None]:
    """Every different letter of that id, and when the newest replay of it was (ms UTC, or None)."""
    found: dict[tuple[str, str, str], Letter] = {}
    for item in read(settings, say=say):
        if item.letter.id == id:
            found[item.digest, item.letter.reason, item.refused_by] = item
    replayed = marks(settings) if found else {}
    times = [replayed[letter.digest] for letter in found.values() if letter.digest in replayed]
    return list(found.values()), max(times, default=None)
