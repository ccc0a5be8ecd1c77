"""The transactional producer: consumers see all records of a transaction, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from stockctl.clients.kafka.producer import Producer
from stockctl.errors import StockctlError
from stockctl.settings import Settings

_COMMIT_WAIT = 30.0
"""Seconds to wait for one transaction to be committed or aborted."""
_FENCED = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}


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

        StockctlError if the commit fails, or if a newer producer with the same name has fenced this one.
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

    def _abort(self) -> None:
        try:
            self._producer.abort_transaction(_COMMIT_WAIT)
        except KafkaException:
            # The broker aborts it after its timeout, or the next producer of that name does.
            self.purge()

    def _describe(self, error: KafkaError) -> StockctlError:
        if error.code() in _FENCED:
            return StockctlError(
                "another run with the same transactional id has taken over; this run ends", hint="let the other run finish"
            )
        return self._watched.describe(error, "commit a transaction")
