"""The transactional producer: what it sends in one transaction is there as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from stockctl.clients.kafka.common import describe_error
from stockctl.clients.kafka.producer import Producer
from stockctl.errors import StockctlError
from stockctl.settings import Settings

_COMMIT_WAIT = 30.0
"""Seconds to wait for one transaction to be committed or aborted."""
_FENCED = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}


class TransactionalProducer(Producer):
    """A producer that sends in transactions.

    Making one ends whatever an earlier producer of the same ``name`` left open, and shuts that one out for good: of two, only
    the younger can commit. Readers with ``read_committed`` never see what was not committed.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        super().__init__(
            settings,
            **{
                "transactional.id": name,
                "transaction.timeout.ms": 60_000,
                # It must end before the transaction does.
                "delivery.timeout.ms": 30_000,
                "allow.auto.create.topics": False,
            },
        )
        try:
            self._producer.init_transactions(settings.kafka.connect_wait)
        except KafkaException as error:
            raise describe_error(self._watched.cause(error.args[0]), settings, f"begin transactions as {name}") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is produced inside is committed at its end, and none of it when that fails or something is raised inside.

        StockctlError when it cannot be committed, or when a younger producer of the same name has taken over.
        """
        try:
            self._producer.begin_transaction()
            yield
            self._producer.commit_transaction(_COMMIT_WAIT)
        except KafkaException as error:
            self._abort()
            raise self._describe(error.args[0]) from error
        except BaseException:
            self._abort()
            raise

    def _abort(self) -> None:
        try:
            self._producer.abort_transaction(_COMMIT_WAIT)
        except KafkaException:
            # The broker aborts it when it times out, or the next producer of the name does.
            self.purge()

    def _describe(self, error: KafkaError) -> StockctlError:
        if error.code() in _FENCED:
            return StockctlError("another run of the same has taken over; this one ends", hint="let the other one finish")
        return describe_error(self._watched.cause(error), self._settings, "commit a transaction")
