"""The services of the local stack: embedded broker and MongoDB, simulator or real feed, ``produce``, writers, signals, page."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stockctl.clients.kafka import Admin
from stockctl.errors import StockctlError
from stockctl.extras import missing_extra, missing_packages
from stockctl.local import broker
from stockctl.local import mongo as standin
from stockctl.local.files import StackFiles
from stockctl.local.processes import last_lines
from stockctl.local.supervisor import LocalService
from stockctl.settings import Settings, SignalsSettings, display_value, env_name, load_settings, require, setting_names
from stockctl.strategies.loading import absolute_reference, load_strategy
from stockctl.stream.lag import read_lag
from stockctl.units import counted, format_duration

Mode = Literal["sim", "live"]

_DRAIN_SECONDS = 120.0
DASHBOARD_HEALTH = "dashboard-health"
"""The name of the second port of the dashboard, for its health; browsers use the first."""
_HEALTH = {"sim": "/counters"} | dict.fromkeys(("consume-s3", "consume-mongo", "signals", "produce", "dashboard"), "/healthz")
"""The path of each service that reports its health over HTTP."""


@dataclass(frozen=True)
class Plan:
    """A stack to start: the ``settings`` of its services, their ``environment``, and the ``shared`` settings of other commands.

    ``command`` calls ``stockctl``.
    """

    mode: Mode
    command: Sequence[str]
    settings: Settings
    environment: Mapping[str, str]
    shared: Mapping[str, str | list[str]]


def check_requirements(settings: Settings, mode: Mode) -> None:
    """ConfigError if a required package, the symbols or the real feed's key are missing."""
    if missing := [name for name in missing_packages("local") if mode == "sim" or name != "websockets"]:
        raise missing_extra("the local stack", "local", missing)
    for name in ("symbols", "lake.url", *(["finnhub.token"] if mode == "live" else [])):
        require(settings, name)


def check_strategy(signals: SignalsSettings) -> None:
    """UsageError or StockctlError if the strategy of the service ``signals`` cannot be loaded."""
    if signals.strategy:
        load_strategy(signals.strategy)


def plan(
    settings: Settings, files: StackFiles, mode: Mode, ports: Mapping[str, int], command: Sequence[str], config: Path | None
) -> Plan:
    """The plan with every address. ``settings`` are the user's, without those of an earlier stack; ``config`` is their file, if
    one was named.

    Simulated and real trades never mix: each mode has its own broker data, its own waiting events and, unless the user named
    one, its own lake.
    """
    shared: dict[str, str | list[str]] = {
        "kafka.bootstrap_servers": f"127.0.0.1:{ports['broker']}",
        "kafka.security_protocol": "PLAINTEXT",
        "finnhub.url": settings.finnhub.url if mode == "live" else f"ws://127.0.0.1:{ports['sim']}",
        "finnhub.rest_url": settings.finnhub.rest_url if mode == "live" else f"http://127.0.0.1:{ports['sim']}/api/v1",
        "lake.url": str(settings.lake.url),
        "mongo.url": f"mongodb://127.0.0.1:{ports['mongo']}",
        "symbols": settings.symbols,
        "dashboard.port": str(ports.get("dashboard", settings.dashboard.port)),
    }
    if mode == "live" and settings.origin("lake.url").startswith("defaults"):
        shared["lake.url"] = (settings.state_dir.absolute() / "lake-live").as_uri()
    own = {
        "state_dir": str(files.folder / mode),
        "health.host": "127.0.0.1",
        # A file is named as seen from the user's folder, and services run in another.
        "signals.strategy": absolute_reference(settings.signals.strategy),
    }
    environment = environment_of(shared | own)
    for name in ("mongo.username", "mongo.password", "mongo.password_file"):
        # The stand-in has no authentication.
        environment.pop(env_name(name), None)
    if mode == "sim":
        # The simulator accepts any key, so it does not get the user's.
        environment.pop(env_name("finnhub.token") + "_FILE", None)
        environment[env_name("finnhub.token")] = "sim"
    return Plan(mode, command, load_settings(config=config, environ=environment), environment, shared)


def effective_settings(settings: Settings, own: Settings) -> dict[str, str]:
    """Every setting of the services as text, secrets masked, to compare later; the port of the dashboard as the user's ``own``
    settings have it, because the stack may use another.
    """
    effective = {name: str(display_value(settings, name)) for name in setting_names()}
    return effective | {"dashboard.port": str(own.dashboard.port)}


def preferred_ports(settings: Settings) -> dict[str, tuple[int, bool]]:
    """The ports that services take if they are free: the number, and whether the user chose it."""
    chosen = settings.origin("dashboard.port") != "default"
    return {"dashboard": (settings.dashboard.port, chosen)} if settings.dashboard.port else {}


def notes() -> list[str]:
    """What a stack lacks without its optional packages."""
    if not (missing := missing_packages("dashboard")):
        return []
    error = missing_extra("the dashboard", "dashboard", missing)
    return [f"no dashboard is served: {error}; {error.hint}"]


def environment_of(shared: Mapping[str, str | list[str]]) -> dict[str, str]:
    """The environment for a child with a stack's settings, which override this process's environment."""
    pinned = {env_name(name): value if isinstance(value, str) else ",".join(value) for name, value in shared.items()}
    return {**os.environ, "STOCKCTL_PROFILE": "local"} | pinned


