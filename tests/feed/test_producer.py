"""The live pipeline: simulator → session → Kafka, its coverage, its health, and outages of Kafka."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from prometheus_client import REGISTRY

from stockctl.clients.kafka import Admin, UnknownTopicError
from stockctl.errors import StockctlError, UnreachableError
from stockctl.feed import producer
from stockctl.feed.coverage import coverage
from stockctl.feed.producer import produce_live
from stockctl.service import Service
from stockctl.settings import Settings, load_settings
from stockctl.sim import Simulator, numbered_rows
from stockctl.stream.topics import apply
from tests.command import HANG, Command, clean_environment
from tests.conftest import NOIDA_DB, free_port, listening, own_names, wait_for
from tests.feed.conftest import dead_letters, events, trades


class Running:
    """``produce_live`` in a thread, until it is stopped."""

    def __init__(self, settings: Settings) -> None:
        self.service = Service()
        self.summary = ""
        self.error: StockctlError | None = None
        self._thread = threading.Thread(target=self._run, args=(settings,))
        self._thread.start()

    def _run(self, settings: Settings) -> None:
        try:
            self.summary = produce_live(settings, self.service)
        except StockctlError as error:
            self.error = error

    def stop(self) -> str:
        """Stop it; its summary, or raises what it failed with."""
        self.service.stop.set()
        return self.ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.service.stop.set()
        self._thread.join()

    def ended(self) -> str:
        """Wait until it has ended by itself."""
        self._thread.join(HANG)
        assert not self._thread.is_alive(), "it does not leave"
        if self.error is not None:
            raise self.error
        return self.summary


@pytest.fixture(autouse=True)
def _no_coverage_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage is written only at the end of a connection, however long a test takes."""
    monkeypatch.setattr("stockctl.feed.producer.COVERED_EVERY", 3600.0)


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(rate=0, ping_interval=30) as running:
        yield running


def live(settings: Settings, sim: Simulator | str, **flags: Any) -> Settings:
    """``settings`` with the simulator as feed and two symbols; keywords are dotted settings with ``__``."""
    url = sim if isinstance(sim, str) else sim.url
    values = {name: settings_value(settings, name) for name in own_names("", Path("/of/a-test"))}
    more = {"finnhub.url": url, "symbols": "AAPL,MSFT"} | {name.replace("__", "."): value for name, value in flags.items()}
    return load_settings(environ=clean_environment(), flags=values | more)


