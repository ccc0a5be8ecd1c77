"""Settings that a command needs, and the error where one is missing."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from stockctl.errors import ConfigError
from stockctl.settings.display import value_of
from stockctl.settings.layers import env_name, is_secret
from stockctl.settings.model import Settings


def require(settings: Settings, name: str) -> Any:
    """The value of the dotted setting ``name``. ConfigError if not set, with all places searched and what to write."""
    value = value_of(settings, name)
    if (value.get_secret_value() if isinstance(value, SecretStr) else value) not in (None, [], ""):
        return value
    places = "; ".join(settings.places)
    *parents, leaf = name.split(".")
    table = ".".join(["profile", settings.profile, *parents])
    hint = (
        f"export {env_name(name)}=… (or {env_name(name)}_FILE=/a/file)"
        if is_secret(name)
        else (f"export {env_name(name)}=… or write in stockctl.toml:\n[{table}]\n{leaf} = …")
    )
    raise ConfigError(f"the setting {name} is not set; searched: {places}", hint=hint)
