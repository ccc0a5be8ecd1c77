"""Which sources a lake takes records of: simulated and real trades must never mix."""

from __future__ import annotations

from collections.abc import Callable, Set
from contextlib import suppress
from typing import get_args

from stockctl.clients.store import Store
from stockctl.lake.format import claims
from stockctl.lake.store import NoLakeError, existing_store
from stockctl.records import Source
from stockctl.settings import Settings
from stockctl.stream.dead_letters import foreign_source

Retry = Callable[[Callable[[], str]], str]
"""Calls again what fails temporarily, and returns its result."""


class LakeSources:
    """The source that the lake was begun with, and ``lake.extra_sources``; the first record of ours begins an empty lake."""

    def __init__(self, store: Store, extra: Set[str], retry: Retry = lambda call: call()) -> None:
        self._store, self._retry = store, retry
        self._begun: str | None = None
        self.known = frozenset(extra)

    def refusal(self, source: str) -> str | None:
        """Why records of ``source`` are not taken; None if they are. Errors as the store raises them."""
        if self._begun is None and source not in self.known and source in get_args(Source):
            self._begun = self._retry(lambda: claims.lake_source(self._store, source))
            self.known |= {self._begun}
        return None if source in self.known else foreign_source(source, "the lake", self._begun, "lake.extra_sources")


def refusal_of(settings: Settings) -> Callable[[str], str | None]:
    """What tells why the lake of ``settings`` would not take a source, None if it would, as where it is empty."""
    begun = None
    if settings.lake.url:
        with suppress(NoLakeError):
            begun = claims.read_source(existing_store(settings))
    allowed = {begun, *settings.lake.extra_sources}

    def refusal(source: str) -> str | None:
        if begun is None or source in allowed:
            return None
        return foreign_source(source, "the lake", begun, "lake.extra_sources")

    return refusal
