"""Topics, consumer groups and offsets of the cluster, and its health check."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from itertools import chain

from confluent_kafka import ConsumerGroupState, IsolationLevel, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConsumerGroupDescription,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from stockctl.clients.kafka.common import (
    REFUSED,
    Committed,
    Offsets,
    Partition,
    Result,
    TopicInfo,
    UnknownTopicError,
    Watched,
    client_config,
    create_client,
)
from stockctl.clients.kafka.consumer import Consumer
from stockctl.clients.local_stack_lock import absent_stack
from stockctl.errors import TimedOutError
from stockctl.service import wait_for
from stockctl.settings import Settings
from stockctl.units import format_duration


class Admin:
    """Topics, consumer groups and offsets of the cluster."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._watched = Watched(settings.kafka)
        self._admin = create_client(AdminClient, client_config(settings) | {"error_cb": self._watched.on_error})

    def wait(
        self,
        seconds: float | None = None,
        *,
        say: Callable[[str], None] = lambda _: None,
        stop: threading.Event | None = None,
    ) -> float:
        """Wait until a broker answers, at most ``seconds`` (``kafka.connect_wait``); return the latency of the last request.

        It calls ``say`` once if the first request fails. ``stop`` ends the wait early, without an error. It does not wait for a
        local stack that is not running.
        """
        if (absent := absent_stack(self._settings, "kafka.bootstrap_servers")) is not None:
            raise absent
        limit = self._settings.kafka.connect_wait if seconds is None else seconds
        deadline = time.monotonic() + limit
        announced = False
        while True:
            started = time.monotonic()
            try:
                self._admin.list_topics(timeout=max(0.1, min(1.0, deadline - started)))
            except KafkaException as error:
                cause = self._watched.cause(error.args[0])
                if stop is not None and stop.is_set():
                    return 0.0
                if cause.code() in REFUSED:
                    raise self._watched.describe(cause, "log in") from error
                if time.monotonic() >= deadline:
                    raise self._watched.describe(cause, f"reach a broker within {format_duration(limit)}") from error
                if not announced:
                    say(f"waiting up to {format_duration(limit)} for Kafka at {self._settings.kafka.bootstrap_servers}")
                    announced = True
                self._admin.poll(0.2)
            else:
                return time.monotonic() - started

    def cluster_id(self) -> str:
        """The id of the cluster."""
        return str(self._watched.call("describe the cluster", lambda: self._admin.list_topics(timeout=10)).cluster_id or "")

    def brokers(self) -> list[str]:
        """``host:port`` of each broker."""
        metadata = self._watched.call("list the brokers", lambda: self._admin.list_topics(timeout=10))
        return [f"{broker.host}:{broker.port}" for broker in metadata.brokers.values()]

    def topics(self) -> list[str]:
        """Names of all topics."""
        return sorted(self._watched.call("list the topics", lambda: self._admin.list_topics(timeout=10)).topics)

    def topic(self, name: str) -> TopicInfo | None:
        """The description of the topic; None if it does not exist."""
        descriptions = self._admin.describe_topics(
            TopicCollection([name]), include_authorized_operations=True, request_timeout=10
        )
        try:
            description = self._result(descriptions[name], f"describe the topic {name}")
        except UnknownTopicError:
            return None
        # Brokers without topic ids answer with zeros.
        topic_id = str(description.topic_id)
        has_id = topic_id.strip("A=") != ""
        replication = len(description.partitions[0].replicas) if description.partitions else 0
        operations = description.authorized_operations
        permissions = None if operations is None else frozenset(operation.name for operation in operations)
        return TopicInfo(name, topic_id if has_id else "", len(description.partitions), replication, permissions)

    def topic_config(self, name: str) -> dict[str, str]:
        """The configuration of the topic."""
        resource = ConfigResource(ResourceType.TOPIC, name)
        entries = self._result(
            self._admin.describe_configs([resource], request_timeout=10)[resource], f"read the configuration of {name}"
        )
        return {key: entry.value for key, entry in entries.items() if entry.value is not None}

    def create_topic(self, name: str, partitions: int, replication: int, config: Mapping[str, str]) -> None:
        """Create a topic, and wait until the brokers know it. StockctlError if it exists."""
        new = NewTopic(name, partitions, replication, config=dict(config))
        self._result(self._admin.create_topics([new], request_timeout=30)[name], f"create the topic {name}")
        # The controller answers before the brokers know the topic.
        if not wait_for(lambda: self.topic(name) is not None, within=30, every=0.05):
            raise TimedOutError(f"the topic {name} was created, but the brokers do not know it", hint="`stockctl topics list`")

    def add_partitions(self, name: str, partitions: int) -> None:
        """Increase the number of partitions of the topic."""
        made = self._admin.create_partitions([NewPartitions(name, partitions)], request_timeout=30)
        self._result(made[name], f"add partitions to {name}")

    def set_topic_config(self, name: str, config: Mapping[str, str]) -> None:
        """Set these entries of the topic's configuration; other entries stay."""
        entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        altered = self._admin.incremental_alter_configs([resource], request_timeout=30)
        self._result(altered[resource], f"change the configuration of {name}")

    def delete_topic(self, name: str) -> None:
        """Delete a topic and its records."""
        self._result(self._admin.delete_topics([name], request_timeout=30)[name], f"delete the topic {name}")

    def delete_records(self, before: Mapping[Partition, int]) -> None:
        """Delete the records of each partition before its offset."""
        partitions = [TopicPartition(p.topic, p.number, offset) for p, offset in before.items()]
        for future in self._admin.delete_records(partitions, request_timeout=30).values():
            self._result(future, "delete records")

    def offsets(self, partitions: Iterable[Partition]) -> dict[Partition, Offsets]:
        """First and end offset of each partition, with isolation level read_committed."""
        requested = [TopicPartition(p.topic, p.number) for p in partitions]
        edges: list[dict[Partition, int]] = []
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):
            futures = self._admin.list_offsets(
                dict.fromkeys(requested, spec), isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=10
            )
            edges.append(
                {
                    Partition(item.topic, item.partition): int(self._result(future, f"read the offsets of {item.topic}").offset)
                    for item, future in futures.items()
                }
            )
        return {partition: Offsets(start, edges[1][partition]) for partition, start in edges[0].items()}

    def partitions(self, topic: str) -> list[Partition]:
        """The partitions of the topic; empty if it does not exist."""
        info = self.topic(topic)
        return [Partition(topic, number) for number in range(info.partitions if info else 0)]

    def groups(self) -> list[str]:
        """Names of all consumer groups."""
        listed = self._result(self._admin.list_consumer_groups(request_timeout=10), "list the consumer groups")
        return sorted(group.group_id for group in listed.valid)

    def members(self, group: str) -> list[str]:
        """Ids of the group's members; empty if the group does not exist."""
        return [member.member_id for member in self._describe(group).members]

    def rebalancing(self, group: str) -> bool:
        """Whether the group is rebalancing."""
        states = (ConsumerGroupState.PREPARING_REBALANCING, ConsumerGroupState.COMPLETING_REBALANCING)
        return self._describe(group).state in states

    def is_fully_assigned(self, group: str, topics: Iterable[str], member: str, assigned: Collection[Partition]) -> bool:
        """Whether the group is stable, each partition of ``topics`` is assigned, and ``assigned`` are those of ``member``.

        Cooperative rebalancing takes two rounds: in the first, a member revokes a partition; in the second, another member gets
        it. In between nobody has the partition. The client of a member may also not know yet what the broker has assigned.
        """
        description = self._describe(group)
        assignments = {
            one.member_id: {Partition(item.topic, item.partition) for item in one.assignment.topic_partitions}
            for one in description.members
        }
        return (
            description.state is ConsumerGroupState.STABLE
            and assignments.get(member) == set(assigned)
            and set().union(*assignments.values()).issuperset(chain.from_iterable(map(self.partitions, topics)))
        )

    def _describe(self, group: str) -> ConsumerGroupDescription:
        descriptions = self._admin.describe_consumer_groups([group], request_timeout=10)
        return self._result(descriptions[group], f"describe the group {group}")

    def committed(self, group: str, partitions: Sequence[Partition]) -> dict[Partition, Committed]:
        """The committed offsets of ``group``."""
        with Consumer(self._settings, group) as consumer:
            return consumer.committed(partitions)

    def _result(self, future: Future[Result], doing: str) -> Result:
        try:
            return self._watched.call(doing, lambda: future.result(timeout=60))
        except TimeoutError as error:
            raise TimedOutError(f"cannot {doing}: no answer within a minute", hint="`stockctl doctor`") from error
