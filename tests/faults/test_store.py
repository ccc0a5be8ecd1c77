"""Stores that fail, answer wrongly or not at all, and settings that change between a claim and its repeat."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_for
from tests.faults.conftest import MakeRig
from tests.faults.proxy import CLAIM, OBJECT, Action, Proxy
from tests.faults.rig import Rig
from tests.servers import Kafka

# More times than the client tries again by itself.
FAULTS: dict[str, tuple[Action, int, int]] = {
    "500": ("answer", 500, 4),
    "503 SlowDown": ("answer", 503, 4),
    "409": ("answer", 409, 4),
    "connection cut": ("lose", 0, 4),
    "answer lost": ("lose the answer", 0, 1),
    "answers lost": ("lose the answer", 0, 4),
    "time-out": ("hold", 0, 1),
}


@pytest.mark.parametrize(("of", "pattern"), [("claim", CLAIM), ("object", OBJECT)])
def test_puts_that_fail_or_seem_to(rig: Rig, proxy: Proxy, of: str, pattern: str) -> None:
    """Claims and objects are put in the end, once; a request that comes late, after its repeat, changes nothing."""
    writer = rig.writer(s3__timeout="2s")
    rules = []
    for fault, (action, status, times) in FAULTS.items():
        rules.append(proxy.rule("PUT", pattern, action, nth=2, times=times, status=status))
        rig.produce(400)
        rules[-1].reached()
        rig.inject(f"{fault} at the put of {of}s")
        rig.until_held()
    for rule in rules:
        rule.release()
    rig.produce(100)
    rig.until_held()
    assert writer.stop() == 0, writer.text
    rig.finish()
    rig.check()


def test_a_store_that_fails_when_a_writer_starts(rig: Rig, proxy: Proxy) -> None:
    """A writer waits for the store before it knows where to go on."""
    for fault in ("500", "503 SlowDown", "connection cut", "time-out"):
        action, status, _ = FAULTS[fault]
        rule = proxy.rule("GET", "_log", action, nth=2, times=1000, status=status)
        rig.produce(300)
        writer = rig.writer(s3__timeout="1s")
        wait_for(lambda: rule.hits >= 12 or writer.process.poll() is not None, f"{fault} at the start")  # noqa: B023
        rig.inject(f"{fault} at the start")
        proxy.clear()
        rig.until_held()
        assert writer.stop() == 0, writer.text
    rig.check()


def test_settings_that_change_between_a_claim_and_its_repeat(kafka: Kafka, rig_on: MakeRig, proxy: Proxy) -> None:
    """A claim is repeated by the layout it was cut with: other zones, splits, compressions and limits hold for the rest."""
    rig = rig_on(kafka.servers, partitions=1, **{"lake.uploads": "1"})
    rig.make_topics()
    rule = proxy.rule("PUT", OBJECT, "hold", nth=9)
    rig.produce(250)
    writer = rig.writer()
    rule.reached()
    rig.kill(writer, "before its settings change")
    rule.release(passes_on=False)
    rig.inject("settings changed between a claim and its repeat")
    rig.command.environment |= {
        "STOCKCTL_LAKE__TIMEZONE": "Pacific/Kiritimati",
        "STOCKCTL_LAKE__PARTITION_BY": "bucket",
        "STOCKCTL_LAKE__COMPRESSION": "zstd",
        "STOCKCTL_LAKE__MAX_RECORDS": "7",
    }
    rig.finish()
    assert [claim.layout.compression for claim in rig.claims()[:3]] == ["gzip", "gzip", "zstd"]
    assert [claim.layout.partition_by for claim in rig.claims()[:3]] == ["ticker", "ticker", "bucket"]
    assert {claim.layout.timezone for claim in rig.claims()[2:]} == {"Pacific/Kiritimati"}
    rig.check()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk(kafka: Kafka, rig_on: MakeRig, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A writer into a folder waits for space and goes on, with no half object left.

    Without the right to mount a small disk, its files may not grow beyond a few kB instead.
    """
    may_mount = os.geteuid() == 0
    disk: Path = request.getfixturevalue("small_disk") if may_mount else tmp_path
    ballast = disk / "ballast"
    if may_mount:
        ballast.write_bytes(bytes(1_000_000))
    rig = rig_on(kafka.servers, store={"lake.url": (disk / "lake").as_uri()}, **{"lake.max_records": "1000"})
    rig.make_topics()
    rig.produce(200)
    writer = rig.writer()
    writer.says(" rows in ")
    _, most = resource.prlimit(writer.process.pid, resource.RLIMIT_FSIZE)
    if not may_mount:
        resource.prlimit(writer.process.pid, resource.RLIMIT_FSIZE, (8_000, most))
    rig.produce(5000)
    writer.says("No space left" if may_mount else "File too large")
    rig.inject("disk full")
    ballast.unlink(missing_ok=True)
    resource.prlimit(writer.process.pid, resource.RLIMIT_FSIZE, (most, most))
    rig.until_held()
    assert writer.stop() == 0, writer.text
    rig.finish()
    rig.check()
