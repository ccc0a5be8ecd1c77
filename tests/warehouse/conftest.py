"""A lake in S3 and a Glue catalog for each test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from stockctl.clients.aws.glue import Glue
from stockctl.clients.object_store import open_store
from stockctl.settings import Settings, env_name, load_settings
from tests.command import BIN, Command, clean_environment
from tests.conftest import free_port, listening, wait_for
from tests.warehouse.crawler import FakeGlue
from tests.warehouse.redshift import SYSTEM_VIEWS, FakeRedshift, Postgres


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The stand-in ``moto`` for the catalog, IAM and STS, as a process; its address. Each test has a database of its own."""
    log = tmp_path_factory.mktemp("moto") / "log"
    port = free_port()
    with log.open("w") as stream:
        process = subprocess.Popen(
            [BIN / "moto_server", "-H", "127.0.0.1", "-p", str(port)], stdout=stream, stderr=stream, env=clean_environment()
        )
    wait_for(lambda: listening(port) or process.poll() is not None, "moto")
    assert process.poll() is None, log.read_text()
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


@pytest.fixture
def warehouse_flags(s3_server: str, s3_bucket: str, tmp_path: Path) -> dict[str, str]:
    """Settings of a lake of its own in S3, and of a database of its own, by dotted name."""
    mark = f"{tmp_path.parent.name}-{tmp_path.name}"[-60:].lower()
    return {
        "lake.url": f"s3://{s3_bucket}/{mark}",
        "lake.cache_dir": str(tmp_path / "cache"),
        "state_dir": str(tmp_path / "state"),
        "s3.endpoint_url": s3_server,
        "s3.region": "us-east-1",
        "s3.access_key_id": "owner",
        "s3.secret_access_key": "owner-secret-key",
        "glue.database": "".join(letter if letter.isalnum() else "_" for letter in mark),
        "glue.role": "stockctl-crawler",
        # Looks at a running crawler a hundred times in this time.
        "glue.wait": "20s",
    }


@pytest.fixture
def fake_glue(moto_server: str, warehouse_flags: dict[str, str]) -> Iterator[FakeGlue]:
    """A Glue with crawlers that crawl this test's lake."""
    url = warehouse_flags["lake.url"]
    store = open_store(load_settings(environ=clean_environment(), flags=warehouse_flags))

    def keys_in(place: str) -> Iterable[str]:
        folder = place.removeprefix(f"{url}/")
        return [item.key.removeprefix(folder) for item in store.objects(folder.rstrip("/"))]

    fake = FakeGlue(moto_server, keys_in)
    yield fake
    fake.close()


@pytest.fixture
def warehouse_settings(warehouse_flags: dict[str, str], fake_glue: FakeGlue) -> Settings:
    """Settings of a test of its own."""
    return load_settings(environ=clean_environment(), flags=warehouse_flags | {"glue.endpoint_url": fake_glue.url})


@pytest.fixture
def glue(warehouse_settings: Settings) -> Glue:
    """The client of that catalog."""
    return Glue(warehouse_settings)


@pytest.fixture
def warehouse_command(tmp_path: Path, warehouse_flags: dict[str, str], fake_glue: FakeGlue) -> Command:
    """The installed command with these settings."""
    flags = warehouse_flags | {"glue.endpoint_url": fake_glue.url}
    return Command(tmp_path, **{env_name(name): value for name, value in flags.items()})


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """PostgreSQL for all tests, with a database for each."""
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture
def fake_redshift(postgres: Postgres, request: pytest.FixtureRequest) -> Iterator[FakeRedshift]:
    """A Redshift with empty system views, in a database of its own."""
    fake = FakeRedshift(postgres)
    fake.database = f"test_{fake.port}"
    postgres.sql("postgres", f"CREATE DATABASE {fake.database} OWNER analyst")
    postgres.sql(fake.database, f"SET ROLE analyst; {SYSTEM_VIEWS}")
    yield fake
    fake.close()
    postgres.sql("postgres", f"DROP DATABASE {fake.database} WITH (FORCE)")


@pytest.fixture
def redshift_flags(fake_redshift: FakeRedshift) -> dict[str, str]:
    """Settings that reach it."""
    return {
        "redshift.host": "127.0.0.1",
        "redshift.port": str(fake_redshift.port),
        "redshift.database": fake_redshift.database,
        "redshift.user": "analyst",
        "redshift.password": fake_redshift.postgres.PASSWORD,
        "redshift.ssl": "false",
        "redshift.connect_wait": "60s",
        "redshift.role": "arn:aws:iam::123456789012:role/spectrum",
        "redshift.catalog": "tables",
        "s3.region": "us-east-1",
    }
