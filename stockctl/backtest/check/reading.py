"""The tapes of a check, from the lake or from bars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from stockctl.backtest.check.tape import Tape, TapeDay, encoded
from stockctl.backtest.lake.history import Warmup
from stockctl.backtest.lake_run import dates_of
from stockctl.errors import StockctlError
from stockctl.exchange.log_clock import LogClock
from stockctl.lake.reader.log_order import LogReader
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.symbols import resolve_lake_symbols
from stockctl.records import Trade
from stockctl.settings import Settings
from stockctl.strategies import Bar, LoadedStrategy
from stockctl.strategies.lake_filings import read_symbol_filings

NEWEST = 2
"""Dates that are read where no span is given."""


def tapes_of_bars(bars: Mapping[str, Sequence[Bar]]) -> list[Tape]:
    """A tape of each symbol's bars."""
    return [Tape(symbol, date.min, bars=encoded(each)) for symbol, each in bars.items()]


def tapes_of_lake(
    settings: Settings, strategy: LoadedStrategy, symbols: Sequence[str], since: int | None, until: int | None
) -> list[Tape]:
    """A tape of each symbol's trades on the dates that ``[since, until)`` touches (ms UTC), with those that warm up before.

    Without bounds: on the newest two dates. StockctlError if the lake has none of a symbol, UsageError for a span without a
    date.
    """
    with LakeReader(settings) as lake:
        names = sorted(resolve_lake_symbols(lake, symbols))
        first, last = dates_of(lake, since, until)
        if since is None:
            dates = sorted({*lake.dates(), *lake.compacted_dates()})
            first = [one for one in dates if one <= last][-NEWEST:][0]
        return [_tape(lake, settings, strategy, symbol, first, last) for symbol in names]


def _tape(lake: LakeReader, settings: Settings, strategy: LoadedStrategy, symbol: str, first: date, last: date) -> Tape:
    reader = LogReader(lake)

    days = [
        TapeDay(day, [raw for trades in chunks for raw in encoded(trades)]) for day, chunks in reader.days(symbol, first, last)
    ]
    if not days:
        raise StockctlError(
            f"the lake has no trades of {symbol} from {first} to {last}", hint="`stockctl lake list` names its dates"
        )
    filings = read_symbol_filings(settings, symbol, strategy, "known").seen
    wanted = getattr(strategy.make(symbol), "warmup_days", 0)
    # The end of the date before says which filings are new.
    _, before = Warmup(lake, symbol, "log").before(first, max(wanted, 1) if filings else wanted)
    return Tape(symbol, first, [*_by_day(before), *days], filings)


def _by_day(chunks: Iterable[Sequence[Trade]]) -> list[TapeDay]:
    """The trades of days before the span by their days."""
    clock = LogClock()
    days: list[TapeDay] = []
    for trades in chunks:
        for trade, raw in zip(trades, encoded(trades), strict=True):
            if clock.advance(trade.ts_event, trade.ts_recv):
                days.append(TapeDay(clock.day, []))
            days[-1].trades.append(raw)
    return days
