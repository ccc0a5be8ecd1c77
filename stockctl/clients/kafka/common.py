"""Shared by the Kafka clients: types, the configuration from the settings, errors as StockctlErrors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import KafkaError, KafkaException

from stockctl.errors import ConfigError, RefusedError, StockctlError, UnreachableError
from stockctl.settings import KafkaSettings, Settings, require

Result = TypeVar("Result")

_UNREACHABLE = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT}
# Errors of brokers that are starting, or that elect a leader.
_TRANSIENT = {
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError._NOENT,  # the admin client's for partitions without a leader
}
REFUSED = {
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}
_CAUSES = {*REFUSED, KafkaError._RESOLVE}
_ABSENT = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}


class Event(Enum):
    """Events of the consumer besides records."""

    end = "the partition was read to its end"
    out_of_range = "the broker does not have the requested offset"


EVENTS = {KafkaError._PARTITION_EOF: Event.end, KafkaError._AUTO_OFFSET_RESET: Event.out_of_range}


class UnknownTopicError(StockctlError):
    """The topic or the partition does not exist."""


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int


class Offsets(NamedTuple):
    """The first offset of a partition, and its end: one after its newest committed record."""

    start: int
    end: int


class Committed(NamedTuple):
    """The committed offset of a partition, with its metadata; offset −1 without a commit."""

    offset: int
    metadata: str


class TopicInfo(NamedTuple):
    """The description of a topic.

    ``topic_id`` is empty if the broker has no topic ids. ``rights`` are the permitted operations (``READ``, …); None if the
    broker does not report them.
    """

    name: str
    topic_id: str
    partitions: int
    replication: int
    rights: frozenset[str] | None


def client_config(settings: Settings) -> dict[str, Any]:
    """The librdkafka configuration of every client. It has secrets: do not print it."""
    kafka = settings.kafka
    config: dict[str, Any] = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "security.protocol": kafka.security_protocol,
        "client.id": "stockctl",
        "reconnect.backoff.ms": 250,
        "reconnect.backoff.max.ms": 5000,
        "socket.connection.setup.timeout.ms": 10_000,
        # Once a minute is enough to find a new leader early; a missing topic is requested immediately anyway.
        "topic.metadata.refresh.interval.ms": 60_000,
        # Without a logger librdkafka writes a line to stderr for each failed connection.
        "logger": logging.getLogger("stockctl.kafka.client"),
        # Below errors: the callbacks report each error once; the log would repeat it several times per second.
        "log_level": 2,
    }
    if kafka.security_protocol.startswith("SASL"):
        config["sasl.mechanism"] = kafka.sasl_mechanism
        config["sasl.username"] = require(settings, "kafka.username")
        config["sasl.password"] = require(settings, "kafka.password").get_secret_value()
    for key, path in (
        ("ssl.ca.location", kafka.ssl_ca_location),
        ("ssl.certificate.location", kafka.ssl_certificate_location),
        ("ssl.key.location", kafka.ssl_key_location),
    ):
        if path is not None:
            config[key] = str(path)
    if kafka.ssl_key_password is not None:
        config["ssl.key.password"] = kafka.ssl_key_password.get_secret_value()
    return config


def create_client(kind: Callable[[dict[str, Any]], Result], config: dict[str, Any]) -> Result:
    """Create a librdkafka client. ConfigError if librdkafka refuses the configuration, such as an invalid certificate file."""
    try:
        return kind(config)
    except KafkaException as error:
        raise ConfigError(
            f"cannot create a Kafka client: {error.args[0].str()}", hint="`stockctl config show --origin`"
        ) from error


def describe_error(error: KafkaError, settings: KafkaSettings, action: str) -> StockctlError:
    """The StockctlError for ``error`` of librdkafka; ``action`` is what failed (``list the topics``)."""
    where = f"Kafka at {settings.bootstrap_servers}"
    message = f"cannot {action}: {where}: {error.str()}"
    if error.code() in REFUSED:
        return RefusedError(message, hint="check kafka.username, STOCKCTL_KAFKA__PASSWORD and the user's permissions")
    if error.code() in _UNREACHABLE | _TRANSIENT:
        return UnreachableError(
            message, hint="is the broker running? `stockctl local up` starts one; else correct kafka.bootstrap_servers"
        )
    if error.code() in _ABSENT:
        return UnknownTopicError(message, hint="`stockctl topics apply` creates the topics")
    return StockctlError(message)


class Watched:
    """The errors of one client as StockctlErrors: the newest client-wide error may be the cause of a later timeout."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._last_error: KafkaError | None = None

    def on_error(self, error: KafkaError) -> None:
        """Librdkafka's ``error_cb``."""
        self._last_error = error

    def cause(self, error: KafkaError) -> KafkaError:
        """The cause of a timeout, if it is known: librdkafka keeps retrying after a wrong password or host name."""
        last = self._last_error
        return last if last is not None and last.code() in _CAUSES and error.code() in _UNREACHABLE else error

    def describe(self, error: KafkaError, action: str) -> StockctlError:
        """The StockctlError for ``error``, or for its cause; ``action`` is what failed."""
        return describe_error(self.cause(error), self._settings, action)

    def trouble(self, action: str) -> StockctlError | None:
        """The newest client-wide error; None if there was none."""
        return None if self._last_error is None else describe_error(self._last_error, self._settings, action)

    def call(self, action: str, call: Callable[[], Result]) -> Result:
        """The result of ``call``, which ``action`` names."""
        try:
            return call()
        except KafkaException as error:
            raise self.describe(error.args[0], action) from error
