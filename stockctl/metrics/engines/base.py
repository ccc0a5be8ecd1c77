"""What every engine provides: trades, feed events, and queries in the SQL of ``sql/metrics`` over them.

``registry`` says how to add one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from contextlib import AbstractContextManager
from datetime import date
from typing import Any, NamedTuple, Self

from stockctl.exchange.calendar import Calendar
from stockctl.intervals import Interval
from stockctl.lake.reader.object_selection import DataFile
from stockctl.settings import Settings
from stockctl.symbols import SymbolLookup

Event = dict[str, Any]
"""A feed event: a mapping of its fields."""

Notify = Callable[[str], None]
"""Receives a line for the user, such as one about a wait."""


def ignore(_: str) -> None:
    """The ``Notify`` that drops its line."""


class TradeRange(NamedTuple):
    """Trades of one symbol in an engine, between ``ts_min`` and ``ts_max`` (ms UTC), both included.

    ``key`` identifies the range. ``file`` is the lake object that contains the trades; other engines have none.
    """

    key: str
    symbol: str
    trade_date: date
    ts_min: int
    ts_max: int
    file: DataFile | None = None


class Engine(SymbolLookup):
    """One query's connection to an engine.

    With ``received_by`` (ms UTC), trades, feed events and connections are those that had been received by then. Which symbols
    and dates exist does not depend on it.

    Calls come in this order: ``provide`` the relations ``slices`` and ``codes``, ``place_trades``, then ``run`` queries,
    each after ``provide`` of the other relations that it needs.
    """

    lag_ms: int
    """How far the engine may be behind the feed in normal operation, in ms."""

    @classmethod
    @abstractmethod
    def connect(
        cls, settings: Settings, received_by: int | None = None, notify: Notify = ignore
    ) -> AbstractContextManager[Self]:
        """An open engine. UnreachableError if its system does not answer; ``notify`` receives a line about a long wait."""

    @abstractmethod
    def dates(self, symbol: str) -> Iterator[date]:
        """Dates that may have trades of ``symbol``, newest first."""

    @abstractmethod
    def has_filings(self, symbol: str) -> bool:
        """Whether the engine's store has filings of ``symbol``."""

    @abstractmethod
    def find(self, symbol: str, since: int | None, until: int | None) -> list[TradeRange]:
        """The ranges of trades of ``symbol`` that overlap ``[since, until)`` (ms UTC); None is no bound."""

    @abstractmethod
    def conditions(
        self, symbol: str, ranges: Collection[TradeRange], intervals: Iterable[Interval]
    ) -> Iterator[Collection[str]]:
        """For each interval, the distinct condition codes (comma-joined) of the trades of ``symbol`` in ``ranges``."""

    @abstractmethod
    def through(self, symbol: str, ranges: Collection[TradeRange]) -> int | None:
        """Receipt time in ms up to which the engine has every trade of ``symbol``; None without ``ranges``."""

    @abstractmethod
    def events(self, since: int, until: int) -> list[Event]:
        """The feed events that overlap ``[since, until)`` (ms UTC), in order of ``span_start`` and ``id``."""

    @abstractmethod
    def connected_before(self, symbols: Set[str], ms: int) -> set[str]:
        """Those of ``symbols`` for which the feed was connected before ``ms`` (UTC)."""

    @abstractmethod
    def calendar(self, symbol: str) -> Calendar:
        """The trading hours that apply to the engine's trades of ``symbol``."""

    @abstractmethod
    def provide(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        """Create the relation ``name`` of ``RELATIONS`` with ``rows``, or replace it."""

    @abstractmethod
    def place_trades(self, ranges: Iterable[TradeRange], policy: str) -> None:
        """Create the relation ``placed``: the trades of ``ranges`` in their spans, by ``sql/metrics/placed.sql``."""

    @abstractmethod
    def run(self, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows of the query ``sql/metrics/NAME.sql``, over ``placed`` and the provided relations."""
