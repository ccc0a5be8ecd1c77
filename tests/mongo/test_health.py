"""MongoDB's row of ``stockctl status``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stockctl.check_runner import run
from stockctl.clients.mongo import Mongo
from stockctl.mongo.health import overview
from stockctl.settings import Settings


@pytest.mark.parametrize(
    ("ahead", "state", "words"), [(-3600, "ok", "newest trade 1h"), (86_400, "warn", "ahead of this clock")]
)
def test_a_trade_of_the_time_to_come_hides_no_feed_that_stands_still(
    mongo_settings: Settings, ahead: int, state: str, words: str
) -> None:
    with Mongo(mongo_settings) as mongo:
        mongo.upsert("companies", [{"_id": "AAPL", "last": {"ts_event": datetime.now(UTC) + timedelta(seconds=ahead)}}])
    [(_, finding)] = run(overview(mongo_settings))
    assert finding.state == state
    assert words in finding.detail
