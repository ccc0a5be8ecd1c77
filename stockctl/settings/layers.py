"""The layers of settings, highest priority first: flags, environment, ``stockctl.toml``, local stack, defaults of the profile.

A secret can also come from a file that ``…_FILE`` names in the environment. Each value has an origin, for
``config show --origin`` and for error messages.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, get_args

from platformdirs import user_config_path
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from stockctl.errors import ConfigError
from stockctl.settings.kafka_names import check_names
from stockctl.settings.model import Settings
from stockctl.settings.types import expand_home
from stockctl.validation_errors import decode_problem, setting_problem

ENV_PREFIX = "STOCKCTL_"
CONTROL_NAMES = frozenset({"STOCKCTL_CONFIG", "STOCKCTL_PROFILE", "STOCKCTL_DEBUG"})
"""Environment variables that are options of the command, not settings."""
DEFAULT_PROFILE = "local"


COMMAND_LINE = "command line"
"""The origin of values from flags."""


class BadSettingError(ConfigError):
    """The setting ``name`` has an invalid value; ``problem`` is the reason."""

    def __init__(self, name: str, origin: str, problem: str, *, hint: str) -> None:
        super().__init__(f"invalid setting {name} from {origin}: {problem}", hint=hint)
        self.name = name
        self.origin = origin
        self.problem = problem


class Layer(NamedTuple):
    """One source of settings: dotted names with raw values, and the origin of each."""

    place: str
    values: dict[str, Any]
    origins: dict[str, str]


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _leaves(annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


FIELDS: dict[str, FieldInfo] = dict(_leaves(Settings))
"""Every dotted setting name with its definition."""
LEAVES: dict[str, Any] = {name: field.annotation for name, field in FIELDS.items()}
"""Every dotted setting name with its type."""


def setting_names() -> list[str]:
    """Every dotted setting name, in the model's order."""
    return list(LEAVES)


def is_secret(name: str) -> bool:
    """Whether the dotted setting ``name`` holds a secret."""
    return SecretStr in (LEAVES.get(name), *get_args(LEAVES.get(name)))


def env_name(name: str) -> str:
    """The environment variable of the dotted setting ``name``."""
    return ENV_PREFIX + name.upper().replace(".", "__")


