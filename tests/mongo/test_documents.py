"""The documents of records: the columns and their values, and what the validators require."""

from __future__ import annotations

import msgspec
import pytest

from stockctl.mongo.documents import date_of, ms_of
from stockctl.mongo.schema import collection_schemas
from stockctl.records import MAX_MS, FeedEvent, SignalRecord, Trade, time_columns
from stockctl.settings import load_settings
from tests.command import clean_environment
from tests.lakes import signal
from tests.mongo.made import documents_of

NOW = 1_790_000_000_123
TRADE = Trade("id", "AAPL", 100.5, 2.0, NOW, NOW + 1, "1,2", "vhl", "sim")
SIGNAL = signal("AAPL", NOW, source="sim")
EVENT = FeedEvent("id", "covered", NOW, NOW + 1, "AAPL,MSFT", "reason", "connection", NOW + 2, "sim")


@pytest.mark.parametrize(("record", "collection"), [(TRADE, "trades"), (EVENT, "coverage"), (SIGNAL, "signals")])
def test_a_document_has_each_column_of_its_record(record: Trade | FeedEvent | SignalRecord, collection: str) -> None:
    """In the order of the columns: the times as dates."""
    times, values = time_columns(type(record)), msgspec.structs.asdict(record)
    expected = {name: date_of(value) if name in times else value for name, value in values.items()}
    [document] = documents_of([record])  # type: ignore[arg-type]  # one of the three kinds
    assert list(document.items()) == [("_id", expected.pop("id")), *expected.items()]
    required = collection_schemas(load_settings(environ=clean_environment()).mongo)[collection].fields
    assert document.keys() == required.keys()


@pytest.mark.parametrize("ms", [0, 1, 999, NOW, MAX_MS - 1, MAX_MS])
def test_a_time_is_exact_to_the_millisecond(ms: int) -> None:
    assert ms_of(date_of(ms)) == ms
    assert date_of(ms).microsecond == ms % 1000 * 1000
