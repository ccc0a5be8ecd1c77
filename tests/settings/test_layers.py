"""Where settings come from, which place wins, and what is said when one is bad."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.errors import ConfigError
from stockctl.settings import (
    Settings,
    config_candidates,
    display_value,
    env_name,
    is_secret,
    load_settings,
    local_stack_file,
    require,
    setting_names,
)
from stockctl.settings.layers import LEAVES, STACK_FILE_END

SECRET = "c0ffee-hunter2-9f8e7d6c5b4a"


def read(
    here: Path,
    toml: str | None = None,
    profile: str = "local",
    flags: dict[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    if toml is not None:
        (here / "stockctl.toml").write_text(toml, encoding="utf-8")
    return load_settings(
        profile=profile, flags=flags, environ={"STOCKCTL_STATE_DIR": str(here / "state")} | dict(environ or {})
    )


SERVERS = "kafka.bootstrap_servers"


def test_each_place_wins_over_all_below_it_and_is_named_as_the_origin(here: Path) -> None:
    """Flag > environment > stockctl.toml > local stack > default."""
    settings = read(here)
    assert (settings.kafka.bootstrap_servers, settings.origin(SERVERS)) == ("localhost:9092", "default")

    stack = local_stack_file(here / "state")
    stack.parent.mkdir(parents=True)
    stack.write_text(f'[kafka]\nbootstrap_servers = "stack:1"\n{STACK_FILE_END}')
    settings = read(here)
    assert (settings.kafka.bootstrap_servers, settings.origin(SERVERS)) == ("stack:1", f"local stack {stack}")

    toml = '[profile.local.kafka]\nbootstrap_servers = "file:2"\n'
    settings = read(here, toml)
    assert (settings.kafka.bootstrap_servers, settings.origin(SERVERS)) == (
        "file:2",
        f"{here / 'stockctl.toml'} [profile.local]",
    )

    variable = env_name(SERVERS)
    settings = read(here, toml, environ={variable: "environment:3"})
    assert (settings.kafka.bootstrap_servers, settings.origin(SERVERS)) == ("environment:3", f"environment {variable}")

    settings = read(here, toml, flags={SERVERS: "flag:4"}, environ={variable: "environment:3"})
    assert (settings.kafka.bootstrap_servers, settings.origin(SERVERS)) == ("flag:4", "command line")


def test_a_flag_that_was_not_given_changes_nothing(here: Path) -> None:
    assert read(here, flags={SERVERS: None}).kafka.bootstrap_servers == "localhost:9092"


def test_the_local_profile_has_defaults_of_its_own_and_others_have_not(here: Path) -> None:
    local = read(here)
    assert local.lake.url == (here / "state" / "lake").as_uri()
    assert local.origin("lake.url") == "defaults of the profile local"
    prod = read(here, '[profile.prod]\nsymbols = ["AAPL"]\n', profile="prod")
    assert (prod.profile, prod.lake.url, prod.lake.max_age, prod.symbols) == ("prod", None, 300, ["AAPL"])


def test_a_local_stack_is_no_part_of_other_profiles(here: Path) -> None:
    stack = local_stack_file(here / "state")
    stack.parent.mkdir(parents=True)
    stack.write_text(f'[kafka]\nbootstrap_servers = "stack:1"\n{STACK_FILE_END}')
    assert read(here, "[profile.prod]\n", profile="prod").kafka.bootstrap_servers == "localhost:9092"


def test_the_file_is_looked_for_here_and_then_in_the_configuration_folder(here: Path) -> None:
    first, second = config_candidates()
    assert (first, second) == (here / "stockctl.toml", here / "xdg" / "stockctl" / "stockctl.toml")
    second.parent.mkdir(parents=True)
    second.write_text('[profile.local]\nsymbols = "B"\n')
    assert read(here).symbols == ["B"]
    assert read(here, '[profile.local]\nsymbols = "A"\n').symbols == ["A"]


@pytest.mark.parametrize("name", setting_names())
def test_every_setting_can_be_given_by_the_environment(here: Path, name: str) -> None:
    """An impossible value comes back as an error that names the setting, so each variable really reaches its setting."""
    probes = {"lake.partition_by": "nothing", "lake.extra_sources": "nobody", "metrics.session": "never"}
    text = probes.get(name, "value")
    try:
        settings = read(here, environ={env_name(name): text})
    except ConfigError as error:
        assert f"invalid setting {name} from environment {env_name(name)}" in str(error)  # noqa: PT017 - either end is right
    else:
        assert settings.origin(name) == f"environment {env_name(name)}"


@pytest.mark.parametrize("value", ["x", "", 5, -1, 1e300, 1.5, True, [1], "nan"])
def test_what_is_bad_is_reported_in_plain_words(here: Path, value: Any) -> None:
    """Whatever the setting: no word of the library that checks them."""
    messages = []
    for name in setting_names():
        try:
            read(here, flags={name: value})
        except ConfigError as error:
            messages.append(str(error).partition(": ")[2])
    assert len(messages) > 10
    assert [
        words for words in messages if re.search(r"Input|should|Value error|valid|unable|right form|match|\^|\[A-Z", words)
    ] == []


LISTS = [name for name, kind in LEAVES.items() if get_origin(kind) is list]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("form", ["{0}", "{0},{1}", " {0} , {1},", '["{0}","{1}"]', ' [ "{0}" , "{1}" ] ', '["{0}"]', "", "[]"])
def test_lists_are_joined_by_commas_or_in_json_in_the_environment(here: Path, name: str, form: str) -> None:
    items = ["10.0.0.0/8", "10.0.0.1/32"] if name == "infra.mongo_clients" else ["SIM", "MINE"]
    settings = read(here, environ={env_name(name): form.format(*items)})
    assert display_value(settings, name) == ",".join(items[: len(re.findall(r"\{\d", form))])


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("text", ["[", "['A']", '["A"', "[A]", "[1]", '["A",null]', '[["A"]]', "[" * 100_000])
def test_what_begins_as_a_list_in_json_and_is_none_is_refused(here: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=r"it starts with \[ and is not a JSON list") as raised:
        read(here, environ={env_name(name): text})
    assert f"invalid setting {name} from environment" in str(raised.value)


@pytest.mark.parametrize("name", ["kafka.username", "mongo.username", "connect.username", "redshift.user"])
def test_an_empty_name_to_log_in_with_is_none(here: Path, name: str) -> None:
    """As containers pass on a variable that nobody has set."""
    settings = read(here, environ={env_name(name): ""})
    section, _, field = name.partition(".")
    assert getattr(getattr(settings, section), field) is None


@pytest.mark.parametrize("symbol", ['["A"', '"A"', "'A'", "{A}", "A]", "A\tB", "A;B", "A" * 65])
def test_a_symbol_holds_no_quote_bracket_or_semicolon(here: Path, symbol: str) -> None:
    with pytest.raises(ConfigError, match="is not a symbol: write up to 64 characters"):
        read(here, flags={"symbols": [symbol]})


def test_a_byte_order_mark_is_no_part_of_a_file(here: Path) -> None:
    """Windows' Notepad writes one."""
    (here / "stockctl.toml").write_text("[profile.local]\nsymbols = 'AAPL'\n", encoding="utf-8-sig")
    (here / "token").write_text(SECRET, encoding="utf-8-sig")
    settings = read(here, environ={"STOCKCTL_FINNHUB__TOKEN_FILE": str(here / "token")})
    assert settings.symbols == ["AAPL"]
    assert require(settings, "finnhub.token").get_secret_value() == SECRET


