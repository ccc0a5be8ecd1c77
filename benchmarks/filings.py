"""How much longer ``filings fetch`` takes for many symbols than the key's limits ask for.

    python benchmarks/filings.py --symbols 200

Starts a simulator of its own whose minute is short, with 48 requests in it and 30 in any second, and fetches the newest reports
of every symbol, with three requests each. Prints requests, those that met a 429, and the time beside the least that the limits
allow.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from datetime import date
from itertools import product
from pathlib import Path
from string import ascii_uppercase

from stockctl.company.filing_fields import refresh_filings
from stockctl.filings.collect.plan import FetchRequest
from stockctl.filings.collect.schedule import FetchSchedule
from stockctl.filings.collect.symbol_selection import SymbolSelection
from stockctl.settings import load_settings
from stockctl.sim import Simulator

A_MINUTE, A_SECOND = 48, 30


def main() -> None:
    """Fetch, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--minute", type=float, default=3.0, help="seconds that a minute lasts")
    arguments = parser.parse_args()
    names = ["".join(letters) for letters in product(ascii_uppercase, repeat=3)][: arguments.symbols]
    limits = {"requests_per_minute": A_MINUTE, "requests_per_second": A_SECOND, "request_window": arguments.minute}
    with (
        tempfile.TemporaryDirectory(prefix="stockctl-bench-") as folder,
        Simulator(
            rate=0, symbols=names, requests_per_minute=A_MINUTE, requests_per_second=A_SECOND, request_window=arguments.minute
        ) as sim,
    ):
        flags = {"finnhub.rest_url": sim.rest_url, "lake.url": Path(folder, "lake").as_uri(), "state_dir": folder}
        settings = load_settings(flags=flags | {f"finnhub.{name}": value for name, value in limits.items()}, stack=False)
        request, stop = FetchRequest(since=date(2026, 6, 1)), threading.Event()
        with FetchSchedule(settings, SymbolSelection((), all_us=True), request, stop, refresh_filings) as schedule:
            started = time.perf_counter()
            result = schedule.once()
            seconds = time.perf_counter() - started
        assert result.failure is None
        requests, limited = sim.counters.requests, sim.counters.limited
    least = (requests - 1) // A_MINUTE * arguments.minute
    print(f"{arguments.symbols:,} symbols: {requests:,} requests, {limited} met a 429")
    print(f"{seconds:.1f} s, and the limits ask for {least:.1f} s")


if __name__ == "__main__":
    main()
