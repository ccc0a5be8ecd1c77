"""Every metric of the services, from the code that exposes it."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

import stockctl
from stockctl.feed.decoder import Decoder, Frame
from stockctl.feed.event_outbox import EventOutbox
from stockctl.feed.kafka_sink import KafkaSink
from stockctl.feed.stats import Stats
from stockctl.feed.websocket_session import FeedSession, ReceivedFrame
from stockctl.records import Trade
from stockctl.settings import load_settings
from tests.command import clean_environment


class Exposed(NamedTuple):
    """A metric as Prometheus reads it."""

    kind: str
    labels: frozenset[str]
    words: str


def exposed(folder: Path) -> dict[str, Exposed]:
    """The metrics of every module of the package and of the producer, by name; ``folder`` is for its state."""
    found: dict[str, Exposed] = {}
    for family, labels in [*_of_modules(), *_of_producer(folder)]:
        # Of a histogram, its buckets are what is queried.
        name = family.name + {"counter": "_total", "histogram": "_bucket"}.get(family.type, "")
        more = {"le"} if family.type == "histogram" else set()
        found[name] = Exposed(family.type, labels | more, family.documentation)
    return found


def _of_modules() -> Iterator[tuple[Metric, frozenset[str]]]:
    for module in pkgutil.walk_packages(stockctl.__path__, "stockctl."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, MetricWrapperBase):
                for family in value.collect():
                    yield family, frozenset(value._labelnames)


def _of_producer(folder: Path) -> Iterator[tuple[Metric, frozenset[str]]]:
    settings = load_settings(environ=clean_environment(), flags={"symbols": "AAPL", "state_dir": str(folder)}, stack=False)
    decoder, sink = Decoder("sim"), KafkaSink(settings)
    session, outbox = FeedSession(settings, ["AAPL"], decoder, threading.Event()), EventOutbox(settings, sink)
    try:
        report = Stats(settings, decoder, sink, session, outbox)
        trade = Trade("AAPL-1-k3f9a2-00000001", "AAPL", 1.0, 1.0, 1, 1, "", "vhl", "sim")
        report.received(ReceivedFrame(Frame("trade", [trade], []), 2))
        for family in report.collect():
            yield family, frozenset(label for sample in family.samples for label in sample.labels)
    finally:
        outbox.close()