@pytest.mark.parametrize("name", [name for name, kind in LEAVES.items() if kind in (int, float)])
@pytest.mark.parametrize("value", [True, False])
def test_true_is_no_number(here: Path, name: str, value: bool) -> None:
    with pytest.raises(ConfigError, match=r"number, but true or false$|(true|false) is not a (duration|size)"):
        read(here, flags={name: value})


def test_a_path_may_begin_with_the_home_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = here / "home"
    monkeypatch.setenv("HOME", str(home))
    paths = [name for name in setting_names() if "Path" in str(LEAVES[name])]
    assert {"state_dir", "lake.cache_dir", "kafka.ssl_ca_location", "infra.manifests", "infra.kubeconfig"} <= set(paths)
    settings = load_settings(environ={env_name(name): f"~/{name}" for name in paths})
    for name in paths:
        value: Any = settings
        for part in name.split("."):
            value = getattr(value, part)
        assert value == home / name
    assert settings.lake.url == (home / "state_dir" / "lake").as_uri()


def test_a_secret_may_stand_in_a_file(here: Path) -> None:
    file = here / "token"
    file.write_text(SECRET + "\n")
    settings = read(here, environ={"STOCKCTL_FINNHUB__TOKEN_FILE": str(file)})
    assert require(settings, "finnhub.token").get_secret_value() == SECRET
    assert settings.origin("finnhub.token") == f"file {file} (STOCKCTL_FINNHUB__TOKEN_FILE)"


