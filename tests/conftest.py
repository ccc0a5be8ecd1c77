"""Servers and helpers that many tests share. A server that does not start is a failure that says why, never a skip."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from itertools import chain, islice
from pathlib import Path

import hypothesis
import pytest

from stockctl.settings import Settings, load_settings
from tests import command as commands
from tests.command import BIN, HANG, Command, clean_environment

# How many examples a property gets: for the gate, for Pythons beside the gate's own, and for hours of searching.
for _profile, _examples in (("gate", 100), ("small", 10), ("thorough", 5000)):
    hypothesis.settings.register_profile(
        _profile,
        max_examples=_examples,
        # A busy machine is no defect: pytest's own time limit catches what hangs, and no example is too slow.
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


def examples(share: float) -> int:
    """That share of the examples that the profile gives a property, at least one."""
    return max(1, round(share * hypothesis.settings().max_examples))


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--real-processes``: start every command as a process of its own, and not by the fork server."""
    parser.addoption("--real-processes", action="store_true", help="start every stockctl as a process of its own")


def pytest_configure(config: pytest.Config) -> None:
    """Hand the option on to ``Command``."""
    commands.real_processes = config.getoption("--real-processes")


# A job in a shell's background has SIGINT ignored, and would hand that on to every command that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The binary itself: its wrapper script, when killed, would leave the broker running.
NOIDA_DB = str(files("noida_db") / "noida-db")


# pytest-xdist's own variables: no port is given by two workers.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_given_ports: set[int] = set()


def free_port() -> int:
    """A port that nothing listens on now, was not given before, and is none of those that outgoing connections get."""
    while True:
        port = random.SystemRandom().randrange(15_000 + WORKER, 32_000, WORKERS)
        if port in _given_ports:
            continue
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        _given_ports.add(port)
        return port


def wait_for(condition: Callable[[], object], what: str, seconds: float = 120.0) -> None:
    """Wait until ``condition`` holds; fail naming ``what`` after ``seconds``: a bound for what hangs, and no expectation."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.05)


def listening(port: int) -> bool:
    """Whether something accepts connections at ``port`` of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def mark_below(folder: Path, items: list[pytest.Item], mark: str) -> None:
    """Mark every test in ``folder``."""
    for item in items:
        if folder in item.path.parents:
            item.add_marker(mark)


SLOW = (
    "tests/test_readme.py",
    "tests/mongo/test_sink.py",
    "tests/local/test_stack.py",
    "tests/lake/test_compact.py",
    "tests/lake/test_sink.py",
    "tests/local/test_lives.py",
    "tests/warehouse/test_partition_sync.py",
    "tests/filings/test_storage.py",
    "tests/test_secrets.py",
)
"""The files whose tests take longest, the longest first."""
PIECES = 4


