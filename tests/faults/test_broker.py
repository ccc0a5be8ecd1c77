"""Brokers that stop, die, lose the end of their log, or are another cluster's; each test has a broker of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.command import HANG
from tests.faults.rig import Rig
from tests.servers import Kafka


def test_broker_stopped_and_killed(own_rig: Rig, own_kafka: Kafka) -> None:
    """A writer waits for the broker to come back, and goes on where it was; one without a broker leaves in time."""
    writer = own_rig.writer()
    own_rig.produce(600)
    own_rig.until_held()
    for how in (own_kafka.stop, own_kafka.kill):
        own_rig.produce(1000)
        how()
        own_rig.inject(f"broker {'stopped' if how == own_kafka.stop else 'killed'} and started")
        own_kafka.start()
        own_rig.produce(600)
        own_rig.until_held()
    own_kafka.kill()
    own_rig.inject("SIGTERM while the broker is away")
    writer.stop()
    own_kafka.start()
    own_rig.finish()
    own_rig.check()


class Log:
    """The files of a topic's partitions, to be taken back to what they were."""

    def __init__(self, kafka: Kafka, topic: str) -> None:
        self._data, self._copy, self._topic = kafka.folder / "data", kafka.folder / "copy", topic

    def keep(self) -> None:
        """Copy them; the broker must be down."""
        for folder in self._data.glob(f"{self._topic}-*"):
            shutil.copytree(folder, self._copy / folder.name)

    def cut(self) -> None:
        """Put the copies in their place; the broker must be down."""
        for folder in self._copy.iterdir():
            shutil.rmtree(self._data / folder.name)
            shutil.copytree(folder, self._data / folder.name)


@pytest.mark.parametrize("grown", [False, True], ids=["", "and grown again"])
def test_log_cut_short(own_rig: Rig, own_kafka: Kafka, grown: bool) -> None:
    """What comes after the cut goes into the next generation, from the offset on where the two logs part."""
    kept = Log(own_kafka, own_rig.topic)
    own_rig.produce(500)
    writer = own_rig.writer()
    own_rig.until_held()
    own_kafka.stop()
    kept.keep()
    own_kafka.start()
    own_rig.produce(500)
    own_rig.until_held()
    if grown:
        writer.freeze()
    own_kafka.stop()
    kept.cut()
    own_kafka.start()
    own_rig.inject("log cut short" + (" and grown again under a frozen writer" if grown else " under a writer"))
    own_rig.produce(900 if grown else 100)
    if grown:
        writer.thaw()
    own_rig.until_held()
    own_rig.produce(600)
    own_rig.until_held()
    assert writer.stop() == 0, writer.text
    own_rig.finish()
    assert "truncated" in own_rig.check()


def test_another_cluster_at_the_same_address(own_rig: Rig, own_kafka: Kafka, tmp_path: Path) -> None:
    """A running writer stops, and none starts; back at its own cluster all goes on."""
    own_rig.produce(300)
    writer = own_rig.writer()
    own_rig.until_held()
    writer.freeze()
    own_kafka.stop()
    other = Kafka(tmp_path / "other", ports=own_kafka.ports)
    other.start()
    try:
        own_rig.inject("another cluster at the same address")
        sent = list(own_rig.sent)
        own_rig.make_topics()
        own_rig.produce(300)
        writer.thaw()
        assert writer.process.wait(HANG) == 1, writer.text
        writer.says("another lake.url")
        assert "another lake.url" in own_rig.command.run("consume", "s3", "--once", check=1).stderr
        own_rig.sent = sent
    finally:
        other.kill()
    own_kafka.start()
    own_rig.produce(300)
    own_rig.finish()
    own_rig.check()
