"""Apache Kafka by login over TLS: the whole pipeline runs, certificates are verified, and no secret is left anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stockctl.settings import env_name
from tests.command import Command
from tests.conftest import free_port, own_names
from tests.leaks import Leaks
from tests.servers import Kafka
from tests.test_secrets import S3_SECRET, TOKEN, WRONG, search, secret_environment
from tests.tls import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that no system knows."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Kafka]:
    """Apache Kafka with a listener for logins over TLS."""
    server = Kafka(tmp_path_factory.mktemp("secure-kafka"), certificate=authority.issue("localhost"))
    server.start()
    yield server
    server.kill()


def test_the_pipeline_over_tls_leaves_no_secret(
    secure_kafka: Kafka, authority: Authority, s3_environment: dict[str, str], s3_bucket: str, tmp_path: Path
) -> None:
    """Logged in with a password over TLS, with the authority of the settings."""
    port = free_port()
    password = Kafka.PASSWORDS["stockctl"]
    own = {env_name(name): value for name, value in own_names(secure_kafka.tls_servers, tmp_path).items()}
    tls = {
        "kafka__security_protocol": "SASL_SSL",
        "kafka__ssl_ca_location": str(authority.certificate),
        "kafka__password": password,
    }
    command = Command(tmp_path, **(own | secret_environment(s3_environment, tmp_path, port, **tls)))
    search(command, Leaks(TOKEN, password, WRONG, S3_SECRET), port)


def test_without_the_authority_nothing_is_said(secure_kafka: Kafka, tmp_path: Path) -> None:
    """The system's authorities do not vouch for the broker: the certificate is named as the cause."""
    names = own_names(secure_kafka.tls_servers, tmp_path) | {
        "kafka.security_protocol": "SASL_SSL",
        "kafka.username": "stockctl",
        "kafka.connect_wait": "60s",
    }
    command = Command(
        tmp_path,
        **{env_name(name): value for name, value in names.items()},
        STOCKCTL_KAFKA__PASSWORD=Kafka.PASSWORDS["stockctl"],
    )
    refused = command.run("topics", "list", check=None)
    assert refused.returncode in (4, 5)
    assert "certificate" in refused.stderr
