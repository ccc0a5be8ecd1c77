"""The command itself: start-up, help, completion, and how errors become words and exit codes."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from stockctl import __version__
from stockctl.cli.main import app
from stockctl.cli.output import reader_has_left, reader_may_leave
from stockctl.errors import EXIT_CODES
from stockctl.local.files import StackFiles
from stockctl.settings import STACK_FILE_END
from tests.command import BIN, HANG, Command, clean_environment
from tests.conftest import free_port, listening

HEAVY = [
    "boto3", "botocore", "confluent_kafka", "duckdb", "httpx", "msgspec", "obstore", "prometheus_client", "pyarrow", "pydantic",
    "rich.table", "sqlglot", "tenacity", "websocket", "websockets",
]  # fmt: skip


@pytest.fixture
def alone(tmp_path: Path) -> Command:
    """The command with nothing configured, in an empty folder."""
    return Command(tmp_path, XDG_CONFIG_HOME=str(tmp_path / "xdg"))


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command of the tree with its name in words, groups included."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if not command.hidden:
            yield " ".join((*path, name)), command
            if hasattr(command, "commands"):
                yield from commands(command, (*path, name))


LEAVES = {name: command for name, command in commands() if not hasattr(command, "commands")}


def test_the_commands_of_the_issue_are_there() -> None:
    wanted = ["config init", "config show", "config path", "doctor", "status", "produce", "consume s3", "sim"]
    wanted += ["topics apply", "topics list", "topics diff", "topics lag", "lake list", "lake verify", "local up", "local down"]
    assert set(wanted) <= set(LEAVES)


@pytest.mark.parametrize("name", LEAVES)
def test_help_is_one_imperative_line_and_an_example(name: str) -> None:
    lines = LEAVES[name].help.strip().splitlines()
    assert len(lines[0]) <= 62, "the list of a group's commands would cut it"
    first = lines[0].split()[0]
    assert first[0].isupper()
    assert not first.endswith(("s", "ing", "ed")), f"{first}: say what to do, not what is done"
    assert any(line.strip().startswith(f"Example: stockctl {name}") for line in lines)


@pytest.mark.parametrize(("name", "command"), [pair for pair in commands() if hasattr(pair[1], "commands")])
def test_every_group_says_what_it_is_for(name: str, command: Any) -> None:
    assert command.help, name
    assert command.help.endswith(".")


def parse(command: Any, arguments: list[str]) -> None:
    """Parse as the command would, and run nothing."""
    context = command.make_context(command.name, arguments)
    if hasattr(command, "commands"):
        _, inner, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        parse(inner, rest)


@pytest.mark.parametrize("name", LEAVES)
def test_every_example_is_a_command_line_that_parses(name: str) -> None:
    examples = [line.strip().removeprefix("Example: ") for line in LEAVES[name].help.splitlines() if "Example: " in line]
    for example in examples:
        first, *arguments = shlex.split(example.split(" | ")[0].split(" > ")[0])
        assert first == "stockctl"
        parse(typer.main.get_command(app), arguments)


@pytest.mark.parametrize("name", LEAVES)
def test_every_option_and_argument_has_help(name: str) -> None:
    for parameter in LEAVES[name].params:
        assert getattr(parameter, "help", None), f"{name}: {parameter.name}"


DELETING = [name for name in LEAVES if name.split()[-1] in ("delete", "reset", "prune", "drop")] + ["infra down"]


@pytest.mark.parametrize("name", DELETING)
def test_what_deletes_asks_first_and_takes_yes(name: str) -> None:
    (option,) = [parameter for parameter in LEAVES[name].params if parameter.name == "yes"]
    assert (option.opts, option.default) == (["--yes", "-y"], False)


def test_an_option_that_parses_wrongly_would_be_noticed() -> None:
    """The walk above can fail."""
    with pytest.raises(BaseException, match=r"(?i)no such option"):
        parse(typer.main.get_command(app), ["topics", "list", "--nonsense"])


def test_help_imports_no_sdk_and_nothing_heavy() -> None:
    program = (
        "import sys\nfrom stockctl.cli.main import main\nsys.argv = ['stockctl', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG, env=clean_environment()
    )
    assert "Usage: stockctl" in result.stdout
    assert result.stderr.strip() == "[]"


def test_the_version_is_the_packages(alone: Command) -> None:
    """By the script that the installation made."""
    assert alone.run("--version", real=True).stdout == f"stockctl {__version__}\n"


def test_the_package_runs_as_a_module() -> None:
    result = subprocess.run([sys.executable, "-m", "stockctl", "--version"], capture_output=True, text=True, timeout=HANG)
    assert result.stdout == f"stockctl {__version__}\n"


def test_help_lists_every_exit_code(alone: Command) -> None:
    text = " ".join(alone.run("--help").stdout.split())
    for code, meaning in EXIT_CODES.items():
        assert f"{code} {meaning}" in text


def test_completion_can_be_shown_for_the_shell_that_asks(alone: Command) -> None:
    """Bash starts it as a child here, as a person's shell does, and not in its own place."""
    script = f"{BIN / 'stockctl'} --show-completion; exit $?"
    result = subprocess.run(["bash", "-c", script], env=alone.environment, capture_output=True, text=True, timeout=HANG)
    assert result.returncode == 0
    assert "complete -o default -F _stockctl_completion stockctl" in result.stdout


