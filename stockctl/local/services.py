"""What the local stack is made of: embedded broker and MongoDB, simulator or real feed, ``produce``, the writers."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from stockctl.clients.kafka import Admin
from stockctl.errors import ConfigError, StockctlError
from stockctl.local import broker
from stockctl.local import mongo as standin
from stockctl.local.files import StackFiles
from stockctl.local.processes import last_words
from stockctl.local.supervisor import Part
from stockctl.settings import Settings, display_value, env_name, load_settings, require, setting_names
from stockctl.stream.lag import read_lag
from stockctl.units import counted, format_duration

Mode = Literal["sim", "live"]

_DRAIN_SECONDS = 120.0
_HEALTH = {"consume-s3": "/healthz", "consume-mongo": "/healthz", "produce": "/healthz", "sim": "/counters"}
"""Where each part says over HTTP how it is."""


@dataclass(frozen=True)
class Plan:
    """A stack about to run: ``settings`` as its parts see them, in ``environment``; ``shared`` is what other commands read.

    ``command`` is how to call ``stockctl``.
    """

    mode: Mode
    command: Sequence[str]
    settings: Settings
    environment: Mapping[str, str]
    shared: Mapping[str, str | list[str]]


def check(settings: Settings, mode: Mode) -> None:
    """ConfigError if something is missing that the stack cannot do without: packages, symbols, the real feed's key."""
    needed = ("noida_db", "secantus", *(["websockets"] if mode == "sim" else []))
    if missing := [name for name in needed if find_spec(name) is None]:
        raise ConfigError(
            f"the local stack needs {' and '.join(missing)}, of the extra `local`", hint="pip install 'stockctl[local]'"
        )
    for name in ("symbols", "lake.url", *(["finnhub.token"] if mode == "live" else [])):
        require(settings, name)


def plan(
    settings: Settings, files: StackFiles, mode: Mode, ports: Mapping[str, int], command: Sequence[str], config: Path | None
) -> Plan:
    """Settle every address. ``settings`` are the user's, without those of an earlier stack; ``config`` is their file, where
    it is not the one that is found from here.

    Simulated and real trades never meet: each mode has a broker's data, waiting events and, unless the user named one, a lake
    of its own.
    """
    shared: dict[str, str | list[str]] = {
        "kafka.bootstrap_servers": f"127.0.0.1:{ports['broker']}",
        "kafka.security_protocol": "PLAINTEXT",
        "finnhub.url": settings.finnhub.url if mode == "live" else f"ws://127.0.0.1:{ports['sim']}",
        "finnhub.rest_url": settings.finnhub.rest_url if mode == "live" else f"http://127.0.0.1:{ports['sim']}/api/v1",
        "lake.url": str(settings.lake.url),
        "mongo.url": f"mongodb://127.0.0.1:{ports['mongo']}",
        "symbols": settings.symbols,
    }
    if mode == "live" and settings.origin("lake.url").startswith("defaults"):
        shared["lake.url"] = (settings.state_dir.absolute() / "lake-live").as_uri()
    environment = environment_of({**shared, "state_dir": str(files.folder / mode), "health.host": "127.0.0.1"})
    for name in ("mongo.username", "mongo.password", "mongo.password_file"):
        # The stand-in asks for no login.
        environment.pop(env_name(name), None)
    if mode == "sim":
        # The simulator takes any key: the user's own stays out of it.
        environment.pop(env_name("finnhub.token") + "_FILE", None)
        environment[env_name("finnhub.token")] = "sim"
    return Plan(mode, command, load_settings(config=config, environ=environment), environment, shared)


def described(settings: Settings) -> dict[str, str]:
    """Every setting as text, secrets masked: to see what has changed since."""
    return {name: str(display_value(settings, name)) for name in setting_names()}


def environment_of(shared: Mapping[str, str | list[str]]) -> dict[str, str]:
    """The environment for a child that is to see a stack's settings, whatever else this process's environment says."""
    pinned = {env_name(name): value if isinstance(value, str) else ",".join(value) for name, value in shared.items()}
    return {**os.environ, "STOCKCTL_PROFILE": "local"} | pinned


