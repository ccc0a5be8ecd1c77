"""Republishes dead letters to their original topic, each letter once.

One Kafka transaction writes the records and, to a topic of its own, the marks that these letters were replayed: both or
neither. A run reads the marks after it has initialised its transactional producer, which aborts the transaction of an earlier
run and fences its producer. So no two runs can send the same letter, even if one was killed. The transactional id contains the
name of the topic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from stockctl.clients.kafka import Admin, TransactionalProducer
from stockctl.errors import StockctlError
from stockctl.exchange.calendar import now_ms
from stockctl.record_validation import VALIDATORS, InvalidRecordError, Validator
from stockctl.records import UNREADABLE, FeedEvent, SignalRecord, Trade, encode
from stockctl.settings import Settings
from stockctl.stream import topics
from stockctl.stream.dead_letters.reader import LAKE, Letter, marks, marks_topic, matches, read
from stockctl.stream.dead_letters.record import DeadLetter

_CHUNK = 500
"""Letters in one transaction."""

Decode = Callable[[DeadLetter, str], Sequence[Trade]]
"""Decodes the trades of a text of the feed that ``produce`` rejected; ValueError with the reason if it is still invalid."""


class ReplayResult(NamedTuple):
    """What was done with one letter."""

    id: str
    action: Literal["sent", "would send", "already sent", "rejected"]
    detail: str


class _Message(NamedTuple):
    topic: str
    value: bytes
    key: str


class Replay:
    """One run of ``stockctl dlq replay``: for the letters ``ids``, or all that match ``filters`` (see ``dlq.matches``).

    ``corrected`` replaces the text of the only letter. With ``dry_run`` nothing is sent. ``refusal`` returns the reason why the
    lake rejects records of a source, None if it accepts them. ``say`` is called before a wait for Kafka.
    """

    def __init__(
        self,
        settings: Settings,
        decode: Decode,
        *,
        ids: Sequence[str] = (),
        corrected: str | None = None,
        dry_run: bool = False,
        refusal: Callable[[str], str | None] = lambda _: None,
        say: Callable[[str], None] = lambda _: None,
        **filters: Any,
    ) -> None:
        self._settings, self._decode, self._corrected, self._dry_run = settings, decode, corrected, dry_run
        self._ids, self._filters, self._refusal, self._say = set(ids), filters, refusal, say

    def run(self) -> Iterator[ReplayResult]:
        """Replay, and yield the result of each letter. StockctlError if ``corrected`` would replace several letters."""
        producer = None
        admin = Admin(self._settings)
        admin.wait(say=self._say)
        if not self._dry_run:
            list(topics.apply_one(admin, marks_topic(self._settings.topics)))
            producer = TransactionalProducer(self._settings, f"stockctl-replay-{self._settings.topics.dead_letters.name}")
        replayed = marks(self._settings)
        readers: dict[str, set[str]] = {}
        selected: set[str] = set()
        for item in read(self._settings):
            readers.setdefault(item.digest, set()).add(item.rejected_by)
            if self._is_selected(item):
                selected.add(item.digest)
        if self._corrected is not None and len(selected) > 1:
            raise StockctlError(
                f"{len(selected)} different letters have that id: their topic was recreated",
                hint="`stockctl dlq show` shows them",
            )
        waiting: list[tuple[Letter, list[_Message]]] = []
        for item in read(self._settings):
            if item.digest not in selected:
                continue
            selected.discard(item.digest)
            if item.digest in replayed:
                yield ReplayResult(item.letter.id, "already sent", "an earlier replay sent it")
                continue
            try:
                waiting.append((item, self._messages(item.letter, readers[item.digest])))
            except ValueError as error:
                yield ReplayResult(item.letter.id, "rejected", str(error))
            if len(waiting) == _CHUNK:
                yield from self._send(producer, waiting)
                waiting = []
        yield from self._send(producer, waiting)

    def _is_selected(self, item: Letter) -> bool:
        return item.letter.id in self._ids if self._ids else matches(item.letter, **self._filters)

    def _messages(self, letter: DeadLetter, readers: set[str]) -> list[_Message]:
        """The messages for a letter that ``readers`` rejected; ValueError with the reason if it is still invalid."""
        names = self._settings.topics
        text = letter.raw if self._corrected is None else self._corrected
        if not letter.topic:
            trades = self._decode(letter, text)
            return [_Message(names.trades.name, encode(trade), trade.symbol) for trade in trades]
        table = next((table for table, topic in topics.table_topics(names).items() if topic == letter.topic), None)
        if table is None:
            raise ValueError(f"it comes from {letter.topic}, which is not a topic of this profile")
        validator = VALIDATORS[table]
        if LAKE not in readers and _lake_accepts(validator, letter.raw):
            raise ValueError(
                f"only {', '.join(sorted(readers))} rejected it: the lake reads this record from {letter.topic}, "
                "and would store it twice if it was sent again"
            )
        try:
            record = validator.record(text.encode())
        except (InvalidRecordError, UnicodeEncodeError) as error:
            raise ValueError(f"it is still invalid: {error}") from None
        if (refusal := self._refusal(record.source)) is not None:
            raise ValueError(refusal)
        return [_Message(letter.topic, encode(record), _key(record))]

    def _send(
        self, producer: TransactionalProducer | None, waiting: Sequence[tuple[Letter, list[_Message]]]
    ) -> Iterator[ReplayResult]:
        now = now_ms()
        if producer is not None and waiting:
            with producer.transaction():
                for item, messages in waiting:
                    # The time of the replay: retention would delete a message with an old timestamp at once.
                    for message in messages:
                        producer.produce(message.topic, value=message.value, key=message.key, timestamp=now)
                    mark = encode({"id": item.letter.id, "at": now})
                    producer.produce(marks_topic(self._settings.topics).name, value=mark, key=item.digest, timestamp=now)
        for item, messages in waiting:
            action: Literal["sent", "would send"] = "would send" if producer is None else "sent"
            yield ReplayResult(item.letter.id, action, f"{len(messages)} to {messages[0].topic}")


def _key(record: Trade | FeedEvent | SignalRecord) -> str:
    """The key with which producers send ``record``."""
    if isinstance(record, FeedEvent):
        return record.source
    return record.symbol if isinstance(record, Trade) else record.symbol or record.strategy


def _lake_accepts(validator: Validator[Any], text: str) -> bool:
    """Whether the lake accepts ``text``, or did so by the limits of an earlier version."""
    try:
        validator.line(text.encode())
    except UNREADABLE:
        return False
    return True
