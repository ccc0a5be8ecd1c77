"""Faults at random, one upon the other, for as long as ``SOAK`` says (default: a minute); ``make soak`` runs this alone."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest

from stockctl.units import parse_duration
from tests.faults.proxy import CLAIM, OBJECT, Action, Proxy
from tests.faults.rig import SESSION, Rig, Writer
from tests.servers import Kafka

SECONDS = parse_duration(os.environ.get("SOAK", "60s"))
SEED = int(os.environ.get("SEED", "1"))
"""The same seed injects the same faults in the same order."""


class Mix:
    """Up to three writers of one group, and everything that may happen to them."""

    def __init__(self, rig: Rig, kafka: Kafka, proxy: Proxy, chance: random.Random) -> None:
        self.rig, self.kafka, self.proxy, self.chance = rig, kafka, proxy, chance
        self.writers = [rig.writer(s3__timeout="2s") for _ in range(2)]
        self.frozen: dict[Writer, float] = {}

    def turn(self) -> None:
        """Produce some records, inject a fault, and give it a moment."""
        self.rig.produce(self.chance.randrange(200, 1500))
        self.chance.choice(FAULTS)(self)
        time.sleep(self.chance.uniform(0, 2))  # any moment may be the next fault's
        for writer in [writer for writer, until in self.frozen.items() if time.monotonic() > until]:
            self.frozen.pop(writer)
            writer.thaw()
        # As a supervisor restarts writers that could not continue.
        for number, writer in enumerate(self.writers):
            if writer.process.poll() is not None:
                left_well(writer)
                self.writers[number] = self.rig.writer(s3__timeout="2s")

    def kill(self) -> None:
        """SIGKILL."""
        self.rig.kill(self.chance.choice(self.writers), "in the mix")

    def leave(self) -> None:
        """SIGTERM, which is obeyed whatever else is wrong."""
        writer = self.chance.choice(self.writers)
        if writer not in self.frozen:
            self.rig.inject("writer stopped in the mix")
            writer.stop()

    def freeze(self) -> None:
        """SIGSTOP, for less or more than a session."""
        writer = self.chance.choice(self.writers)
        self.rig.inject("writer frozen in the mix")
        writer.freeze()
        self.frozen[writer] = time.monotonic() + self.chance.uniform(0.3, 1.7) * SESSION

    def join(self) -> None:
        """One more in the group."""
        if len(self.writers) < 3:
            self.rig.inject("group grown in the mix")
            self.writers.append(self.rig.writer(s3__timeout="2s"))

    def store(self) -> None:
        """Requests to the store that fail, seem to, or wait."""
        actions: list[tuple[Action, int]] = [
            ("answer", 500),
            ("answer", 503),
            ("answer", 409),
            ("lose", 0),
            ("lose the answer", 0),
            ("hold", 0),
            ("hold the answer", 0),
        ]
        action, status = self.chance.choice(actions)
        method, pattern = self.chance.choice([("PUT", CLAIM), ("PUT", OBJECT), ("GET", "_log")])
        times = self.chance.randrange(1, 6)
        self.proxy.rule(method, pattern, action, nth=self.chance.randrange(1, 10), times=times, status=status)
        self.rig.inject(f"store: {action} {status or ''} at a {method} in the mix")

    def calm(self) -> None:
        """The store works again; what it held is passed on late, or never."""
        self.proxy.clear(passes_on=self.chance.random() < 0.5)

    def broker(self) -> None:
        """The broker goes and comes back."""
        if self.chance.random() < 0.5:
            self.kafka.stop()
        else:
            self.kafka.kill()
        self.rig.inject("broker away in the mix")
        time.sleep(self.chance.uniform(0, 3))  # any length
        self.kafka.start()

    def end(self) -> None:
        """Everything works again: all that was sent arrives."""
        self.proxy.clear()
        for writer in self.frozen:
            writer.thaw()
        self.rig.until_held()
        for writer in self.writers:
            writer.stop()
            left_well(writer)
        self.rig.finish()
        self.rig.check()


def left_well(writer: Writer) -> None:
    """A writer may be killed, and may give up with words of its own; a defect ends with 1 as well, but says so."""
    assert writer.process.returncode in (-9, -15, 0, 1, 5, 6), writer.text  # -15: SIGTERM while it started
    assert not writer.said("error: unexpected"), writer.text


FAULTS: list[Callable[[Mix], None]] = [
    *[Mix.kill, Mix.freeze, Mix.store] * 3,
    *[Mix.leave, Mix.join, Mix.calm] * 2,
    Mix.broker,
]


@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize("seed", [SEED])
def test_faults_at_random(own_rig: Rig, own_kafka: Kafka, proxy: Proxy, seed: int) -> None:
    """Whatever comes together, each record is in the lake once."""
    mix = Mix(own_rig, own_kafka, proxy, random.Random(seed))
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        mix.turn()
    mix.end()
