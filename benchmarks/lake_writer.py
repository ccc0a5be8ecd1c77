"""The lake writer against bare ``consume()`` loops over the same topic, in one run.

    python benchmarks/lake_writer.py --bootstrap localhost:9092 --records 1000000

Fills a topic of its own with trades of 50 symbols, then, in turn, reads it with a loop that does nothing, in librdkafka's
default configuration and in stockctl's, and with ``stockctl consume s3 --once`` as a process into a folder. A loop counts from
the first record to the last, the writer from its assignment to the end of its process. Prints the rates, their ratios, the
writer's peak memory and CPU time a trade.
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

from stockctl.clients.kafka import Admin, Consumer, Partition, Producer
from stockctl.records import Trade, encode
from stockctl.settings import Settings, env_name, load


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
        while True:
            try:
                producer.produce(settings.topics.trades.name, value=encode(trade), key=symbol.encode(), timestamp=now)
                break
            except BufferError:
                producer.poll(0.05)
    assert producer.flush(60) == 0


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
    names = {
        "kafka.bootstrap_servers": settings.kafka.bootstrap_servers,
        "topics.trades.name": settings.topics.trades.name,
        "topics.feed_events.name": settings.topics.feed_events.name,
        "topics.dead_letters.name": settings.topics.dead_letters.name,
        "lake.group": f"bench-{time.time()}",
        "lake.url": (folder / f"lake{turn}").as_uri(),
    }
    environment = os.environ | {env_name(name): value for name, value in names.items()}
    program = Path(sys.executable).parent / "stockctl"
    done = subprocess.run(
        ["/usr/bin/env", "python3", "-c", _MEASURE, program, "consume", "s3", "--once"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, cpu, memory = re.findall(r"measured ([\d.]+) ([\d.]+) (\d+)", done.stderr)[0]
    return float(seconds), float(cpu), int(memory)


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
    """Fill, measure in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", default="localhost:9092")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    mark = int(time.time())
    settings = load(
        flags={
            "kafka.bootstrap_servers": given.bootstrap,
            "kafka.idle_pause": 0,
            "topics.trades.name": f"bench-trades-{mark}",
            "topics.feed_events.name": f"bench-events-{mark}",
            "topics.dead_letters.name": f"bench-dlq-{mark}",
        }
    )
    admin = Admin(settings)
    for topic in (settings.topics.trades, settings.topics.feed_events, settings.topics.dead_letters):
        admin.create_topic(topic.name, topic.partitions, 1, {})
    folder = Path(tempfile.mkdtemp(prefix="stockctl-bench-"))
    try:
        fill(settings, given.records)
        turns = []
        for turn in range(given.turns):
            default, tuned = bare(settings, given.records, DEFAULTS), bare(settings, given.records, {})
            seconds, cpu, memory = writer(settings, folder, turn)
            turns.append((default / seconds, tuned / seconds))
            print(
                f"bare loop {given.records / default:,.0f}/s (librdkafka's defaults) {given.records / tuned:,.0f}/s (ours)  "
                f"writer {given.records / seconds:,.0f}/s  {cpu / given.records * 1e6:.2f} µs CPU a trade  "
                f"peak {memory / 1e6:.0f} MB",
                flush=True,
            )
        medians = [statistics.median(column) for column in zip(*turns, strict=True)]
        print(f"writer / bare loop, median: {medians[0]:.2f} (librdkafka's defaults), {medians[1]:.2f} (ours)")
    finally:
        shutil.rmtree(folder)
        for topic in (settings.topics.trades, settings.topics.feed_events, settings.topics.dead_letters):
            admin.delete_topic(topic.name)


if __name__ == "__main__":
    main()
