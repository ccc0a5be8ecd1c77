"""Dead letters are sent, and their delivery is confirmed, also for many at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stockctl.clients.kafka import Admin
from stockctl.errors import StockctlError
from stockctl.exchange.calendar import now_ms
from stockctl.settings import load_settings
from stockctl.stream.dead_letters import producer
from stockctl.stream.dead_letters.producer import DeadLetterProducer
from stockctl.stream.dead_letters.reader import read
from stockctl.stream.dead_letters.record import DeadLetter, dead_letter
from stockctl.stream.topics import apply
from tests.command import clean_environment
from tests.conftest import free_port, own_names

SMALL = {"kafka.buffer": "10KB"}
"""A buffer for about a hundred messages."""


def letters(count: int) -> list[DeadLetter]:
    """``count`` rejected records of one partition."""
    return [
        dead_letter("no trade", "{}", ts_recv=now_ms(), source="", topic="trades", partition=0, offset=offset)
        for offset in range(count)
    ]


def test_more_letters_than_the_buffer_fits_are_all_delivered(broker: str, tmp_path: Path) -> None:
    """The producer waits for space."""
    settings = load_settings(environ=clean_environment(), flags=own_names(broker, tmp_path) | SMALL)
    apply(Admin(settings), settings.topics)
    sent = letters(1000)
    DeadLetterProducer(settings).send(sent)
    assert [item.letter.id for item in read(settings)] == [letter.id for letter in sent]


def test_letters_are_delivered_before_later_ones_are_created(broker: str, tmp_path: Path) -> None:
    """They are not all in memory at once."""
    settings = load_settings(environ=clean_environment(), flags=own_names(broker, tmp_path))
    apply(Admin(settings), settings.topics)
    arrived = []

    def made() -> Iterator[DeadLetter]:
        sent = letters(3000)
        yield from sent[:-1]
        arrived.append(len(list(read(settings))))
        yield sent[-1]

    DeadLetterProducer(settings).send(made())
    assert arrived[0] > 0
    assert len(list(read(settings))) == 3000


def test_letters_that_do_not_fit_into_the_buffer_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As letters without an answer: with their number, so that the caller sends all of them again."""
    monkeypatch.setattr(producer, "_WAIT", 0.5)
    settings = load_settings(environ=clean_environment(), flags=own_names(f"127.0.0.1:{free_port()}", tmp_path) | SMALL)
    for count in (1000, 10):
        with pytest.raises(StockctlError, match=rf"^{count:,} dead letters were not delivered to dlq-.*: no answer within"):
            DeadLetterProducer(settings).send(letters(count))
