"""Settings of a lake of its own for each test; no broker is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from stockctl.settings import Settings, load
from tests.conftest import Command, clean_environment


@pytest.fixture
def lake_settings(tmp_path: Path) -> Settings:
    """A fresh lake in a folder."""
    flags = {"lake.url": (tmp_path / "lake").as_uri(), "state_dir": str(tmp_path / "state")}
    return load(environ=clean_environment(), flags=flags)


@pytest.fixture
def stockctl(lake_settings: Settings, tmp_path: Path) -> Command:
    """The command, reading the lake of ``lake_settings``."""
    return Command(tmp_path, STOCKCTL_LAKE__URL=str(lake_settings.lake.url))