def settings_value(settings: Settings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def subscribed(sim: Simulator, times: int = 1) -> None:
    sim.wait_for(lambda counters: counters.connections == times and counters.subscribed == ["AAPL", "MSFT"])


def test_each_row_of_the_feed_is_in_kafka_once_and_its_time_is_covered(topics: Settings, sim: Simulator) -> None:
    with Running(live(topics, sim)) as running:
        subscribed(sim)
        sim.send_rows([*numbered_rows(995), {"s": "AAPL", "p": -1, "t": 1_680_286_538_064, "v": 1}])
        sim.send_malformed()
        wait_for(lambda: len(dead_letters(topics)) == 2, "the rows to arrive")
        assert running.stop().startswith("produced 995 trades in ")
        found = trades(topics)
        assert [trade["volume"] for trade in found] == list(range(1, 996))
        assert {trade["source"] for trade in found} == {"sim"}
        feed_events = events(topics)
        assert [event["kind"] for event in feed_events] == ["connected", "subscribed", "disconnected", "covered"]
        span = feed_events[1]["span_start"], feed_events[2]["span_start"]
        assert (feed_events[3]["span_start"], feed_events[3]["span_end"], feed_events[3]["symbols"]) == (*span, "AAPL,MSFT")
        assert all(span[0] <= trade["ts_recv"] < span[1] for trade in found)
        assert len({event["connection"] for event in feed_events}) == 1
        assert found[0]["id"].split("-")[2] == feed_events[0]["connection"]


def test_a_drop_of_the_connection_is_a_gap(topics: Settings, sim: Simulator) -> None:
    with Running(live(topics, sim)) as running:
        for times in (1, 2):
            subscribed(sim, times)
            sim.send_rows(numbered_rows(5))
            if times == 1:
                sim.drop()
        wait_for(lambda: len(trades(topics)) == 10, "the rows of both connections")
        assert "reconnects 1" in running.stop()
        feed_events = [event | {"symbols": f"{event['symbols']},X:Y"} for event in events(topics)]
        spans = [event for event in feed_events if event["kind"] == "covered"]
        assert len({event["connection"] for event in spans}) == 2
        (gap,) = coverage(feed_events, ["X:Y"], spans[0]["span_start"], spans[-1]["span_end"])["X:Y"].gaps
        assert gap.since == spans[0]["span_end"]
        assert "ended the connection" in gap.reason


def test_prometheus_has_the_gaps_of_the_events(topics: Settings, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    def metric(name: str) -> float:
        return REGISTRY.get_sample_value(f"stockctl_feed_{name}") or 0.0

    def gaps(number: int) -> bool:
        # Time is covered up to the last frame: so one frame after another.
        sim.send_rows(numbered_rows(1))
        return metric("gaps_total") == number

    monkeypatch.setattr("stockctl.feed.producer.COVERED_EVERY", 0.2)
    symbol = "BINANCE:BTCUSDT"
    with Running(live(topics, sim, symbols=symbol)):
        sim.wait_for(lambda counters: counters.subscribed == [symbol])
        wait_for(lambda: gaps(1), "the time until the first connection")
        at_first = metric("uncovered_seconds_total")
        sim.drop()
        sim.wait_for(lambda counters: counters.connections == 2 and counters.subscribed == [symbol])
        wait_for(lambda: gaps(2), "the time between two connections")
        wait_for(lambda: len({event["connection"] for event in covered(topics)}) == 2, "the events of both")
        spans = covered(topics)
        later = next(i for i, event in enumerate(spans) if event["connection"] != spans[0]["connection"])
        missed = (spans[later]["span_start"] - spans[later - 1]["span_end"]) / 1000
        assert metric("uncovered_seconds_total") == pytest.approx(at_first + missed)
        assert metric("covered_timestamp_seconds") >= spans[later]["span_end"] / 1000


def covered(settings: Settings) -> list[dict[str, Any]]:
    """The ``covered`` events, in order."""
    return [event for event in events(settings) if event["kind"] == "covered"]


@pytest.mark.parametrize("format", ["text", "json"])
def test_the_command_runs_until_a_signal_and_leaves_with_everything_flushed(
    topics: Settings, command: Command, sim: Simulator, format: str
) -> None:
    port = free_port()
    command.environment |= {
        "STOCKCTL_FINNHUB__URL": sim.url,
        "STOCKCTL_LOG__EVERY": "200ms",
        "STOCKCTL_LOG__FORMAT": format,
        "STOCKCTL_FINNHUB__TOKEN": "c0ffee-c0ffee",
    }
    process = command.start("produce", "AAPL", "MSFT", "--health-port", str(port))
    subscribed(sim)
    sim.send_rows(numbered_rows(50))
    wait_for(lambda: len(trades(topics)) == 50, "the rows to arrive")
    assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=HANG).text == "ok\n"
    metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=HANG).text
    assert "stockctl_trades_total 50.0" in metrics
    assert "stockctl_feed_connected 1.0" in metrics
    process.terminate()
    assert process.wait(HANG) == 0
    log = (command.folder / "produce.log").read_text()
    assert "produced 50 trades in " in log
    assert "trades/s, feed lag " in log
    assert "c0ffee" not in log
    if format == "json":
        assert all(json.loads(line)["role"] == "produce" for line in log.splitlines() if line.startswith("{"))
    assert [event["kind"] for event in events(topics)][-2:] == ["disconnected", "covered"]


def test_health_reports_a_lost_feed(topics: Settings) -> None:
    with Running(live(topics, f"ws://127.0.0.1:{free_port()}")) as running:
        wait_for(lambda: "Connection refused" in (running.service.health() or ""), "the health to report it")
        assert (running.service.health() or "").startswith("not connected to the feed yet: cannot reach the feed at")
        with pytest.raises(UnreachableError):
            running.stop()


def test_a_span_given_ends_the_run(topics: Settings, sim: Simulator) -> None:
    assert produce_live(live(topics, sim), Service(), seconds=1.0).startswith("produced 0 trades in ")


