"""The Kafka clients on the embedded broker: what is delivered, what is committed, and what an error says."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from stockctl.clients.kafka import Admin, Consumer, Offsets, Partition, Producer, UnknownTopicError
from stockctl.errors import ConfigError, RefusedError, StockctlError, UnreachableError
from stockctl.settings import Settings, load_settings
from tests.command import HANG
from tests.conftest import free_port, wait_for


@pytest.fixture
def admin(settings: Settings) -> Admin:
    return Admin(settings)


@pytest.fixture
def topic(admin: Admin, settings: Settings) -> str:
    """A fresh topic of three partitions."""
    name = settings.topics.trades.name
    admin.create_topic(name, 3, 1, {"retention.ms": "3600000"})
    return name


@pytest.fixture
def producer(settings: Settings) -> Producer:
    return Producer(settings)


@pytest.fixture
def consumer(settings: Settings) -> Iterator[Consumer]:
    consumer = Consumer(settings, settings.lake.group)
    yield consumer
    consumer.close()


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED])
def test_a_refusal_in_place_of_a_record_is_raised(consumer: Consumer, code: int) -> None:
    """A log line per poll would be all that a writer without permissions ever did."""
    message: Any = SimpleNamespace(error=lambda: KafkaError(code))
    with pytest.raises(RefusedError, match="read the topics"):
        consumer.event(message, "read the topics")


def now() -> int:
    """Milliseconds since the epoch: a broker deletes at once what is older than its retention."""
    return time.time_ns() // 1_000_000


def send(producer: Producer, topic: str, keys: list[str], timestamp: int | None = None) -> list[Any]:
    """Deliver a message a key, as received now; the delivered messages."""
    delivered: list[Any] = []

    def on_delivery(error: object, message: Any) -> None:
        assert error is None
        delivered.append(message)

    assert producer.send(topic, [(f"value of {key}".encode(), key) for key in keys], timestamp or now(), on_delivery) == len(
        keys
    )
    assert producer.flush(HANG) == 0
    return delivered


def read(consumer: Consumer, wanted: int) -> list[Any]:
    """Exactly ``wanted`` records, in the order they come."""
    found: list[Any] = []

    def enough() -> bool:
        found.extend(message for message in consumer.consume(1000, 0.2) if message.error() is None)
        return len(found) >= wanted

    wait_for(enough, f"{wanted} records")
    return found


# Hashes of Kafka's own tests of its partitioner (org.apache.kafka.common.utils.UtilsTest).
MURMUR2 = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


def test_a_key_goes_to_the_partition_that_java_clients_choose(producer: Producer, topic: str) -> None:
    for message in send(producer, topic, list(MURMUR2)):
        assert message.partition() == (MURMUR2[message.key().decode()] & 0x7FFFFFFF) % 3


def test_a_record_keeps_its_key_value_and_time_of_receipt(
    producer: Producer, consumer: Consumer, admin: Admin, topic: str
) -> None:
    received = now() - 1000
    send(producer, topic, ["AAPL"], timestamp=received)
    consumer.assign(dict.fromkeys(admin.partitions(topic), 0))
    [message] = read(consumer, 1)
    assert (message.key(), message.value(), message.timestamp()[1]) == (b"AAPL", b"value of AAPL", received)


def test_a_full_buffer_takes_what_fits_and_says_how_many(settings: Settings) -> None:
    """Bounded memory while no broker is there; what was given up comes back to the callback."""
    away = load_settings(environ={}, flags={"kafka.bootstrap_servers": f"127.0.0.1:{free_port()}", "kafka.buffer": 100_000})
    producer = Producer(away)
    fates: list[object] = []
    taken = producer.send("t", [(b"x" * 1000, b"k")] * 500, 0, lambda error, _message: fates.append(error))
    assert 50 <= taken < 200
    assert len(producer) >= taken
    producer.purge()
    producer.flush(HANG)
    assert len(fates) == taken
    assert all(error is not None for error in fates)
    assert "cannot deliver a message" in str(producer.describe(fates[0]))


def test_a_producer_without_a_broker_reports_its_error() -> None:
    producer = Producer(load_settings(environ={}, flags={"kafka.bootstrap_servers": f"127.0.0.1:{free_port()}"}))
    assert producer.trouble is None
    producer.send("t", [(b"x", b"k")], 0, lambda *_: None)

    def troubled() -> bool:
        producer.poll(0.1)
        return producer.trouble is not None

    wait_for(troubled, "the producer's trouble")
    assert isinstance(producer.trouble, UnreachableError)
    producer.purge()
    producer.flush(HANG)


def test_commits_carry_their_metadata_and_are_seen_by_others(
    settings: Settings, admin: Admin, consumer: Consumer, topic: str
) -> None:
    partition = Partition(topic, 1)
    assert admin.committed(settings.lake.group, [partition])[partition].offset == -1
    consumer.commit(partition, 7, "claim 3")
    wait_for(lambda: admin.committed(settings.lake.group, [partition])[partition] == (7, "claim 3"), "the commit")
    assert consumer.committed([partition])[partition] == (7, "claim 3")
    assert settings.lake.group in admin.groups()


def test_a_consumer_reads_from_a_given_offset_and_again(
    producer: Producer, consumer: Consumer, admin: Admin, topic: str
) -> None:
    delivered = send(producer, topic, ["k"] * 10)
    partition = Partition(topic, delivered[0].partition())
    consumer.assign({partition: 4})
    assert [message.offset() for message in read(consumer, 6)] == [4, 5, 6, 7, 8, 9]
    consumer.restart(partition, 8)
    assert [message.offset() for message in read(consumer, 2)] == [8, 9]
    assert consumer.offsets(partition) == admin.offsets([partition])[partition] == Offsets(0, 10)
    assert consumer.known_end(partition) == 10


def test_a_backlog_that_the_broker_sends_in_one_answer_is_read(
    producer: Producer, consumer: Consumer, admin: Admin, topic: str
) -> None:
    """The embedded broker heeds no limit of a fetch: its answer is longer here than the 100 MB that clients take by default."""
    value = random.Random(1).randbytes(900_000)
    for _ in range(120):
        while not producer.send(topic, [(value, b"k")], now(), lambda *_: None):
            producer.poll(0.1)
    assert producer.flush(HANG) == 0
    consumer.assign(dict.fromkeys(admin.partitions(topic), 0))
    assert len(read(consumer, 120)) == 120
    admin.delete_topic(topic)


def test_a_paused_partition_delivers_nothing_until_it_is_restarted(producer: Producer, consumer: Consumer, topic: str) -> None:
    partition = Partition(topic, send(producer, topic, ["k"] * 3)[0].partition())
    free = Partition(topic, (partition.number + 1) % 3)
    producer.produce(topic, b"free", partition=free.number)
    consumer.assign({partition: 0, free: 0})
    consumer.pause(partition)
    assert [message.value() for message in read(consumer, 1)] == [b"free"]
    assert consumer.consume(10, 0.5) == []
    consumer.restart(partition, 0)
    assert len(read(consumer, 3)) == 3


def test_an_offset_that_is_gone_is_an_error_and_no_jump(
    producer: Producer, consumer: Consumer, admin: Admin, topic: str
) -> None:
    """Jumping to the earliest or latest on its own would lose or repeat records in silence."""
    partition = Partition(topic, send(producer, topic, ["k"] * 5)[0].partition())
    admin.delete_records({partition: 3})
    assert admin.offsets([partition])[partition] == Offsets(3, 5)
    consumer.assign({partition: 0})
    errors: list[Any] = []

    def failed() -> bool:
        errors.extend(consumer.consume(10, 0.2))
        return bool(errors)

    wait_for(failed, "an error")
    assert errors[0].error() is not None


def test_two_in_a_group_share_the_partitions(settings: Settings, producer: Producer, topic: str) -> None:
    starts: dict[str, list[Partition]] = {"a": [], "b": []}
    consumers = {name: Consumer(settings, settings.lake.group) for name in starts}

    for name, one in consumers.items():

        def assign(given: list[Partition], name: str = name) -> dict[Partition, int]:
            starts[name] += given
            return dict.fromkeys(given, 0)

        def revoke(given: list[Partition], name: str = name) -> None:
            starts[name] = [partition for partition in starts[name] if partition not in given]

        one.subscribe([topic], on_assign=assign, on_revoke=revoke, on_lost=revoke)

    def shared() -> bool:
        for one in consumers.values():
            one.consume(1, 0.1)
        return bool(starts["a"] and starts["b"] and len(starts["a"] + starts["b"]) == 3)

    wait_for(shared, "a share for each")
    assert set(starts["a"] + starts["b"]) == {Partition(topic, number) for number in range(3)}
    for one in consumers.values():
        one.close()


def test_topics_are_made_described_changed_and_deleted(admin: Admin, topic: str) -> None:
    info = admin.topic(topic)
    assert info is not None
    assert (info.name, info.partitions, info.replication) == (topic, 3, 1)
    assert topic in admin.topics()
    assert admin.topic_config(topic)["retention.ms"] == "3600000"
    admin.set_topic_config(topic, {"retention.ms": "7200000"})
    admin.add_partitions(topic, 4)
    assert admin.topic_config(topic)["retention.ms"] == "7200000"
    assert [partition.number for partition in admin.partitions(topic)] == [0, 1, 2, 3]
    admin.delete_topic(topic)
    wait_for(lambda: admin.topic(topic) is None, "the topic to be gone")
    assert admin.partitions(topic) == []


def test_what_cannot_be_made_or_found_says_so(admin: Admin, topic: str) -> None:
    with pytest.raises(StockctlError, match=f"cannot create the topic {topic}"):
        admin.create_topic(topic, 1, 1, {})
    with pytest.raises(UnknownTopicError):
        admin.delete_topic(topic + "-other")


def test_waiting_for_a_broker_is_bounded_and_says_what_for() -> None:
    settings = load_settings(environ={}, flags={"kafka.bootstrap_servers": f"127.0.0.1:{free_port()}"})
    messages: list[str] = []
    started = time.monotonic()
    with pytest.raises(UnreachableError, match="cannot reach a broker within 3s") as caught:
        Admin(settings).wait(3.0, say=messages.append)
    assert time.monotonic() - started >= 3
    assert messages == [f"waiting up to 3s for Kafka at {settings.kafka.bootstrap_servers}"]
    assert "local up" in (caught.value.hint or "")


def test_a_host_that_does_not_exist_is_the_cause_of_the_wait() -> None:
    settings = load_settings(environ={}, flags={"kafka.bootstrap_servers": "no-such-host.invalid:9092"})
    with pytest.raises(UnreachableError, match=r"no-such-host\.invalid"):
        Admin(settings).wait(1.0)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"kafka.security_protocol": "SASL_SSL"}, r"kafka\.username is not set"),
        ({"kafka.security_protocol": "SASL_SSL", "kafka.username": "u"}, r"kafka\.password is not set"),
        (
            {"kafka.security_protocol": "SSL", "kafka.ssl_ca_location": "/no/such/file"},
            "cannot create a Kafka client: .*ca.location",
        ),
    ],
)
def test_a_login_that_is_not_complete_names_the_setting(flags: dict[str, str], message: str) -> None:
    for client in (Admin, Producer):
        with pytest.raises(ConfigError, match=message):
            client(load_settings(environ={}, flags=flags))


def test_a_broker_that_is_away_writes_nothing_to_stderr_by_itself() -> None:
    """Librdkafka would otherwise print a line for each attempt."""
    program = (
        "from stockctl.settings import load_settings; from stockctl.clients.kafka import Admin\n"
        f"settings = load_settings(environ={{}}, flags={{'kafka.bootstrap_servers': '127.0.0.1:{free_port()}'}})\n"
        "try: Admin(settings).wait(1.0)\n"
        "except Exception as error: print(type(error).__name__)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG)
    assert (result.stdout, result.stderr) == ("UnreachableError\n", "")


def test_keys_of_many_symbols_are_spread_over_the_partitions(producer: Producer, topic: str) -> None:
    spread = Counter(message.partition() for message in send(producer, topic, [f"SYM{n}" for n in range(300)]))
    assert set(spread) == {0, 1, 2}
    assert min(spread.values()) > 60


def test_a_partition_without_a_leader_is_unreachable(settings: Settings) -> None:
    """As while a broker starts. librdkafka reports a partition that nobody has in the same way."""
    with pytest.raises(UnreachableError, match="leader"):
        Admin(settings).offsets([Partition("absent", 0)])
