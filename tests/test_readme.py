"""Runs the example commands of the README and the docs, exactly as they stand there, in a fresh home.

Every fenced block of commands (``console`` or ``sh``) names, in a comment on the line above it, what stands in for the world:

    <!-- run: here -->             nothing: it works on any machine
    <!-- run: here finnhub s3 -->  with the simulator for Finnhub's feed, SeaweedFS for AWS S3; ``glue``: moto for Glue and IAM;
                                   ``kafka`` and ``broker``: the embedded broker for the cluster that the block names, or
                                   where the settings look for one; ``stack``: a local stack that runs; ``filled``: as it
                                   is once the stack that the reader has started here holds trades, and ``decided`` signals
                                   of the reader's own strategy; ``quick``: the lake is written each second

The blocks of one document run in order, in one folder, with one home; ``fresh`` begins another, and a test of its own. In a
``console`` block the lines that begin with ``$`` are the commands, and each shown line of output without a digit must come out
again. A command with ``# until Ctrl-C`` behind it gets its Ctrl-C some seconds after its first word, and must leave with exit
code 0. ``# exit 10`` expects that code. A block of commands without the comment, or in an unknown language, fails.

Each command runs as the installed script, with an interpreter of its own. What no document runs, some test runs so. The README
is walked on a Sunday at three in the night, when the exchange has been closed for long, and must answer in full.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from stockctl.errors import EXIT_CODES
from stockctl.exchange.calendar import EXCHANGE_ZONE, to_ms
from tests.cli.test_main import LEAVES
from tests.command import BIN, HANG, Command, clean_environment
from tests.conftest import NOIDA_DB, free_port, listening, wait_for
from tests.local.stack import Stack, page_port
from tests.warehouse.conftest import moto_server

__all__ = ["moto_server"]

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = {"console", "sh"}
OTHERS = {"", "text", "toml", "json", "yaml", "python", "sql", "ini"}
"""Languages of blocks that hold no commands."""

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_RUN = re.compile(r"<!-- run: (?P<worlds>[\w ]+) -->\n\Z")
_EXIT = re.compile(r"# exit (\d+)$")

UNTIL_CTRL_C = """
import signal, subprocess, sys, time
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
print(process.stdout.readline(), end="")
time.sleep(3)
process.send_signal(signal.SIGINT)
print(process.stdout.read(), end="")
sys.exit(process.wait())
"""
"""Runs a command as a person does who leaves it some seconds after it has begun to speak."""


class Block(NamedTuple):
    """A block of example commands: where it stands, its language, its text, and what stands in for the world."""

    line: int
    language: str
    text: str
    worlds: list[str] | None


def blocks(text: str) -> Iterator[Block]:
    """Every fenced block of ``text``."""
    for fence in _FENCE.finditer(text):
        before = text[: fence.start()]
        run = _RUN.search(before)
        yield Block(before.count("\n") + 1, fence["language"], fence["text"], run["worlds"].split() if run else None)


def commands(block: Block) -> list[str]:
    """The commands of ``block``, a line each; one that ends in a backslash goes on."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "sh":
        return [line for line in lines if line.strip()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def chapters(document: Path) -> list[list[Block]]:
    """The blocks of commands of ``document``, by the homes that they run in."""
    found: list[list[Block]] = []
    for block in blocks(document.read_text()):
        if block.language in COMMANDS:
            if not found or "fresh" in (block.worlds or ()):
                found.append([])
            found[-1].append(block)
    return found


CHAPTERS = {
    f"{document.relative_to(ROOT)}{f'-{number}' if number > 1 else ''}": chapter
    for document in DOCUMENTS
    for number, chapter in enumerate(chapters(document), 1)
}
"""Every chapter of every document, by a name."""


def outputs(block: Block) -> list[str]:
    """Lines of output that ``block`` shows and that must come out again: those without a digit, with spaces as one."""
    if block.language == "sh":
        return []
    shown = [line for line in block.text.replace("\\\n", " ").splitlines() if not line.startswith("$ ")]
    return [" ".join(line.split()) for line in shown if line.strip() not in ("", "…") and not re.search(r"\d", line)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_of_commands_says_how_it_is_run(document: Path) -> None:
    for block in blocks(document.read_text()):
        where = f"{document.name}:{block.line}"
        assert block.language in COMMANDS | OTHERS, f"{where}: {block.language} is no language known here"
        if block.language in COMMANDS:
            assert block.worlds, f"{where}: a block of commands needs <!-- run: … --> on the line above it"
            assert set(block.worlds) <= set(WORLDS), f"{where}: unknown world in {block.worlds}"
            assert commands(block), f"{where}: a block of commands without a command"


def test_no_command_of_ours_stands_outside_a_block_that_is_run() -> None:
    """An example may hide in a block of another language, or in one that is only indented."""
    for document in DOCUMENTS:
        text = document.read_text()
        for block in blocks(text):
            if block.language in OTHERS:
                assert not re.search(r"^(\$ )?(stockctl|make|pip) ", block.text, re.MULTILINE), f"{document.name}:{block.line}"
        assert not re.search(r"^\n {4}(\$ )?(STOCKCTL_\S+ )*stockctl ", text, re.MULTILINE), (
            f"{document.name}: an indented example"
        )


def test_the_readme_lists_every_exit_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


def run_really() -> Iterator[str]:
    """The words of every call in the tests with ``real=True``, which gives a command an interpreter of its own."""
    for path in (ROOT / "tests").rglob("*.py"):
        if "real=True" in (text := path.read_text()):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and any(
                    given.arg == "real" and isinstance(given.value, ast.Constant) and given.value.value is True
                    for given in node.keywords
                ):
                    yield " ".join(
                        word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)
                    )


def test_every_command_runs_somewhere_with_an_interpreter_of_its_own() -> None:
    """Elsewhere tests fork it from a process that has imported everything, which would hide an import that is missing."""
    lines = [f"stockctl {words}" for words in run_really()]
    lines += [line for chapter in CHAPTERS.values() for block in chapter for line in commands(block)]
    text = "\n".join(lines)
    assert [name for name in LEAVES if not re.search(rf"\bstockctl {name}\b", text)] == []


class World:
    """What stands in for the outside: environment variables, and texts of the documents replaced by others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = clean_environment(
            HOME=str(folder),
            XDG_DATA_HOME=str(folder / "data"),
            XDG_CACHE_HOME=str(folder / "cache"),
            XDG_CONFIG_HOME=str(folder / "config"),
            STOCKCTL_DASHBOARD__PORT=page_port(folder),
            PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
        )
        self.replaced: dict[str, str] = {}

    def run(self, block: Block) -> str:
        """Run the commands of ``block`` one after the other in one shell; what came out, of stdout and stderr."""
        script = "\n".join(map(self._line, commands(block)))
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder / "work",
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1200,
        )
        assert result.returncode == 0, f"line {block.line}: exit {result.returncode}\n{script}\n{result.stdout}"
        return result.stdout

    def _line(self, command: str) -> str:
        for shown, meant in self.replaced.items():
            command = command.replace(shown, meant)
        if command.endswith("# until Ctrl-C"):
            return shlex.join([sys.executable, "-c", UNTIL_CTRL_C]) + f" {command}"
        if code := _EXIT.search(command):
            return f"code=0; {_EXIT.sub('', command)} || code=$?; test $code -eq {code[1]}"
        return command


def _here(world: World, servers: pytest.FixtureRequest) -> None:
    """Any machine."""


def _finnhub(world: World, servers: pytest.FixtureRequest) -> None:
    """The simulator for Finnhub; it takes any key."""
    address = world.environment["STOCKCTL_FINNHUB__URL"] = servers.getfixturevalue("simulator")
    world.environment["STOCKCTL_FINNHUB__REST_URL"] = f"{address.replace('ws:', 'http:')}/api/v1"


def _s3(world: World, servers: pytest.FixtureRequest) -> None:
    """SeaweedFS for AWS S3, with the bucket of the examples."""
    world.environment |= servers.getfixturevalue("bucket")


def _glue(world: World, servers: pytest.FixtureRequest) -> None:
    """The stand-in moto for Glue, IAM and STS."""
    world.environment["STOCKCTL_GLUE__ENDPOINT_URL"] = servers.getfixturevalue("moto_server")


def _kafka(world: World, servers: pytest.FixtureRequest) -> None:
    """The embedded broker for a Kafka cluster."""
    world.replaced["kafka-1:9092,kafka-2:9092"] = servers.getfixturevalue("own_broker")


def _broker(world: World, servers: pytest.FixtureRequest) -> None:
    """The embedded broker where the settings look for Kafka."""
    world.environment["STOCKCTL_KAFKA__BOOTSTRAP_SERVERS"] = servers.getfixturevalue("own_broker")


def _stack(world: World, servers: pytest.FixtureRequest) -> None:
    """A local stack that runs, with trades in its stores."""
    world.environment |= servers.getfixturevalue("local_stack")


def _filled(world: World, servers: pytest.FixtureRequest) -> None:
    """The stack that the reader has started, as it is when its stores hold trades."""
    command = Command(world.folder / "work")
    command.environment = world.environment
    wait_until_filled(command)


def _decided(world: World, servers: pytest.FixtureRequest) -> None:
    """The stack that the reader has started, as it is when its lake holds signals of the reader's strategy."""
    command = Command(world.folder / "work")
    command.environment = world.environment
    own = ("signals", "list", "--strategy", "my-strategy", "-o", "json")
    wait_for(lambda: '"id"' in command.run(*own, check=None).stdout, "a signal of my-strategy in the lake", HANG)


def _quick(world: World, servers: pytest.FixtureRequest) -> None:
    """A stack that waits for the lake no longer than it must."""
    world.environment["STOCKCTL_LAKE__MAX_AGE"] = "1s"


def wait_until_filled(command: Command) -> None:
    """Wait until MongoDB knows a company, and the lake a signal: a local stack has these last."""
    wait_for(lambda: command.run("company", "show", "AAPL", check=None).returncode == 0, "a company in MongoDB", HANG)
    wait_for(lambda: '"id"' in command.run("signals", "list", "-o", "json", check=None).stdout, "a signal in the lake", HANG)


def _checkout(world: World, servers: pytest.FixtureRequest) -> None:
    """A copy of the checkout; its environment is the reader's own, and what uv has once downloaded it knows.

    The demo is shortened; the rest is as it stands.
    """
    work = world.folder / "work"
    ours = shutil.ignore_patterns(".*", "__pycache__", "dist", "*.egg-info")
    shutil.copytree(ROOT, work, ignore=ours, dirs_exist_ok=True)
    world.environment["UV_CACHE_DIR"] = subprocess.check_output([BIN / "uv", "cache", "dir"], text=True).strip()
    world.environment["PATH"] = f"{work / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    world.environment["PYTHON"] = sys.executable
    world.replaced["make demo"] = "make demo FOR=5s"


WORLDS: dict[str, Callable[[World, pytest.FixtureRequest], None]] = {
    "here": _here,
    "fresh": _here,
    "checkout": _checkout,
    "stack": _stack,
    "filled": _filled,
    "decided": _decided,
    "quick": _quick,
    "broker": _broker,
    "finnhub": _finnhub,
    "s3": _s3,
    "glue": _glue,
    "kafka": _kafka,
}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home with nothing in it but an empty working folder; a local stack that is left there is stopped."""
    (tmp_path / "work").mkdir()
    yield tmp_path
    stack = World(tmp_path)
    subprocess.run(
        [BIN / "stockctl", "local", "down"], env=stack.environment, cwd=tmp_path, check=True, capture_output=True, timeout=HANG
    )


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[str]:
    """An embedded broker of one document, since its topics have their usual names; its address."""
    port = free_port()
    log = tmp_path / "broker.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [NOIDA_DB, "start", "--only", "kafka", "--kafka-port", str(port), "--data-dir", tmp_path / "broker"],
            stdout=stream,
            stderr=stream,
        )
    wait_for(lambda: listening(port) or process.poll() is not None, "the embedded broker")
    assert process.poll() is None, log.read_text()
    yield f"127.0.0.1:{port}"
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The simulator, as a process; its address."""
    port = free_port()
    log = tmp_path_factory.mktemp("sim") / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [BIN / "stockctl", "sim", "--port", str(port)], stdout=stream, stderr=stream, env=clean_environment()
        )
    wait_for(lambda: listening(port) or process.poll() is not None, "the simulator")
    assert process.poll() is None, log.read_text()
    yield f"ws://127.0.0.1:{port}"
    process.send_signal(signal.SIGTERM)
    assert process.wait(HANG) == 0


