"""Dead letters: what could not be taken, with its raw text and the reason, so that nothing disappears in silence."""

from __future__ import annotations

from stockctl.records import DeadLetter, encode

RAW_LIMIT = 65_536
"""Most characters of raw text that a dead letter keeps, so that it always fits into a Kafka message."""

FOREIGN = "source not allowed"
"""How the reason begins why a record is refused for its source alone."""


def foreign_source(source: str, place: str, begun: str | None, setting: str) -> str:
    """The reason why a record of ``source`` is refused by ``place``, which was begun with another, if with any."""
    return f"{FOREIGN}: {source}, and {place} holds {begun or 'none yet'} ({setting} names sources that may mix)"


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

    What was found in Kafka gives ``topic``, ``partition`` and ``offset``, and these make its id, so that reading it again
    makes the same dead letter. What never was in Kafka gives its ``origin`` (the connection, or the file and line) and an
    ``id``. Bytes that are no UTF-8 stand as ``\xff``. ``ts_recv`` is in ms UTC.
    """
    text = raw if isinstance(raw, str) else raw.decode("utf-8", errors="backslashreplace")
    if len(text) > RAW_LIMIT:
        reason += f" (raw text cut: {len(text)} characters, {RAW_LIMIT} kept)"
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
    """Value and key of the Kafka message that carries ``letter``."""
    return encode(letter), letter.id.encode()
