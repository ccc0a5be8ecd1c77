"""The lake writer against bare ``consume()`` loops over the same topic, in one run.

    python benchmarks/lake_writer.py --records 1000000

Starts an Apache Kafka of its own, which needs a JDK 17+ and Maven, or takes ``--bootstrap HOST:PORT``.

Fills a topic of its own with trades of 50 symbols, then, in turn, reads it with a loop that does nothing, in librdkafka's
default configuration and in stockctl's, and with ``stockctl consume s3 --once`` as a process into a folder. A loop counts from
the first record to the last, the writer from its assignment to the end of its process. Prints the rates, their ratios, the
writer's peak memory and CPU time a trade, and the PUTs that a million trades cost.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from produce import kafka, topics

from stockctl.clients.kafka import Consumer, Partition, Producer
from stockctl.records import Trade, encode
from stockctl.settings import Settings, env_name


def fill(settings: Settings, records: int) -> None:
    """Produce ``records`` trades over one exchange day."""
    producer = Producer(settings)
    chance = random.Random(1)
    symbols = [f"SYM{number}" for number in range(50)]
    now = int(time.time() * 1000)
    for row in range(records):
        symbol = symbols[min(int(chance.expovariate(0.1)), 49)]
        ts = 1_795_444_200_000 + row * 23_400_000 // records
        trade = Trade(
            f"{symbol}-{ts}-bench1-{row:08d}",
            symbol,
            100 + chance.randrange(1000) / 100,
            float(chance.randrange(1, 300)),
            ts,
            now,
            "1,12",
            "v",
            "sim",
        )
        put(producer, settings, trade)
    assert producer.flush(60) == 0


def put(producer: Producer, settings: Settings, trade: Trade) -> None:
    """Produce ``trade``, as soon as the producer's buffer has room."""
    while True:
        try:
            producer.produce(
                settings.topics.trades.name, value=encode(trade), key=trade.symbol.encode(), timestamp=trade.ts_recv
            )
            break
        except BufferError:
            producer.poll(0.05)


def environment(settings: Settings, lake: Path) -> dict[str, str]:
    """The environment of a writer of those topics, in a group of its own, into the folder ``lake``."""
    names = {
        "kafka.bootstrap_servers": settings.kafka.bootstrap_servers,
        "topics.trades.name": settings.topics.trades.name,
        "topics.feed_events.name": settings.topics.feed_events.name,
        "topics.signals.name": settings.topics.signals.name,
        "topics.dead_letters.name": settings.topics.dead_letters.name,
        "lake.group": f"bench-{time.time()}",
        "lake.url": lake.as_uri(),
    }
    return os.environ | {env_name(name): value for name, value in names.items()}


DEFAULTS = {"fetch.queue.backoff.ms": 1000, "fetch.wait.max.ms": 500, "queued.max.messages.kbytes": 65536}
"""What stockctl's consumer sets otherwise, as librdkafka has it."""


def bare(settings: Settings, records: int, overrides: dict[str, int]) -> float:
    """Seconds from the first to the last record of a loop that only consumes."""
    consumer = Consumer(settings, f"bare-{time.time()}", **overrides)
    topic = settings.topics.trades.name
    consumer.assign({Partition(topic, number): 0 for number in range(settings.topics.trades.partitions)})
    seen, started = 0, 0.0
    while seen < records:
        seen += len(consumer.consume(10_000, 0.2))
        started = started or (time.perf_counter() if seen else 0.0)
    seconds = time.perf_counter() - started
    consumer.close()
    return seconds


def writer(settings: Settings, folder: Path, turn: int) -> tuple[float, float, int]:
    """Seconds of the writer's own work, its CPU seconds, its peak memory in bytes."""
    program = Path(sys.executable).parent / "stockctl"
    result = subprocess.run(
        ["/usr/bin/env", "python3", "-c", _MEASURE, program, "consume", "s3", "--once"],
        env=environment(settings, folder / f"lake{turn}"),
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, cpu, memory = re.findall(r"measured ([\d.]+) ([\d.]+) (\d+)", result.stderr)[0]
    return float(seconds), float(cpu), int(memory)


def puts(lake: Path) -> tuple[int, int]:
    """How many claims and objects a lake holds: each was one PUT."""
    claims = sum(1 for path in (lake / "_log").rglob("*.json"))
    return claims, sum(1 for path in (lake / "trades").rglob("*.gz"))


_MEASURE = """
import resource, subprocess, sys, time
started = None
child = subprocess.Popen(sys.argv[1:], stderr=subprocess.PIPE, text=True)
for line in child.stderr:
    if started is None and "assigned" in line:
        started = time.perf_counter()
assert child.wait() == 0
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print("measured", time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, file=sys.stderr)
"""


def main() -> None:
    """Make topics and a folder, measure, and leave nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", help="a broker that runs; default: an Apache Kafka is started")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="stockctl-bench-"))
    try:
        with (
            kafka(arguments.bootstrap, folder) as bootstrap,
            topics(bootstrap, folder, "lake", **{"kafka.idle_pause": 0}) as settings,
        ):
            measure(settings, folder, arguments.records, arguments.turns)
    finally:
        shutil.rmtree(folder)


def measure(settings: Settings, folder: Path, records: int, turns: int) -> None:
    """Fill, measure in turn, print."""
    fill(settings, records)
    ratios = []
    for turn in range(turns):
        default, tuned = bare(settings, records, DEFAULTS), bare(settings, records, {})
        seconds, cpu, memory = writer(settings, folder, turn)
        ratios.append((default / seconds, tuned / seconds))
        print(
            f"bare loop {records / default:,.0f}/s (librdkafka's defaults) {records / tuned:,.0f}/s (ours)  "
            f"writer {records / seconds:,.0f}/s  {cpu / records * 1e6:.2f} µs CPU a trade  "
            f"peak {memory / 1e6:.0f} MB",
            flush=True,
        )
    claims, objects = puts(folder / "lake0")
    print(f"PUTs a million trades: {claims / records * 1e6:.1f} claims, {objects / records * 1e6:.1f} objects")
    medians = [statistics.median(column) for column in zip(*ratios, strict=True)]
    print(f"writer / bare loop, median: {medians[0]:.2f} (librdkafka's defaults), {medians[1]:.2f} (ours)")


if __name__ == "__main__":
    main()
