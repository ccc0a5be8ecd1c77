"""The records that a run publishes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from stockctl.clients.kafka import Partition
from stockctl.exchange.calendar import now_ms
from stockctl.records import SignalRecord, connection_token
from stockctl.settings import Settings
from stockctl.strategies.loading import LoadedStrategy
from stockctl.strategies.symbol_run import Decision, decision_id, record_id


class RunRecords:
    """Makes the records of one run of ``strategy``. Times are in ms UTC."""

    def __init__(self, strategy: LoadedStrategy, symbols: Sequence[str], settings: Settings) -> None:
        self._strategy, self._symbols, self._settings = strategy, list(symbols), settings
        self.started = now_ms()
        moment = datetime.fromtimestamp(self.started / 1000, UTC)
        self.run = f"{moment:%Y%m%dT%H%M%SZ}-{connection_token()}"

    def start(self, starts: Mapping[Partition, int], source: str) -> SignalRecord:
        """The beginning of the run, with what is needed to repeat it; ``starts`` are the offsets from which it publishes."""
        settings = self._settings
        details = {
            "params": json.loads(self._strategy.params_json),
            "reference": self._strategy.reference,
            "symbols": self._symbols,
            "settings": {
                "topics.trades.name": settings.topics.trades.name,
                "lake.url": settings.lake.url,
                "signals.transactions": settings.signals.transactions,
            },
            "starts": {str(partition.number): offset for partition, offset in sorted(starts.items())},
        }
        return self._record(
            "run",
            record_id("run", self._strategy.name, self.run),
            ts_decided=self.started,
            ts_event=self.started,
            details=json.dumps(details, separators=(",", ":")),
            source=source,
        )

    def signal(self, decision: Decision, partition: Partition, offset: int, source: str) -> SignalRecord:
        """A decision on the record at ``offset``."""
        return self._record(
            "signal",
            decision_id(self._strategy.name, decision),
            symbol=decision.symbol,
            n=decision.n,
            side=decision.side,
            target=decision.target,
            strength=decision.strength,
            reason=decision.reason,
            ts_decided=decision.ts_decided,
            ts_event=decision.ts_event,
            record=decision.record,
            inputs=decision.inputs,
            partition=partition.number,
            offset=offset,
            source=source,
        )

    def heartbeat(
        self,
        symbol: str,
        inputs: str,
        record: str,
        at: int,
        ts_decided: int,
        partition: Partition,
        offset: int,
        source: str,
        *,
        opens: bool = False,
    ) -> SignalRecord:
        """The hash of the ids that a symbol's strategy has seen, up to ``record`` at ``offset``.

        ``opens``: it follows from a state that was made again. A run that begins again may have one at an offset already.
        """
        return self._record(
            "heartbeat",
            record_id("opening" if opens else "heartbeat", self._strategy.name, self.run, symbol, offset),
            symbol=symbol,
            ts_decided=ts_decided,
            ts_event=at,
            record=record,
            inputs=inputs,
            partition=partition.number,
            offset=offset,
            source=source,
        )

    def _record(self, kind: str, id: str, **fields: Any) -> SignalRecord:
        empty: dict[str, Any] = {
            "symbol": "",
            "n": 0,
            "side": "",
            "target": 0.0,
            "strength": 0.0,
            "reason": "",
            "record": "",
            "inputs": "",
            "partition": -1,
            "offset": -1,
            "details": "",
        }
        name, version = self._strategy.name, self._strategy.version
        filled = empty | fields
        return SignalRecord(kind=kind, id=id, strategy=name, version=version, run=self.run, ts_recv=now_ms(), **filled)