def test_only_secrets_are_read_from_files(here: Path) -> None:
    with pytest.raises(ConfigError, match="unknown setting STOCKCTL_SYMBOLS_FILE"):
        read(here, environ={"STOCKCTL_SYMBOLS_FILE": "/etc/hostname"})


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"STOCKCTL_FINNHUB__TOKEN_FILE": "/no/such/file"}, "STOCKCTL_FINNHUB__TOKEN_FILE names /no/such/file.*No such file"),
        ({"STOCKCTL_FINNHUB__TOKEN_FILE": "/x", "STOCKCTL_FINNHUB__TOKEN": "y"}, "both .* are set"),
        ({"STOCKCTL_KAFKA__BOOTSTRAP": "x"}, "unknown setting STOCKCTL_KAFKA__BOOTSTRAP in the environment"),
        (
            {"STOCKCTL_LAKE__MAX_AGE": "soon"},
            "invalid setting lake.max_age from environment STOCKCTL_LAKE__MAX_AGE: 'soon' is not a duration",
        ),
        ({"STOCKCTL_LAKE__TIMEZONE": "Mars"}, "'Mars' is not a time zone"),
        ({"STOCKCTL_LAKE__TIMEZONE": "America"}, "'America' is not a time zone"),
        ({"STOCKCTL_CONFIG": "/no/such.toml"}, "cannot read /no/such.toml"),
        (
            {"STOCKCTL_STATE_DIR": "~nobody-here/stock"},
            "invalid setting state_dir from environment STOCKCTL_STATE_DIR: no home folder is known for ~nobody-here/stock",
        ),
    ],
)
def test_what_is_bad_in_the_environment_names_itself(here: Path, environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(here, environ=environ)


@pytest.mark.parametrize(
    ("toml", "message", "hint"),
    [
        ("[profile.local\n", "is not valid TOML: .*line 1", "correct that line"),
        ("x = 1", "x is outside a profile", "move it under"),
        ("profile = 5", "must be a table of settings", None),
        ("[profile]\nlocal = 5", "profile.local in .* must be a table, not a value", None),
        ("[profile]\nsymbol = 'AAPL'\n[profile.local]", "profile.symbol in .* must be a table", "is it the setting symbols?"),
        ("[profil.local]\nsymbols = 'AAPL'", "profil is outside a profile", "did you mean [profile.local]?"),
        ("[profile.prod.lakes]", "unknown setting lakes in .*profile.prod", "did you mean lake?"),
        ("[profile.local.topics.trade]", "unknown setting topics.trade in", "did you mean topics.trades?"),
        ("[profile.prod.kafka]\npassword = 'x'", "kafka.password is in", "remove the line"),
        ("[profile.local]\nkafka = 3", "kafka .* must be a table of settings", None),
        (
            "[profile.local.kafka]\nbotstrap_servers = 'x'",
            "unknown setting kafka.botstrap_servers",
            "did you mean kafka.bootstrap_servers",
        ),
        ("[profile.local]\nzzz = 1", "unknown setting zzz", "config show"),
        ("[profile.local]\nsymbols = 5", "invalid setting symbols from .*stockctl.toml", "STOCKCTL_SYMBOLS"),
        ("[profile.local.lake]\nmax_age = [1]", "invalid setting lake.max_age .* is not a duration", None),
        ("[profile.local.lake]\nmax_bytes = true", "invalid setting lake.max_bytes .*: true is not a size", None),
        ("[profile.local.lake]\nmax_age = 2026-11-23", ": 2026-11-23 is not a duration", None),
        ("[profile.local.lake]\nmax_age = 2026-11-23T09:30:00Z", r": 2026-11-23T09:30:00\+00:00 is not a duration", None),
        ("[profile.local.lake]\nmax_age = 09:30:00", ": 09:30:00 is not a duration", None),
        ("[profile.local.lake]\nmax_age = {s = 5}", ": a table is not a duration", None),
        ("[profile.local.lake]\nmax_age = inf", ": inf is not a duration", None),
        ("[profile.local]\nstate_dir = 5", "invalid setting state_dir", None),
        ("[profile.local.log]\nevery = 0", "invalid setting log.every .* it is not above 0", None),
    ],
)
def test_what_is_bad_in_the_file_names_itself(here: Path, toml: str, message: str, hint: str | None) -> None:
    """Nothing that a file can hold ends in anything but a ConfigError."""
    (here / "stockctl.toml").write_text(toml)
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(environ={})
    assert (hint or "") in (caught.value.hint or "")


def test_a_file_that_is_no_text_is_no_toml(here: Path) -> None:
    (here / "stockctl.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not valid TOML"):
        read(here)


def test_a_profile_that_is_not_there_names_those_that_are(here: Path) -> None:
    with pytest.raises(ConfigError, match="has no profile prod") as caught:
        read(here, "[profile.local]\n[profile.staging]\n", profile="prod")
    assert "local, staging" in (caught.value.hint or "")


def test_a_profile_without_any_file_names_the_places(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"no stockctl\.toml") as caught:
        read(here, profile="prod")
    assert all(str(path) in (caught.value.hint or "") for path in config_candidates())


def test_a_missing_setting_names_every_place_and_the_line_to_write(here: Path) -> None:
    settings = read(here, "[profile.prod]\n", profile="prod")
    with pytest.raises(ConfigError, match=r"lake\.url is not set") as caught:
        require(settings, "lake.url")
    for place in ("command line", "environment", f"{here / 'stockctl.toml'} [profile.prod]"):
        assert place in str(caught.value)
    assert "STOCKCTL_LAKE__URL" in (caught.value.hint or "")
    assert "[profile.prod.lake]\nurl = " in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["", None])
