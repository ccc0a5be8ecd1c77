"""Simulated frames, decoding, a bare producer loop, and the whole of ``stockctl produce --replay``, in trades per second.

    python benchmarks/produce.py --trades 1000000

Starts an embedded broker of its own, or takes ``--bootstrap HOST:PORT``, and pins this process to one core, librdkafka's
threads included, so that the figures are those of one core; the broker runs elsewhere. The capture is a simulated trading
day. The bare loop hands ready-made messages of the same bytes to librdkafka with the same settings and asks for no delivery
reports. The frames are made once, in processor time; the rest is run ``--turns`` times, and
the best of each counts. Each turn has a topic of its own, which is deleted after.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from importlib.resources import files
from pathlib import Path

from stockctl.clients.kafka import Admin, Producer
from stockctl.feed.capture_replay import Replay
from stockctl.feed.decoder import Decoder
from stockctl.records import encode
from stockctl.settings import Settings, load_settings
from stockctl.sim import Market, frames
from stockctl.stream.topics import apply, topic_specs

SYMBOLS = ["AAPL", "MSFT", "NVDA", "TSLA", "AMZN", "META", "GOOG", "AMD", "SPY", "BINANCE:BTCUSDT"]


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """An embedded broker; its address."""
    port = 20_000 + os.getpid() % 20_000
    command = [str(files("noida_db") / "noida-db"), "start", "--only", "kafka", "--kafka-port", str(port)]
    process = subprocess.Popen(
        [*command, "--data-dir", str(folder / "broker")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def kafka(given: str | None, folder: Path) -> Iterator[str]:
    """The address ``given``; without one that of an Apache Kafka of our own, as the tests start it."""
    if given is not None:
        yield given
        return
    from tests.servers import Kafka

    server = Kafka(folder / "kafka", java=["java"])  # as it runs elsewhere, not as tests start it
    try:
        server.start()
        yield server.servers
    finally:
        server.kill()


@contextmanager
def topics(bootstrap: str, folder: Path, turn: str, **flags: object) -> Iterator[Settings]:
    """Settings with topics of their own, which are deleted in the end; ``flags`` are more of them."""
    sections = ("trades", "feed_events", "signals", "dead_letters")
    names = {f"topics.{name}.name": f"bench-{os.getpid()}-{turn}-{name}" for name in sections}
    settings = load_settings(flags={"kafka.bootstrap_servers": bootstrap, "state_dir": str(folder / "state")} | names | flags)
    admin = Admin(settings)
    admin.wait()
    apply(admin, settings.topics)
    try:
        yield settings
    finally:
        for topic in topic_specs(settings.topics):
            admin.delete_topic(topic.name)


def normalise(path: Path) -> float:
    """Seconds to turn every line of the capture into trades."""
    decoder = Decoder("replay")
    decoder.start("bench1")
    started = time.perf_counter()
    with path.open("rb") as lines:
        for line in lines:
            decoder.frame(line.strip(), 1_900_000_000_000)
    return time.perf_counter() - started


def bare(settings: Settings, path: Path) -> float:
    """Seconds that librdkafka needs to take and deliver ready-made messages."""
    decoder = Decoder("replay")
    decoder.start("bench1")
    with path.open("rb") as lines:
        ready = [(encode(trade), trade.symbol) for line in lines for trade in decoder.frame(line, 1_900_000_000_000).trades]
    topic, now = settings.topics.trades.name, int(time.time() * 1000)
    producer = Producer(settings)
    produce = producer.produce
    started = time.perf_counter()
    for value, key in ready:
        while True:
            try:
                produce(topic, value, key, timestamp=now)
                break
            except BufferError:
                producer.poll(0.01)
    assert producer.flush(60) == 0
    return time.perf_counter() - started


def replay(settings: Settings, path: Path) -> float:
    """Seconds of the whole way: file, decoder, Kafka, every delivery known."""
    started = time.perf_counter()
    Replay(settings, str(path), threading.Event()).run()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", help="a broker that runs; default: an embedded one is started")
    parser.add_argument("--trades", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "frames.jsonl"
        day = Market(SYMBOLS, seed=7).day(date(2026, 11, 20), trades=options.trades)
        started = time.process_time()
        with path.open("wb") as capture:
            capture.writelines(frame + b"\n" for frame in frames(day))
        print(f"{'simulated frames':20} {options.trades / (time.process_time() - started):>10,.0f} trades/s")
        if options.bootstrap:
            measure(options.bootstrap, folder, path, options.trades, options.turns)
        else:
            with broker(folder) as bootstrap:
                measure(bootstrap, folder, path, options.trades, options.turns)


def measure(bootstrap: str, folder: Path, path: Path, trades: int, turns: int) -> None:
    """Run everything ``turns`` times in turn and print the best rates."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    seconds: dict[str, list[float]] = {"normalise": [], "bare producer loop": [], "produce --replay": []}
    for turn in range(turns):
        seconds["normalise"].append(normalise(path))
        with topics(bootstrap, folder, f"{turn}-bare") as settings:
            seconds["bare producer loop"].append(bare(settings, path))
        with topics(bootstrap, folder, f"{turn}-replay") as settings:
            seconds["produce --replay"].append(replay(settings, path))
    best = {name: trades / min(taken) for name, taken in seconds.items()}
    for name, rate in best.items():
        print(f"{name:20} {rate:>10,.0f} trades/s")
    print(f"replay / bare loop   {best['produce --replay'] / best['bare producer loop']:>10.2f}")


if __name__ == "__main__":
    main()
