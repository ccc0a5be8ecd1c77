"""Values of settings for display: secrets are masked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from stockctl.settings.layers import FIELDS
from stockctl.settings.model import Settings
from stockctl.settings.types import written


def value_of(settings: Settings, name: str) -> Any:
    """The value of the dotted setting ``name``."""
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def display_value(settings: Settings, name: str) -> Any:
    """The value of the dotted setting ``name`` for display: secrets masked, lists joined by commas, paths as text."""
    value = value_of(settings, name)
    if isinstance(value, SecretStr):
        return masked(value.get_secret_value())
    if isinstance(value, list):
        return ",".join(value)
    return str(value) if isinstance(value, Path) else value


def written_value(settings: Settings, name: str) -> str:
    """The value of the dotted setting ``name`` as a person writes it; secrets are masked."""
    value = value_of(settings, name)
    return masked(value.get_secret_value()) if isinstance(value, SecretStr) else written(FIELDS[name], value)


def masked(secret: str) -> str:
    """``secret`` for display: its last four characters, or none if it is short."""
    return "****" + (secret[-4:] if len(secret) >= 12 else "")
