"""Stores that a command reads, and what waits in Kafka for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from stockctl.cli.output import say

if TYPE_CHECKING:
    from stockctl.clients.mongo import Mongo
    from stockctl.settings import Settings


@contextmanager
def mongo_of(settings: Settings) -> Iterator[Mongo]:
    """MongoDB, once it answers; a wait for it is said."""
    from stockctl.clients.mongo import Mongo

    with Mongo(settings) as mongo:
        mongo.wait(say=say)
        yield mongo


IN_THE_FUTURE = "that time is in the future"


def say_next_batch(
    settings: Settings, store: Literal["lake", "mongo"], since: int | None = None, until: int | None = None
) -> None:
    """Say what waits in Kafka for the store, which has nothing in ``[since, until)`` (ms UTC), unless that is over."""
    from stockctl.exchange.calendar import now_ms
    from stockctl.stream.lag import lake_writer, mongo_writer
    from stockctl.stream.waiting_records import next_batch

    if since is not None and since > now_ms():
        say(IN_THE_FUTURE)
        return
    if until is not None and until <= now_ms():
        return
    line = next_batch(settings, lake_writer(settings.lake) if store == "lake" else mongo_writer(settings))
    if line is not None:
        say(line)
