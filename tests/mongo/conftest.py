"""Settings of a MongoDB database of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from stockctl.settings import Settings, env_name, load_settings
from tests.command import Command, clean_environment
from tests.conftest import MongoServer, own_names


def mongo_names(server: MongoServer, folder: Path) -> dict[str, str]:
    """Dotted settings that keep one test's database and group apart from every other's."""
    mark = f"{folder.parent.name}-{folder.name}"[-50:]
    return {
        "mongo.url": server.url,
        "mongo.database": mark,
        "mongo.group": f"mongo-{mark}",
        "mongo.retention": "7d",
        "mongo.connect_wait": "60s",
        "mongo.max_age": "200ms",
        "mongo.derive_every": "200ms",
    }


@pytest.fixture
def mongo_settings(mongo_server: MongoServer, tmp_path: Path) -> Settings:
    """A fresh database, without a broker."""
    return load_settings(environ=clean_environment(), flags=mongo_names(mongo_server, tmp_path))


@pytest.fixture
def mongo_command(mongo_server: MongoServer, tmp_path: Path) -> Command:
    """The command, with the database of ``mongo_settings``."""
    return Command(tmp_path, **{env_name(name): value for name, value in mongo_names(mongo_server, tmp_path).items()})


@pytest.fixture
def names(broker: str, mongo_server: MongoServer, tmp_path: Path) -> dict[str, str]:
    """Dotted settings of a test with topics, a lake and a database of its own."""
    return own_names(broker, tmp_path) | mongo_names(mongo_server, tmp_path)
