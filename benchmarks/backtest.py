"""Backtests of one symbol over a local lake: trades per second of processor time, and peak memory.

    python benchmarks/backtest.py --trades 500000 --days 8

Creates a lake with ``--days`` dates of ``--trades`` each in a temporary folder, in 5-minute batches, with the writer's batches
and claims. Then runs an empty strategy and ``vwap-reversion`` in a process each, over one date and over all, on the raw objects
and again from Parquet alone. Start-up and imports count for the memory, not for the rate.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

from stockctl.clients.object_store import open_store
from stockctl.exchange.calendar import day_bounds
from stockctl.lake.format.claims import Claim, put_claim
from stockctl.lake.format.keys import Layout
from stockctl.lake.maintenance.compact import compact
from stockctl.lake.writer.batch import OpenBatch
from stockctl.records import Trade, encode
from stockctl.settings import Settings, load_settings

FIRST = date(2026, 11, 2)
OPEN_MS, SESSION_MS = 34_200_000, 23_400_000
BATCHES = 78
EMPTY = """
from stockctl.strategies import Strategy


class Empty(Strategy):
    def on_trade(self, trade):
        return None
"""
RUN = """
import json, resource, sys, time
import stockctl
from stockctl.backtest.lake_run import run_lake
from stockctl.backtest.lake.terms import LakeTerms
from stockctl.settings import load_settings

def run(lake):
    settings = load_settings(flags={"lake.url": lake})
    since, until = int(sys.argv[4]), int(sys.argv[5])
    return run_lake(settings, sys.argv[3], "AAPL", since=since, until=until, terms=LakeTerms(gaps="ignore"))

run(sys.argv[2])
begun = time.process_time()
result = run(sys.argv[1])
print(json.dumps({
    "seconds": time.process_time() - begun,
    "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    "decisions": len(result.symbols[0].decisions),
    "fills": len(result.symbols[0].fills),
    "hash": result.hash,
}))
"""


def trading_days(count: int) -> list[date]:
    """The first ``count`` weekdays from ``FIRST`` on."""
    days = (FIRST + timedelta(number) for number in range(2 * count + 2))
    return [day for day in days if day.weekday() < 5][:count]


def lay_date(settings: Settings, day: date, trades: int, start: int, price: float) -> float:
    """Store one date as the lake writer does: 5-minute batches, the claim, then its objects. The last price."""
    draw = random.Random(f"{day}").random
    midnight, _ = day_bounds(day)
    layout = Layout("trades", settings.lake.timezone, "ticker", "gzip")
    store = open_store(settings)
    for number in range(BATCHES):
        first, last = (trades * edge // BATCHES for edge in (number, number + 1))
        values = []
        for index in range(first, last):
            price = max(1.0, round(price * (1 + (draw() - 0.5) / 5000), 2))
            moment = midnight + OPEN_MS + SESSION_MS * index // trades
            codes, updates = ("12", "v") if draw() < 0.3 else ("1", "vhl")
            identity, volume = f"AAPL-{moment}-bench0-{index:08d}", float(1 + int(draw() * 300))
            values.append(encode(Trade(identity, "AAPL", price, volume, moment, moment + 40, codes, updates, "finnhub")))
        batch = OpenBatch(layout, 1, 0, start + first)
        batch.add(range(start + first, start + last), values, batch.heads(values), midnight + OPEN_MS + SESSION_MS)
        built = batch.build(2)
        claim = Claim(
            nonce="benchmark",
            writer="benchmark",
            created=f"{day}T21:00:00Z",
            cluster_id="benchmark",
            topic_id="",
            topic="trades",
            table="trades",
            generation=1,
            partition=0,
            start=batch.start,
            end=batch.end,
            reason="age",
            layout=layout,
            last=batch.last,
            rows=last - first,
            gaps=0,
            objects=[item.claimed for item in built],
            switches=batch.switches,
        )
        put_claim(store, claim)
        for item in built:
            store.put_new(item.claimed.key, item.data)
    return price


def measure(settings: Settings, small: Settings, strategy: str, days: list[date], trades: int, where: str) -> None:
    """Run a backtest over ``days`` in a process, after one over a ``small`` lake, and print its rate and memory."""
    since, until = day_bounds(days[0])[0], day_bounds(days[-1])[1]
    command = [sys.executable, "-c", RUN, str(settings.lake.url), str(small.lake.url), strategy, str(since), str(until)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ)).stdout
    found = json.loads(output)
    rate = trades * len(days) / found["seconds"]
    name = Path(strategy).stem
    print(
        f"{where:<8} {name:<15} {len(days)} days  {rate:>9,.0f} trades/s  {found['mb']:>5} MB  "
        f"{found['decisions']} decisions, {found['fills']} fills, {found['hash'][:8]}",
        flush=True,
    )


def main() -> None:
    """Create the lake, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trades", type=int, default=500_000, help="trades per date")
    parser.add_argument("--days", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings, small = (
            load_settings(environ={}, flags={"lake.url": (Path(folder) / name).as_uri()}) for name in ("lake", "small")
        )
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY)
        days, price = trading_days(arguments.days), 100.0
        for number, day in enumerate(days):
            price = lay_date(settings, day, arguments.trades, number * arguments.trades, price)
        lay_date(small, days[0], BATCHES, 0, price)
        for where in ("raw", "Parquet"):
            if where == "Parquet":
                for one, name in ((settings, "lake"), (small, "small")):
                    list(compact(one))
                    shutil.rmtree(Path(folder) / name / "trades")
            for strategy in (str(empty), "vwap-reversion"):
                for span in dict.fromkeys((1, len(days))):
                    measure(settings, small, strategy, days[:span], arguments.trades, where)


if __name__ == "__main__":
    main()
