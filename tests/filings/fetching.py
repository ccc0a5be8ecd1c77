"""What tests of ``filings fetch`` share: settings against a simulator, a run in this process, and what a lake holds."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from stockctl.clients.object_store import Store, open_store
from stockctl.company.filing_fields import refresh_filings
from stockctl.filings.collect.collector import Outcome
from stockctl.filings.collect.plan import FetchRequest
from stockctl.filings.collect.schedule import FetchResult, FetchSchedule
from stockctl.filings.collect.storage import RefreshCompany
from stockctl.filings.collect.symbol_selection import SymbolSelection
from stockctl.settings import Settings, env_name, load_settings
from stockctl.sim import Simulator
from tests.command import Command, clean_environment


def names(sim: Simulator, folder: Path, **more: str) -> dict[str, str]:
    """Dotted settings of a test with a lake of its own; ``more`` with ``__`` for dots."""
    own = {
        "finnhub.rest_url": sim.rest_url,
        "finnhub.backoff_max": "50ms",
        "finnhub.requests_per_minute": "100000",
        "finnhub.requests_per_second": "100000",
        "lake.url": (folder / "lake").as_uri(),
        "lake.store_wait": "2s",
        "state_dir": str(folder / "state"),
    }
    return own | {name.replace("__", "."): value for name, value in more.items()}


def settings(sim: Simulator, folder: Path, **more: str) -> Settings:
    """Those settings, loaded."""
    return load_settings(environ=clean_environment(), flags=names(sim, folder, **more), stack=False)


def command(sim: Simulator, folder: Path, **more: str) -> Command:
    """The command with those settings."""
    return Command(folder, **{env_name(name): value for name, value in names(sim, folder, **more).items()})


def simulator(**options: Any) -> Simulator:
    """A simulator that sends no trades and allows as many requests as one likes, unless options say otherwise."""
    given: dict[str, Any] = {"rate": 0, "requests_per_minute": 100_000, "requests_per_second": 100_000} | options
    return Simulator(**given)


def fetch(
    settings: Settings,
    *symbols: str,
    request: FetchRequest | None = None,
    all_us: bool = False,
    refresh: RefreshCompany = refresh_filings,
) -> FetchResult:
    """One run."""
    selection, stop = SymbolSelection(symbols, all_us), threading.Event()
    with FetchSchedule(settings, selection, request or FetchRequest(), stop, refresh) as schedule:
        return schedule.once()


def states(run: FetchResult) -> dict[str, str]:
    """The state of each symbol of a run."""
    return {outcome.symbol: outcome.state for outcome in run.outcomes}


def outcome(run: FetchResult, symbol: str) -> Outcome:
    """What came of one symbol."""
    return next(one for one in run.outcomes if one.symbol == symbol)


def objects(settings: Settings) -> dict[str, bytes]:
    """Every object of the lake but the states, which contain times; of its start the source, since its id is random."""
    store: Store = open_store(settings)
    found = {item.key: store.get(item.key) for item in store.objects() if not item.key.startswith("_log/filings/")}
    if "_log/source.json" in found:
        found["_log/source.json"] = json.loads(found["_log/source.json"])["source"].encode()
    return found
