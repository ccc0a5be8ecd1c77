"""Types of settings: how to write each value, and what is rejected."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from stockctl.errors import quoted
from stockctl.exchange.calendar import known_zone
from stockctl.records import SYMBOL_LENGTH
from stockctl.symbols import parse_symbols
from stockctl.units import exact_duration, exact_size, parse_duration, parse_size

Duration = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds; written as ``90s``, ``5m`` or a number of seconds."""
Size = Annotated[int, BeforeValidator(parse_size)]
"""Bytes; written as ``64MB``, ``2GiB`` or a number of bytes."""


def is_unit(field: FieldInfo, unit: Any) -> bool:
    """Whether ``field`` is a ``Duration`` or a ``Size``, whichever ``unit`` is."""
    return get_args(unit)[1] in field.metadata


def written(field: FieldInfo, value: Any) -> str:
    """``value`` of ``field`` as a person writes it in ``stockctl.toml`` or the environment: ``30m``, ``64MB``, ``true``."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if is_unit(field, Duration):
        return exact_duration(value)
    if is_unit(field, Size):
        return exact_size(value)
    return ",".join(value) if isinstance(value, list) else str(value)


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return [part.strip() for part in value.split(",") if part.strip()]
    with suppress(ValueError, RecursionError):
        items = json.loads(value)
        if all(isinstance(item, str) for item in items):
            return items
    raise ValueError('it starts with [ and is not a JSON list: write one,two or ["one","two"]')


NameList = Annotated[list[str], BeforeValidator(_split)]
"""Names; in the environment separated by commas, or a JSON list."""


def _symbols(value: list[str]) -> list[str]:
    symbols = parse_symbols(value)
    for symbol in symbols:
        if len(symbol) > SYMBOL_LENGTH or not symbol.isprintable() or set(symbol) & set("\"'[]{};"):
            raise ValueError(
                f"{quoted(symbol)} is not a symbol: write up to {SYMBOL_LENGTH} characters, no quotes, brackets or semicolons"
            )
    return symbols


Symbols = Annotated[NameList, AfterValidator(_symbols)]
"""Symbols, in upper or lower case."""


def _known_zone(value: str) -> str:
    known_zone(value)
    return value


Zone = Annotated[str, AfterValidator(_known_zone)]
"""Name of a time zone."""


def expand_home(path: Path) -> Path:
    """``path`` with a leading ``~`` expanded. ValueError for an unknown user, and for a NUL."""
    if "\0" in str(path):
        raise ValueError("it contains a NUL, which no file name can")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"no home folder is known for {path}") from None


HomePath = Annotated[Path, AfterValidator(expand_home)]
"""A file or folder. ``~`` is the home folder."""


UserName = Annotated[str | None, BeforeValidator(lambda value: None if value == "" else value)]
"""A user name. An empty one counts as not set, as containers pass it."""


class Section(BaseModel):
    """A section of settings. An unknown name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _reject_bool(cls, value: Any, info: ValidationInfo) -> Any:
        # In Python, true is 1, but nobody means a number by it. Durations and sizes have their own message.
        field = cls.model_fields[str(info.field_name)]
        number = "a whole number" if field.annotation is int else "a number" if field.annotation is float else None
        if number and isinstance(value, bool) and not any(isinstance(one, BeforeValidator) for one in field.metadata):
            raise ValueError(f"it is not {number}, but true or false")
        return value
