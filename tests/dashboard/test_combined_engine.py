"""The lake with MongoDB for what is newer gives what a lake with all trades gives."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stockctl.clients.mongo import Mongo
from stockctl.dashboard.view.combined_engine import CombinedEngine
from stockctl.metrics import definitions
from stockctl.metrics.query import SESSION_CHOICES
from stockctl.metrics.query_context import QueryContext
from stockctl.metrics.trade_policies import POLICIES
from stockctl.mongo import schema
from stockctl.records import FeedEvent, Trade
from stockctl.settings import load_settings
from tests.command import clean_environment
from tests.conftest import MongoServer, examples
from tests.lakes import lay
from tests.metrics.test_mongo_engine import EXCHANGE_DAY, make_query, same, some_coverage, some_days, with_ends
from tests.mongo.made import documents_of

_numbers = itertools.count()
MEASURES = (
    (None, definitions.summary_of, definitions.summary),
    (60_000, definitions.bars_of, definitions.bars),
    (60_000, definitions.rate_of, definitions.rate),
)
"""Of a running query, and on its own."""


@hypothesis_settings(max_examples=examples(0.1), phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(trades=some_days(), events=some_coverage(), data=st.data())
def test_every_measure(mongo_server: MongoServer, trades: list[Trade], events: list[FeedEvent], data: st.DataObject) -> None:
    """However far the lake is behind, and however much of what it has is still in MongoDB."""
    trades = with_ends(trades)
    in_lake = data.draw(st.integers(0, len(trades)), label="trades in the lake")
    from_mongo = data.draw(st.integers(0, in_lake), label="trades that expired in MongoDB")
    query = make_query(
        data.draw(st.sampled_from(POLICIES)),
        data.draw(st.sampled_from(SESSION_CHOICES)),
        day=data.draw(st.none() | st.just(EXCHANGE_DAY)),
    )
    with tempfile.TemporaryDirectory() as folder:
        flags = {"lake.max_age": "1s", "mongo.url": mongo_server.url, "mongo.retention": "3650d"}
        flags |= {"mongo.database": f"combined-{next(_numbers)}"}
        settings, whole = (
            load_settings(environ=clean_environment(), flags=flags | {"lake.url": (Path(folder) / name).as_uri()})
            for name in ("part", "whole")
        )
        lay(settings, trades[:in_lake])
        lay(whole, trades)
        for one in (settings, whole) if events else ():
            lay(one, events, table="feed_events")
        with Mongo(settings) as mongo:
            schema.apply(mongo, settings.mongo)
            assert mongo.upsert("trades", documents_of(trades[from_mongo:])) == []
            assert mongo.upsert("coverage", documents_of(events)) == []
        with CombinedEngine.connect(settings) as engine:
            results = [of(QueryContext(replace(query, every_ms=every), engine)) for every, of, _ in MEASURES]
        for result, (every, _, measure) in zip(results, MEASURES, strict=True):
            notes = [line.replace("the lake and MongoDB holds", "the lake holds") for line in result.notes]
            same(result._replace(notes=notes), measure(whole, replace(query, every_ms=every)))