@pytest.fixture(scope="module")
def local_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A local stack with trades in all of its stores, for the documents that only ask them; what leads to it."""
    # It runs beside all other tests for minutes: fewer commits and polls leave them the processor.
    calm = {"STOCKCTL_MONGO__MAX_AGE": "10s", "STOCKCTL_LAKE__MAX_AGE": "5s", "STOCKCTL_KAFKA__IDLE_PAUSE": "1s"}
    stack = Stack(tmp_path_factory.mktemp("stack") / "a folder")
    stack.environment |= calm
    stack.run("local", "up")
    stack.wait_for_more()
    wait_until_filled(stack)
    yield {name: value for name, value in stack.environment.items() if name.startswith("STOCKCTL_")}
    stack.run("local", "down", check=None)  # a writer that a busy machine lets leave late says so by the exit code


@pytest.fixture
def bucket(s3_environment: dict[str, str]) -> dict[str, str]:
    """The bucket ``my-bucket`` on SeaweedFS; the environment variables that reach it."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=s3_environment["STOCKCTL_S3__ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="owner",
        aws_secret_access_key="owner-secret-key",
    )
    if "my-bucket" not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket="my-bucket")
    client.close()
    return s3_environment


def walk(
    chapter: list[Block], home: Path, request: pytest.FixtureRequest, **environment: str
) -> Iterator[tuple[Block, World, list[str]]]:
    """Run the blocks one after the other: each with its world and what came out, a line each with spaces as one."""
    for block in chapter:
        world = World(home)
        world.environment |= environment
        for name in block.worlds or ():
            WORLDS[name](world, request)
        messages = [" ".join(line.split()) for line in world.run(block).splitlines()]
        missing = [line for line in outputs(block) if line not in messages]
        assert not missing, f"line {block.line} shows {missing}\nand says\n" + "\n".join(messages)
        yield block, world, messages


