"""Dead letters: rejected messages with their raw text and the reason, so that nothing is dropped without a trace."""

from __future__ import annotations

import msgspec

from stockctl.records import encode

RAW_LIMIT = 65_536
"""Most characters of raw text in a dead letter, so that it always fits into a Kafka message."""

FOREIGN = "source not allowed"
"""The prefix of the reason of a record that was rejected only for its source."""


class DeadLetter(msgspec.Struct, frozen=True):
    """Something that could not be taken: its raw text, the reason, and where it was found.

    ``partition`` and ``offset`` are −1 for what never was in Kafka; ``origin`` then names the connection or the file and line.
    """

    id: str
    reason: str
    raw: str
    origin: str
    topic: str
    partition: int
    offset: int
    ts_recv: int
    source: str


def foreign_source(source: str, place: str, stored: str | None, setting: str) -> str:
    """The reason why ``place``, which stores records of the source ``stored``, rejects a record of ``source``."""
    return f"{FOREIGN}: {source}, and {place} holds {stored or 'none yet'} ({setting} names sources that may mix)"


def dead_letter(
    reason: str,
    raw: str | bytes,
    *,
    ts_recv: int,
    source: str,
    topic: str = "",
    partition: int = -1,
    offset: int = -1,
    origin: str = "",
    id: str = "",
) -> DeadLetter:
    r"""A dead letter of ``raw``.

    For a record from Kafka give ``topic``, ``partition`` and ``offset``: they make the id, so that reading the record again
    makes the same dead letter. For anything else give an ``origin`` (the connection, or the file and line) and an ``id``.
    Bytes that are not UTF-8 are written as ``\xff``. ``ts_recv`` is in ms UTC.
    """
    text = raw if isinstance(raw, str) else raw.decode("utf-8", errors="backslashreplace")
    if len(text) > RAW_LIMIT:
        reason += f" (raw text truncated: {len(text)} characters, {RAW_LIMIT} stored)"
        text = text[:RAW_LIMIT]
    return DeadLetter(
        id=id or f"{topic}-{partition}-{offset}",
        reason=reason,
        raw=text,
        origin=origin,
        topic=topic,
        partition=partition,
        offset=offset,
        ts_recv=ts_recv,
        source=source,
    )


def as_message(letter: DeadLetter) -> tuple[bytes, bytes]:
    """The value and key of the Kafka message for ``letter``."""
    return encode(letter), letter.id.encode()
