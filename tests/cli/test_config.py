"""``stockctl config``."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pyarrow.parquet
import pytest

from stockctl.settings import env_name, is_secret, setting_names
from stockctl.settings.display import masked
from tests.command import Command

SECRET = "c0ffee-hunter2-9f8e7d6c5b4a"


@pytest.fixture
def alone(tmp_path: Path) -> Command:
    """The command with nothing configured, in an empty folder."""
    return Command(tmp_path, XDG_CONFIG_HOME=str(tmp_path / "xdg"))


def test_init_writes_a_file_that_works_at_once(alone: Command) -> None:
    alone.run("config", "init", real=True)
    shown = {row["setting"]: row["value"] for row in json.loads(alone.run("-p", "prod", "config", "show", "-o", "json").stdout)}
    assert shown["symbols"] == "AAPL,MSFT"
    assert shown["lake.url"] == "s3://my-bucket/market"
    alone.run("config", "show")


def test_init_replaces_nothing_without_force(alone: Command) -> None:
    file = alone.folder / "stockctl.toml"
    file.write_text("# mine\n")
    result = alone.run("config", "init", check=1)
    assert "exists already" in result.stderr
    assert file.read_text() == "# mine\n"
    planned = alone.run("config", "init", "--force", "--dry-run")
    assert "stockctl.toml would be replaced\ndry run: nothing was changed" in planned.stderr
    assert file.read_text() == "# mine\n"
    alone.run("config", "init", "--force")
    assert "[profile.prod]" in file.read_text()


def test_init_takes_a_path_and_says_when_it_cannot_write(alone: Command) -> None:
    alone.run("config", "init", "here.toml")
    assert (alone.folder / "here.toml").exists()
    result = alone.run("config", "init", "no/such/folder/x.toml", check=2)
    assert "no/such/folder" in result.stderr
    assert "unexpected" not in result.stderr


def test_show_shows_every_setting(alone: Command) -> None:
    rows = json.loads(alone.run("config", "show", "-o", "json").stdout)
    assert [row["setting"] for row in rows] == setting_names()
    assert set(rows[0]) == {"setting", "value"}


def test_parquet_has_every_setting_as_text(alone: Command) -> None:
    alone.environment["STOCKCTL_FINNHUB__SILENCE_TIMEOUT"] = "150s"
    table = pyarrow.parquet.read_table(io.BytesIO(alone.run_bytes("config", "show", "-o", "parquet").stdout))
    values = dict(zip(table["setting"].to_pylist(), table["value"].to_pylist(), strict=True))
    assert (values["finnhub.silence_timeout"], values["kafka.compression"]) == ("2m30s", "lz4")


def test_origin_shows_where_each_value_came_from(alone: Command) -> None:
    (alone.folder / "stockctl.toml").write_text('[profile.local.lake]\ngroup = "mine"\n')
    alone.environment |= {"STOCKCTL_SYMBOLS": "XOM", "STOCKCTL_FINNHUB__TOKEN_FILE": "token"}
    (alone.folder / "token").write_text(SECRET)
    rows = json.loads(alone.run("config", "show", "--origin", "-o", "json").stdout)
    origins = {row["setting"]: row["origin"] for row in rows}
    assert origins["symbols"] == "environment STOCKCTL_SYMBOLS"
    assert origins["lake.group"] == f"{alone.folder / 'stockctl.toml'} [profile.local]"
    assert origins["lake.max_age"] == "defaults of the profile local"
    assert origins["kafka.username"] == "default"
    assert origins["finnhub.token"] == "file token (STOCKCTL_FINNHUB__TOKEN_FILE)"


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_show_shows_the_last_four_characters_of_a_secret_at_most(alone: Command, form: str) -> None:
    alone.environment |= {env_name(name): SECRET for name in setting_names() if is_secret(name)}
    result = alone.run("config", "show", "--origin", "-o", form)
    assert SECRET not in result.stdout + result.stderr
    assert SECRET[:-4] not in result.stdout
    assert f"****{SECRET[-4:]}" in result.stdout


@pytest.mark.parametrize("arguments", [["config", "show"], ["--debug", "config", "show"]])
def test_a_secret_is_in_no_error_and_no_traceback(alone: Command, arguments: list[str]) -> None:
    alone.environment |= {env_name(name): SECRET for name in setting_names() if is_secret(name)}
    alone.environment |= {"STOCKCTL_LAKE__MAX_AGE": "soon"}
    result = alone.run(*arguments, check=None)
    assert result.returncode != 0
    assert SECRET not in result.stdout + result.stderr


@pytest.mark.parametrize("name", ["mongo.url", "infra.mongo_url"])
@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("mongodb://me:hunter2@host/db", "hunter2"),
        ("mongodb://me:pa/ss@host/db", "pa/ss"),
    ],
)
def test_a_password_in_mongodbs_address_is_refused_and_in_no_output(alone: Command, name: str, url: str, secret: str) -> None:
    """Also one with a slash that is not escaped, where the hosts seem to end."""
    alone.environment[env_name(name)] = url
    for arguments, code in ((["config", "show"], 3), (["--debug", "config", "show"], 3)):
        result = alone.run(*arguments, check=code)
        assert f"invalid setting {name}" in result.stderr
        assert secret not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "mongo.url",
            "mongodb://127.0.0.1/?tsl=true",
            "tsl is not an option of a MongoDB connection string: did you mean tls?",
        ),
        ("kafka.bootstrap_servers", "127.0.0.1:none", "the port of '127.0.0.1' is not a number from 1 to 65535"),
    ],
)
def test_an_address_that_cannot_work_ends_every_command_before_anything_is_asked(
    alone: Command, name: str, value: str, words: str
) -> None:
    alone.environment[env_name(name)] = value
    for arguments in (["config", "show"], ["doctor"], ["mongo", "status"], ["topics", "list"]):
        result = alone.run(*arguments, check=3)
        error, hint = result.stderr.splitlines()
        assert error == f"error: invalid setting {name} from environment {env_name(name)}: {words}"
        assert env_name(name) in hint


def test_path_names_the_places_from_the_strongest_down(alone: Command) -> None:
    lines = alone.run("config", "path", real=True).stdout.splitlines()
    assert lines == [
        "the command line",
        "the environment (STOCKCTL_…)",
        f"{alone.folder / 'stockctl.toml'} (absent)",
        f"{alone.folder / 'xdg' / 'stockctl' / 'stockctl.toml'} (absent)",
        "defaults of the profile local",
    ]


def test_a_short_secret_shows_nothing_of_itself() -> None:
    assert masked("short") == "****"
    assert masked("twelve-chars") == "****hars"


def test_the_file_that_init_writes_is_for_its_owner_to_share(alone: Command) -> None:
    """It holds no secret, so it needs no rights of its own."""
    alone.run("config", "init")
    text = (alone.folder / "stockctl.toml").read_text()
    assert stat.S_IMODE((alone.folder / "stockctl.toml").stat().st_mode) & 0o400
    assert "token =" not in text
    assert "password =" not in text
