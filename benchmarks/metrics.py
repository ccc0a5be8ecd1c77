"""The metrics over one symbol's day of trades in a local lake.

    python benchmarks/metrics.py --trades 1000000

Creates a lake of 5-minute batches in a temporary folder, with the writer's batches and claims. Then runs each command as a
process, start-up included: on the raw objects, and again after ``lake compact``. For comparison, DuckDB alone computes the VWAP
from one Parquet file with the same trades. Prints seconds, processor seconds and memory of the fastest of ``--turns`` runs.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from stockctl.clients.object_store import open_store
from stockctl.exchange.time_parsing import parse_moment
from stockctl.exchange.trade_conditions import updates_of
from stockctl.feed.coverage import feed_event
from stockctl.lake.format.claims import Claim, put_claim
from stockctl.lake.format.keys import Layout, Table
from stockctl.lake.writer.batch import OpenBatch
from stockctl.records import Trade, encode
from stockctl.settings import Settings, load_settings

OPEN = parse_moment("2026-11-20T09:30")
SESSION_MS = 23_400_000
BATCHES = 78
COMMANDS = [
    ["metrics", "vwap", "AAPL"],
    ["metrics", "rate", "AAPL"],
    ["metrics", "bars", "AAPL", "--every", "1m"],
    ["metrics", "volatility", "AAPL"],
    ["metrics", "volatility", "AAPL", "--window", "5m", "--every", "1m"],
    ["metrics", "volatility", "AAPL", "--returns"],
    ["metrics", "summary", "AAPL"],
    ["lake", "query", "SELECT count(*) FROM trades"],
]
BARE = """
import sys, duckdb
print(duckdb.sql(f"SELECT sum(price * volume) / sum(volume) FROM '{sys.argv[1]}' WHERE symbol = 'AAPL' AND updates LIKE '%v%'"))
"""


def put(settings: Settings, table: Table, values: list[bytes], start: int) -> None:
    """Store one batch as the lake writer does: the claim, then its objects."""
    layout = Layout(table, settings.lake.timezone, "ticker" if table == "trades" else "none", "gzip")
    batch = OpenBatch(layout, 1, 0, start)
    batch.add(range(start, start + len(values)), values, batch.heads(values), OPEN + SESSION_MS)
    built = batch.build(2)
    store = open_store(settings)
    claim = Claim(
        nonce="benchmark",
        writer="benchmark",
        created="2026-11-20T21:00:00Z",
        cluster_id="benchmark",
        topic_id="",
        topic=table,
        table=table,
        generation=1,
        partition=0,
        start=start,
        end=batch.end,
        reason="age",
        layout=layout,
        last=batch.last,
        rows=len(values),
        gaps=0,
        objects=[item.claimed for item in built],
    )
    put_claim(store, claim)
    for item in built:
        store.put_new(item.claimed.key, item.data)


def fill(settings: Settings, trades: int) -> None:
    """Write a regular session of AAPL, fully covered."""
    chance = random.Random(1)
    price, written = 150.0, 0
    for batch in range(BATCHES):
        values = []
        for number in range(written, trades * (batch + 1) // BATCHES):
            price = max(1.0, price + chance.gauss(0, 0.01))
            ts = OPEN + number * SESSION_MS // trades
            codes = chance.choice(["1", "1,12", "1,8", "1,8,12", "1,3"])
            values.append(
                encode(
                    Trade(
                        f"AAPL-{ts}-bench1-{number:08d}",
                        "AAPL",
                        round(price, 2),
                        float(chance.randrange(1, 300)),
                        ts,
                        ts + 50,
                        codes,
                        updates_of(codes),
                        "sim",
                    )
                )
            )
        put(settings, "trades", values, written)
        written += len(values)
    event = feed_event(
        "covered", (OPEN, OPEN + SESSION_MS), ["AAPL"], "", connection="bench1", number=0, ts_recv=OPEN, source="sim"
    )
    put(settings, "feed_events", [encode(event)], 0)


def run(command: list[str], environment: dict[str, str]) -> tuple[float, float, int]:
    """Seconds, processor seconds and peak memory in MB of one command. Exits with its stderr if it fails."""
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            message = errors.read().decode(errors="replace").strip()
            raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}:\n{message}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


def show(name: str, command: list[str], environment: dict[str, str], turns: int) -> None:
    """Run a command ``turns`` times and print the fastest run."""
    seconds, processor, memory = min(run(command, environment) for _ in range(turns))
    print(f"{name:<58} {seconds:5.2f} s, {processor:5.2f} s of processor, {memory:4d} MB", flush=True)


def main() -> None:
    """Create the lake, run the commands, print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trades", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(flags={"lake.url": (Path(folder) / "lake").as_uri(), "state_dir": folder})
        fill(settings, options.trades)
        environment = dict(os.environ) | {"STOCKCTL_LAKE__URL": str(settings.lake.url), "STOCKCTL_STATE_DIR": folder}
        print(f"{options.trades:,} trades of one symbol and day, {BATCHES} gzip objects")
        merged = Path(folder) / "merged.parquet"
        objects = (Path(folder) / "lake" / "trades").as_posix() + "/**/*.gz"
        duckdb.sql(f"COPY (FROM read_json('{objects}', format = 'newline_delimited')) TO '{merged}'")
        show("DuckDB alone: VWAP from one Parquet file", [sys.executable, "-c", BARE, str(merged)], environment, options.turns)
        program = str(Path(sys.executable).parent / "stockctl")
        for arguments in COMMANDS:
            show(f"{' '.join(arguments)}, raw", [program, *arguments], environment, options.turns)
        run([program, "lake", "compact"], environment)
        for arguments in COMMANDS:
            show(f"{' '.join(arguments)}, compacted", [program, *arguments], environment, options.turns)


if __name__ == "__main__":
    main()
