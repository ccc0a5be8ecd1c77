"""A lake and a MongoDB with the same records, and the command on both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stockctl.clients.mongo import Mongo
from stockctl.mongo import schema
from stockctl.records import FeedEvent, SignalRecord, Trade
from stockctl.settings import Settings, env_name, load_settings
from tests.command import Command, clean_environment
from tests.conftest import MongoServer
from tests.lakes import lay
from tests.mongo.made import documents_of


class Stores(NamedTuple):
    """Their settings, and the installed command with these."""

    settings: Settings
    command: Command


def stores(
    folder: Path,
    server: MongoServer | None,
    trades: Sequence[Trade] = (),
    events: Sequence[FeedEvent] = (),
    signals: Sequence[SignalRecord] = (),
    **names: str,
) -> Stores:
    """Both stores with these records; the lake alone without ``server``. ``names`` are more settings, ``__`` for the dot."""
    values = {"lake.url": (folder / "lake").as_uri(), "lake.max_age": "1s", "state_dir": str(folder / "state")}
    if server is not None:
        mark = f"{folder.parent.name}-{folder.name}"[-50:]
        values |= {"mongo.url": server.url, "mongo.database": mark, "mongo.retention": "3650d", "mongo.connect_wait": "60s"}
    values |= {name.replace("__", "."): value for name, value in names.items()}
    settings = load_settings(environ=clean_environment(), flags=values)
    for table, records in (("trades", trades), ("feed_events", events), ("signals", signals)):
        if records:
            lay(settings, records, table=table)  # type: ignore[arg-type]
    if server is not None:
        with Mongo(settings) as mongo:
            schema.apply(mongo, settings.mongo)
            for collection, records in (("trades", trades), ("coverage", events), ("signals", signals)):
                assert mongo.upsert(collection, documents_of(records)) == []
    return Stores(settings, Command(folder, **{env_name(name): value for name, value in values.items()}))