def test_completion_completes(alone: Command) -> None:
    alone.environment |= {"_STOCKCTL_COMPLETE": "complete_bash", "COMP_WORDS": "stockctl topics ", "COMP_CWORD": "2"}
    assert set(alone.run().stdout.split()) >= {"apply", "list", "diff", "lag"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nonsense"], 2, "error: no such command 'nonsense'\n  try: `stockctl --help`\n"),
        (["lake", "lst"], 2, "error: no such command 'lst'. Did you mean 'list'?\n  try: `stockctl lake --help`\n"),
        (["lake", "read", "--sinse", "now"], 2, "error: no such option: --sinse (Possible options: --since, --wide)\n  try: "),
        (["topics", "list", "-o", "xml"], 2, "'xml' is not one of 'table', 'markdown'"),
        (["dlq", "show"], 2, "error: missing argument 'ID'\n  try: `stockctl dlq show --help`\n"),
        (
            ["sim", "--port", "x"],
            2,
            "error: invalid value for '--port': it is not a whole number\n  try: `stockctl sim --h",
        ),
        (["lake", "prune", "--before"], 2, "error: option '--before' requires an argument\n  try: "),
        (["lake", "list", "-q"], 2, "error: -q goes before the command\n  try: `stockctl -q lake list`\n"),
        (["lake", "-p", "prod", "list"], 2, "error: -p goes before the command\n  try: `stockctl -p … lake`\n"),
        (["--config", "no-such.toml", "topics", "list"], 3, "cannot read no-such.toml"),
        (["--profile", "prod", "topics", "list"], 3, "no stockctl.toml"),
    ],
)
def test_a_wrong_command_line_or_setting_ends_in_words_and_its_code(
    alone: Command, arguments: list[str], code: int, words: str
) -> None:
    result = alone.run(*arguments, check=code)
    assert words in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_malformed_toml_is_a_matter_of_configuration(alone: Command) -> None:
    (alone.folder / "stockctl.toml").write_text("[profile.local\n")
    result = alone.run("topics", "list", check=3)
    assert "not valid TOML" in result.stderr
    assert "try: " in result.stderr


def test_a_broker_that_is_away_is_unreachable_after_a_bounded_wait_that_says_what_for(alone: Command) -> None:
    address = f"127.0.0.1:{free_port()}"
    alone.environment |= {"STOCKCTL_KAFKA__BOOTSTRAP_SERVERS": address, "STOCKCTL_KAFKA__CONNECT_WAIT": "3s"}
    result = alone.run("topics", "list", check=5)
    assert f"waiting up to 3s for Kafka at {address}" in result.stderr
    assert "cannot reach a broker within 3s" in result.stderr
    assert "Traceback" not in result.stderr


def unreachable(alone: Command, *commands: str) -> Iterator[tuple[str, str]]:
    """Run the commands at the same time, because each waits for a timeout; each with its messages."""
    started = {command: alone.start(*command.split(), log=alone.folder / f"{command}.log") for command in commands}
    for command, process in started.items():
        code, said = process.wait(HANG), (alone.folder / f"{command}.log").read_text()
        assert code == 5, f"{command}: exit {code}\n{said}"
        yield command, said


