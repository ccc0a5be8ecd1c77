"""One hour of 8,000 symbols, with bursts and late rows, into lakes cut by ticker and by bucket; then compacted and read.

    python benchmarks/many_symbols.py --symbols 8000 --trades 1000000

Starts an embedded broker of its own, or takes ``--bootstrap HOST:PORT``. Trades of an hour are produced: few symbols have most
of them, a fifth comes in bursts of one symbol, one in 200 is late, from one of five earlier dates. ``consume s3 --once`` then
cuts them as an hour at the default age of a batch would be cut: each partition twelve times. Prints, for each layout, objects
and claims an hour, the writer's time, peak memory and most open files; then what ``lake compact`` takes for the date, and how
long it takes to read one symbol before and after.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from produce import broker, topics

from stockctl.clients.kafka import Producer
from stockctl.clients.object_store import open_store
from stockctl.records import Trade, encode
from stockctl.settings import Settings, env_name, load_settings

DAY = "2026-11-23"
NOON = 1_795_453_200_000
CUTS_AN_HOUR = 12
LAYOUTS = {
    "ticker": {},
    "bucket of 64": {"lake.partition_by": "bucket"},
    "bucket of 16": {"lake.partition_by": "bucket", "lake.buckets": "16"},
}


def fill(settings: Settings, symbols: int, trades: int) -> int:
    """Produce the hour; how many of its trades are late."""
    producer = Producer(settings)
    chance = random.Random(1)
    names = [f"S{number:04d}" for number in range(symbols)]
    # Zipf: the n-th busiest symbol has a share of 1/n.
    picks = chance.choices(names, [1 / (number + 1) for number in range(symbols)], k=trades)
    now = int(time.time() * 1000)
    burst, symbol, late = 0, names[0], 0
    for row in range(trades):
        if burst:
            burst -= 1
        else:
            symbol = picks[row]
            burst = 50 if chance.random() < 0.005 else 0
        ts = NOON + row * 3_600_000 // trades
        if chance.random() < 0.005:
            ts -= chance.randrange(1, 6) * 86_400_000
            late += 1
        price = 50 + chance.randrange(10_000) / 100
        trade = Trade(
            f"{symbol}-{ts}-bench2-{row:08d}", symbol, price, float(chance.randrange(1, 300)), ts, now, "1,12", "v", "sim"
        )
        while True:
            try:
                producer.produce(settings.topics.trades.name, value=encode(trade), key=symbol.encode(), timestamp=now)
                break
            except BufferError:
                producer.poll(0.05)
    assert producer.flush(60) == 0
    return late


class Used(NamedTuple):
    """What a process took: seconds, peak memory in bytes, most open files; and what it said."""

    seconds: float
    memory: int
    files: int
    said: str


def run(environment: dict[str, str], *arguments: str) -> Used:
    """Run the command to its end."""
    program = Path(sys.executable).parent / "stockctl"
    files, started = 0, time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([program, *arguments], env=environment, stdout=output, stderr=output, text=True)
        while True:
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            if done:
                break
            with suppress(FileNotFoundError):
                files = max(files, sum(1 for _ in Path(f"/proc/{process.pid}/fd").iterdir()))
            time.sleep(0.02)
        output.seek(0)
        text = output.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, text
    return Used(time.perf_counter() - started, usage.ru_maxrss * 1024, files, text)


def measure(settings: Settings, folder: Path, name: str, trades: int) -> None:
    """Write one lake, prove it, compact it, and read from it."""
    url = (folder / name.replace(" ", "-")).as_uri()
    names = ("trades", "feed_events", "signals", "dead_letters")
    values = {f"topics.{topic}.name": getattr(settings.topics, topic).name for topic in names} | LAYOUTS[name]
    values |= {
        "kafka.bootstrap_servers": settings.kafka.bootstrap_servers,
        "lake.url": url,
        "lake.group": f"bench-{time.time()}",
    }
    environment = os.environ | {env_name(key): value for key, value in values.items()}
    store = open_store(load_settings(flags={"lake.url": url}))
    cut = trades // settings.topics.trades.partitions // CUTS_AN_HOUR
    wrote = run(environment, "consume", "s3", "--once", "--max-records", str(cut))
    objects = [item.size for item in store.objects("trades")]
    claims = [item.size for item in store.objects("_log/trades") if item.key[-6].isdigit()]
    deep = run(environment, "lake", "verify", "--deep")
    print(
        f"{name:13} {len(objects):7,} objects of {sum(objects) / len(objects) / 1000:6.1f} kB and {len(claims)} claims of "
        f"{sum(claims) / len(claims) / 1000:5.0f} kB an hour   writer {wrote.seconds:5.1f} s, {wrote.memory / 1e6:4.0f} MB, "
        f"{wrote.files} files   verify --deep {deep.seconds:4.0f} s, {deep.memory / 1e6:4.0f} MB"
    )
    before = run(environment, "lake", "read", "S0500", "--date", DAY, "-o", "csv")
    compacted = run(environment, "lake", "compact", "--date", DAY, "-o", "csv")
    rows, parquet, size = re.findall(rf"{DAY},1,\d+,(\d+),(\d+),(\d+)", compacted.said)[0]
    after = run(environment, "lake", "read", "S0500", "--date", DAY, "-o", "csv")
    assert sorted(before.said.splitlines()) == sorted(after.said.splitlines())
    run(environment, "lake", "verify", "--deep")
    print(
        f"{'':13} compact: {int(rows):,} rows into {parquet} objects of {int(size) / 1e6:.1f} MB in {compacted.seconds:.1f} s, "
        f"{compacted.memory / 1e6:.0f} MB   one symbol read in {before.seconds:.1f} s, from Parquet in {after.seconds:.1f} s"
    )


def main() -> None:
    """Fill, measure each layout, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap")
    parser.add_argument("--symbols", type=int, default=8_000)
    parser.add_argument("--trades", type=int, default=1_000_000)
    parser.add_argument("--layout", choices=LAYOUTS, action="append", help="this layout alone; may be given again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stockctl-bench-") as name:
        folder = Path(name)
        if arguments.bootstrap:
            compare(arguments.bootstrap, folder, arguments.symbols, arguments.trades, arguments.layout or list(LAYOUTS))
        else:
            with broker(folder) as bootstrap:
                compare(bootstrap, folder, arguments.symbols, arguments.trades, arguments.layout or list(LAYOUTS))


def compare(bootstrap: str, folder: Path, symbols: int, trades: int, layouts: list[str]) -> None:
    """Each of the layouts, from the same topic."""
    with topics(bootstrap, folder, "many") as settings:
        late = fill(settings, symbols, trades)
        partitions = settings.topics.trades.partitions
        print(f"{trades:,} trades of {symbols:,} symbols, {late:,} of them late, in {partitions} partitions")
        for name in layouts:
            measure(settings, folder, name, trades)


if __name__ == "__main__":
    main()
