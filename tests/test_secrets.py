"""Secrets end in the environment: no log, error, traceback, object, record, state file or command line holds one."""

from __future__ import annotations

from pathlib import Path

from stockctl.settings import env_name, load_settings
from tests.command import HANG, Command, clean_environment
from tests.conftest import free_port, listening, own_names, wait_for
from tests.leaks import Leaks, spellings

TOKEN = "fh tok/en+4711=é&ü%"
PASSWORD = "kafka pass/word+0815"
WRONG = "wrong secret/key+42"
S3_SECRET = "owner-secret-key"


def test_each_spelling_of_a_secret_is_found(tmp_path: Path) -> None:
    """The search itself: plain, as in an address, as in JSON, as in a login."""
    for number, spelling in enumerate(sorted(spellings(TOKEN))):
        (tmp_path / f"{number}.log").write_bytes(b"before " + spelling + b" behind")
    (tmp_path / "clean.log").write_text("fh tok en")
    leaks = Leaks(TOKEN)
    leaks.files(tmp_path)
    assert len(leaks.seen) == len(spellings(TOKEN)) >= 5


def exercise(command: Command, leaks: Leaks, sim_port: int) -> None:
    """The whole pipeline, and much that goes wrong in it, with tracebacks and all that can be logged."""

    def run(*arguments: str, check: int | None = 0, **more: str) -> None:
        before = dict(command.environment)
        command.environment |= {env_name(name.replace("__", ".")): value for name, value in more.items()}
        result = command.run(*arguments, check=None)
        command.environment = before
        leaks.look("words", " ".join(arguments), result.stdout + result.stderr)
        assert check is None or result.returncode == check, (arguments, result.returncode, result.stderr[-2000:])

    # Processes of their own: what one that was forked was given does not stand in its command line.
    sim = command.start("--debug", "sim", "--port", str(sim_port), log=command.folder / "sim.log", real=True)
    wait_for(lambda: listening(sim_port), "the simulator")
    run("--debug", "topics", "apply")
    roles = [
        command.start("--debug", "produce", "AAPL", "MSFT", log=command.folder / "produce.log", real=True),
        command.start("--debug", "consume", "s3", log=command.folder / "consume.log", real=True),
    ]
    wait_for(lambda: " rows in " in (command.folder / "consume.log").read_text(), "the first batch")
    run("status", check=None)
    run("doctor", check=None)
    run("config", "show", "--origin")
    run("--debug", "filings", "fetch", "AAPL", "--since", "2026-06-01", check=3)  # no header may hold that key
    run("--debug", "filings", "fetch", "AAPL", "--since", "2026-06-01", finnhub__token=WRONG)  # the simulator takes any
    run("--debug", "filings", "list", "AAPL")
    run("--debug", "filings", "show", "AAPL")
    run("doctor", check=None, finnhub__token=WRONG)
    for role in [*roles, sim]:
        role.terminate()
    for role in [*roles, sim]:
        assert role.wait(HANG) == 0, [path.read_text()[-3000:] for path in command.folder.glob("*.log")]
    run("--debug", "lake", "verify", "--deep")
    run("--debug", "lake", "compact", "--before", "2199-01-01")
    run("--debug", "lake", "read", "AAPL", "-o", "csv")
    run("--debug", "metrics", "vwap", "AAPL", "--session", "all")

    # What goes wrong: nothing listens, the key is another one, a setting is none.
    run("--debug", "produce", "--for", "1s", check=None)
    run("--debug", "doctor", check=None)
    run("--debug", "filings", "fetch", "MSFT", check=5, finnhub__token=WRONG, finnhub__request_tries="2")
    run("--debug", "lake", "list", check=None, s3__secret_access_key=WRONG)
    run("--debug", "consume", "s3", "--once", check=None, s3__secret_access_key=WRONG)
    run("--debug", "lake", "verify", check=None, s3__endpoint_url="http://127.0.0.1:1", lake__store_wait="1s")
    run("--debug", "topics", "list", check=None, kafka__bootstrap_servers="127.0.0.1:1", kafka__connect_wait="1s")
    run("--debug", "topics", "list", check=None, kafka__security_protocol="SASL_SSL", kafka__connect_wait="2s")
    run("--debug", "topics", "list", check=None, kafka__password=WRONG, kafka__connect_wait="2s")
    run("--debug", "config", "show", check=None, kafka__ssl_key_password=WRONG, finnhub__url=f"wss://x?token={TOKEN}")
    run("--debug", "config", "show", check=None, lake__url=f"s3://owner:{S3_SECRET}@market/lake")


def secret_environment(s3_environment: dict[str, str], folder: Path, sim_port: int, **more: str) -> dict[str, str]:
    """Settings with every secret set, all that can be logged, and batches at once; ``more`` with ``__`` for dots."""
    options = {
        "lake.url": f"s3://market/secrets-{folder.parent.name}-{folder.name}",
        "finnhub.url": f"ws://127.0.0.1:{sim_port}",
        "finnhub.rest_url": f"http://127.0.0.1:{sim_port}/api/v1",
        "finnhub.token": TOKEN,
        "kafka.username": "stockctl",
        "kafka.password": PASSWORD,
        "lake.max_age": "1s",
        "log.level": "DEBUG",
        "log.every": "1s",
    }
    options |= {name.replace("__", "."): value for name, value in more.items()}
    return s3_environment | {env_name(name): value for name, value in options.items()}


def search(command: Command, leaks: Leaks, sim_port: int) -> None:
    """Run all of it, then look everywhere; each kind of place must have been there to be looked at."""
    with leaks.command_lines():
        exercise(command, leaks, sim_port)
    values = {name: value for name, value in command.environment.items() if name.startswith("STOCKCTL_")}
    settings = load_settings(environ=clean_environment(**values))
    leaks.files(command.folder)
    leaks.objects(settings)
    leaks.records(settings)
    assert leaks.seen == []
    assert {"words", "file", "object", "metadata", "record", "command line"} <= leaks.looked.keys()
    assert leaks.looked["record"] > 10
    assert leaks.looked["object"] > 5


def test_no_secret_is_left_anywhere(broker: str, s3_environment: dict[str, str], s3_bucket: str, tmp_path: Path) -> None:
    """The pipeline with the embedded broker and S3; each kind of place was really looked at."""
    port = free_port()
    own = {env_name(name): value for name, value in own_names(broker, tmp_path).items()}
    command = Command(tmp_path, **(own | secret_environment(s3_environment, tmp_path, port)))
    search(command, Leaks(TOKEN, PASSWORD, WRONG, S3_SECRET), port)
