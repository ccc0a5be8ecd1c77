"""Feeds that break, and producers that die: what arrives is in the lake once, and what does not is in a gap of the coverage."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_for
from tests.faults.feed import Feed
from tests.faults.rig import Rig
from tests.servers import Kafka


@pytest.fixture
def feed(rig: Rig) -> Iterator[Feed]:
    """A feed of 500 rows per second, whose connection is never taken for silent."""
    with Feed(rig) as feed:
        yield feed


def test_a_connection_that_breaks(rig: Rig) -> None:
    """Cut, cut and refused, half-open: each is a gap with its reason, and the rows of it are lost."""
    with Feed(rig, silence="2s") as feed:
        feed.producer()
        feed.flows()
        feed.when_connected(feed.sim.drop)
        feed.rig.inject("connection to the feed cut")
        feed.flows()
        feed.sim.refuse(503, 2)
        feed.when_connected(feed.sim.drop)
        feed.rig.inject("connection to the feed cut, and refused twice")
        feed.flows()
        feed.when_connected(feed.sim.go_silent)
        feed.rig.inject("connection to the feed half-open")
        feed.says("silent")
        feed.sim.resume()
        feed.flows()
        whole = feed.check("ended the connection", "ended the connection", "silent")
        assert whole.share is not None
        assert whole.share < 1


def test_frames_that_should_not_be(feed: Feed) -> None:
    """What is malformed goes to the dead letters, what comes thrice is kept thrice: nothing else is touched."""
    feed.producer()
    feed.flows()
    for _ in range(5):
        feed.sim.send_malformed()
        feed.rig.inject("malformed frame")
        feed.send(10, times=3)
        feed.rig.inject("frame sent three times")
        feed.flows(50)
    whole = feed.check()
    assert [gap for gap in whole.gaps if "silent" in gap.reason] == []
    listed = feed.rig.command.run("dlq", "list", "-o", "jsonl").stdout.splitlines()
    assert len(listed) == 5


def test_a_producer_that_is_killed(feed: Feed) -> None:
    """Time without a listener is a gap, although the dead producer could not report it."""
    for _ in range(2):
        producer = feed.producer()
        feed.flows()
        feed.covers()
        producer.kill()
        feed.rig.inject("producer killed")
        producer.wait()
        time.sleep(2)  # so long is the gap at least
    feed.producer()
    feed.flows()
    whole = feed.check()
    before = whole.expected[0][0]  # from there until the first producer had begun
    assert len([gap for gap in whole.gaps if gap.until - gap.since >= 2000 and gap.since > before]) == 2


def test_kafka_away_for_longer_than_the_buffer_lasts(own_rig: Rig, own_kafka: Kafka) -> None:
    """What no longer fits is a gap; memory stays what it was; all goes on when the broker is back."""
    own_rig.command.environment["STOCKCTL_KAFKA__BUFFER"] = "500KB"
    with Feed(own_rig, rows=100) as feed:
        producer = feed.producer()
        feed.flows(2000)
        before = memory(producer.pid)
        own_kafka.kill()
        own_rig.inject("broker away for longer than the producer's buffer lasts")
        feed.says("buffer (kafka.buffer) is full")
        sent = len(feed.sent)
        wait_for(lambda: len(feed.sent) > sent + 15_000, "many rows that nothing can hold")
        assert memory(producer.pid) < before + 30e6
        own_kafka.start()
        feed.says("the buffer has room again")
        feed.covers("messages lost")
        feed.check("messages lost")


def memory(pid: int) -> float:
    """The most memory that a process has held, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
