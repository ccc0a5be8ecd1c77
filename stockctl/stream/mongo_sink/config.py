"""The configuration of the MongoDB sink connector, made from the settings.

Its records and documents are those of ``consume mongo``: a converter of our own (``images/connect``) makes them.
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
"""A connection string: scheme, login, hosts with the database, options. A login may hold what should have been escaped."""
_PLAIN = re.compile(
    r"(?:appname|authmechanism|authsource|directconnection|readconcernlevel|readpreference|replicaset|retryreads|retrywrites"
    r"|ssl|tls|w|\w+ms|\w+size|journal|loadbalanced|compressors|maxstalenessseconds|readpreferencetags|tlsinsecure|tlsallow\w+)"
    r"=[\w.,:%$-]*",
    re.IGNORECASE,
)
"""Options that are no secret. Others may be one: the login of a proxy, the session token of AWS."""
_PASSWORD = re.compile(r"(?<=password=\")((?:[^\"\\]|\\.)*)")
_WORTH_MASKING = 4
"""Characters of a part of a secret that would not mask half of a message."""


def render(settings: Settings) -> dict[str, str]:
    """The connector's configuration, secrets included. ConfigError if a setting that it needs is absent."""
    trades, events = settings.topics.trades.name, settings.topics.feed_events.name
    config = {
        "name": settings.connect.connector,
        "connector.class": SINK_CLASS,
        "tasks.max": str(settings.connect.tasks),
        "topics": f"{trades},{events}",
        "connection.uri": _connection(settings),
        "database": settings.mongo.database,
        "collection": "trades",
        f"topic.override.{events}.collection": "coverage",
        "value.converter": CONVERTER_CLASS,
        "value.converter.trades.topic": trades,
        "value.converter.feed_events.topic": events,
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "document.id.strategy": "com.mongodb.kafka.connect.sink.processor.id.strategy.ProvidedInValueStrategy",
        "writemodel.strategy": "com.mongodb.kafka.connect.sink.writemodel.strategy.ReplaceOneDefaultStrategy",
        "bulk.write.ordered": "false",
        # What is no valid record goes to the dead letters: the converter refuses it, or at last MongoDB. A failing write fails
        # the task, which starts again where it was: with `all` an outage would send good rows to the dead letters.
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
    """How the connector's own clients log in to Kafka, where the settings do; the rest is the worker's."""
    kafka = settings.kafka
    if kafka.security_protocol == "PLAINTEXT":
        return {}
    login: dict[str, str] = {"security.protocol": kafka.security_protocol}
    if kafka.security_protocol.startswith("SASL"):
        login |= {"sasl.mechanism": kafka.sasl_mechanism, "sasl.jaas.config": _jaas(settings)}
    # Its consumer, its producer of dead letters, and the admin that looks for their topic.
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
    """``config`` as it may be shown: without logins, but with references such as ``${file:/run/mongo:uri}``."""
    return {name: _masked(name, value) for name, value in sorted(config.items())}


def _masked(name: str, value: str) -> str:
    if value.startswith("${") and value.endswith("}"):
        return value
    if name == "connection.uri":
        return _masked_uri(value)
    return "****" if name.endswith("sasl.jaas.config") or "password" in name or "secret" in name else value


def _masked_uri(uri: str) -> str:
    """Hosts, database and plain options of a connection string; nothing where it cannot be told which part is which."""
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
    # Whoever parses it may stop at what should have been escaped, and quote what it has then.
    options = [one.partition("=")[2] for one in rest.partition("?")[2].split("&") if not _PLAIN.fullmatch(one)]
    parts = [*re.split("[/?#@:]", password if login else ""), *options]
    parts += [item.partition(":")[2] for one in options for item in one.split(",")]
    yield from (part for part in parts if len(part) >= _WORTH_MASKING)


def secrets_of(config: Mapping[str, str]) -> list[str]:
    """What of ``config`` must not be shown where a message quotes it, the longest first."""
    held = {name: value for name, value in config.items() if _masked(name, value) != value}
    found = [*held.values(), *(match[1] for value in held.values() for match in _PASSWORD.finditer(value))]
    found += _secrets_of_uri(held.get("connection.uri", ""))
    return sorted({*found, *map(unquote, found)} - {""}, key=len, reverse=True)


def internal_topics(settings: Settings) -> list[TopicSpec]:
    """The topics in which the workers keep what they know, as they must be.

    Workers make them themselves if they may, and otherwise end in a time-out that does not say so.
    """
    connect, replication = settings.connect, settings.topics.trades.replication
    # One partition for the configurations, because their order counts; the others as many as Connect would make.
    partitions = {"config_topic": 1, "offset_topic": 25, "status_topic": 5}
    return [
        TopicSpec(f"connect.{name}", getattr(connect, name), number, replication, {"cleanup.policy": "compact"})
        for name, number in partitions.items()
    ]