def test_dead_letters_say_that_they_wait_for_kafka(alone: Command) -> None:
    address = f"127.0.0.1:{free_port()}"
    alone.environment |= {"STOCKCTL_KAFKA__BOOTSTRAP_SERVERS": address, "STOCKCTL_KAFKA__CONNECT_WAIT": "2500ms"}
    for command, said in unreachable(alone, "dlq list", "dlq show x", "dlq replay --all", "dlq replay --all --dry-run"):
        assert f"waiting up to 2.5s for Kafka at {address}" in said, command


STOPPED = "error: the local stack is not running\n  try: "
OF_THE_STACK = (
    *("topics list", "dlq list", "consume s3 --once", "consume mongo", "metrics watch"),
    *("mongo status", "company show AAPL", "produce", "filings fetch AAPL"),
)


def stack_of(alone: Command, port: int) -> Path:
    """What a local stack with all its parts at ``port`` leaves; its lock."""
    left = alone.folder / "state" / "local" / "settings.toml"
    left.parent.mkdir(parents=True)
    left.write_text(
        f'[kafka]\nbootstrap_servers = "127.0.0.1:{port}"\n[mongo]\nurl = "mongodb://127.0.0.1:{port}"\n'
        f'[finnhub]\nurl = "ws://127.0.0.1:{port}"\nrest_url = "http://127.0.0.1:{port}"\n{STACK_FILE_END}'
    )
    return left.with_name("lock")


@pytest.mark.parametrize("started_before", [False, True])
def test_a_local_stack_that_does_not_run_is_not_waited_for(alone: Command, started_before: bool) -> None:
    """Neither the default addresses nor those that it left lead anywhere: what needs one says so instead of waiting."""
    assert not listening(9092), "a Kafka of this machine would be used"
    if started_before:
        stack_of(alone, free_port())
    for command, stdout in unreachable(alone, *OF_THE_STACK):
        assert stdout.startswith(STOPPED), command
    for command in ("status", "doctor"):
        stdout = alone.run(command, check=10).stdout
        assert "the local stack is not running" in stdout
        assert "no answer within" not in stdout


