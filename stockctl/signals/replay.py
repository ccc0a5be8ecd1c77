"""One date of a symbol's log through a strategy again, with the places that the live records name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from stockctl.exchange.calendar import day_bounds
from stockctl.lake.reader.duckdb_session import duck
from stockctl.lake.reader.log_order import LogReader
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.records import SignalRecord, Trade
from stockctl.signals.live_record import POINTS
from stockctl.strategies.lake_filings import read_symbol_filings
from stockctl.strategies.lake_history import DaysBefore
from stockctl.strategies.loading import LoadedStrategy
from stockctl.strategies.symbol_run import Decision, History, StrategyError, SymbolRun

_DAY = 86_400_000


class Replay(NamedTuple):
    """What the strategy decided on ``day``.

    ``decisions`` have the number of points before them. ``passed`` are the points in the order of the log, ``inputs`` the hash
    of the inputs at each record that a point names. ``others`` are records of the date that came on another day. ``errors`` are
    those of the strategy.
    """

    day: date
    decisions: list[tuple[int, Decision]]
    passed: list[SignalRecord]
    inputs: dict[str, str]
    others: set[str]
    unproven: list[str]
    errors: list[str]

    def is_near(self, at: int) -> bool:
        """Whether ``at`` (ms UTC) is on the date, the one before or the one after."""
        since, until = day_bounds(self.day)
        return since - _DAY <= at < until + _DAY

    def is_of_day(self, record: SignalRecord) -> bool:
        """Whether the record belongs to the date's log: its trade is there, or is nowhere and came on that date."""
        if record.record in self.inputs:
            return True
        since, until = day_bounds(self.day)
        return record.record not in self.others and since <= min(record.ts_event, record.ts_decided) < until


def replay(lake: LakeReader, strategy: LoadedStrategy, symbol: str, day: date, records: Sequence[SignalRecord]) -> Replay:
    """Run ``strategy`` on the date ``day`` of the symbol's log, and look up the places of ``records``."""
    points: dict[str, list[SignalRecord]] = {}
    for record in records:
        if record.kind in POINTS:
            points.setdefault(record.record, []).append(record)
    found = Replay(day, [], [], {}, set(), [], [])
    days_before = DaysBefore(lake, symbol)

    def history(at: date, days: int) -> History:
        count, trades = days_before.before(at, days)
        if count < days and lake.floor is not None:
            found.unproven.append(f"the strategy was warmed up with dates before {lake.floor}, which were pruned")
        return History(count, trades)

    def note(error: StrategyError, _event: Any) -> None:
        """The live service sent the record to the dead letters, and went on."""
        found.errors.append(str(error))

    filings = read_symbol_filings(lake.settings, symbol, strategy, "stored").seen
    run = SymbolRun(strategy, symbol, history, filings=filings, on_error=note)
    reader = LogReader(lake)
    for log_day in reader.days(symbol, day, day):
        for trades in log_day.chunks:
            for part, point in _parts(trades, points):
                for record, decisions in groupby(run.trades(part), attrgetter("record")):
                    for decision in decisions:
                        found.decisions.append((len(found.passed), decision))
                    if record in points and record != point:  # a filing
                        found.inputs[record] = decision.inputs
                        found.passed.extend(points[record])
                if point is not None:
                    found.inputs[point] = run.inputs
                    found.passed.extend(points[point])
    found.unproven.extend(dict.fromkeys([*reader.unproven, *days_before.reader.unproven]))
    found.others.update(_in_other_logs(lake, symbol, found, records))
    return found


def _parts(trades: Sequence[Trade], points: Mapping[str, object]) -> Iterator[tuple[Sequence[Trade], str | None]]:
    """``trades`` divided after each record that is one of ``points``."""
    first = 0
    for place, trade in enumerate(trades, 1):
        if trade.id in points:
            yield trades[first:place], trade.id
            first = place
    yield trades[first:], None


def _in_other_logs(lake: LakeReader, symbol: str, found: Replay, records: Sequence[SignalRecord]) -> set[str]:
    """The ids of those ``records`` dated ``found.day`` that are not in its log, but in the lake: they came on another day."""
    since, until = day_bounds(found.day)
    absent = {record.record for record in records if record.record not in found.inputs and since <= record.ts_event < until}
    if not absent:
        return set()
    with duck() as connection:
        lake.view(connection, "trades", lake.find("trades", symbols=[symbol], since=since, until=until))
        rows = connection.sql(
            "SELECT id FROM trades WHERE symbol = $symbol AND list_contains($ids, id)",
            params={"symbol": symbol, "ids": sorted(absent)},
        ).fetchall()
    return {id for (id,) in rows}
