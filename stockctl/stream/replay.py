"""Sending dead letters again: what can be taken now goes to the topic that it was meant for, each letter once.

What makes it once is one Kafka transaction for the records and for the marks, which say in a topic of their own that these
letters were replayed: both are there, or neither. A run reads the marks after it has begun as the one producer of that name,
which ends what an earlier run left open and shuts that run out, so no two can send the same letter, also when one was killed.
The name follows from the topic's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from stockctl.clients.kafka import Admin, TransactionalProducer
from stockctl.errors import StockctlError
from stockctl.record_validation import VALIDATORS, InvalidRecordError, Validator
from stockctl.records import UNREADABLE, DeadLetter, Trade, encode
from stockctl.settings import Settings
from stockctl.stream import topics
from stockctl.stream.dlq import LAKE, Letter, marks, marks_topic, matches, read

_CHUNK = 500
"""Letters in one transaction."""

Retake = Callable[[DeadLetter, str], Sequence[Trade]]
"""Makes trades of a text that the feed sent and ``produce`` refused; ValueError with the reason if it still is none."""


class Outcome(NamedTuple):
    """What became of one letter: ``done`` is ``sent``, ``would send``, ``already`` or ``left``; ``detail`` tells more."""

    id: str
    done: str
    detail: str


class _Message(NamedTuple):
    topic: str
    value: bytes
    key: str


class Replay:
    """One run of ``stockctl dlq replay``: of the letters ``ids``, or of all that match ``asked`` (as ``dlq.matches``).

    ``mended`` stands in for the text of the one letter that is named. With ``dry_run`` nothing is sent. ``refusal`` gives the
    reason why the lake does not take records of a source, None if it does.
    ``say`` is told of a wait for Kafka.
    """

    def __init__(
        self,
        settings: Settings,
        retake: Retake,
        *,
        ids: Sequence[str] = (),
        mended: str | None = None,
        dry_run: bool = False,
        refusal: Callable[[str], str | None] = lambda _: None,
        say: Callable[[str], None] = lambda _: None,
        **asked: Any,
    ) -> None:
        self._settings, self._retake, self._mended, self._dry_run = settings, retake, mended, dry_run
        self._ids, self._asked, self._refusal, self._say = set(ids), asked, refusal, say

    def run(self) -> Iterator[Outcome]:
        """Replay; what became of each letter, told once it is so. StockctlError where one text is to mend several letters."""
        producer = None
        admin = Admin(self._settings)
        admin.wait(say=self._say)
        if not self._dry_run:
            list(topics.apply_one(admin, marks_topic(self._settings)))
            producer = TransactionalProducer(self._settings, f"stockctl-replay-{self._settings.topics.dead_letters.name}")
        done = marks(self._settings)
        readers: dict[str, set[str]] = {}
        todo: set[str] = set()
        for item in read(self._settings):
            readers.setdefault(item.digest, set()).add(item.refused_by)
            if self._is_asked(item):
                todo.add(item.digest)
        if self._mended is not None and len(todo) > 1:
            raise StockctlError(f"{len(todo)} different letters have that id, of a topic that was made anew", hint="`dlq show`")
        waiting: list[tuple[Letter, list[_Message]]] = []
        for item in read(self._settings):
            if item.digest not in todo:
                continue
            todo.discard(item.digest)
            if item.digest in done:
                yield Outcome(item.letter.id, "already", "was replayed before")
                continue
            try:
                waiting.append((item, self._messages(item.letter, readers[item.digest])))
            except ValueError as error:
                yield Outcome(item.letter.id, "left", str(error))
            if len(waiting) == _CHUNK:
                yield from self._send(producer, waiting)
                waiting = []
        yield from self._send(producer, waiting)

    def _is_asked(self, item: Letter) -> bool:
        return item.letter.id in self._ids if self._ids else matches(item.letter, **self._asked)

    def _messages(self, letter: DeadLetter, readers: set[str]) -> list[_Message]:
        """What is to be sent for a letter that ``readers`` refused; ValueError with the reason if nothing can be."""
        names = self._settings.topics
        text = letter.raw if self._mended is None else self._mended
        if not letter.topic:
            trades = self._retake(letter, text)
            return [_Message(names.trades.name, encode(trade), trade.symbol) for trade in trades]
        if letter.topic not in (names.trades.name, names.feed_events.name):
            raise ValueError(f"it comes from {letter.topic}, which is no topic of this profile")
        validator = VALIDATORS["trades" if letter.topic == names.trades.name else "feed_events"]
        if LAKE not in readers and _is_row(validator, letter.raw):
            raise ValueError(
                f"refused by {', '.join(sorted(readers))} alone: the lake takes this record from {letter.topic}, "
                "and sent again it would be there twice"
            )
        try:
            record = validator.record(text.encode())
        except (InvalidRecordError, UnicodeEncodeError) as error:
            raise ValueError(f"it still cannot be taken: {error}") from None
        if (refusal := self._refusal(record.source)) is not None:
            raise ValueError(refusal)
        return [_Message(letter.topic, encode(record), record.symbol if isinstance(record, Trade) else record.source)]

    def _send(
        self, producer: TransactionalProducer | None, waiting: Sequence[tuple[Letter, list[_Message]]]
    ) -> Iterator[Outcome]:
        now = int(time.time() * 1000)
        if producer is not None and waiting:
            with producer.transaction():
                for item, messages in waiting:
                    # Now, and not when it was received: retention would delete an old message at once.
                    for message in messages:
                        producer.produce(message.topic, value=message.value, key=message.key, timestamp=now)
                    mark = encode({"id": item.letter.id, "at": now})
                    producer.produce(marks_topic(self._settings).name, value=mark, key=item.digest, timestamp=now)
        done = "would send" if producer is None else "sent"
        for item, messages in waiting:
            yield Outcome(item.letter.id, done, f"{len(messages)} to {messages[0].topic}")


def _is_row(validator: Validator[Any], text: str) -> bool:
    """Whether ``text`` is what the lake takes, or took by the limits of an earlier version."""
    try:
        validator.line(text.encode())
    except UNREADABLE:
        return False
    return True