def dealt(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """``items`` in an order that keeps all workers busy to the end: each worker's piece begins with slow ones.

    pytest-xdist gives each an equal number, in order, and later what is left at the end of a piece to an idle worker.
    """
    items.sort(key=lambda item: "test_the_examples_run" not in item.name)
    rest = iter([item for item in items if not item.nodeid.startswith(SLOW)])
    for piece in range(PIECES):
        slow = [item for name in SLOW[piece::PIECES] for item in items if item.nodeid.startswith(name)]
        yield from chain(slow, islice(rest, max(0, len(items) // PIECES - len(slow))))
    yield from rest


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark the tests that start a server, by the fixtures that they ask for, and those about processes, by what they import."""
    for item in items:
        if {"broker", "s3_server", "mongo_server"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("server")
        if hasattr(item.module, "Command") and "tests/cli" not in item.path.as_posix():  # type: ignore[attr-defined]
            item.add_marker("process")
    yield
    items[:] = dealt(items)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded broker (a stand-in with Kafka's protocol); its address."""
    folder = tmp_path_factory.mktemp("broker")
    port = free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [NOIDA_DB, "start", "--only", "kafka", "--kafka-port", str(port), "--data-dir", folder / "data"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    wait_for(lambda: listening(port) or process.poll() is not None, "the embedded broker")
    assert process.poll() is None, (folder / "log").read_text()
    yield f"127.0.0.1:{port}"
    process.kill()
    process.wait()


class MongoServer:
    """The MongoDB stand-in (``secantusdb``, which speaks MongoDB's wire protocol) as a process of its own, on its own data."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.port, self.options = folder, free_port(), options
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"mongodb://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start on the data that is there, and wait until it takes connections."""
        command: list[str | Path] = [
            BIN / "secantusd-py",
            "--port",
            str(self.port),
            "--storage-path",
            self.folder / "data",
            *self.options,
        ]
        with (self.folder / "log").open("ab") as log:
            process = self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT)
        wait_for(lambda: listening(self.port) or process.poll() is not None, "the MongoDB stand-in")
        assert self.process.poll() is None, (self.folder / "log").read_text()

    def stop(self) -> None:
        """Stop it, and wait until it is gone."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(HANG)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    """A MongoDB stand-in for all tests; each keeps to a database of its own."""
    server = MongoServer(tmp_path_factory.mktemp("mongo"))
    server.start()
    yield server
    server.stop()


S3_CONFIG = """{"identities":[{"name":"owner","credentials":[{"accessKey":"owner","secretKey":"owner-secret-key"}],
"actions":["Admin","Read","Write","List","Tagging"]},{"name":"reader","credentials":[{"accessKey":"reader",
"secretKey":"reader-secret-key"}],"actions":["Read","List"]}]}"""


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SeaweedFS, an S3 server with conditional puts and checked signatures; its address. Key ``owner``/``owner-secret-key``."""
    folder = tmp_path_factory.mktemp("s3")
    (folder / "s3.json").write_text(S3_CONFIG)
    ports = {name: free_port() for name in ("master.port", "volume.port", "filer.port", "s3.port")}
    ports |= {f"{name}.grpc": free_port() for name in ports}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                BIN / "weed",
                "server",
                f"-dir={folder}",
                "-ip=127.0.0.1",
                "-s3",
                *(f"-{name}={port}" for name, port in ports.items()),
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                "-s3.allowDeleteBucketNotEmpty=false",
                "-volume.max=200",
                f"-s3.config={folder / 's3.json'}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    wait_for(lambda: listening(ports["s3.port"]) or process.poll() is not None, "the S3 server")
    assert process.poll() is None, (folder / "log").read_text()
    yield f"http://127.0.0.1:{ports['s3.port']}"
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def s3_bucket(s3_server: str) -> str:
    """A bucket on the S3 server; each test keeps to a prefix of its own."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=s3_server,
        region_name="us-east-1",
        aws_access_key_id="owner",
        aws_secret_access_key="owner-secret-key",
    )
    client.create_bucket(Bucket="market")
    client.close()
    return "market"


@pytest.fixture
def s3_environment(s3_server: str) -> dict[str, str]:
    """Settings, as environment variables, that reach the S3 server as its owner."""
    return {
        "STOCKCTL_S3__ENDPOINT_URL": s3_server,
        "STOCKCTL_S3__REGION": "us-east-1",
        "STOCKCTL_S3__ACCESS_KEY_ID": "owner",
        "STOCKCTL_S3__SECRET_ACCESS_KEY": "owner-secret-key",
    }


def own(broker: str, folder: Path) -> tuple[Settings, Command]:
    """Settings of its own for a test or a module, in ``folder``, and the command with them."""
    from stockctl.settings import env_name

    names = own_names(broker, folder)
    command = Command(folder, **{env_name(name): value for name, value in names.items()})
    return load_settings(environ=clean_environment(), flags=names), command


@pytest.fixture
def settings(broker: str, tmp_path: Path) -> Settings:
    """Settings of a test of its own: the embedded broker, fresh topics, a fresh lake in a folder."""
    return own(broker, tmp_path)[0]


def own_names(broker: str, folder: Path) -> dict[str, str]:
    """Dotted settings that keep one test's topics, group, lake and state apart from every other's."""
    mark = f"{folder.parent.name}-{folder.name}"[-60:]
    return {
        "kafka.bootstrap_servers": broker,
        "topics.trades.name": f"trades-{mark}",
        # Tests make records of any date, and a broker deletes what is past its retention by the record's own time.
        "topics.trades.retention": "36500d",
        "topics.feed_events.name": f"feed-events-{mark}",
        "topics.feed_events.retention": "36500d",
        "topics.signals.name": f"signals-{mark}",
        "topics.signals.retention": "36500d",
        "topics.dead_letters.name": f"dlq-{mark}",
        "lake.group": f"lake-{mark}",
        "signals.group": f"signals-{mark}",
        "lake.url": (folder / "lake").as_uri(),
        "lake.cache_dir": str(folder / "cache"),
        "state_dir": str(folder / "state"),
    }


@pytest.fixture
def command(broker: str, tmp_path: Path) -> Command:
    """The command with the settings of a test of its own."""
    return own(broker, tmp_path)[1]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The fault suite's closing line. It stands here because the process that gathers from several workers reads no other."""
    faults: list[str] = []
    records = lost = 0
    for report in chain.from_iterable(terminalreporter.stats.values()):
        if getattr(report, "when", None) == "teardown":
            for injected, came, gone in (value for name, value in report.user_properties if name == "faults"):
                faults += injected
                records += came
                lost += gone
    if faults:
        but = f", {lost} of them lost by Kafka and accepted as lost" if lost else ""
        terminalreporter.write_line(
            f"{len(faults)} faults of {len(set(faults))} kinds injected: {records} records, each in the lake exactly once{but}"
        )