def test_an_absent_or_empty_secret_is_asked_for_by_environment_or_file(here: Path, text: str | None) -> None:
    settings = read(here, environ={} if text is None else {"STOCKCTL_FINNHUB__TOKEN": text})
    with pytest.raises(ConfigError) as caught:
        require(settings, "finnhub.token")
    assert caught.value.hint == "export STOCKCTL_FINNHUB__TOKEN=… (or STOCKCTL_FINNHUB__TOKEN_FILE=/a/file)"


SECRETS = [name for name in setting_names() if is_secret(name)]


def test_the_secrets_are_known() -> None:
    assert SECRETS == [
        "finnhub.token",
        "kafka.password",
        "kafka.ssl_key_password",
        "s3.secret_access_key",
        "s3.session_token",
        "mongo.password",
        "connect.password",
        "connect.mongo_uri",
        "connect.kafka_jaas",
        "redshift.password",
        "dashboard.token",
    ]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_in_the_file_is_refused_without_being_repeated(here: Path, name: str) -> None:
    section, leaf = name.split(".")
    with pytest.raises(ConfigError) as caught:
        read(here, f'[profile.local.{section}]\n{leaf} = "{SECRET}"\n')
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + str(caught.value.hint)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_in_no_text_of_the_settings(here: Path, name: str) -> None:
    settings = read(here, environ={env_name(name): SECRET})
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert SECRET not in text


def test_a_secret_beside_a_bad_setting_is_in_no_text_of_the_error(here: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(here, environ={env_name(name): SECRET for name in SECRETS} | {"STOCKCTL_FINNHUB__SYMBOL_LIMIT": "many"})
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + str(caught.value.hint)


@pytest.mark.parametrize("name", ["finnhub.url", "finnhub.rest_url", "s3.endpoint_url", "lake.url"])
@pytest.mark.parametrize("address", [f"https://host/?token={SECRET}", f"https://user:{SECRET}@host/path"])
def test_an_address_with_a_secret_in_it_is_refused_without_being_repeated(here: Path, name: str, address: str) -> None:
    """Addresses are printed in errors, logs and `config show`."""
    with pytest.raises(ConfigError, match="must not contain a key") as caught:
        read(here, environ={env_name(name): address})
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + str(caught.value.hint)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_no_text_in_the_file_ends_in_anything_but_settings_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text("[profile.local]\n" + text, encoding="utf-8")
    try:
        load_settings(config=file, environ={})
    except ConfigError as error:
        assert str(error)  # noqa: PT017 - settings or this error: both are right
