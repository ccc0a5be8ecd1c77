"""Writers that die: at each step of the protocol, and at random."""

from __future__ import annotations

import random
import time

import pytest

from tests.conftest import wait_for
from tests.faults.conftest import MakeRig
from tests.faults.proxy import CLAIM, OBJECT, Action, Proxy
from tests.faults.rig import SYMBOLS, Rig
from tests.servers import Kafka

STEPS: dict[str, tuple[Action, str, int, int, int]] = {
    # step: the request that is held, which one of them, and how many claims and objects the store then holds
    "before the claim": ("hold", CLAIM, 2, 1, 6),
    "between the claim and its first object": ("hold", OBJECT, 7, 2, 6),
    "between objects": ("hold", OBJECT, 9, 2, 8),
    "before the commit": ("hold the answer", OBJECT, 12, 2, 12),
}


@pytest.fixture
def single(kafka: Kafka, rig_on: MakeRig) -> Rig:
    """A rig with one partition whose writers put one object after the other."""
    rig = rig_on(kafka.servers, partitions=1, **{"lake.uploads": "1"})
    rig.make_topics()
    return rig


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_of_the_protocol(single: Rig, proxy: Proxy, step: str) -> None:
    """The next writer finishes what the dead one claimed, and claims what it did not."""
    action, pattern, nth, claims, objects = STEPS[step]
    rule = proxy.rule("PUT", pattern, action, nth=nth)
    single.produce(250)
    writer = single.writer()
    rule.reached()
    wait_for(lambda: len(single.objects()) == objects, f"{objects} objects")
    assert len(single.claims()) == claims
    single.kill(writer, step)
    rule.release(passes_on=False)
    output = single.finish()
    assert ("repeating the newest claim" in output) is (claims == 2)
    single.check()


def test_killed_after_the_commit(single: Rig) -> None:
    """Nothing is left to do but what came since."""
    single.produce(len(SYMBOLS) * 20)
    writer = single.writer()
    wait_for(lambda: single.committed(0).offset == len(single.sent), "the commit")
    single.kill(writer, "after the commit")
    single.produce(50)
    assert "repeating" not in single.finish()
    single.check()


def test_killed_at_random(rig: Rig) -> None:
    """Twenty kills of the two or three writers of one group, while the stream flows."""
    chance = random.Random(20261123)
    writers = [rig.writer() for _ in range(3)]
    killed = []
    for _ in range(20):
        rig.produce(chance.randrange(400, 1200))
        time.sleep(chance.uniform(0.1, 1.5))  # the moment of the kill: any will do
        number = chance.randrange(len(writers))
        rig.kill(writers[number], "at random")
        killed.append(writers[number])
        writers[number] = rig.writer()
    rig.until_held()
    assert any(writer.said(" rows in ") for writer in killed), "none had begun when it was killed"
    for writer in writers:
        assert writer.stop() == 0, writer.text
    rig.finish()
    rig.check()
