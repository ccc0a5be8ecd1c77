"""Kafka: producer, consumer and admin client with the settings applied; the only importer of confluent_kafka."""

from confluent_kafka import KafkaError, Message

from stockctl.clients.kafka.admin import Admin
from stockctl.clients.kafka.common import Committed, Event, Offsets, Partition, TopicInfo, UnknownTopicError
from stockctl.clients.kafka.consumer import Consumer
from stockctl.clients.kafka.producer import Producer
from stockctl.clients.kafka.transactions import AbortedError, FencedError, TransactionalProducer

__all__ = [
    "AbortedError",
    "Admin",
    "Committed",
    "Consumer",
    "Event",
    "FencedError",
    "KafkaError",
    "Message",
    "Offsets",
    "Partition",
    "Producer",
    "TopicInfo",
    "TransactionalProducer",
    "UnknownTopicError",
]
