"""The state of a strategy for each symbol, fed with what the topic delivers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from stockctl.clients.kafka import Partition
from stockctl.errors import StockctlError
from stockctl.records import SignalRecord, Trade
from stockctl.settings import SignalsSettings
from stockctl.signals.filing_watch import FilingWatch
from stockctl.signals.log_history import LogHistory
from stockctl.signals.records import RunRecords
from stockctl.signals.topic_tail import Placed
from stockctl.strategies.loading import LoadedStrategy
from stockctl.strategies.symbol_run import History, StrategyError, SymbolRun

OnFailure = Callable[[StrategyError, Partition, Placed], None]
"""Called with an error of the strategy and the record that it failed on."""


@dataclass
class _State:
    run: SymbolRun
    partition: Partition
    batch: Sequence[Placed]
    """What is being fed; empty while the state is made again."""
    beat: int
    """The time of the log, in ms UTC, at the newest heartbeat."""
    newest: Trade | None = None
    """The newest record that the state was made from."""


class SymbolStates:
    """Runs a strategy on each symbol. The state of a symbol is made at its first record, from what the log has before it."""

    def __init__(
        self,
        strategy: LoadedStrategy,
        history: LogHistory,
        filings: FilingWatch,
        records: RunRecords,
        settings: SignalsSettings,
        on_failure: OnFailure,
    ) -> None:
        self._strategy, self._history, self._filings, self._records = strategy, history, filings, records
        self._heartbeat = round(settings.heartbeat * 1000)
        self._on_failure = on_failure
        self._states: dict[str, _State] = {}

    def feed(self, partition: Partition, symbol: str, batch: Sequence[Placed]) -> list[SignalRecord]:
        """Feed records of one symbol, in the order of the log; what to publish."""
        found: list[SignalRecord] = []
        state = self._states.get(symbol)
        if state is None:
            state = self._states[symbol] = self._make(partition, symbol, batch[0])
            found.append(self._opening(state, batch[0]))
        state.partition, state.batch = partition, batch
        state.run.add_filings(self._filings.new(symbol, batch[-1].trade.ts_recv))
        found += [
            self._records.signal(decision, partition, batch[decision.position].offset, batch[decision.position].trade.source)
            for decision in state.run.trades([placed.trade for placed in batch])
        ]
        clock, last = state.run.clock, batch[-1]
        if clock.ms - state.beat >= self._heartbeat:
            state.beat = clock.ms
            trade = last.trade
            found.append(
                self._records.heartbeat(
                    symbol, state.run.inputs, trade.id, trade.ts_event, trade.ts_recv, partition, last.offset, trade.source
                )
            )
        return found

    def _make(self, partition: Partition, symbol: str, first: Placed) -> _State:
        """The state before ``first``. Its decisions were published by an earlier run, or come before the first one."""

        def before(day: date, days: int) -> History:
            until = state.batch[-1].offset if state.batch else first.offset
            return self._history.dates_before(symbol, day, days, state.partition, until)

        def failed(error: StrategyError, event: Any) -> None:
            if state.batch:
                placed = next((one for one in state.batch if one.trade.id == error.record), state.batch[-1])
                self._on_failure(error, state.partition, placed)

        filings = self._filings.new(symbol, first.trade.ts_recv)
        run = SymbolRun(self._strategy, symbol, before, filings=filings, on_error=failed)
        state = _State(run, partition, (), 0)
        for trades in self._history.trades_before(first.trade, partition, first.offset):
            run.trades(trades)
            state.newest = trades[-1] if trades else state.newest
        state.beat = run.clock.ms
        return state

    def _opening(self, state: _State, first: Placed) -> SignalRecord:
        """A heartbeat of what the state was made from. It says where the decisions of this run begin."""
        partition, trade = state.partition, state.newest or first.trade
        record = state.newest.id if state.newest is not None else ""
        return self._records.heartbeat(
            first.trade.symbol,
            state.run.inputs,
            record,
            trade.ts_event,
            trade.ts_recv,
            partition,
            first.offset - 1,
            trade.source,
            opens=True,
        )


def by_symbol(placed: Sequence[Placed], symbols: frozenset[str]) -> dict[str, list[Placed]]:
    """The records of ``symbols``, each symbol's in order."""
    found: dict[str, list[Placed]] = {}
    for one in placed:
        if one.trade.symbol in symbols:
            found.setdefault(one.trade.symbol, []).append(one)
    return found


class TooManyErrorsError(StockctlError):
    """The strategy failed more often than ``signals.max_errors`` allows."""


def too_many(strategy: str, errors: int, newest: StrategyError) -> TooManyErrorsError:
    """The error that ends the run."""
    return TooManyErrorsError(
        f"{strategy} failed on {errors} records, more than signals.max_errors allows; the newest: {newest}",
        hint="correct the strategy: the next start continues after the last commit",
    )
