"""How the feed covered the symbols of a backtest, read from the lake's feed events in memory that does not grow."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from stockctl.backtest.gaps import MissedTime, SymbolCoverage
from stockctl.errors import UnhealthyError
from stockctl.exchange.calendar import EXCHANGE_ZONE, day_bounds, from_ms
from stockctl.lake.reader.events import read_events
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.metrics.coverage_report import CoverageInterval, coverage_intervals

_DAYS = 4
"""Dates whose events are read at a time: a feed sends one every ten seconds."""


def read_symbol_coverage(
    lake: LakeReader, symbols: Sequence[str], first: date, last: date, now: int
) -> dict[str, SymbolCoverage]:
    """The coverage of each symbol on the dates ``[first, last]`` up to ``now`` (ms UTC), in the session ``metrics.session``."""
    covered: dict[str, int] = dict.fromkeys(symbols, 0)
    expected: dict[str, int] = dict.fromkeys(symbols, 0)
    gaps: dict[str, list[MissedTime]] = {symbol: [] for symbol in symbols}
    begin = first
    while begin <= last:
        days = [begin + timedelta(number) for number in range(min(_DAYS, (last - begin).days + 1))]
        begin += timedelta(_DAYS)
        for found in _intervals(lake, symbols, days, now):
            length = found.until - found.since
            expected[found.symbol] += length
            if found.covered:
                covered[found.symbol] += length
            else:
                gaps[found.symbol].append(MissedTime(found.since, found.until, found.reason or ""))
    return {symbol: SymbolCoverage(covered[symbol], expected[symbol], sorted(gaps[symbol])) for symbol in symbols}


def _intervals(lake: LakeReader, symbols: Sequence[str], days: Sequence[date], now: int) -> Sequence[CoverageInterval]:
    since, _ = day_bounds(days[0])
    _, until = day_bounds(days[-1])
    events = read_events(lake, since, until)
    session = lake.settings.metrics.session
    return list(coverage_intervals(lake, events, symbols, days, session, now, since, until, whole=False))


def refuse_gaps(coverage: dict[str, SymbolCoverage]) -> None:
    """UnhealthyError that names the first gap, if there is one."""
    found = sorted((gap, symbol) for symbol, one in coverage.items() for gap in one.gaps)
    if not found:
        return
    (since, until, reason), symbol = found[0]
    first, last = (from_ms(moment, EXCHANGE_ZONE).strftime("%Y-%m-%d %H:%M:%S") for moment in (since, until))
    others = f", and there are {len(found) - 1} more gaps" if len(found) > 1 else ""
    raise UnhealthyError(
        f"the feed missed {symbol} from {first} to {last} ({reason or 'no reason given'}){others}",
        hint="--gaps mark runs, and marks what lies beside a gap; `stockctl lake gaps` lists them",
    )
