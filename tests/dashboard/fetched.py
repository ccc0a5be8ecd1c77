"""A company's filings, fetched from the simulator, beside trades and feed events in the lake and in MongoDB."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stockctl.clients.mongo import Mongo
from stockctl.clients.object_store import open_store
from stockctl.filings.repository import read_filings, read_state, write_state
from stockctl.mongo import schema
from stockctl.records import FeedEvent, Trade
from stockctl.settings import Settings
from tests.command import Command
from tests.conftest import MongoServer
from tests.filings.fetching import command, fetch, settings, simulator
from tests.lakes import lay
from tests.mongo.made import documents_of, refresh


class Fetched(NamedTuple):
    """A lake and a MongoDB with filings of AAPL and these records, and the command on them."""

    settings: Settings
    command: Command

    def json(self, *arguments: str) -> Any:
        """What the command writes."""
        return json.loads(self.command.run(*arguments, "-o", "json").stdout)


@contextmanager
def fetched_company(
    folder: Path, server: MongoServer, trades: Sequence[Trade], events: Sequence[FeedEvent] = ()
) -> Iterator[Fetched]:
    """Both stores in ``folder`` and ``server``."""
    names = {"mongo__url": server.url, "mongo__database": folder.name, "mongo__retention": "3650d"}
    with simulator() as sim:
        own = settings(sim, folder, **names)
        lay(own, trades)
        if events:
            lay(own, events, table="feed_events")
        with Mongo(own) as mongo:
            schema.apply(mongo, own.mongo)
            assert mongo.upsert("trades", documents_of(trades)) == []
            assert mongo.upsert("coverage", documents_of(events)) == []
            refresh(mongo, own, {one.symbol: {one.ts_event} for one in trades})
        fetch(own, "AAPL")
        yield Fetched(own, command(sim, folder, **names))


def given_times(own: Settings, *, by: int, later: int = 0, unknown: int = 0) -> None:
    """Say that the reports were stored at ``by`` (ms UTC); the newest ``later`` of them a day later, the oldest ``unknown`` at
    no known time.
    """
    store = open_store(own)
    state = read_state(store, "AAPL")
    assert state is not None
    numbers = [one.accession for one in read_filings(own, "AAPL")]
    times: dict[str, int | None] = dict.fromkeys(numbers, by)
    times |= dict.fromkeys(numbers[len(numbers) - later :], by + 86_400_000)
    times |= dict.fromkeys(numbers[:unknown])
    write_state(store, msgspec.structs.replace(state, stored=times))
