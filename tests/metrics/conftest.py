"""Settings of a lake of its own for each test; no broker is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from stockctl.settings import Settings, load_settings
from tests.command import clean_environment


@pytest.fixture
def lake_settings(tmp_path: Path) -> Settings:
    """A fresh lake in a folder."""
    flags = {"lake.url": (tmp_path / "lake").as_uri(), "state_dir": str(tmp_path / "state")}
    return load_settings(environ=clean_environment(), flags=flags)
