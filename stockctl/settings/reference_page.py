"""The reference page of all settings: ``python -m stockctl.settings.reference_page > docs/settings.md``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from stockctl.settings.layers import env_name
from stockctl.settings.model import Settings
from stockctl.settings.types import Duration, Size, is_unit, written

HEAD = """\
# Settings

All settings. `make settings` generates this page from `stockctl/settings/model.py`.

stockctl looks for a value in this order, and takes the first:

1. a flag of the command, if it has one
2. the environment: `STOCKCTL_` and the name in capitals, with `__` for each dot. For a secret, you can set the same name with
   `_FILE` to the path of a file that contains it
3. `stockctl.toml`, in the table of the active profile (`[profile.prod.kafka]`). It is the file that `--config` names, else
   the one in the working directory, else the one in the platform's configuration folder
4. only in the profile `local`: the running local stack (`stockctl local up`), then the defaults of that profile
5. the default

`stockctl config show --origin` shows each value and its origin, with at most the last four characters of a secret. Secrets are
not allowed in `stockctl.toml`. The profile is `local` unless you set `--profile` or `STOCKCTL_PROFILE`.

Write durations as `90s`, `5m`, `1h30m`, `7d` or a number of seconds, and sizes as `64MB`, `2GiB` or a number of bytes. In the
environment, separate list items by commas, or write JSON. A path may start with `~`, your home folder.
"""


def page() -> str:
    """The page, in Markdown."""
    return "\n".join([HEAD, *_section(Settings, "")])


def _section(model: type[BaseModel], prefix: str) -> Iterator[str]:
    title = prefix.rstrip(".") or "top level"
    yield f"## {title}\n"
    yield f"{(model.__doc__ or '').strip().replace('``', '`')}\n"
    sections: dict[str, type[BaseModel]] = {}
    rows: list[str] = []
    for name, field in model.model_fields.items():
        dotted, kind = prefix + name, field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            sections[dotted + "."] = kind
        else:
            rows.append(f"| `{dotted}` | `{env_name(dotted)}` | {_type(field)} | {_default(field)} | {field.description} |")
    if rows:
        yield "| setting | environment | type | default | description |"
        yield "|---|---|---|---|---|"
        yield from rows
        yield ""
    for below, section in sections.items():
        yield from _section(section, below)


def _type(field: FieldInfo) -> str:
    if is_unit(field, Duration):
        return "duration"
    if is_unit(field, Size):
        return "size"
    kind: Any = field.annotation
    if get_origin(kind) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) is list:
        return "list"
    # An optional setting has no default on the page.
    kind = next((one for one in get_args(kind) if one is not NoneType), kind)
    kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return {str: "text", int: "number", float: "number", bool: "`true` or `false`", Path: "path", SecretStr: "secret"}[kind]


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "the platform's folder"
    value = field.default
    if value is None or value == []:
        return ""
    return f"`{written(field, value)}`"


if __name__ == "__main__":
    print(page(), end="")