class Broker:
    """An embedded broker of its own, which can go away and come back with its data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.start()

    def start(self) -> None:
        command = [NOIDA_DB, "start", "--only", "kafka", "--kafka-port", str(self.port), "--data-dir", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: listening(self.port), "the broker")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(HANG)


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "broker")
    yield broker
    if broker.process.poll() is None:
        broker.process.kill()
        broker.process.wait()


@pytest.fixture
def own_topics(own_broker: Broker, tmp_path: Path) -> Settings:
    """Settings and topics on a broker of its own."""
    settings = load_settings(environ=clean_environment(), flags=own_names(f"127.0.0.1:{own_broker.port}", tmp_path))
    apply(Admin(settings), settings.topics)
    return settings


def test_rows_wait_in_memory_while_kafka_is_away(own_topics: Settings, own_broker: Broker, sim: Simulator) -> None:
    with Running(live(own_topics, sim)) as running:
        subscribed(sim)
        sim.send_rows(numbered_rows(20))
        wait_for(lambda: len(trades(own_topics)) == 20, "the first rows")
        own_broker.stop()
        sim.send_rows(numbered_rows(30))
        own_broker.start()
        wait_for(lambda: len(trades(own_topics)) == 50, "the rows that waited")
        assert "dropped" not in running.stop()
        (span,) = [event for event in events(own_topics) if event["kind"] == "covered"]
        assert all(span["span_start"] <= trade["ts_recv"] < span["span_end"] for trade in trades(own_topics))


def test_rows_that_met_a_full_buffer_are_a_gap_in_coverage(
    own_topics: Settings, own_broker: Broker, sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    with Running(live(own_topics, sim, kafka__buffer="60KB")) as running:
        subscribed(sim)
        sim.send_rows(numbered_rows(20))
        wait_for(lambda: len(trades(own_topics)) == 20, "the first rows")
        own_broker.stop()
        sim.send_rows(numbered_rows(1_000))
        wait_for(lambda: "buffer (kafka.buffer) is full" in caplog.text, "the buffer to fill")
        own_broker.start()
        wait_for(lambda: "the buffer has room again" in caplog.text, "the buffer to drain")
        threading.Event().wait(1.1)  # a window of received time is a second long: the next frame starts a new one
        sim.send_rows(numbered_rows(7))
        wait_for(lambda: trades(own_topics)[-7]["volume"] == 1 and trades(own_topics)[-1]["volume"] == 7, "the last rows")
        summary = running.stop()
        found = trades(own_topics)
        assert f"rows dropped on a full buffer {1_027 - len(found)}" in summary
        spans = [event for event in events(own_topics) if event["kind"] == "covered"]
        assert spans[-1]["reason"] == f"messages lost: {1_027 - len(found)}"
        covered = [trade for trade in found if any(s["span_start"] <= trade["ts_recv"] < s["span_end"] for s in spans)]
        assert [trade["volume"] for trade in covered][-7:] == list(range(1, 8))
        assert not {trade["volume"] for trade in covered} & set(range(21, 1_001))


def test_leaving_while_kafka_is_away_fails_in_time_and_keeps_the_events(
    own_topics: Settings, own_broker: Broker, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka is waited for no longer than that; it stays away."""
    assert producer.SHUTDOWN_TIMEOUT < 10
    monkeypatch.setattr(producer, "SHUTDOWN_TIMEOUT", 4.0)
    with Running(live(own_topics, sim)) as running:
        subscribed(sim)
        sim.send_rows(numbered_rows(20))
        wait_for(lambda: len(trades(own_topics)) == 20, "the first rows")
        own_broker.stop()
        sim.send_rows(numbered_rows(30))
        wait_for(lambda: REGISTRY.get_sample_value("stockctl_trades_total") == 50, "the rows to be received")
        with pytest.raises(StockctlError, match=r"^30 rows were not delivered: cannot produce: .*Connection refused") as raised:
            running.stop()
        assert raised.value.exit_code == 1
        own_broker.start()
    with Running(live(own_topics, sim)) as running:
        subscribed(sim, 2)
        running.stop()
        feed_events = events(own_topics)
        first = [event for event in feed_events if event["connection"] == feed_events[0]["connection"]]
        assert "disconnected" in [event["kind"] for event in first]
        assert len({event["connection"] for event in feed_events}) == 2


def test_a_topic_that_disappears_ends_the_run_with_what_to_do(own_topics: Settings, sim: Simulator) -> None:
    with Running(live(own_topics, sim)) as running:
        subscribed(sim)
        Admin(own_topics).delete_topic(own_topics.topics.trades.name)
        sim.set_rate(50)
        with pytest.raises(UnknownTopicError) as raised:
            running.ended()
        assert "stockctl topics apply" in (raised.value.hint or "")
