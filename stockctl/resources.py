"""Data files of the package: ``sql/`` and ``manifests/``."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def resource(name: str) -> Path:
    """The file or folder ``name`` (``sql/metrics``) in the wheel, else in the source tree."""
    packed = _PACKAGE / "_files" / name
    return packed if packed.exists() else _PACKAGE.parent / name
