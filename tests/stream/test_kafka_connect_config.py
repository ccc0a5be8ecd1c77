"""The connector's configuration, made from the settings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockctl.errors import ConfigError
from stockctl.settings import Settings, load_settings
from stockctl.stream.kafka_connect.config import internal_topics, masked, render, secrets_of
from tests.command import clean_environment

MONGO = {"mongo.url": "mongodb://host:27017/?tls=true", "mongo.username": "me@home", "mongo.password": "p/ss:w@rd"}
KAFKA = {"kafka.security_protocol": "SASL_SSL", "kafka.username": "stockctl", "kafka.password": 'se"cr\\et'}


def settings(**flags: str) -> Settings:
    return load_settings(environ=clean_environment(), flags={"mongo.url": "mongodb://host:27017", **flags}, stack=False)


def test_the_configuration_has_the_required_properties() -> None:
    config = render(settings())
    assert config["topics"] == "trades,feed-events,signals"
    assert config["collection"] == "trades"
    assert config["topic.override.feed-events.collection"] == "coverage"
    assert config["topic.override.signals.collection"] == "signals"
    assert config["document.id.strategy"].endswith("ProvidedInValueStrategy")
    assert config["writemodel.strategy"].endswith("ReplaceOneDefaultStrategy")
    assert (config["errors.tolerance"], config["mongo.errors.tolerance"]) == ("all", "data")
    assert config["errors.deadletterqueue.topic.name"] == "trades.dlq"
    assert config["errors.deadletterqueue.context.headers.enable"] == "true"
    assert config["consumer.override.isolation.level"] == "read_committed"


def test_the_converter_has_the_names_of_the_topics() -> None:
    config = render(settings(**{"topics.trades.name": "my.trades"}))
    assert config["value.converter"] == "stockctl.connect.RecordConverter"
    assert (config["value.converter.trades.topic"], config["value.converter.feed_events.topic"]) == ("my.trades", "feed-events")
    assert config["topics"] == "my.trades,feed-events,signals"
    assert not any("transforms" in name for name in config)


def test_the_login_of_mongodb_goes_into_the_address() -> None:
    assert render(settings(**MONGO))["connection.uri"] == (
        "mongodb://me%40home:p%2Fss%3Aw%40rd@host:27017/?tls=true&authSource=admin"
    )


def test_the_login_of_kafka_goes_to_each_of_the_connectors_clients() -> None:
    config = render(settings(**KAFKA))
    for client in ("consumer", "producer", "admin"):
        assert config[f"{client}.override.sasl.mechanism"] == "SCRAM-SHA-256"
        assert config[f"{client}.override.sasl.jaas.config"].endswith(
            'ScramLoginModule required username="stockctl" password="se\\"cr\\\\et";'
        )
    plain = render(settings(**KAFKA, **{"kafka.sasl_mechanism": "PLAIN"}))
    assert "plain.PlainLoginModule" in plain["consumer.override.sasl.jaas.config"]
    assert not any("sasl" in name for name in render(settings()))


def test_references_stand_in_for_secrets() -> None:
    given = {"connect.mongo_uri": "${file:/run/mongo:uri}", "connect.kafka_jaas": "${file:/run/kafka:jaas}"}
    config = masked(render(settings(**MONGO, **KAFKA, **given)))
    assert config["connection.uri"] == "${file:/run/mongo:uri}"
    assert config["consumer.override.sasl.jaas.config"] == "${file:/run/kafka:jaas}"


def test_the_shown_configuration_has_no_secret() -> None:
    config = masked(render(settings(**MONGO, **KAFKA)))
    assert config["connection.uri"] == "mongodb://****@host:27017/?tls=true&authSource=admin"
    assert config["producer.override.sasl.jaas.config"] == "****"


@pytest.mark.parametrize(
    ("uri", "shown", "secrets"),
    [
        ("mongodb://me:pa/ss@host/db", "mongodb://****@host/db", {"pa/ss"}),
        ("mongodb://me:p@ss/word@host:1,b:2/?w=majority", "mongodb://****@host:1,b:2/?w=majority", {"p@ss/word", "word"}),
        ("mongodb+srv://me:p@ss@host", "mongodb+srv://****@host", {"p@ss"}),
        ("mongodb://me:pa?ssword@host/?tls=true", "****", {"pa?ssword", "ssword"}),
        ("mongodb://me:hunter2", "****", {"hunter2"}),
        (
            "mongodb://[::1]:27017/?proxyHost=p&proxyPassword=hunter2&tls=true",
            "mongodb://[::1]:27017/?proxyHost=****&proxyPassword=****&tls=true",
            {"hunter2"},
        ),
        (
            "mongodb://AKIA:k%2Fey@host/?authMechanismProperties=A:b,AWS_SESSION_TOKEN:to/k%3Den",
            "mongodb://****@host/?authMechanismProperties=****",
            {"k/ey", "k%2Fey", "to/k=en", "to/k%3Den"},
        ),
        ("mongodb://host/?authMechanismProperties=AWS_SESSION_TOKEN:to@ken", "****", {"to@ken"}),
    ],
)
def test_an_address_with_secrets_is_shown_with_hosts_and_plain_options_only(uri: str, shown: str, secrets: set[str]) -> None:
    config = render(settings(**{"connect.mongo_uri": uri}))
    assert masked(config)["connection.uri"] == shown
    assert secrets <= set(secrets_of(config))


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1).filter(str.strip),
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=6).filter(str.strip),
)
def test_no_password_is_shown_and_each_is_scrubbed(user: str, password: str) -> None:
    given = {"mongo.username": user, "mongo.password": f"X{password}Y"}
    config = render(settings(**given))
    assert f"X{password}Y" not in str(masked(config).values())
    assert f"X{password}Y" in secrets_of(config)


def test_without_an_address_of_mongodb_the_setting_is_named() -> None:
    with pytest.raises(ConfigError, match=r"mongo\.url"):
        render(load_settings(environ=clean_environment(), flags={}, stack=False))


def test_the_workers_topics_are_compacted_and_configurations_in_one_partition() -> None:
    found = internal_topics(settings())
    assert [topic.name for topic in found] == ["connect-configs", "connect-offsets", "connect-status"]
    assert {topic.config["cleanup.policy"] for topic in found} == {"compact"}
    assert found[0].partitions == 1
