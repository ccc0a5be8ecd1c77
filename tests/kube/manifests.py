"""Manifests of a test's own, to be broken or changed."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.command import Command

MANIFESTS = Path(__file__).parents[2] / "manifests"


def own_manifests(command: Command) -> Path:
    """A copy of the manifests, which the command uses from now on."""
    copy = command.folder / "manifests"
    shutil.copytree(MANIFESTS, copy)
    command.environment["STOCKCTL_INFRA__MANIFESTS"] = str(copy)
    return copy


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
