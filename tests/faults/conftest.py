"""Servers for the fault suite, and its closing line: how many faults struck, and how many records came through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.proxy import Proxy
from tests.faults.rig import Rig, Tally
from tests.servers import Kafka

TALLY = Tally()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a fault."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was done, if anything was."""
    if TALLY.faults:
        lost = f", {TALLY.lost} of them lost by Kafka and accepted as lost" if TALLY.lost else ""
        terminalreporter.write_line(
            f"{len(TALLY.faults)} faults of {len(set(TALLY.faults))} kinds struck: "
            f"{TALLY.records} records, each in the lake exactly once{lost}"
        )


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A running Apache Kafka, for faults that are not about the broker."""
    server = Kafka(tmp_path_factory.mktemp("kafka"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def proxy(s3_server: str) -> Iterator[Proxy]:
    """A proxy in front of the S3 server, without rules."""
    proxy = Proxy(s3_server)
    yield proxy
    proxy.close()


MakeRig = Callable[..., Rig]


@pytest.fixture
def rig_on(tmp_path: Path, s3_bucket: str, s3_environment: dict[str, str], proxy: Proxy) -> Iterator[MakeRig]:
    """Makes a rig on the broker at the address given; its writers reach the S3 server through the proxy."""
    made: list[Rig] = []
    s3 = {
        "lake.url": f"s3://{s3_bucket}/{tmp_path.parent.name}-{tmp_path.name}",
        "s3.endpoint_url": s3_environment["STOCKCTL_S3__ENDPOINT_URL"],
        "s3.region": s3_environment["STOCKCTL_S3__REGION"],
        "s3.access_key_id": s3_environment["STOCKCTL_S3__ACCESS_KEY_ID"],
        "s3.secret_access_key": s3_environment["STOCKCTL_S3__SECRET_ACCESS_KEY"],
    }

    def make(servers: str, **how: object) -> Rig:
        rig = Rig(servers, tmp_path, TALLY, **({"store": s3, "s3.endpoint_url": proxy.url} | how))  # type: ignore[arg-type]
        made.append(rig)
        return rig

    yield make
    for rig in made:
        rig.close()


@pytest.fixture
def rig(kafka: Kafka, rig_on: MakeRig) -> Rig:
    """A rig on the shared Kafka with its topics made: two partitions of trades, a lake in S3."""
    rig = rig_on(kafka.servers)
    rig.make_topics()
    return rig
