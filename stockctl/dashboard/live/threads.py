"""The threads behind the hub: the stream of changes, the frames, the readings, and the checks of the pipeline."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import date
from functools import partial

from stockctl.clients.mongo import DocumentChange, Mongo, NoChangeStreamsError
from stockctl.dashboard.defects import log_defect
from stockctl.dashboard.live.hub import WATCHED, Hub
from stockctl.dashboard.live.kafka_tail import followed_records
from stockctl.dashboard.live.overview import newest_session
from stockctl.dashboard.live.polling import polled_changes
from stockctl.dashboard.view.views import parse_view
from stockctl.errors import ConfigError, StockctlError
from stockctl.exchange.calendar import now_ms
from stockctl.mongo.schema import COMPANIES
from stockctl.service import retry
from stockctl.settings import Settings

log = logging.getLogger("stockctl.dashboard")

_OVERVIEW_EVERY = 1.0
_PIPELINE_EVERY = 15.0
_SESSIONS_EVERY = 30.0
_LONGEST_WAIT = 5.0
"""Seconds for MongoDB to answer, at most: then browsers are to know that it does not."""
_SHARE = 0.25
"""Share of one core that reading views again may take, and so may reading the newest sessions."""
_IDLE = 0.1
"""Pause before views are looked through again, in seconds."""
_AFTER_A_DEFECT = 5.0
"""Pause before a thread that failed goes on, in seconds: what failed may fail each time."""


class Live:
    """Keeps ``hub`` up to date until ``stop``."""

    def __init__(self, settings: Settings, hub: Hub, stop: threading.Event) -> None:
        self._settings = settings
        self._hub = hub
        self._stop = stop
        self._mongo_wait = min(_LONGEST_WAIT, settings.mongo.connect_wait)

    def start(self) -> None:
        """Start the threads; they end after ``stop``."""
        jobs: dict[str, Callable[[], None]] = {"frames": self._send_frames, "readings": self._read, "pipeline": self._check}
        if self._settings.mongo.url is not None:
            jobs |= {"changes": partial(self._follow, self._follow_mongo), "overview": self._send_overview}
        else:
            jobs |= {"changes": partial(self._follow, self._follow_kafka), "overview": self._send_lake_overview}
            jobs["sessions"] = self._read_sessions
        jobs["first view"] = self._warm
        for name, job in jobs.items():
            threading.Thread(target=self._keep, args=(name, job), name=f"dashboard {name}", daemon=True).start()

    def _keep(self, name: str, job: Callable[[], None]) -> None:
        """Do ``job``, and again after an unexpected error: without it the page would stand still, and not say so."""
        while not self._stop.is_set():
            try:
                job()
            except Exception as error:  # noqa: BLE001  # a defect, which may be anything
                log_defect(f"the thread {name}", error)
                self._stop.wait(_AFTER_A_DEFECT)
            else:
                return

    def _warm(self) -> None:
        """Read what a page shows first, so that the first browser does not wait for it."""
        symbol = next(iter(self._settings.symbols), None)
        if symbol is not None:
            try:
                self._hub.snapshot(parse_view(self._settings, symbol))
            except StockctlError as error:
                log.info("nothing to show of %s yet: %s", symbol, error)

    def _follow(self, follow: Callable[[], None]) -> None:
        """Give changes to the hub, over every loss of the connection."""

        def lost(error: BaseException, _attempt: int) -> None:
            if isinstance(error, StockctlError):
                log.warning("no changes: %s", error)
            words = str(error) if isinstance(error, StockctlError) else log_defect("the stream of changes", error)
            self._hub.on_stale(words, now_ms())

        while not self._stop.is_set():
            try:
                retry(
                    follow,
                    lambda error: isinstance(error, Exception) and not isinstance(error, ConfigError),
                    stop=self._stop,
                    on_retry=lost,
                )
            except StockctlError as error:
                # Only another setting helps, or the service is stopping.
                lost(error, 0)
                return

    def _follow_mongo(self) -> None:
        with Mongo(self._settings, wait=self._mongo_wait) as mongo:
            try:
                self._take(mongo, mongo.changes(WATCHED, self._stop.is_set), "change stream")
            except NoChangeStreamsError as error:
                log.warning("%s: MongoDB is asked each second instead", error)
                self._take(mongo, polled_changes(mongo, self._stop), "asked each second: MongoDB is no replica set")

    def _take(self, mongo: Mongo, changes: Iterable[DocumentChange | None], source: str) -> None:
        is_open = False
        for change in changes:
            if change is not None:
                self._hub.on_change(change)
            elif not is_open:
                is_open = True
                for document in mongo.find(COMPANIES, {}):
                    self._hub.on_change(DocumentChange(COMPANIES, document, inserted=False))
                self._hub.on_fresh(source)

    def _follow_kafka(self) -> None:
        is_open = False
        for record in followed_records(self._settings, self._stop):
            if record is not None:
                self._hub.on_record(record)
            elif not is_open:
                is_open = True
                self._hub.on_fresh("Kafka: there is no MongoDB")

    def _send_frames(self) -> None:
        while not self._stop.wait(self._settings.dashboard.frame_every):
            self._hub.tick()

    def _read(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            self._hub.read_due()
            self._stop.wait(max(_IDLE, _rest_after(began)))

    def _send_overview(self) -> None:
        with Mongo(self._settings, wait=self._mongo_wait) as mongo:
            while not self._stop.wait(_OVERVIEW_EVERY):
                try:
                    self._hub.send_overview(mongo)
                except StockctlError as error:
                    log.warning("cannot read the overview: %s", error)

    def _send_lake_overview(self) -> None:
        """Where there is no MongoDB: the newest trades of Kafka, and what ``_read_sessions`` found."""
        while not self._stop.wait(_OVERVIEW_EVERY):
            self._hub.send_overview(None)

    def _read_sessions(self) -> None:
        """Where there is no MongoDB: the newest sessions in the lake, one after the other, since a large day takes memory."""
        bases: dict[tuple[str, date], float | None] = {}
        is_first = True
        while not self._stop.is_set():
            due = time.monotonic() + _SESSIONS_EVERY
            for symbol in self._settings.symbols:
                began = time.monotonic()
                try:
                    found = newest_session(self._settings, symbol, bases)
                except StockctlError as error:
                    log.warning("cannot read the overview: %s", error)
                    break
                if found is not None:
                    self._hub.set_session(found)
                # The first time there is nothing to show before.
                if self._stop.wait(0 if is_first else _rest_after(began)):
                    return
            is_first = False
            self._stop.wait(max(_OVERVIEW_EVERY, due - time.monotonic()))

    def _check(self) -> None:
        while not self._stop.is_set():
            if self._hub.clients:
                self._hub.send_pipeline()
            self._stop.wait(_PIPELINE_EVERY if self._hub.clients else 1.0)


def _rest_after(began: float) -> float:
    """Seconds to pause after work since ``began``, so that it takes no more than its share of a core."""
    return (time.monotonic() - began) * (1 / _SHARE - 1)