def test_what_listens_where_the_local_stack_would_is_used_and_one_that_runs_is_waited_for(alone: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        lock = stack_of(alone, mute.getsockname()[1])
        alone.environment |= {"STOCKCTL_KAFKA__CONNECT_WAIT": "1500ms", "STOCKCTL_MONGO__CONNECT_WAIT": "1500ms"}
        asked = ("topics list", "mongo status")
        for _, said in unreachable(alone, *asked):
            assert "not running" not in said
            assert said.startswith("waiting up to 1.5s for ")
    with StackFiles(lock.parent).hold():
        for _, said in unreachable(alone, *asked):
            assert "not running" not in said
            assert said.startswith("waiting up to 1.5s for ")


FROM_MONGO = ("mongo apply", "mongo diff", "mongo status", "company show AAPL", "metrics vwap AAPL --engine mongo")


def test_a_wait_for_mongodb_is_said(alone: Command) -> None:
    url = f"mongodb://127.0.0.1:{free_port()}"
    alone.environment |= {"STOCKCTL_MONGO__URL": url, "STOCKCTL_MONGO__CONNECT_WAIT": "2500ms"}
    for command, words in unreachable(alone, *FROM_MONGO):
        said, error = words.splitlines()[:2]
        assert said == f"waiting up to 2.5s for MongoDB at {url}", command
        assert error.startswith(f"error: cannot connect: MongoDB at {url}: nothing answers within 2.5s"), command


def test_debug_shows_the_traceback_of_an_error(alone: Command) -> None:
    result = alone.run("--debug", "--config", "no-such.toml", "topics", "list", check=None)
    assert result.returncode != 0
    assert "Traceback" in result.stderr
    assert "ConfigError" in result.stderr


def test_quiet_shows_errors_and_no_messages(alone: Command) -> None:
    assert "wrote " in alone.run("config", "init", "loud.toml").stderr
    assert alone.run("-q", "config", "init", "quiet.toml").stderr == ""
    again = alone.run("--quiet", "config", "init", "quiet.toml", check=1).stderr
    assert again.startswith("error: quiet.toml exists already\n")
    assert "try: --force" in again


@pytest.mark.parametrize(("option", "level"), [("-q", "WARNING"), ("--verbose", "DEBUG"), (None, "ERROR")])
def test_quiet_and_verbose_set_the_level_of_the_logs(alone: Command, option: str | None, level: str) -> None:
    """Over the setting."""
    alone.environment["STOCKCTL_LOG__LEVEL"] = "ERROR"
    result = alone.run(*([option] if option else []), "config", "show", "-o", "json")
    assert {row["setting"]: row["value"] for row in json.loads(result.stdout)}["log.level"] == level


def test_quiet_and_verbose_exclude_each_other(alone: Command) -> None:
    assert "--quiet and --verbose exclude each other" in alone.run("-q", "-v", "config", "path", check=2).stderr


@pytest.mark.parametrize(
    ("command", "code", "stderr"),
    [
        ("config show -o jsonl", 0, ""),
        ("config show -o json", 0, ""),
        ("config path", 0, ""),
        ("--help", 0, ""),
        ("--version", 0, ""),
        ("backtest run --help", 0, ""),
        ("local status", 10, "error: the local stack is not running"),
        ("local status -o csv", 10, "error: the local stack is not running"),
    ],
)
def test_a_reader_that_has_seen_enough_changes_no_result(alone: Command, command: str, code: int, stderr: str) -> None:
    """As in ``stockctl lake read … | head``: here the reader has gone before anything is written."""
    result = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {BIN / 'stockctl'} {command} | true"],
        env=alone.environment,
        cwd=alone.folder,
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert (result.returncode, result.stderr.partition("\n")[0]) == (code, stderr)


@pytest.mark.parametrize(
    ("target", "code", "stderr"),
    [(">&-", 0, ""), ("> /dev/full", 1, "error: cannot write to stdout: No space left on device")],
)
def test_a_stdout_that_takes_nothing(alone: Command, target: str, code: int, stderr: str) -> None:
    result = subprocess.run(
        ["bash", "-c", f"{BIN / 'stockctl'} config show -o jsonl {target}"],
        env=alone.environment,
        cwd=alone.folder,
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert (result.returncode, result.stderr.partition("\n")[0]) == (code, stderr)


def test_a_broken_pipe_of_something_else_is_no_reader_that_left(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BrokenPipeError), reader_may_leave():
        raise BrokenPipeError
    assert not reader_has_left()


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("true", True), ("0", False), ("false", False), ("", False)])
def test_debug_shows_the_traceback_and_keeps_the_exit_code(alone: Command, value: str, shown: bool) -> None:
    alone.environment["STOCKCTL_DEBUG"] = value
    result = alone.run("lake", "list", check=3)
    assert ("Traceback" in result.stderr) == shown
    assert "error: there is no lake at" in result.stderr


def test_output_in_a_narrow_place_is_not_cut(alone: Command) -> None:
    alone.environment |= {"COLUMNS": "20"}
    result = alone.run("config", "show")
    assert "STOCKCTL" not in result.stdout
    assert any(line.startswith("finnhub.drop_repeated_frames") for line in result.stdout.splitlines())
    assert "…" not in result.stdout


def test_no_command_needs_a_home(alone: Command, tmp_path: Path) -> None:
    """As in a container whose user has none: what is imported needs none either."""
    alone.environment = {key: value for key, value in alone.environment.items() if key not in ("HOME", "USER", "LOGNAME")}
    alone.run("config", "show", real=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dlq list --limit x", "it is not a whole number"),
        ("dlq list --limit 0", "it is below 1"),
        ("sim --port 99999", "it is above 65535"),
        ("sim --rate x", "it is not a number"),
        ("metrics vwap --engine kafka", "'--engine': 'kafka' is not one of 'lake', 'mongo', 'redshift'"),
        ("filings statement AAPL foo", "'foo' is not one of"),
    ],
)
def test_a_bad_value_on_the_command_line_is_reported_in_plain_words(alone: Command, line: str, words: str) -> None:
    refused = alone.run(*shlex.split(line), check=2).stderr
    assert words in refused
    assert "Input should" not in refused
    assert "Value error" not in refused