def chapters_of(*, readme: bool) -> pytest.MarkDecorator:
    """The chapters of the README, or those of all other documents."""
    chosen = {name: chapter for name, chapter in CHAPTERS.items() if name.startswith("README") == readme}
    return pytest.mark.parametrize("chapter", chosen.values(), ids=list(chosen))


@pytest.mark.timeout(2400)
@chapters_of(readme=False)
def test_the_examples_run(chapter: list[Block], home: Path, request: pytest.FixtureRequest) -> None:
    for _ in walk(chapter, home, request):
        pass


@pytest.mark.timeout(2400)
@chapters_of(readme=True)
def test_the_readmes_examples_answer_in_full_at_three_on_a_sunday(
    chapter: list[Block], home: Path, request: pytest.FixtureRequest
) -> None:
    today = datetime.now(EXCHANGE_ZONE)
    sunday = (today + timedelta(7 - today.isoweekday() % 7)).replace(hour=3, minute=0)
    clock = {"CLOCK_AHEAD_NS": str(to_ms(sunday) * 1_000_000 - time.time_ns()), "PYTHONPATH": str(ROOT / "tests" / "ahead")}
    for block, world, said in walk(chapter, home, request, **clock):
        empty = re.compile(r": no trades$|^no trade of|holds no|no coverage known|outside session hours")
        assert [line for line in said if empty.search(line)] == [], f"line {block.line}"
        if "stockctl local up" in block.text and "stockctl local down" not in block.text:
            wait_for(partial(answers_in_full, world), "full answers", HANG)


def answers_in_full(world: World) -> bool:
    """Whether the stack of ``world`` has every figure of every symbol and has covered the time; what it lacks is printed."""
    command = Command(world.folder / "work")
    command.environment = world.environment
    missing = []
    for engine in ("lake", "mongo"):
        for row in json.loads(command.run("metrics", "summary", "--engine", engine, "-o", "json").stdout):
            figures = [name for name in ("vwap", "open", "high", "low", "close", "volatility", "rate") if row[name] is None]
            if figures or (row["coverage"] or 0) < 95:
                missing.append(f"{engine} {row['symbol']} {figures} {row['coverage']}")
    company = command.run("company", "show", "AAPL", "-o", "json", check=None).stdout
    session = json.loads(company)["session"] if company else {}
    missing += [name for name in ("vwap", "volatility", "rate", "coverage") if session.get(name) is None]
    bars = subprocess.check_output(
        [BIN / "python", "-c", "import stockctl; print(stockctl.read_bars(['AAPL'], every='5m').column('close').to_pylist())"],
        env=world.environment,
        cwd=command.folder,
        text=True,
    )
    missing += [bars] * ("None" in bars or bars == "[]\n")
    print(missing)
    return not missing
