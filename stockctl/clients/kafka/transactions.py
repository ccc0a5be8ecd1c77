"""The transactional producer: consumers see all records of a transaction, or none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stockctl.clients.kafka.common import Partition
from stockctl.clients.kafka.consumer import Consumer
from stockctl.clients.kafka.producer import Producer
from stockctl.errors import StockctlError
from stockctl.settings import Settings

_COMMIT_WAIT = 30.0
"""Seconds to wait for one transaction to be committed or aborted."""
_OFFSETS_WAIT = 10.0
"""Seconds to wait until the broker has the offsets of a transaction."""
_FENCED = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}


class FencedError(StockctlError):
    """A newer producer with the same transactional id has taken over."""


class AbortedError(StockctlError):
    """A transaction was aborted, or nobody knows whether it was committed: a new producer with the same name finds out."""


class TransactionalProducer(Producer):
    """A producer that sends in transactions.

    Creating one aborts the open transaction of an earlier producer with the same ``name``, and fences that producer: only the
    newer of two can commit. Consumers with ``read_committed`` never see records of an aborted transaction.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        super().__init__(
            settings,
            **{
                "transactional.id": name,
                "transaction.timeout.ms": 60_000,
                # Deliveries must time out before the transaction does.
                "delivery.timeout.ms": 30_000,
                "allow.auto.create.topics": False,
            },
        )
        wait = settings.kafka.connect_wait
        self._watched.call(f"initialize transactions as {name}", lambda: self._producer.init_transactions(wait))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits the records that are produced inside, or aborts the transaction after an exception.

        FencedError if a newer producer with the same name has fenced this one, another StockctlError if the commit fails. After
        that only a new producer knows whether the transaction was committed.
        """
        try:
            self._producer.begin_transaction()
            yield
            self._producer.commit_transaction(_COMMIT_WAIT)
        except KafkaException as error:
            self._abort()
            raise self._describe(error.args[0]) from error
        except BaseException:  # also Ctrl-C: an open transaction would block its readers
            self._abort()
            raise

    def send_offsets(self, consumer: Consumer, offsets: Mapping[Partition, int]) -> None:
        """Commit ``offsets`` of the group of ``consumer`` with the open transaction. Errors as ``transaction``.

        AbortedError after some seconds without an answer.
        """
        items = [TopicPartition(partition.topic, partition.number, offset) for partition, offset in offsets.items()]
        group = consumer.group_metadata()
        # If the group's coordinator dies meanwhile, librdkafka ignores the timeout, and this call may never return.
        done = _in_thread(lambda: self._producer.send_offsets_to_transaction(items, group, _OFFSETS_WAIT))
        try:
            done.result(_OFFSETS_WAIT)
        except TimeoutError:
            raise AbortedError(f"the group's coordinator has not answered for {_OFFSETS_WAIT:.0f} s") from None

    def _abort(self) -> None:
        try:
            self._producer.abort_transaction(_COMMIT_WAIT)
        except KafkaException:
            # The broker aborts it after its timeout, or the next producer of that name does.
            self.purge()

    def _describe(self, error: KafkaError) -> StockctlError:
        if error.code() in _FENCED:
            return FencedError(
                "another run with the same transactional id has taken over; this run ends", hint="let the other run finish"
            )
        found = self._watched.describe(error, "commit a transaction")
        return AbortedError(str(found), hint=found.hint) if type(found) is StockctlError else found


def _in_thread(call: Callable[[], object]) -> Future[object]:
    """The result of ``call`` in a thread that ends with the process at the latest."""
    done = Future[object]()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:  # noqa: BLE001  # raised again where someone waits
            done.set_exception(error)

    threading.Thread(target=run, name="send offsets", daemon=True).start()
    return done
