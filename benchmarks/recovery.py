"""How fast the lake writer works off a backlog while the feed goes on, in one run.

    python benchmarks/recovery.py --records 2000000 --feed 50000

Starts an Apache Kafka of its own, which needs a JDK 17+ and Maven, or takes ``--bootstrap HOST:PORT``.

Fills a topic of its own, starts a producer that sends at a steady rate and the writer as a process, and reads the lag that the
writer logs until that is at most what the feed sends in a second. Prints the rate at which the lag shrank, and
the rate of the same writer on the same backlog without a feed less the feed's, which it should come near to.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from lake_writer import environment, fill, put
from produce import kafka, topics

from stockctl.clients.kafka import Producer
from stockctl.records import Trade
from stockctl.settings import Settings, env_name

LAG = re.compile(r"lag (\d+),")


def feed(settings: Settings, rate: int, stop: threading.Event) -> None:
    """Send ``rate`` trades per second in steps of 20 ms until ``stop`` is set."""
    producer = Producer(settings)
    began, sent = time.perf_counter(), 0
    while not stop.wait(0.02):
        now = int(time.time() * 1000)
        for _ in range(int((time.perf_counter() - began) * rate) - sent):
            symbol = f"SYM{sent % 50}"
            trade = Trade(f"{symbol}-{now}-feed01-{sent:08d}", symbol, 100.0, 1.0, now, now, "1", "v", "sim")
            put(producer, settings, trade)
            sent += 1
        producer.poll(0)
    producer.flush(60)


def recovered(settings: Settings, folder: Path, enough: int) -> float:
    """Seconds from the writer's assignment until its lag is at most ``enough``."""
    program = Path(sys.executable).parent / "stockctl"
    own = environment(settings, folder) | {env_name("log.every"): "200ms"}
    process = subprocess.Popen([program, "consume", "s3"], env=own, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    began, behind = 0.0, False
    for line in process.stderr:
        if not began and "assigned" in line:
            began = time.perf_counter()
        if found := LAG.search(line):
            # The end of the topic is known with the first records: before them the lag is reported as 0.
            behind = behind or int(found[1]) > enough
            if behind and int(found[1]) <= enough:
                break
    else:
        sys.exit(f"the writer ended with {process.wait()} before it had caught up")
    seconds = time.perf_counter() - began
    process.terminate()
    process.communicate()
    return seconds


def main() -> None:
    """Fill, measure without and beside a feed, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", help="a broker that runs; default: an Apache Kafka is started")
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--feed", type=int, default=50_000, help="trades per second")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="stockctl-bench-"))
    stop = threading.Event()
    try:
        with kafka(arguments.bootstrap, folder) as bootstrap, topics(bootstrap, folder, "recovery") as settings:
            fill(settings, arguments.records)
            alone = arguments.records / recovered(settings, folder / "alone", 0)
            feeding = threading.Thread(target=feed, args=(settings, arguments.feed, stop))
            feeding.start()
            try:
                beside = arguments.records / recovered(settings, folder / "beside", arguments.feed)
            finally:
                stop.set()
                feeding.join()
    finally:
        shutil.rmtree(folder)
    print(
        f"backlog of {arguments.records:,}: worked off at {alone:,.0f}/s without a feed, at {beside:,.0f}/s beside "
        f"{arguments.feed:,}/s of it ({beside / (alone - arguments.feed):.2f} of the difference)"
    )


if __name__ == "__main__":
    main()
