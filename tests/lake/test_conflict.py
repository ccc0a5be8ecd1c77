"""A store that answers "there is one already" where nothing is: what the log notes is put again, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from stockctl.clients.kafka import Admin
from stockctl.clients.object_store import ExistsError, Store, open_store
from stockctl.errors import StockctlError, UnreachableError
from stockctl.lake.format.claims import lake_source, put_lost, read_lost, read_source
from stockctl.lake.format.retention import put_floor, read_floor
from stockctl.lake.writer import sink
from stockctl.lake.writer.sink import S3Sink
from stockctl.service import Service
from stockctl.settings import Settings
from stockctl.stream.consumer_loop import consume
from tests.counting import assert_once
from tests.lake.test_sink import held, produce
from tests.lakes import lay, trade

pytestmark = pytest.mark.server


class Refusing(Store):
    """Refuses the first put of each key, as S3 does while another request for it is under way (409)."""

    def __init__(self, store: Store, error: StockctlError) -> None:
        super().__init__(store._backend, store.url, store.folder)
        self._error = error
        self.refused: set[str] = set()

    def put_new(self, key: str, data: bytes) -> None:
        if key not in self.refused:
            self.refused.add(key)
            raise self._error
        super().put_new(key, data)


@pytest.mark.parametrize(
    "error", [ExistsError("409 Conflict"), StockctlError("Generic S3 error: 409"), UnreachableError("503")], ids=str
)
def test_the_writer_begins_a_lake_whose_store_refuses_each_put_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: StockctlError
) -> None:
    """The start and the source as well as claims and objects."""
    admin = Admin(settings)
    for topic in (settings.topics.trades, settings.topics.feed_events, settings.topics.signals, settings.topics.dead_letters):
        admin.create_topic(topic.name, topic.partitions, 1, {})
    ids = produce(settings, 50)
    store = Refusing(open_store(settings), error)
    monkeypatch.setattr(sink, "open_store", lambda _: store)
    service = Service()
    consume(S3Sink(settings, service.stop, once=True), service, report_every=60)
    assert {key.rpartition("/")[2] for key in store.refused if key.startswith("_log")} >= {"start.json", "source.json"}
    assert_once(held(store), ids)
    assert read_source(store) == "sim"


@pytest.mark.parametrize(
    ("put", "there"),
    [
        (lambda store, _: lake_source(store, "sim"), lambda store, _: read_source(store) == "sim"),
        (lambda store, _: put_floor(store, date(2026, 11, 1)), lambda store, _: read_floor(store) == date(2026, 11, 1)),
        (lambda store, claim: put_lost(store, claim, ["x"]), lambda store, claim: read_lost(store, claim) == ["x"]),
    ],
    ids=["source", "floor", "loss"],
)
def test_what_is_not_there_is_not_taken_for_done(
    settings: Settings, put: Callable[..., object], there: Callable[..., bool]
) -> None:
    """A conflict on the floor is an error, so that it is written again: without its floor, a prune would damage the lake."""
    (claim,) = lay(settings, [trade("AAPL", "2026-11-23 10:00", 1.0)])
    store = Refusing(open_store(settings), ExistsError("409 Conflict"))
    with pytest.raises(UnreachableError, match="409"):
        put(store, claim)
    assert not there(store, claim)
    put(store, claim)
    assert there(store, claim)
    put(store, claim)
