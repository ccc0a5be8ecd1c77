"""Writers that are frozen, revoked or stopped with an unfinished batch: another one continues, and they do no harm."""

from __future__ import annotations

import time

import pytest

from stockctl.stream.consumer_loop import LEAVE_WITHIN
from tests.conftest import wait_for
from tests.faults.proxy import CLAIM, OBJECT, Proxy
from tests.faults.rig import Rig


@pytest.mark.parametrize("holding", ["records alone", "an unanswered claim", "an unfinished claim"])
def test_frozen_past_its_session(rig: Rig, proxy: Proxy, holding: str) -> None:
    """Another owns its partitions when it is let go; its late requests change nothing, and it works on as a member."""
    rig.produce(600)
    frozen = rig.writer()
    frozen.says(" rows in ")
    held = None
    if holding != "records alone":
        held = proxy.rule("PUT", CLAIM if "unanswered" in holding else OBJECT, "hold", nth=2)
    rig.produce(600)
    if held is not None:
        held.reached()
    frozen.freeze()
    rig.inject(f"writer frozen past its session with {holding}")
    other = rig.writer()
    rig.produce(600)
    other.says("assigned")
    rig.until_held()
    if held is not None:
        held.release()
    frozen.thaw()
    wait_for(lambda: frozen.said("checking each partition again") or frozen.said("gave up"), "the frozen writer to notice")
    rig.produce(600)
    rig.until_held()
    assert frozen.stop() == 0, frozen.text
    rig.produce(100)
    assert other.stop() == 0, other.text
    rig.finish()
    rig.check()


def test_frozen_for_less_than_its_session(rig: Rig) -> None:
    """It keeps its partitions and checks each again."""
    # Long enough for a busy machine, which may let it freeze for longer.
    writer = rig.writer(kafka__session_timeout="16s")
    rig.produce(600)
    writer.says(" rows in ")
    writer.freeze()
    rig.inject("writer frozen for less than its session")
    rig.produce(600)
    time.sleep(8.2)  # more than half a session is what a writer notices
    writer.thaw()
    writer.says("checking each partition again")
    rig.until_held()
    assert writer.stop() == 0
    rig.check()


def test_revoked_in_the_middle_of_an_upload(rig: Rig, proxy: Proxy) -> None:
    """The next owner finishes the claim; the first one's upload goes on beside it, and the partition may even come back."""
    rule = proxy.rule("PUT", OBJECT, "hold", nth=2, times=3)
    rig.produce(1200)
    first = rig.writer()
    rule.reached()
    second = rig.writer()
    first.says("gave up")
    rig.inject("partition revoked in the middle of an upload")
    second.says(" rows in ")
    rig.inject("partition given back while its old upload still runs")
    assert second.stop() == 0, second.text
    wait_for(lambda: first.text.count("assigned") >= 2, "the partition to come back")
    rig.produce(600)
    rule.release()
    rig.until_held()
    assert first.stop() == 0, first.text
    rig.finish()
    rig.check()


@pytest.mark.parametrize(("method", "pattern"), [("PUT", OBJECT), ("PUT", CLAIM), ("GET", "_log")])
def test_stopped_while_the_store_hangs(rig: Rig, proxy: Proxy, method: str, pattern: str) -> None:
    """A store that never answers cannot keep a writer for ten seconds: what is unfinished is left to the next start."""
    rule = proxy.rule(method, pattern, "hold", times=1000)
    rig.produce(600)
    writer = rig.writer()
    rule.reached()
    rig.inject(f"SIGTERM while the store hangs in a {method}")
    assert LEAVE_WITHIN < 10
    assert writer.stop() in (0, 1, 6), writer.text
    assert not writer.said("error: unexpected"), writer.text
    proxy.clear()
    rig.finish()
    rig.check()
