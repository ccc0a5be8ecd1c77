"""The configuration of the MongoDB sink connector, from the settings.

The connector writes the same documents as ``consume mongo``: the converter in ``images/connect`` makes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, unquote

from stockctl.settings import Settings, require
from stockctl.settings.mongo_address import mongo_parts
from stockctl.stream.topics import TopicSpec

SINK_CLASS = "com.mongodb.kafka.connect.MongoSinkConnector"
PLUGIN = "mongo-kafka-connect 2.0.1"
CONVERTER_CLASS = "stockctl.connect.RecordConverter"

_HOST = r"(?:[\w.%-]+|\[[\da-fA-F:.]+\])(?::\d+)?"
_URI = re.compile(rf"(mongodb(?:\+srv)?://)([^?]*@)?({_HOST}(?:,{_HOST})*(?:/[^/?@]*)?)(?:\?([^?@]*))?", re.DOTALL)
"""A connection string: scheme, login, hosts with the database, options. A login may contain unescaped characters."""
_PLAIN = re.compile(
    r"(?:appname|authmechanism|authsource|directconnection|readconcernlevel|readpreference|replicaset|retryreads|retrywrites"
    r"|ssl|tls|w|\w+ms|\w+size|journal|loadbalanced|compressors|maxstalenessseconds|readpreferencetags|tlsinsecure|tlsallow\w+)"
    r"=[\w.,:%$-]*",
    re.IGNORECASE,
)
"""Options that are never secret. Others may be, such as the login of a proxy or the session token of AWS."""
_PASSWORD = re.compile(r"(?<=password=\")((?:[^\"\\]|\\.)*)")
_WORTH_MASKING = 4
"""The least characters of a part of a secret that is masked: shorter ones occur in any message."""


def render(settings: Settings) -> dict[str, str]:
    """The configuration of the connector, secrets included. ConfigError if a required setting is absent."""
    topics = settings.topics
    trades, events, signals = topics.trades.name, topics.feed_events.name, topics.signals.name
    config = {
        "name": settings.connect.connector,
        "connector.class": SINK_CLASS,
        "tasks.max": str(settings.connect.tasks),
        "topics": f"{trades},{events},{signals}",
        "connection.uri": _connection(settings),
        "database": settings.mongo.database,
        "collection": "trades",
        f"topic.override.{events}.collection": "coverage",
        f"topic.override.{signals}.collection": "signals",
        "value.converter": CONVERTER_CLASS,
        "value.converter.trades.topic": trades,
        "value.converter.feed_events.topic": events,
        "value.converter.signals.topic": signals,
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "document.id.strategy": "com.mongodb.kafka.connect.sink.processor.id.strategy.ProvidedInValueStrategy",
        "writemodel.strategy": "com.mongodb.kafka.connect.sink.writemodel.strategy.ReplaceOneDefaultStrategy",
        "bulk.write.ordered": "false",
        # Invalid records go to the dead letter topic, rejected by the converter or by MongoDB. A failing write fails the task,
        # which continues from its last commit: with `all`, an outage would send valid records to the dead letter topic.
        "errors.tolerance": "all",
        "mongo.errors.tolerance": "data",
        "errors.deadletterqueue.topic.name": settings.topics.dead_letters.name,
        "errors.deadletterqueue.topic.replication.factor": str(settings.topics.dead_letters.replication),
        "errors.deadletterqueue.context.headers.enable": "true",
        "errors.log.enable": "true",
        "consumer.override.isolation.level": "read_committed",
        "consumer.override.auto.offset.reset": "earliest",
        "consumer.override.max.poll.records": str(settings.mongo.max_records),
        "consumer.override.session.timeout.ms": str(round(settings.kafka.session_timeout * 1000)),
        "consumer.override.heartbeat.interval.ms": str(max(200, round(settings.kafka.session_timeout * 1000 / 15))),
    }
    return config | _login(settings)


def _connection(settings: Settings) -> str:
    if settings.connect.mongo_uri is not None:
        return settings.connect.mongo_uri.get_secret_value()
    mongo = settings.mongo
    url = str(require(settings, "mongo.url"))
    if mongo.username is None:
        return url
    parts = mongo_parts(url)
    password = require(settings, "mongo.password").get_secret_value()
    source = f"authSource={quote(mongo.auth_source, safe='')}"
    query = parts.query if "authSource=" in parts.query else "&".join(filter(None, (parts.query, source)))
    place = f"{quote(mongo.username, safe='')}:{quote(password, safe='')}@{parts.hosts}"
    return f"{parts.scheme}://{place}{parts.path or '/'}?{query}"


def _login(settings: Settings) -> dict[str, str]:
    """The login of the connector's Kafka clients, if the settings have one; without it they use the worker's."""
    kafka = settings.kafka
    if kafka.security_protocol == "PLAINTEXT":
        return {}
    login: dict[str, str] = {"security.protocol": kafka.security_protocol}
    if kafka.security_protocol.startswith("SASL"):
        login |= {"sasl.mechanism": kafka.sasl_mechanism, "sasl.jaas.config": _jaas(settings)}
    # The consumer, the producer of dead letters, and the admin client that checks their topic.
    return {f"{client}.override.{key}": value for client in ("consumer", "producer", "admin") for key, value in login.items()}


def _jaas(settings: Settings) -> str:
    if settings.connect.kafka_jaas is not None:
        return settings.connect.kafka_jaas.get_secret_value()
    package = "org.apache.kafka.common.security."
    module = "plain.PlainLoginModule" if settings.kafka.sasl_mechanism == "PLAIN" else "scram.ScramLoginModule"
    user = _quoted(require(settings, "kafka.username"))
    password = _quoted(require(settings, "kafka.password").get_secret_value())
    return f"{package}{module} required username={user} password={password};"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def masked(config: Mapping[str, str]) -> dict[str, str]:
    """``config`` without secrets, but with references such as ``${file:/run/mongo:uri}``."""
    return {name: _masked(name, value) for name, value in sorted(config.items())}


def _masked(name: str, value: str) -> str:
    if value.startswith("${") and value.endswith("}"):
        return value
    if name == "connection.uri":
        return _masked_uri(value)
    return "****" if name.endswith("sasl.jaas.config") or "password" in name or "secret" in name else value


def _masked_uri(uri: str) -> str:
    """The hosts, database and plain options of a connection string; ``****`` if its parts cannot be distinguished."""
    match = _URI.fullmatch(uri)
    if match is None:
        return "****"
    scheme, login, place, query = match.groups()
    shown = [one if _PLAIN.fullmatch(one) else one.partition("=")[0] + "=****" for one in (query or "").split("&") if one]
    return scheme + ("****@" if login else "") + place + ("?" + "&".join(shown) if shown else "")


def _secrets_of_uri(uri: str) -> Iterator[str]:
    rest = uri.partition("//")[2]
    login, _, hosts = rest.rpartition("@")
    password = (login or hosts).partition(":")[2]
    yield from (login, password)
    # A parser may stop at an unescaped character and quote the part before it in its message.
    options = [one.partition("=")[2] for one in rest.partition("?")[2].split("&") if not _PLAIN.fullmatch(one)]
    parts = [*re.split("[/?#@:]", password if login else ""), *options]
    parts += [item.partition(":")[2] for one in options for item in one.split(",")]
    yield from (part for part in parts if len(part) >= _WORTH_MASKING)


def secrets_of(config: Mapping[str, str]) -> list[str]:
    """The secrets of ``config`` that must be removed from messages, the longest first."""
    masked_values = {name: value for name, value in config.items() if _masked(name, value) != value}
    secrets = [*masked_values.values(), *(match[1] for value in masked_values.values() for match in _PASSWORD.finditer(value))]
    secrets += _secrets_of_uri(masked_values.get("connection.uri", ""))
    return sorted({*secrets, *map(unquote, secrets)} - {""}, key=len, reverse=True)


def internal_topics(settings: Settings) -> list[TopicSpec]:
    """The topics in which the workers store configurations, offsets and statuses.

    Workers create them if they have permission; otherwise they fail with a timeout that does not name the cause.
    """
    connect, replication = settings.connect, settings.topics.trades.replication
    # The configurations need one partition, because their order matters; the other numbers are Connect's defaults.
    partitions = {"config_topic": 1, "offset_topic": 25, "status_topic": 5}
    return [
        TopicSpec(f"connect.{name}", getattr(connect, name), number, replication, {"cleanup.policy": "compact"})
        for name, number in partitions.items()
    ]
