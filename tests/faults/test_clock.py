"""Clocks that jump: batches are cut as before, and no time counts as covered that was only skipped."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from stockctl.lake.format.claims import Claim
from tests.command import HANG
from tests.conftest import wait_for
from tests.faults.conftest import MakeRig
from tests.faults.feed import Feed
from tests.faults.rig import Rig
from tests.servers import Kafka

HOUR = 3600
SOURCE = Path(__file__).with_name("clock.c")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clock of ``clock.c``, built."""
    built = tmp_path_factory.mktemp("clock") / "clock.so"
    command: list[str | Path] = [
        "cc",
        "-std=gnu11",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-shared",
        "-fPIC",
        "-o",
        built,
        SOURCE,
        "-ldl",
    ]
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.fail("the clock that jumps is built from C, and there is no cc: install a C compiler")
    assert result.returncode == 0, result.stderr
    return built


class Clock:
    """The wall clock of every process that the rig starts; the monotonic one runs on."""

    def __init__(self, rig: Rig, library: Path) -> None:
        self._rig = rig
        self._file = rig.command.folder / "clock"
        self._file.write_bytes(bytes(8))
        rig.command.environment |= {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(self._file)}

    def set(self, seconds: int) -> None:
        """So many seconds ahead of the machine's, at once."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("q", seconds))

    def jump(self, seconds: int) -> None:
        """Set it while the processes run, and count it."""
        self.set(seconds)
        self._rig.inject(f"clock set {seconds / HOUR:+.0f} h")


@pytest.fixture
def folder_rig(kafka: Kafka, rig_on: MakeRig, tmp_path: Path) -> Rig:
    """A rig whose lake is a folder: a store that asks nobody for the time."""
    rig = rig_on(kafka.servers, store={"lake.url": (tmp_path / "lake").as_uri()})
    rig.make_topics()
    return rig


def test_a_writer_whose_clock_jumps(folder_rig: Rig, library: Path) -> None:
    """Age, batches and sessions are counted by a clock that nobody sets."""
    clock = Clock(folder_rig, library)
    # A session longer than the wait for the other member below, and than any stop of a busy machine.
    how = {"lake__max_records": "1000000", "kafka__session_timeout": "90s"}
    writer = folder_rig.writer(**how)
    for seconds in (26 * HOUR, -HOUR, 2 * HOUR, -30 * HOUR):
        folder_rig.produce(500)
        folder_rig.until_held()
        clock.jump(seconds)
        folder_rig.produce(500)
        folder_rig.until_held()
    clock.jump(-60 * HOUR)
    # It is still in the group, and hears of another member, though no record wakes it.
    other = folder_rig.writer(**how)
    other.says("assigned")
    writer.says("gave up")
    assert writer.stop() == 0, writer.text
    assert "checking each partition again" not in writer.text
    assert all(claim.reason in ("age", "stop") for claim in claims(folder_rig))
    folder_rig.check()


def claims(rig: Rig) -> list[Claim]:
    """The claims that hold rows."""
    return [claim for claim in rig.claims() if claim.rows]


def test_a_store_that_refuses_a_wrong_clock(rig: Rig, library: Path) -> None:
    """S3 refuses requests signed a quarter of an hour off: the writer says so and leaves, and nothing is lost."""
    clock = Clock(rig, library)
    writer = rig.writer()
    rig.produce(500)
    rig.until_held()
    clock.jump(-HOUR)
    rig.produce(500)
    assert writer.process.wait(HANG) == 4, writer.text
    assert "RequestTimeTooSkewed" in writer.text
    assert "set the clock of this machine" in writer.text
    clock.set(0)
    rig.finish()
    rig.check()


def test_a_producer_whose_clock_jumps(folder_rig: Rig, library: Path) -> None:
    """The time that was skipped is a gap; rows go on, each once."""
    clock = Clock(folder_rig, library)
    folder_rig.command.environment["STOCKCTL_KAFKA__BUFFER"] = "64MB"
    with Feed(folder_rig) as feed:
        feed.producer()
        feed.flows()
        clock.jump(HOUR // 2)
        feed.says("the clock was set forward, or the machine slept, by")
        feed.flows()
        clock.jump(0)
        feed.says("the clock was set back by")
        feed.flows()
        wait_for(lambda: feed.log.read_text().count("connected to") == 3, "the third connection")
        feed.check()
