"""Apache Kafka for the suite on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stockctl.settings import Settings, env_name, load_settings
from tests.command import Command, clean_environment
from tests.conftest import mark_below, own_names
from tests.servers import Kafka


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs Apache Kafka."""
    mark_below(Path(__file__).parent, items, "kafka")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A running Apache Kafka that the whole suite shares."""
    server = Kafka(tmp_path_factory.mktemp("kafka"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def real_settings(kafka: Kafka, tmp_path: Path) -> Settings:
    """Settings of a test of its own on Apache Kafka."""
    return load_settings(environ=clean_environment(), flags=own_names(kafka.servers, tmp_path))


@pytest.fixture
def real_command(kafka: Kafka, tmp_path: Path) -> Command:
    """The command with the settings of a test of its own on Apache Kafka."""
    return Command(tmp_path, **{env_name(name): value for name, value in own_names(kafka.servers, tmp_path).items()})
