"""The sources that a lake accepts records of: simulated and real trades must never mix."""

from __future__ import annotations

from collections.abc import Callable, Set
from contextlib import suppress
from typing import get_args

from stockctl.clients.object_store import Store
from stockctl.lake.format import claims
from stockctl.lake.store import NoLakeError, existing_store
from stockctl.records import Source
from stockctl.settings import Settings
from stockctl.stream.dead_letters.record import foreign_source

Retry = Callable[[Callable[[], str]], str]
"""Calls again what fails temporarily, and returns its result."""


class LakeSources:
    """The first source of the lake, and ``lake.extra_sources``. An empty lake takes the first source of its records."""

    def __init__(self, store: Store, extra: Set[str], retry: Retry = lambda call: call()) -> None:
        self._store, self._retry = store, retry
        self._first: str | None = None
        self.known = frozenset(extra)

    def refusal(self, source: str) -> str | None:
        """Why records of ``source`` are rejected; None if they are not. Raises what the store raises."""
        if self._first is None and source not in self.known and source in get_args(Source):
            self._first = self._retry(lambda: claims.lake_source(self._store, source))
            self.known |= {self._first}
        return None if source in self.known else foreign_source(source, "the lake", self._first, "lake.extra_sources")


def _first_source(settings: Settings) -> str | None:
    """The first source of the lake of ``settings``; None if there is no lake, or if it has not decided yet."""
    if not settings.lake.url:
        return None
    with suppress(NoLakeError):
        return claims.read_source(existing_store(settings))
    return None


class AcceptedSources:
    """The sources that the lake of ``settings`` accepts, for those who only read: an empty lake has not decided yet."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._first: str | None = None

    def among(self, sources: Set[str]) -> Set[str]:
        """Those of ``sources`` whose records the lake accepts. Raises what the store raises."""
        extra = self._settings.lake.extra_sources
        if self._first is None and not sources <= set(extra):
            self._first = _first_source(self._settings)
        return sources if self._first is None else sources & {self._first, *extra}


def refusal_of(settings: Settings) -> Callable[[str], str | None]:
    """A function with the reason why the lake of ``settings`` rejects a source; it returns None for an accepted one."""
    first = _first_source(settings)
    allowed = {first, *settings.lake.extra_sources}

    def refusal(source: str) -> str | None:
        if first is None or source in allowed:
            return None
        return foreign_source(source, "the lake", first, "lake.extra_sources")

    return refusal
