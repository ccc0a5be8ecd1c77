"""Servers for the fault suite, and what each of its tests has done, for the closing line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import mark_below
from tests.faults.proxy import Proxy
from tests.faults.rig import FaultCount, Rig
from tests.servers import Kafka


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a fault."""
    mark_below(Path(__file__).parent, items, "faults")


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
def rig_on(
    request: pytest.FixtureRequest, tmp_path: Path, s3_bucket: str, s3_environment: dict[str, str], proxy: Proxy
) -> Iterator[MakeRig]:
    """Makes a rig on the broker at the address given; its writers reach the S3 server through the proxy."""
    made: list[Rig] = []
    count = FaultCount()
    s3 = {
        "lake.url": f"s3://{s3_bucket}/{tmp_path.parent.name}-{tmp_path.name}",
        "s3.endpoint_url": s3_environment["STOCKCTL_S3__ENDPOINT_URL"],
        "s3.region": s3_environment["STOCKCTL_S3__REGION"],
        "s3.access_key_id": s3_environment["STOCKCTL_S3__ACCESS_KEY_ID"],
        "s3.secret_access_key": s3_environment["STOCKCTL_S3__SECRET_ACCESS_KEY"],
    }

    def make(servers: str, **how: Any) -> Rig:
        rig = Rig(servers, tmp_path, count, **({"store": s3, "s3.endpoint_url": proxy.url} | how))
        made.append(rig)
        return rig

    yield make
    for rig in made:
        rig.close()
    request.node.user_properties.append(("faults", (count.faults, count.records, count.lost)))


@pytest.fixture
def rig(kafka: Kafka, rig_on: MakeRig) -> Rig:
    """A rig on the shared Kafka with its topics made: two partitions of trades, a lake in S3."""
    rig = rig_on(kafka.servers)
    rig.make_topics()
    return rig


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[Kafka]:
    """A running Apache Kafka for one test."""
    server = Kafka(tmp_path / "kafka")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_rig(own_kafka: Kafka, rig_on: MakeRig) -> Rig:
    """A rig on the test's own broker, its topics made."""
    rig = rig_on(own_kafka.servers)
    rig.make_topics()
    return rig
