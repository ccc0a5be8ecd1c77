"""Kafka: configured producer, consumer and admin; the only importer of confluent_kafka.

The consumer's hot loop hands out librdkafka's own messages, because a wrapper a message would cost more than reading it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import Consumer as _Consumer
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka import Producer as _Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from stockctl.checks import PROBE_WAIT, Check, Finding
from stockctl.clients.idle import IdleReads
from stockctl.errors import ConfigError, RefusedError, StockctlError, TimedOutError, UnreachableError
from stockctl.settings import Settings, require
from stockctl.units import format_duration

__all__ = [
    "Admin",
    "Committed",
    "Consumer",
    "Event",
    "KafkaError",
    "Message",
    "Offsets",
    "Partition",
    "Producer",
    "TopicInfo",
    "UnknownTopicError",
    "describe_error",
]

log = logging.getLogger("stockctl.kafka")

Result = TypeVar("Result")

_UNREACHABLE = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT}
_REFUSED = {
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}
_TELLING = {*_REFUSED, KafkaError._RESOLVE}
_ABSENT = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}


class Event(Enum):
    """What the consumer tells beside records."""

    end = "the partition has been read to its end"
    out_of_range = "the broker does not hold the offset asked for"


_EVENTS = {KafkaError._PARTITION_EOF: Event.end, KafkaError._AUTO_OFFSET_RESET: Event.out_of_range}


class UnknownTopicError(StockctlError):
    """The topic or the partition does not exist."""


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int


class Offsets(NamedTuple):
    """The first offset that a partition still holds, and the end: one past its newest committed record."""

    start: int
    end: int


class Committed(NamedTuple):
    """A group's committed offset of a partition with its metadata; offset −1 when there is none."""

    offset: int
    metadata: str


class TopicInfo(NamedTuple):
    """What the cluster says of one topic.

    ``topic_id`` is empty where the broker gives none. ``rights`` are the operations that we may do on it (``READ``, …), None
    where the broker doesn't tell.
    """

    name: str
    topic_id: str
    partitions: int
    replication: int
    rights: frozenset[str] | None


def _config(settings: Settings) -> dict[str, Any]:
    kafka = settings.kafka
    config: dict[str, Any] = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "security.protocol": kafka.security_protocol,
        "client.id": "stockctl",
        "reconnect.backoff.ms": 250,
        "reconnect.backoff.max.ms": 5000,
        "socket.connection.setup.timeout.ms": 10_000,
        # Once a minute is enough to meet a new leader early; a missing topic is asked for at once anyway.
        "topic.metadata.refresh.interval.ms": 60_000,
        # Without a logger librdkafka writes to stderr on its own, a line for each failed connection attempt.
        "logger": logging.getLogger("stockctl.kafka.client"),
        # Above errors: what goes wrong comes through the callbacks, once; the log would repeat it several times a second.
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


def _made(kind: Callable[[dict[str, Any]], Result], config: dict[str, Any]) -> Result:
    """A client of librdkafka's; ConfigError for what it refuses to start with, such as a certificate file that is none."""
    try:
        return kind(config)
    except KafkaException as error:
        raise ConfigError(
            f"cannot make a Kafka client: {error.args[0].str()}", hint="`stockctl config show --origin`"
        ) from error


def describe_error(error: KafkaError, settings: Settings, doing: str) -> StockctlError:
    """Our exception for librdkafka's ``error``, met while ``doing``."""
    where = f"Kafka at {settings.kafka.bootstrap_servers}"
    message = f"cannot {doing}: {where}: {error.str()}"
    if error.code() in _REFUSED:
        return RefusedError(message, hint="check kafka.username, STOCKCTL_KAFKA__PASSWORD and the user's rights")
    if error.code() in _UNREACHABLE:
        return UnreachableError(
            message, hint="is the broker running? `stockctl local up` starts one; else correct kafka.bootstrap_servers"
        )
    if error.code() in _ABSENT:
        return UnknownTopicError(message, hint="`stockctl topics apply` makes the topics")
    return StockctlError(message)


