"""What a live run publishes, made from the kernel: for lakes with trades and signals, without a broker."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from stockctl.records import SignalRecord, Trade
from stockctl.strategies import LoadedStrategy, SymbolRun
from stockctl.strategies.symbol_run import Before, SeenFiling, decision_id, no_history

EMPTY: dict[str, Any] = {
    "symbol": "", "n": 0, "side": "", "target": 0.0, "strength": 0.0, "reason": "", "record": "", "inputs": "",
    "partition": -1, "offset": -1, "details": "",
}  # fmt: skip


FIELDS = ("n", "side", "target", "strength", "reason", "ts_decided", "record", "inputs")


def published(
    strategy: LoadedStrategy,
    rows: Sequence[Trade],
    *,
    run: str = "run-1",
    starts: int = 0,
    until: int | None = None,
    beat: int = 50,
    before: Before = no_history,
    filings: Sequence[SeenFiling] = (),
) -> list[SignalRecord]:
    """The records of a run on ``rows``, whose offset is their place, from the offset ``starts`` to ``until``.

    A heartbeat follows each ``beat`` rows of a symbol, and one comes before the first.
    """
    symbols = sorted({row.symbol for row in rows})
    details = {
        "params": strategy.params.model_dump(mode="json"), "reference": strategy.reference, "symbols": symbols,
        "starts": {"0": starts},
    }  # fmt: skip
    at = rows[min(starts, len(rows) - 1)].ts_recv
    head = {"strategy": strategy.name, "version": strategy.version, "run": run, "source": rows[0].source}
    begun = {
        "kind": "run",
        "id": f"{run}-start",
        "ts_decided": at,
        "ts_event": at,
        "ts_recv": at,
        "details": json.dumps(details),
    }
    found = [SignalRecord(**(EMPTY | head | begun))]
    runs = {symbol: SymbolRun(strategy, symbol, before, filings=filings) for symbol in symbols}
    counts = dict.fromkeys(symbols, 0)
    for offset, row in enumerate(rows[:until]):
        decisions = runs[row.symbol].trades([row])
        place = {"symbol": row.symbol, "ts_event": row.ts_event, "partition": 0, "offset": offset, "ts_recv": row.ts_recv + 9}
        if offset == starts - 1 or (offset >= starts and counts[row.symbol] % beat == 0):
            beaten = {"kind": "heartbeat", "id": f"{run}-beat-{offset}", "record": row.id, "ts_decided": row.ts_recv}
            found.append(SignalRecord(**(EMPTY | head | place | beaten | {"inputs": runs[row.symbol].inputs})))
        counts[row.symbol] += 1
        if offset < starts:
            continue
        for decision in decisions:
            made = {"kind": "signal", "id": decision_id(strategy.name, decision)} | {
                name: getattr(decision, name) for name in FIELDS
            }
            found.append(SignalRecord(**(EMPTY | head | place | made)))
    return found