def _unknown(name: str, known: list[str], place: str) -> ConfigError:
    sections = {leaf.rpartition(".")[0] for leaf in known if "." in leaf}
    close = difflib.get_close_matches(name, [*known, *sections], n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else "`stockctl config show` lists every setting"
    return ConfigError(f"unknown setting {name} in {place}", hint=hint)


def _environment(environ: Mapping[str, str]) -> Layer:
    names = {env_name(name): name for name in LEAVES}
    layer = Layer("the environment (STOCKCTL_…)", {}, {})
    for variable, text in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable.startswith("STOCKCTL__") or variable in CONTROL_NAMES:
            continue
        if (name := names.get(variable)) is not None:
            layer.values[name] = text
            layer.origins[name] = f"environment {variable}"
        elif (name := names.get(variable.removesuffix("_FILE"))) is not None and is_secret(name):
            if variable.removesuffix("_FILE") in environ:
                raise ConfigError(f"both {variable} and {variable.removesuffix('_FILE')} are set", hint="unset one of them")
            try:
                layer.values[name] = Path(text).read_text(encoding="utf-8-sig").strip()
            except OSError as error:
                raise ConfigError(
                    f"{variable} names {text}, which cannot be read: {error.strerror}",
                    hint="check the path and its permissions",
                ) from error
            except UnicodeDecodeError:
                # Not chained: the exception contains the bytes of the file.
                raise ConfigError(
                    f"{variable} names {text}, which is not a text file", hint="name a file that contains only the secret"
                ) from None
            layer.origins[name] = f"file {text} ({variable})"
        else:
            raise _unknown(variable, list(names), "the environment")
    return layer


def _table(value: Any, name: str, place: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise ConfigError(
        f"{name} in {place} must be a table of settings, not a value", hint="`stockctl config init` writes an example"
    )


def _flatten(table: Mapping[str, Any], place: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        name = prefix + key
        if name in LEAVES:
            yield name, value
        elif any(leaf.startswith(name + ".") for leaf in LEAVES):
            yield from _flatten(_table(value, name, place), place, name + ".")
        else:
            raise _unknown(name, list(LEAVES), place)


def _table_layer(table: Mapping[str, Any], place: str) -> Layer:
    values = dict(_flatten(table, place))
    return Layer(place, values, dict.fromkeys(values, place))


def config_candidates() -> list[Path]:
    """Paths of ``stockctl.toml`` without ``--config``, in order of priority."""
    return [Path("stockctl.toml").absolute(), user_config_path("stockctl") / "stockctl.toml"]


def _read_toml(path: Path, end: str = "") -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # Notepad writes a byte order mark
        document = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint="check the path, or `stockctl config init`") from error
    except (ValueError, RecursionError) as error:
        problem = error if isinstance(error, tomllib.TOMLDecodeError) else decode_problem(error)
        raise ConfigError(
            f"{path} is not valid TOML: {problem}", hint="correct that line; `stockctl config init` writes an example"
        ) from error
    if not text.endswith(end):
        raise ConfigError(f"{path} is truncated: its last line is not {end.strip()!r}")
    return document


def _config_layer(path: Path, profile: str) -> Layer:
    document = _read_toml(path)
    place = f"{path} [profile.{profile}]"
    profiles = _table(document.pop("profile", {}), "profile", str(path))
    if document:
        near = difflib.get_close_matches(next(iter(document)), ["profile"])
        raise ConfigError(
            f"{path}: {', '.join(sorted(document))} is outside a profile",
            hint=f"did you mean [profile.{profile}]?" if near else f"move it under [profile.{profile}]",
        )
    layers = {name: _profile_layer(path, name, table) for name, table in profiles.items()}
    if profile not in profiles:
        if profile == DEFAULT_PROFILE:
            return Layer(place, {}, {})
        raise ConfigError(
            f"{path} has no profile {profile}",
            hint=f"it has: {', '.join(sorted(profiles)) or 'none'}; or add [profile.{profile}]",
        )
    return layers[profile]


def _profile_layer(path: Path, profile: str, table: Any) -> Layer:
    """The settings of one profile. All profiles are read, so that errors in the others show too."""
    if not isinstance(table, Mapping):
        near = difflib.get_close_matches(profile, LEAVES, n=1, cutoff=0.5)
        raise ConfigError(
            f"profile.{profile} in {path} must be a table, not a value",
            hint=f"is it the setting {near[0]}? It belongs under [profile.NAME]" if near else "write [profile.NAME] above it",
        )
    place = f"{path} [profile.{profile}]"
    layer = _table_layer(table, place)
    for name in filter(is_secret, layer.values):
        raise ConfigError(
            f"{name} is in {path}: a secret belongs in the environment or in a mounted file",
            hint=f"remove the line and export {env_name(name)}=… or {env_name(name)}_FILE=…; replace a secret that was shared",
        )
    return layer


def local_stack_file(state_dir: Path) -> Path:
    """The file where ``local up`` writes the addresses of its services, for all commands of the profile ``local``."""
    return state_dir / "local" / "settings.toml"


STACK_FILE_END = "\n# The end.\n"
"""Last line of that file. Without it, a file truncated at the end of a line would be valid TOML."""
_STACK_HINT = "`stockctl local up` writes that file again"


def _stack_layer(path: Path) -> Layer | None:
    """The addresses of the local stack. None if there are none."""
    try:
        path.lstat()
        return _table_layer(_read_toml(path, STACK_FILE_END), f"local stack {path}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint="check state_dir and its permissions") from error
    except ConfigError as error:
        hint = f"delete that folder, then {_STACK_HINT}" if path.is_dir() else _STACK_HINT
        raise ConfigError(str(error), hint=hint) from error


def _profile_defaults(profile: str, state_dir: Path) -> Layer:
    if profile != DEFAULT_PROFILE:
        return Layer(f"defaults of the profile {profile}", {}, {})
    table: dict[str, Any] = {
        "symbols": ["AAPL", "MSFT", "NVDA", "TSLA", "BINANCE:BTCUSDT"],
        # After a crash, the next consumer gets the partitions once the session has timed out.
        "kafka": {"idle_pause": "250ms", "session_timeout": "10s"},
        # The embedded broker stores data in memory, so retention limits its size. The lake stores the records permanently.
        "topics": {
            "trades": {"partitions": 3, "retention": "30m"},
            "feed_events": {"retention": "30m"},
            "signals": {"retention": "30m"},
        },
        "lake": {"url": (state_dir / "lake").absolute().as_uri(), "max_age": "15s"},
        "mongo": {"retention": "2h", "derive_every": "2s"},
        # After a producer was killed, consumers of the embedded broker miss the records of the next one with its name.
        "signals": {"transactions": False},
    }
    return _table_layer(table, "defaults of the profile local")


def load_settings(
    *,
    profile: str | None = None,
    config: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    stack: bool = True,
) -> Settings:
    """Load the settings of ``profile`` from all layers.

    ``flags`` maps dotted names to values of the command line; None is ignored. ``stack=False`` ignores the addresses that
    ``local up`` wrote. Raises ConfigError with the setting, its origin and the problem.
    """
    environ = os.environ if environ is None else environ
    profile = profile or environ.get("STOCKCTL_PROFILE") or DEFAULT_PROFILE
    if config is None and environ.get("STOCKCTL_CONFIG"):
        config = Path(environ["STOCKCTL_CONFIG"])

    flag_values = {name: value for name, value in (flags or {}).items() if value is not None}
    layers = [Layer("the command line", flag_values, dict.fromkeys(flag_values, COMMAND_LINE)), _environment(environ)]
    config_file = config or next((path for path in config_candidates() if path.is_file()), None)
    if config_file is not None:
        layers.append(_config_layer(config_file, profile))
    elif profile != DEFAULT_PROFILE:
        raise ConfigError(
            f"the profile is {profile}, but there is no stockctl.toml",
            hint=f"looked for {', '.join(map(str, config_candidates()))}; `stockctl config init` writes one",
        )
    else:
        layers += [Layer(f"{path} (absent)", {}, {}) for path in config_candidates()]

    state_dir = next((layer.values["state_dir"] for layer in layers if "state_dir" in layer.values), None)
    if state_dir:
        state_dir = Path(str(state_dir))
        # Validation of the model reports an invalid path.
        with suppress(ValueError):
            state_dir = expand_home(state_dir)
    else:
        state_dir = Settings.model_fields["state_dir"].get_default(call_default_factory=True)
    if stack and profile == DEFAULT_PROFILE and (layer := _stack_layer(local_stack_file(state_dir))) is not None:
        layers.append(layer)
    layers.append(_profile_defaults(profile, state_dir))
    return _merge(layers, profile)


def _merge(layers: list[Layer], profile: str) -> Settings:
    nested: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in reversed(layers):
        for name, value in layer.values.items():
            *parents, leaf = name.split(".")
            table = nested
            for parent in parents:
                table = table.setdefault(parent, {})
            table[leaf] = value
            origins[name] = layer.origins[name]
    try:
        settings = Settings.model_validate(nested)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in problem["loc"] if not isinstance(part, int))
        origin = origins.get(name, "default")
        section = ".".join(["profile", profile, *name.split(".")[:-1]])
        hint = f"set {env_name(name)}=…, or set it in stockctl.toml under [{section}]"
        if origin.startswith("environment"):
            hint = f"correct {env_name(name)}, or unset it"
        raise BadSettingError(
            name, origin, setting_problem(problem), hint=_STACK_HINT if origin.startswith("local stack") else hint
        ) from None
    settings._origins = origins
    settings._profile = profile
    settings._places = [layer.place for layer in layers]
    check_names(settings)
    return settings
