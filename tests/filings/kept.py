"""A lake of filings for tests, laid down as a fetch lays them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stockctl.clients.object_store import open_store
from stockctl.lake.format.keys import raw_filing_key
from stockctl.settings import Settings, load_settings
from tests.command import Command, clean_environment


def lake_of(folder: Path, reports: Iterable[Mapping[str, Any]]) -> tuple[Settings, Command]:
    """Settings and the command of a lake with these reports, each as it stands on the wire."""
    url = f"file://{folder / 'lake'}"
    settings = load_settings(environ=clean_environment(), flags={"lake.url": url})
    store = open_store(settings)
    for report in reports:
        store.put(raw_filing_key(report["symbol"], report["accessNumber"]), json.dumps(report).encode())
    return settings, Command(folder, STOCKCTL_LAKE__URL=url)
