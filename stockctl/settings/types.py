"""The kinds of values that settings have: how each is written, and what is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator

from stockctl.errors import quoted
from stockctl.exchange.calendar import known_zone
from stockctl.records import SYMBOL_LENGTH
from stockctl.symbols import parse_symbols
from stockctl.units import parse_duration, parse_size

Duration = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds; written as ``90s``, ``5m`` or a number of seconds."""
Size = Annotated[int, BeforeValidator(parse_size)]
"""Bytes; written as ``64MB``, ``2GiB`` or a number of bytes."""


def _split(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return [part.strip() for part in value.split(",") if part.strip()]
    with suppress(ValueError, RecursionError):
        items = json.loads(value)
        if all(isinstance(item, str) for item in items):
            return items
    raise ValueError('it begins with [ and is no list in JSON: write one,two or ["one","two"]')


NameList = Annotated[list[str], BeforeValidator(_split)]
"""Several names; in the environment joined by commas, or a list in JSON."""


def _symbols(value: list[str]) -> list[str]:
    symbols = parse_symbols(value)
    for symbol in symbols:
        if len(symbol) > SYMBOL_LENGTH or not symbol.isprintable() or set(symbol) & set("\"'[]{};"):
            raise ValueError(
                f"{quoted(symbol)} is no symbol: write up to {SYMBOL_LENGTH} characters, no quote, bracket or semicolon"
            )
    return symbols


Symbols = Annotated[NameList, AfterValidator(_symbols)]
"""Several symbols, in any case."""


def _known_zone(value: str) -> str:
    known_zone(value)
    return value


Zone = Annotated[str, AfterValidator(_known_zone)]
"""Name of a time zone."""


def expand_home(path: Path) -> Path:
    """``path``, with the home folder in place of a ``~`` at its beginning. ValueError for an unknown user's, and for a NUL."""
    if "\0" in str(path):
        raise ValueError("it holds a NUL, and no file's name does")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"no home folder is known for {path}") from None


HomePath = Annotated[Path, AfterValidator(expand_home)]
"""A file or folder; ``~`` is the home folder."""


UserName = Annotated[str | None, BeforeValidator(lambda value: None if value == "" else value)]
"""A name to log in with, if any: an empty one is none, as containers pass it on."""


class Section(BaseModel):
    """A group of settings; an unknown name in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_switch(cls, value: Any, info: ValidationInfo) -> Any:
        # TOML's true is Python's 1, and never meant as a number. Durations and sizes have words of their own for it.
        field = cls.model_fields[str(info.field_name)]
        number = "a whole number" if field.annotation is int else "a number" if field.annotation is float else None
        if number and isinstance(value, bool) and not any(isinstance(one, BeforeValidator) for one in field.metadata):
            raise ValueError(f"it is not {number}, but true or false")
        return value