def services_of(plan: Plan, files: StackFiles, ports: Mapping[str, int]) -> list[LocalService]:
    """The services of ``plan``, in the order in which they start."""
    settings = plan.settings
    home = files.folder / plan.mode
    home.mkdir(parents=True, exist_ok=True)

    def service(name: str, *arguments: str, ready: Callable[[], str | None], **rest: object) -> LocalService:
        return LocalService(name, (*plan.command, *arguments), ready, environment=plan.environment, **rest)  # type: ignore[arg-type]

    kafka = LocalService(
        "broker",
        broker.command(ports["broker"], home / "kafka"),
        lambda: _port_problem(ports["broker"], lambda: broker.ready(settings)),
        address=settings.kafka.bootstrap_servers,
        environment=plan.environment,
        # It saves its records on SIGTERM.
        grace=60.0,
    )
    lake = service(
        "consume-s3",
        *("consume", "s3", "--health-port", str(ports["consume-s3"])),
        prepare=lambda: broker.forget_members(settings, settings.lake.group),
        ready=lambda: health_problem("consume-s3", ports),
        after=("broker",),
        address=settings.lake.url,
        grace=30.0,
        watch=broker.Rebalances(settings, settings.lake.group),
        finish=lambda: drain(plan, files, "s3", settings.lake.group, "the lake"),
    )
    mongo = LocalService(
        "mongo",
        standin.command(ports["mongo"], home / "mongo"),
        lambda: _port_problem(ports["mongo"], lambda: standin.ready(settings)),
        address=str(settings.mongo.url),
        environment=plan.environment,
    )
    consume_mongo = service(
        "consume-mongo",
        *("consume", "mongo", "--health-port", str(ports["consume-mongo"])),
        prepare=lambda: broker.forget_members(settings, settings.mongo.group),
        ready=lambda: health_problem("consume-mongo", ports),
        after=("broker", "mongo"),
        address=str(settings.mongo.url),
        watch=broker.Rebalances(settings, settings.mongo.group),
        finish=lambda: drain(plan, files, "mongo", settings.mongo.group, "MongoDB"),
    )
    chosen = [kafka, lake, mongo, consume_mongo]
    if settings.signals.strategy:
        # Before the writers stop, so that they store its last signals.
        chosen.append(
            service(
                "signals",
                *("signals", "run", "--health-port", str(ports["signals"])),
                ready=lambda: health_problem("signals", ports),
                after=("broker", "consume-s3"),
                address=settings.signals.strategy,
            )
        )
    produce = service(
        "produce",
        *("produce", "--health-port", str(ports["produce"])),
        ready=lambda: health_problem("produce", ports),
        after=("broker", "sim") if plan.mode == "sim" else ("broker",),
        address=settings.finnhub.url,
    )
    if plan.mode == "sim":
        chosen.append(
            service(
                "sim",
                "sim",
                "--port",
                str(ports["sim"]),
                ready=lambda: health_problem("sim", ports),
                address=settings.finnhub.url,
            )
        )
    chosen.append(produce)
    if not missing_packages("dashboard"):
        chosen.append(
            service(
                "dashboard",
                *("dashboard", "--health-port", str(ports[DASHBOARD_HEALTH])),
                ready=lambda: health_problem("dashboard", ports),
                after=("mongo", "consume-mongo"),
                address=settings.dashboard.address,
                optional=True,
            )
        )
    return chosen


def service_names(mode: Mode) -> list[str]:
    """The names of the services."""
    sim = ["sim"] if mode == "sim" else []
    return ["broker", "consume-s3", "mongo", "consume-mongo", "signals", *sim, "produce", "dashboard"]


def port_names(mode: Mode) -> list[str]:
    """The names of the ports: each service has one of its name."""
    return [*service_names(mode), DASHBOARD_HEALTH]


def _port_problem(port: int, check: Callable[[], None]) -> str | None:
    """None if a server listens at ``port`` and ``check`` raises nothing, else a message.

    ``check`` runs only once the server listens: before, its client would wait, and all other services with it.
    """
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError as error:
        return f"no answer at port {port}: {error}"
    check()
    return None


def health_problem(name: str, ports: Mapping[str, int], *, timeout: float = 1.0) -> str | None:
    """The problem that the service reports, or that it does not answer; None if it is healthy, or has no health endpoint."""
    port = ports.get(DASHBOARD_HEALTH if name == "dashboard" else name)
    if name not in _HEALTH or port is None:
        return None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", _HEALTH[name])
        response = connection.getresponse()
        text = response.read(500).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"no answer at port {port}: {error}"
    finally:
        connection.close()
    return None if response.status == 200 else text


def drain(plan: Plan, files: StackFiles, store: str, group: str, place: str) -> str | None:
    """Write the records that are left in Kafka to ``place``, after ``consume STORE`` has exited; a message if that fails."""
    settings, log = plan.settings, files.log(f"consume-{store}")

    def missing(records: int) -> str:
        return f"{counted(records, 'record in Kafka is', 'records in Kafka are')} not in {place} yet"

    left = f"the last records in Kafka may not be in {place} yet"
    try:
        admin = Admin(settings)
        admin.wait(5)

        def count() -> int:
            return sum(lag.lag for lag in read_lag(admin, settings, [group]))

        if not (records := count()):
            return None
        left = missing(records)
        broker.forget_members(settings, group)
        with log.open("ab") as stream:
            process = subprocess.run(
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
        if not process.returncode:
            return None
        lines, hint = last_lines(log)
        left, cause = missing(count()), "; ".join(filter(None, [*lines, hint]))
    except subprocess.TimeoutExpired:
        cause = f"`consume {store} --once` did not finish within {format_duration(_DRAIN_SECONDS)}"
    except (StockctlError, OSError) as error:
        cause = str(error)
    retention = format_duration(settings.topics.trades.retention)
    return f"{left}: {cause}; `stockctl local up` writes them while Kafka retains them ({retention} from receipt)"