def parts(plan: Plan, files: StackFiles, ports: Mapping[str, int]) -> list[Part]:
    """The parts of ``plan``, in the order in which they start."""
    settings = plan.settings
    home = files.folder / plan.mode
    home.mkdir(parents=True, exist_ok=True)

    def part(name: str, *arguments: str, ready: Callable[[], str | None], **rest: object) -> Part:
        return Part(name, (*plan.command, *arguments), ready, environment=plan.environment, **rest)  # type: ignore[arg-type]

    broker_part = Part(
        "broker",
        broker.command(ports["broker"], home / "kafka"),
        lambda: _answer(ports["broker"], lambda: broker.ready(settings)),
        address=settings.kafka.bootstrap_servers,
        environment=plan.environment,
        # It saves what it holds when it is asked to leave.
        grace=60.0,
    )
    lake = part(
        "consume-s3",
        *("consume", "s3", "--health-port", str(ports["consume-s3"])),
        prepare=lambda: broker.forget_members(settings, settings.lake.group),
        ready=lambda: trouble("consume-s3", ports),
        after=("broker",),
        address=settings.lake.url,
        grace=30.0,
        watch=broker.Rebalances(settings, settings.lake.group),
        finish=lambda: drain(plan, files, "s3", settings.lake.group, "the lake"),
    )
    mongo = Part(
        "mongo",
        standin.command(ports["mongo"], home / "mongo"),
        lambda: _answer(ports["mongo"], lambda: standin.ready(settings)),
        address=str(settings.mongo.url),
        environment=plan.environment,
    )
    consume_mongo = part(
        "consume-mongo",
        *("consume", "mongo", "--health-port", str(ports["consume-mongo"])),
        prepare=lambda: broker.forget_members(settings, settings.mongo.group),
        ready=lambda: trouble("consume-mongo", ports),
        after=("broker", "mongo"),
        address=str(settings.mongo.url),
        watch=broker.Rebalances(settings, settings.mongo.group),
        finish=lambda: drain(plan, files, "mongo", settings.mongo.group, "MongoDB"),
    )
    stores = [broker_part, lake, mongo, consume_mongo]
    produce = part(
        "produce",
        *("produce", "--health-port", str(ports["produce"])),
        ready=lambda: trouble("produce", ports),
        after=("broker", "sim") if plan.mode == "sim" else ("broker",),
        address=settings.finnhub.url,
    )
    if plan.mode == "live":
        return [*stores, produce]
    sim = part("sim", "sim", "--port", str(ports["sim"]), ready=lambda: trouble("sim", ports), address=settings.finnhub.url)
    return [*stores, sim, produce]


def part_names(mode: Mode) -> list[str]:
    """Names of the parts, each of which has a port."""
    return ["broker", "consume-s3", "mongo", "consume-mongo", *(["sim"] if mode == "sim" else []), "produce"]


def _answer(port: int, ask: Callable[[], None]) -> str | None:
    """None if something listens at ``port`` and ``ask`` raises nothing, else what is waited for.

    Nobody is asked before it listens: a client would wait for it, and all other parts with it.
    """
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError as error:
        return f"waits for an answer at port {port}: {error}"
    ask()
    return None


def trouble(name: str, ports: Mapping[str, int], *, timeout: float = 1.0) -> str | None:
    """What the part says is wrong with it, or that it does not answer; None if it is well, or says nothing of the kind."""
    if name not in _HEALTH or name not in ports:
        return None
    port = ports[name]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", _HEALTH[name])
        answer = connection.getresponse()
        text = answer.read(500).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"waits for an answer at port {port}: {error}"
    finally:
        connection.close()
    return None if answer.status == 200 else text


def drain(plan: Plan, files: StackFiles, store: str, group: str, place: str) -> str | None:
    """See to it that everything in Kafka is in ``place``, once ``consume STORE`` has left; what is not and why, or None."""
    settings, log = plan.settings, files.log(f"consume-{store}")

    def behind(records: int) -> str:
        return f"{counted(records, 'record of Kafka is', 'records of Kafka are')} not in {place} yet"

    left = f"what is left in Kafka is not in {place} yet"
    try:
        admin = Admin(settings)
        admin.wait(5)

        def count() -> int:
            return sum(lag.lag for lag in read_lag(admin, settings, [group]))

        if not (records := count()):
            return None
        left = behind(records)
        broker.forget_members(settings, group)
        with log.open("ab") as stream:
            done = subprocess.run(
                [*plan.command, "consume", store, "--once"],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=dict(plan.environment),
                cwd=files.folder,
                timeout=_DRAIN_SECONDS,
                start_new_session=True,
                check=False,
            )
        if not done.returncode:
            return None
        lines, advice = last_words(log)
        left, cause = behind(count()), "; ".join(filter(None, [*lines, advice]))
    except subprocess.TimeoutExpired:
        cause = f"that was not done within {format_duration(_DRAIN_SECONDS)}"
    except (StockctlError, OSError) as error:
        cause = str(error)
    kept = format_duration(settings.topics.trades.retention)
    return f"{left}: {cause}; `local up` takes them as long as Kafka keeps them, {kept} from their receipt"
