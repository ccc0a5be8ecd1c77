"""TLS: certificates are verified by default everywhere, before a client says a word; Kafka's settings reach librdkafka."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from stockctl.clients.finnhub.websocket import FeedConnection
from stockctl.clients.kafka import Admin
from stockctl.clients.kafka_connect import Connect
from stockctl.clients.mongo import Mongo
from stockctl.clients.object_store import open_store
from stockctl.errors import StockctlError
from stockctl.settings import Settings, load_settings
from tests.command import HANG, clean_environment
from tests.conftest import wait_for
from tests.tls import Authority, Listener


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that no system knows."""
    return Authority(tmp_path_factory.mktemp("authority"))


def kafka(settings: Settings) -> None:
    Admin(settings).wait(60)


def store(settings: Settings) -> None:
    open_store(settings).folders()


def feed(settings: Settings) -> None:
    FeedConnection(settings)


def connect(settings: Settings) -> None:
    with Connect(settings, timeout=60) as client:
        client.about()


def mongo(settings: Settings) -> None:
    with Mongo(settings, wait=4) as client:
        client.version()


def settings_for(port: int, **more: str) -> Settings:
    """Every address is the listener's, by TLS; all secrets are set."""
    address = f"localhost:{port}"
    flags = {
        "kafka.bootstrap_servers": address,
        "kafka.security_protocol": "SSL",
        "lake.url": "s3://market/lake",
        "s3.endpoint_url": f"https://{address}",
        "s3.region": "us-east-1",
        "s3.access_key_id": "owner",
        "finnhub.url": f"wss://{address}",
        "connect.url": f"https://{address}",
        "connect.username": "user",
        "mongo.url": f"mongodb://{address}/?tls=true",
    }
    environment = clean_environment(
        STOCKCTL_S3__SECRET_ACCESS_KEY="s3-secret",
        STOCKCTL_FINNHUB__TOKEN="feed-secret",
        STOCKCTL_CONNECT__PASSWORD="connect-secret",
    )
    return load_settings(environ=environment, flags=flags | more)


@pytest.mark.parametrize("client", [kafka, store, feed, connect, mongo])
def test_an_unknown_authority_is_refused_before_a_word_is_said(
    authority: Authority, client: Callable[[Settings], None]
) -> None:
    """No request, no key and no password goes to a server whose certificate cannot be verified; the error is one of ours."""
    with Listener(authority.issue("localhost")) as listener:
        with pytest.raises(StockctlError) as caught:
            client(settings_for(listener.port))
        assert listener.attempts
        assert listener.heard == b""
    assert "secret" not in f"{caught.value} {caught.value.hint}"


def test_kafka_trusts_the_authority_of_the_settings(authority: Authority) -> None:
    """With kafka.ssl_ca_location the handshake ends well, and the client begins to speak Kafka's protocol."""
    heard = threading.Event()
    with Listener(authority.issue("localhost")) as listener:
        admin = Admin(settings_for(listener.port, **{"kafka.ssl_ca_location": str(authority.certificate)}))
        waiting = threading.Thread(target=admin.wait, args=(HANG,), kwargs={"stop": heard})
        waiting.start()
        try:
            wait_for(lambda: b"stockctl" in listener.heard, "the client to speak")  # the listener never answers
        finally:
            heard.set()
            waiting.join()


def test_kafka_refuses_a_certificate_of_another_host(authority: Authority) -> None:
    """A certificate counts only for the host that was asked for."""
    with Listener(authority.issue("elsewhere.example")) as listener:
        with pytest.raises(StockctlError):
            kafka(settings_for(listener.port, **{"kafka.ssl_ca_location": str(authority.certificate)}))
        assert listener.attempts
        assert listener.heard == b""


def test_a_file_that_is_no_certificate_names_itself(tmp_path: Path) -> None:
    """A matter of configuration, reported before any request."""
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(StockctlError, match="certificate") as caught:
        kafka(settings_for(1, **{"kafka.ssl_ca_location": str(tmp_path / "ca.pem")}))
    assert caught.value.exit_code == 3