class _Watched:
    """Remembers the newest client-wide error, so that a time-out can tell its cause."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.last_error: KafkaError | None = None

    def on_error(self, error: KafkaError) -> None:
        self.last_error = error

    def cause(self, error: KafkaError) -> KafkaError:
        """What is behind a time-out, if it is known: librdkafka goes on trying after a wrong password or host name."""
        last = self.last_error
        return last if last is not None and last.code() in _TELLING and error.code() in _UNREACHABLE else error


class Producer:
    """An idempotent producer: acks=all, keys placed as Java clients do, every delivery told to a callback."""

    def __init__(self, settings: Settings, **overrides: Any) -> None:
        self._settings = settings
        self._watched = _Watched(settings)
        self._producer = _made(
            _Producer,
            _config(settings)
            | {
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": settings.kafka.compression,
                "partitioner": "murmur2_random",
                "linger.ms": 20,
                "batch.size": 1_000_000,
                "queue.buffering.max.kbytes": max(1, settings.kafka.buffer // 1024),
                "queue.buffering.max.messages": max(1, min(settings.kafka.buffer // 100, 10_000_000)),
                # The caller bounds the wait, and reports what was given up.
                "delivery.timeout.ms": 120_000,
                "error_cb": self._watched.on_error,
            }
            | overrides,
        )
        self.produce: Callable[..., None] = self._producer.produce
        """librdkafka's own ``produce(topic, value, key, timestamp=, on_delivery=)``; BufferError when the buffer is full."""
        self.poll: Callable[[float], int] = self._producer.poll

    def send(
        self,
        topic: str,
        messages: Iterable[tuple[bytes, str | bytes]],
        timestamp: int,
        on_delivery: Callable[[KafkaError | None, Message], None],
    ) -> int:
        """Buffer each value with its key; how many fitted, in order: the rest meets a full buffer.

        ``timestamp`` is in ms UTC. ``on_delivery`` gets each one's fate from ``poll`` (``describe`` puts its error in words).
        """
        produce, taken = self._producer.produce, 0
        try:
            for value, key in messages:
                # By name: the position of the timestamp in the extension is another than its documentation says.
                produce(topic, value, key, -1, on_delivery, timestamp=timestamp)
                taken += 1
        except BufferError:
            pass
        except KafkaException as error:
            raise self.describe(error.args[0]) from error
        return taken

    def describe(self, error: KafkaError) -> StockctlError:
        """The error of a delivery as ours."""
        return describe_error(self._watched.cause(error), self._settings, "deliver a message")

    def flush(self, timeout: float) -> int:
        """Wait up to ``timeout`` seconds for all deliveries; how many are still open."""
        return int(self._producer.flush(timeout))

    def purge(self) -> None:
        """Give up what is buffered: each open delivery's callback gets its error at the next ``poll``."""
        self._producer.purge()

    def __len__(self) -> int:
        return len(self._producer)

    @property
    def trouble(self) -> StockctlError | None:
        """The newest client-wide error, such as brokers down or a wrong password; None if there was none."""
        error = self._watched.last_error
        return None if error is None else describe_error(error, self._settings, "produce")


