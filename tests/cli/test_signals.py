"""``stockctl signals list|show|watch`` as a process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from stockctl.clients.kafka import Admin, Producer, UnknownTopicError
from stockctl.exchange.calendar import now_ms
from stockctl.records import SignalRecord, encode
from stockctl.settings import Settings
from stockctl.signals.watch import follow
from stockctl.stream.topics import apply
from tests.command import HANG, Command
from tests.conftest import own
from tests.lakes import at, covered, lay, signal, trade

OPEN = at("2026-11-20 09:30")
MINUTE = 60_000


@pytest.fixture(scope="module")
def filled(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command over a lake whose feed missed AAPL from minute 10 to 20; every test here only reads it."""
    settings, command = own(broker, tmp_path_factory.mktemp("signals"))
    lay(settings, [trade(name, OPEN, 1.0) for name in ("AAPL", "MSFT", "IBM")])
    events = [covered("AAPL", OPEN, OPEN + 10 * MINUTE), covered("AAPL,MSFT", OPEN + 20 * MINUTE, OPEN + 40 * MINUTE)]
    lay(settings, events, table="feed_events")
    minutes = (5, 10, 15, 20, 21, 39, 40)
    records = [signal("AAPL", OPEN + minute * MINUTE, id=f"at{minute}", strategy="sma-cross") for minute in minutes]
    records += [
        signal("MSFT", OPEN + 30 * MINUTE, id="other", side="exit", target=0.0),
        signal("IBM", OPEN + 30 * MINUTE, id="unheard", run="run00"),
        signal("IBM", OPEN + 30 * MINUTE, id="unheard", run="run01", ts_recv=OPEN + 90 * MINUTE),
        signal("", OPEN, id="began", kind="run", side="", target=0.0, details='{"params":{"fast":"5"}}'),
        signal("AAPL", "2026-11-19 10:00", id="earlier", strategy="sma-cross"),
    ]
    lay(settings, records, table="signals")
    return command


def listed(command: Command, *arguments: str) -> dict[str, bool | None]:
    """The ids of ``signals list`` in order, each with its mark."""
    rows = json.loads(command.run("signals", "list", *arguments, "-o", "json").stdout)
    return {row["id"]: row["gap"] for row in rows}


def test_a_signal_in_a_gap_or_at_most_a_minute_after_one_is_marked(filled: Command) -> None:
    """Also after the last feed event of a date that is over. Of a symbol that no feed event names it is not known."""
    assert listed(filled, "AAPL") == {
        "at40": True,
        "at39": False,
        "at21": False,
        "at20": True,
        "at15": True,
        "at10": True,
        "at5": False,
    }
    assert listed(filled, "IBM") == {"unheard": None}


def test_the_list_is_of_the_newest_date_unless_another_is_asked_for(filled: Command) -> None:
    assert "earlier" not in listed(filled)
    assert list(listed(filled, "--date", "2026-11-19")) == ["earlier"]
    assert list(listed(filled, "--since", "2026-11-19", "--until", "2026-11-20T09:36")) == ["at5", "earlier"]
    assert list(listed(filled, "--strategy", "vwap-reversion", "msft")) == ["other"]
    assert list(listed(filled, "--kind", "run")) == ["began"]
    assert "--kind cannot be orders" in filled.run("signals", "list", "--kind", "orders", check=2).stderr
    assert "the lake has no such signal" in filled.run("signals", "list", "--strategy", "none").stderr
    assert "and 8 older ones" in filled.run("signals", "list", "--limit", "2").stderr


def test_show_has_every_field_once_for_each_run(filled: Command) -> None:
    rows = json.loads(filled.run("signals", "show", "unheard", "-o", "json").stdout)
    assert [row["run"] for row in rows] == ["run01", "run00"]
    assert rows[0].keys() == {*SignalRecord.__struct_fields__, "gap"}
    assert rows[0]["ts_event"] == "2026-11-20T10:00:00-05:00"
    shown = filled.run("signals", "show", "began").stdout
    assert '{"params":{"fast":"5"}}' in shown
    assert "`stockctl signals list` shows the ids" in filled.run("signals", "show", "nosuch", check=2).stderr


@pytest.fixture
def topics(settings: Settings) -> Settings:
    """The test's own topics, made."""
    apply(Admin(settings), settings.topics)
    return settings


def publish(settings: Settings, *values: bytes) -> None:
    producer = Producer(settings)
    for value in values:
        producer.produce(settings.topics.signals.name, value=value, key=b"AAPL", timestamp=now_ms())
    assert producer.flush(HANG) == 0


def test_watch_writes_what_was_published_and_what_comes(topics: Settings) -> None:
    """Signals alone, of the symbols and the strategy that were asked for."""
    now, stop = now_ms(), threading.Event()

    def made(symbol: str, id: str, **other: Any) -> bytes:
        return encode(signal(symbol, now, id=id, source="sim", **other))

    publish(topics, made("AAPL", "first"), b"garbage", made("AAPL", "beat", kind="heartbeat"), made("MSFT", "not asked for"))
    found: Iterator[SignalRecord] = follow(topics, ["AAPL"], strategy="vwap-reversion", seconds=HANG, look_back=60, stop=stop)
    assert next(found).id == "first"
    publish(topics, made("AAPL", "another", strategy="sma-cross"), made("AAPL", "second"))
    assert next(found).id == "second"
    stop.set()
    assert list(found) == []


def test_watch_is_a_line_for_each_signal(topics: Settings, command: Command) -> None:
    publish(topics, encode(signal("AAPL", OPEN, source="sim", strength=2.3, reason="below vwap")))
    line = command.run("signals", "watch", "--for", "2s").stdout
    assert line == "2026-11-20 09:30:00.050  AAPL  buy   +1.00  vwap-reversion  below vwap\n"
    (row,) = map(json.loads, command.run("signals", "watch", "--for", "2s", "-o", "jsonl").stdout.splitlines())
    assert (row["symbol"], row["target"], row["ts_decided"]) == ("AAPL", 1.0, "2026-11-20T09:30:00.050000-05:00")


def test_watch_without_the_topic_says_what_creates_it(settings: Settings) -> None:
    with pytest.raises(UnknownTopicError, match="there is no topic") as raised:
        next(follow(settings, seconds=1))
    assert raised.value.hint == "`stockctl topics apply` creates the topics"
