"""Replays of dead letters that are killed: each letter arrives once, however often the command is begun again."""

from __future__ import annotations

import random

from stockctl.clients.kafka import Producer
from stockctl.exchange.calendar import now_ms
from stockctl.stream.dead_letters.record import as_message, dead_letter
from tests.conftest import wait_for
from tests.faults.rig import Rig

LETTERS = 20_000


def test_a_replay_that_is_killed(rig: Rig) -> None:
    """Killed at any moment, again and again, and run to its end: no letter is sent twice, and none is forgotten."""
    producer = Producer(rig.settings)
    now = now_ms()
    for number in range(LETTERS):
        raw = f'{{"s":"AAPL","p":164.06,"t":{now},"v":{number + 1}}}'
        letter = dead_letter("no price", raw, ts_recv=now, source="sim", origin="k3f9a2", id=f"k3f9a2-{number:08d}")
        value, key = as_message(letter)
        producer.produce(rig.settings.topics.dead_letters.name, value=value, key=key, timestamp=now)
        rig.sent.append(f"AAPL-{now}-k3f9a2-{number:08d}")
    assert producer.flush(60) == 0
    partitions, chance = rig.admin.partitions(rig.topic), random.Random(20261125)

    def end() -> int:
        return sum(edges.end for edges in rig.admin.offsets(partitions).values())

    for turn in range(6):
        process = rig.command.start("dlq", "replay", "--all", log=rig.command.folder / f"replay-{turn}.log")
        goal = end() + chance.randrange(1, 2500)
        wait_for(lambda: end() >= goal or process.poll() is not None, "letters to be sent")  # noqa: B023  # of this turn
        assert process.poll() is None, "it ended before it could be killed"
        process.kill()
        process.wait()
        rig.inject("replay of dead letters killed")
    rig.command.run("dlq", "replay", "--all")
    rig.finish()
    rig.check()
