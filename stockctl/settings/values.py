"""The kinds of values that settings have: how each is written, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from stockctl.errors import quoted
from stockctl.sessions import known_zone
from stockctl.symbols import parse_symbols
from stockctl.units import parse_duration, parse_size

Duration = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds; written as ``90s``, ``5m`` or a number of seconds."""
Size = Annotated[int, BeforeValidator(parse_size)]
"""Bytes; written as ``64MB``, ``2GiB`` or a number of bytes."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


NameList = Annotated[list[str], BeforeValidator(_split)]
"""Several names; in the environment joined by commas."""
Symbols = Annotated[list[str], BeforeValidator(lambda value: parse_symbols(value) if _is_text(value) else value)]
"""Several symbols, in any case; also in one text, joined by commas."""
Sources = Annotated[list[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]], BeforeValidator(_split)]
"""Several sources of records, written as names are; those of other producers too."""


def _known_zone(value: str) -> str:
    known_zone(value)
    return value


Zone = Annotated[str, AfterValidator(_known_zone)]
"""Name of a time zone."""


def at_home(path: Path) -> Path:
    """``path``, with the home folder in place of a ``~`` at its beginning. ValueError for an unknown user's, and for a NUL."""
    if "\0" in str(path):
        raise ValueError("it holds a NUL, and no file's name does")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"no home folder is known for {path}") from None


HomePath = Annotated[Path, AfterValidator(at_home)]
"""A file or folder; ``~`` is the home folder."""


def _free_of_secrets(value: str) -> str:
    parts = urlsplit(value)
    if parts.query or "@" in parts.netloc:
        # An address is printed in errors and logs, so nothing secret may hide in it. The value itself is not told here either.
        raise ValueError("an address holds no key, user or query: secrets have settings of their own")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError(f"{quoted(parts.netloc)} has no port from 0 to 65535") from None
    return value


Address = Annotated[str, AfterValidator(_free_of_secrets)]
"""A URL without anything secret in it."""


class MongoParts(NamedTuple):
    """A connection string in its parts; ``hosts`` are joined by commas."""

    scheme: str
    hosts: str
    path: str
    query: str


def mongo_parts(address: str) -> MongoParts:
    """The parts of a connection string, which is no URL: of several hosts, one may be an address of IPv6."""
    scheme, _, rest = address.partition("://")
    place, _, query = rest.partition("?")
    hosts, slash, path = place.partition("/")
    return MongoParts(scheme, hosts, slash + path, query)


def _mongo_address(value: str) -> str:
    parts = mongo_parts(value)
    if parts.scheme not in ("mongodb", "mongodb+srv"):
        raise ValueError("it begins with mongodb:// or mongodb+srv://")
    # In a password that is not escaped, hosts seem to end at its first slash.
    if "@" in parts.hosts + parts.path or "password" in parts.query.lower() or "authmechanismproperties" in parts.query.lower():
        raise ValueError("an address holds no user and no password: mongo.username and mongo.password do")
    return value


MongoAddress = Annotated[str, AfterValidator(_mongo_address)]
"""A connection string without user and password; options such as ``?tls=true`` may stand in it."""


class Section(BaseModel):
    """A group of settings; an unknown name in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