class Consumer:
    """A consumer that commits nothing by itself, reads committed records only, and never jumps to an offset on its own."""

    def __init__(self, settings: Settings, group: str, **overrides: Any) -> None:
        self._settings = settings
        self._watched = _Watched(settings)
        self._consumer = _made(
            _Consumer,
            _config(settings)
            | {
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": int(settings.kafka.session_timeout * 1000),
                "heartbeat.interval.ms": max(200, int(settings.kafka.session_timeout * 1000 / 15)),
                "max.poll.interval.ms": max(300_000, int(settings.kafka.session_timeout * 1000)),
                "queued.max.messages.kbytes": 32_768,
                "queued.min.messages": 100_000,
                "fetch.wait.max.ms": 100,
                # The default of a second would idle a reader that empties its queue in a tenth of that.
                "fetch.queue.backoff.ms": 10,
                "error_cb": self._watched.on_error,
                "on_commit": self._committed,
            }
            | overrides,
        )
        self.consume: Callable[[int, float], list[Message]] = self._consumer.consume
        """librdkafka's own ``consume(n, timeout)``."""
        self._paused: set[Partition] = set()
        self._idle: IdleReads | None = None
        if settings.kafka.idle_pause:
            self._idle = IdleReads(self._consumer, self._paused, settings.kafka.idle_pause)
            self.consume = self._idle.consume

    def subscribe(
        self,
        topics: Sequence[str],
        *,
        on_assign: Callable[[list[Partition]], Mapping[Partition, int]],
        on_revoke: Callable[[list[Partition]], None],
        on_lost: Callable[[list[Partition]], None],
    ) -> None:
        """Join the group. ``on_assign`` answers with the offset to start each new partition at."""

        def assigned(consumer: Any, given: list[TopicPartition]) -> None:
            starts = on_assign([Partition(item.topic, item.partition) for item in given])
            consumer.incremental_assign([TopicPartition(p.topic, p.number, offset) for p, offset in starts.items()])
            self._moved(starts)

        self._consumer.subscribe(
            list(topics),
            on_assign=assigned,
            on_revoke=lambda _, given: on_revoke([Partition(item.topic, item.partition) for item in given]),
            on_lost=lambda _, given: on_lost([Partition(item.topic, item.partition) for item in given]),
        )

    def assign(self, starts: Mapping[Partition, int]) -> None:
        """Read these partitions from these offsets, without a group."""
        self._consumer.assign([TopicPartition(p.topic, p.number, offset) for p, offset in starts.items()])
        self._moved(starts)

    def restart(self, partition: Partition, offset: int) -> None:
        """Read an assigned partition from ``offset`` on; also after an error has stopped it."""
        at = [TopicPartition(partition.topic, partition.number, offset)]
        self._paused.discard(partition)
        # A pause would outlast the new assignment.
        self._consumer.resume(at)
        self._consumer.incremental_unassign(at)
        self._consumer.incremental_assign(at)
        self._moved({partition: offset})

    def _moved(self, starts: Mapping[Partition, int]) -> None:
        if self._idle is not None:
            self._idle.moved(starts)

    def pause(self, partition: Partition) -> None:
        """Deliver nothing more from ``partition`` until ``restart``."""
        self._paused.add(partition)
        self._consumer.pause([TopicPartition(partition.topic, partition.number)])

    def offsets(self, partition: Partition, *, timeout: float = 10.0) -> Offsets:
        """First and end offset that the broker holds now."""
        return self._call(
            f"read the offsets of {partition.topic}/{partition.number}",
            lambda: Offsets(
                *self._consumer.get_watermark_offsets(TopicPartition(partition.topic, partition.number), timeout=timeout)
            ),
        )

    def offsets_since(self, partitions: Sequence[Partition], ms: int, *, timeout: float = 10.0) -> dict[Partition, int]:
        """Each partition's first offset with a timestamp of ``ms`` (UTC) or later; its end where there is none."""
        asked = [TopicPartition(p.topic, p.number, ms) for p in partitions]
        found = self._call("look offsets up by time", lambda: self._consumer.offsets_for_times(asked, timeout=timeout))
        return {
            (partition := Partition(item.topic, item.partition)): item.offset
            if item.offset >= 0
            else self.offsets(partition, timeout=timeout).end
            for item in found
        }

    def committed(self, partitions: Sequence[Partition], *, timeout: float = 10.0) -> dict[Partition, Committed]:
        """The group's committed offsets."""
        asked = [TopicPartition(p.topic, p.number) for p in partitions]
        found = self._call("read the committed offsets", lambda: self._consumer.committed(asked, timeout=timeout))
        return {Partition(item.topic, item.partition): Committed(max(item.offset, -1), item.metadata or "") for item in found}

    def commit(self, partition: Partition, offset: int, metadata: str) -> None:
        """Begin to commit ``offset`` with ``metadata``; a failure is logged. ``close`` waits for commits under way."""
        at = TopicPartition(partition.topic, partition.number, offset, metadata=metadata)
        try:
            self._consumer.commit(offsets=[at], asynchronous=True)
        except KafkaException as error:
            log.warning("%s", describe_error(error.args[0], self._settings, f"commit {partition.topic}/{partition.number}"))

    def _committed(self, error: KafkaError | None, _partitions: object) -> None:
        if error is not None:
            log.warning("%s", describe_error(error, self._settings, "commit"))

    def known_end(self, partition: Partition) -> int:
        """The end offset that the newest fetch told, −1 while there was none; asks nobody."""
        asked = TopicPartition(partition.topic, partition.number)
        return int(self._consumer.get_watermark_offsets(asked, cached=True)[1])

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def event(self, message: Message, doing: str) -> Event | StockctlError:
        """What a message that is no record tells: an event, or an error met while ``doing``."""
        error = message.error()
        event = _EVENTS.get(error.code())
        return event if event is not None else describe_error(error, self._settings, doing)

    @property
    def trouble(self) -> StockctlError | None:
        """The newest client-wide error; None if there was none."""
        error = self._watched.last_error
        return None if error is None else describe_error(error, self._settings, "consume")

    def _call(self, doing: str, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except KafkaException as error:
            raise describe_error(self._watched.cause(error.args[0]), self._settings, doing) from error


class Admin:
    """Topics, groups and offsets of the cluster."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._watched = _Watched(settings)
        self._admin = _made(AdminClient, _config(settings) | {"error_cb": self._watched.on_error})

    def wait(
        self,
        seconds: float | None = None,
        *,
        say: Callable[[str], None] = lambda _: None,
        stop: threading.Event | None = None,
    ) -> float:
        """Wait until a broker answers, at most ``seconds`` (``kafka.connect_wait``); the last request's latency in seconds.

        ``say`` is told once when the wait is more than a moment. ``stop`` ends it early, in silence.
        """
        bound = self._settings.kafka.connect_wait if seconds is None else seconds
        deadline = time.monotonic() + bound
        told = False
        while True:
            started = time.monotonic()
            try:
                self._admin.list_topics(timeout=max(0.1, min(1.0, deadline - started)))
            except KafkaException as error:
                refused = self._watched.cause(error.args[0])
                if stop is not None and stop.is_set():
                    return 0.0
                if refused.code() in _REFUSED or time.monotonic() >= deadline:
                    raise describe_error(refused, self._settings, f"reach a broker within {format_duration(bound)}") from error
                if not told:
                    say(f"waiting up to {format_duration(bound)} for Kafka at {self._settings.kafka.bootstrap_servers}")
                    told = True
                self._admin.poll(0.2)
            else:
                return time.monotonic() - started

    def cluster_id(self) -> str:
        """The cluster's id."""
        return str(self._call("ask for the cluster", lambda: self._admin.list_topics(timeout=10)).cluster_id or "")

    def brokers(self) -> list[str]:
        """``host:port`` of each broker."""
        metadata = self._call("ask for the brokers", lambda: self._admin.list_topics(timeout=10))
        return [f"{broker.host}:{broker.port}" for broker in metadata.brokers.values()]

    def topics(self) -> list[str]:
        """Names of all topics."""
        return sorted(self._call("list the topics", lambda: self._admin.list_topics(timeout=10)).topics)

    def topic(self, name: str) -> TopicInfo | None:
        """What the cluster says of the topic; None if it has none of that name."""
        found = self._admin.describe_topics(TopicCollection([name]), include_authorized_operations=True, request_timeout=10)
        try:
            description = self._result(found[name], f"describe the topic {name}")
        except UnknownTopicError:
            return None
        # All zeros is what brokers without topic ids answer.
        topic_id = str(description.topic_id)
        known = topic_id.strip("A=") != ""
        replication = len(description.partitions[0].replicas) if description.partitions else 0
        operations = description.authorized_operations
        rights = None if operations is None else frozenset(operation.name for operation in operations)
        return TopicInfo(name, topic_id if known else "", len(description.partitions), replication, rights)

    def topic_config(self, name: str) -> dict[str, str]:
        """The topic's configuration."""
        resource = ConfigResource(ResourceType.TOPIC, name)
        found = self._result(
            self._admin.describe_configs([resource], request_timeout=10)[resource], f"read the configuration of {name}"
        )
        return {key: entry.value for key, entry in found.items() if entry.value is not None}

    def create_topic(self, name: str, partitions: int, replication: int, config: Mapping[str, str]) -> None:
        """Make a topic, and wait until the brokers know it. StockctlError if it exists."""
        new = NewTopic(name, partitions, replication, config=dict(config))
        self._result(self._admin.create_topics([new], request_timeout=30)[name], f"make the topic {name}")
        deadline = time.monotonic() + 30
        while self.topic(name) is None:
            # The controller answers before its brokers have heard of the topic.
            if time.monotonic() > deadline:
                raise TimedOutError(f"the topic {name} was made, but the brokers don't know it", hint="`stockctl topics list`")
            time.sleep(0.05)

    def add_partitions(self, name: str, partitions: int) -> None:
        """Raise the topic's number of partitions."""
        made = self._admin.create_partitions([NewPartitions(name, partitions)], request_timeout=30)
        self._result(made[name], f"add partitions to {name}")

    def set_topic_config(self, name: str, config: Mapping[str, str]) -> None:
        """Set these entries of the topic's configuration, leaving the others."""
        entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        altered = self._admin.incremental_alter_configs([resource], request_timeout=30)
        self._result(altered[resource], f"change the configuration of {name}")

    def delete_topic(self, name: str) -> None:
        """Delete a topic with its records."""
        self._result(self._admin.delete_topics([name], request_timeout=30)[name], f"delete the topic {name}")

    def delete_records(self, before: Mapping[Partition, int]) -> None:
        """Delete each partition's records before the offset."""
        asked = [TopicPartition(p.topic, p.number, offset) for p, offset in before.items()]
        for future in self._admin.delete_records(asked, request_timeout=30).values():
            self._result(future, "delete records")

    def offsets(self, partitions: Iterable[Partition]) -> dict[Partition, Offsets]:
        """First and end offset of each partition; the end counts committed records only."""
        asked = [TopicPartition(p.topic, p.number) for p in partitions]
        edges: list[dict[Partition, int]] = []
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):
            found = self._admin.list_offsets(
                dict.fromkeys(asked, spec), isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=10
            )
            edges.append(
                {
                    Partition(item.topic, item.partition): int(self._result(future, f"read the offsets of {item.topic}").offset)
                    for item, future in found.items()
                }
            )
        return {partition: Offsets(start, edges[1][partition]) for partition, start in edges[0].items()}

    def partitions(self, topic: str) -> list[Partition]:
        """The topic's partitions; none if it doesn't exist."""
        info = self.topic(topic)
        return [Partition(topic, number) for number in range(info.partitions if info else 0)]

    def groups(self) -> list[str]:
        """Names of all consumer groups."""
        listed = self._result(self._admin.list_consumer_groups(request_timeout=10), "list the consumer groups")
        return sorted(group.group_id for group in listed.valid)

    def committed(self, group: str, partitions: Sequence[Partition]) -> dict[Partition, Committed]:
        """The committed offsets of ``group``."""
        consumer = Consumer(self._settings, group)
        try:
            return consumer.committed(partitions)
        finally:
            consumer.close()

    def _result(self, future: Future[Result], doing: str) -> Result:
        return self._call(doing, lambda: future.result(timeout=60))

    def _call(self, doing: str, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except KafkaException as error:
            raise describe_error(self._watched.cause(error.args[0]), self._settings, doing) from error
        except TimeoutError as error:
            raise TimedOutError(f"cannot {doing}: no answer within a minute", hint="`stockctl doctor`") from error


def checks(settings: Settings) -> list[Check]:
    """The check of the cluster: reachable with our login, how fast, and which one it is."""

    def probe() -> Finding:
        admin = Admin(settings)
        # The first answer includes connecting and logging in.
        admin.wait(PROBE_WAIT)
        latency = admin.wait(PROBE_WAIT)
        brokers = admin.brokers()
        return Finding(f"cluster {admin.cluster_id()}, {len(brokers)} of its brokers up: {', '.join(brokers)}", latency=latency)

    return [Check("kafka", probe)]
