"""The transactional producer where librdkafka does not answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from stockctl.clients.kafka import AbortedError, Consumer, Partition, TransactionalProducer, transactions
from stockctl.settings import Settings


class Stuck:
    """A librdkafka producer whose group's coordinator died: sending offsets returns when the test ends."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.calls: list[str] = []

    def begin_transaction(self) -> None:
        """Begin."""
        self.calls.append("begin")

    def send_offsets_to_transaction(self, *_: object) -> None:
        """Hang, whatever the timeout."""
        self.calls.append("send")
        self.ended.wait()

    def commit_transaction(self, _timeout: float) -> None:
        """Commit."""
        self.calls.append("commit")

    def abort_transaction(self, _timeout: float) -> None:
        """Abort."""
        self.calls.append("abort")


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    """It is released at the end."""
    stuck = Stuck()
    yield stuck
    stuck.ended.set()


def test_offsets_without_an_answer_abort_the_transaction(
    settings: Settings, stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run begins again at the committed offsets, instead of waiting without limit."""
    producer = TransactionalProducer(settings, "stuck")
    monkeypatch.setattr(producer, "_producer", stuck)
    monkeypatch.setattr(transactions, "_OFFSETS_WAIT", 0.05)
    with (
        Consumer(settings, "stuck") as consumer,
        pytest.raises(AbortedError, match="has not answered"),
        producer.transaction(),
    ):
        producer.send_offsets(consumer, {Partition("trades", 0): 7})
    assert stuck.calls == ["begin", "send", "abort"]
