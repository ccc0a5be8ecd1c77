"""A date's signals as the lake's trades give them again, beside those that ran live: what ``signals verify`` compares."""

from __future__ import annotations

import signal
import threading
from datetime import date
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from stockctl.clients.mongo import Mongo
from stockctl.dashboard.signal_marks import (
    CONNECT_WAIT,
    SignalMark,
    Store,
    marks_of,
    newest,
    stored_signals,
    stored_trades,
)
from stockctl.errors import StockctlError, TimedOutError
from stockctl.exchange.calendar import from_ms, known_zone, now_ms, trade_date
from stockctl.exchange.time_parsing import parse_date
from stockctl.json_values import json_values
from stockctl.lake.reader.object_selection import LakeReader
from stockctl.lake.reader.symbols import resolve_lake_symbols
from stockctl.settings import Settings
from stockctl.signals.verification import Finding, Verification, verify
from stockctl.units import counted, format_duration

LONGEST = 60.0
"""Seconds that a replay may take."""

_one = threading.Lock()
"""One replay at a time: it has a processor of its own."""


class BusyError(TimedOutError):
    """Another replay has not ended."""


class _Task(NamedTuple):
    """What a replay needs."""

    settings: Settings
    symbol: str
    day: date
    strategy: str | None


class _Failure(NamedTuple):
    """An error of the replay: its message and hint."""

    message: str
    hint: str | None


def signals_answer(
    settings: Settings, written: str, day: str | None = None, strategy: str | None = None, *, seconds: float = LONGEST
) -> dict[str, Any]:
    """``signals``: the live ones of ``written`` on ``day`` (default: today) and those of the replay, in the order of time.

    Live ones come from the lake, and from MongoDB those that are newer. ``differs`` marks what the two do not agree on, and
    ``findings`` are the rows of ``stockctl signals verify SYMBOL --date … -o json``. Where nothing can be replayed,
    ``notes`` say why.

    BusyError while another replay runs, TimedOutError after ``seconds``; UsageError for a date that is none,
    UnknownSymbolError for a symbol that neither the setting ``symbols`` nor the lake knows.
    """
    chosen = trade_date(now_ms()) if day is None else parse_date(day)
    with LakeReader(settings) as lake:
        symbol = resolve_lake_symbols(lake, [written])[0]
    stores, notes = _stores(settings)
    live, left_out = newest(stored_signals(settings, symbol, chosen, stores=stores, strategy=strategy))
    found = _replay(_Task(settings, symbol, chosen, strategy), seconds)
    again: list[dict[str, Any]] = []
    findings: list[Finding] = []
    if isinstance(found, _Failure):
        notes.append(f"no replay: {found.message}" + (f"; {found.hint}" if found.hint else ""))
    else:
        again = [
            one.decision._asdict() | {"strategy": one.strategy} for one in found.decisions if one.decision.symbol == symbol
        ]
        findings = found.findings
        notes += [*found.notes, found.summary(chosen)]
        if findings:
            notes.append(f"{counted(len(findings), 'finding')}: what ran live is not what the lake gives")
    again, more = newest(sorted(again, key=lambda row: row["ts_event"]))
    trades = stored_trades(settings, symbol, chosen, [*live, *again], stores=stores)
    marks = marks_of(live, trades, "live") + marks_of(again, trades, "replayed")
    _mark_differences(marks, findings)
    zone = known_zone(settings.timezone)
    rows = (one._asdict() | {"at": None if one.at is None else from_ms(one.at, zone)} for one in findings)
    return {
        "symbol": symbol,
        "date": chosen.isoformat(),
        "strategy": strategy,
        "signals": sorted(marks, key=lambda mark: (mark["at"], mark["strategy"], mark["record"], mark["n"], mark["run"])),
        "findings": [json_values(row) for row in rows],
        "notes": list(dict.fromkeys([*notes, *left_out, *more])),
    }


def _stores(settings: Settings) -> tuple[list[Store], list[str]]:
    """The stores that answer, and a note if MongoDB does not."""
    if settings.mongo.url is None:
        return ["lake"], []
    try:
        with Mongo(settings, wait=CONNECT_WAIT) as mongo:
            mongo.version()
    except StockctlError as error:
        return ["lake"], [f"only the lake's signals: {error}"]
    return ["lake", "MongoDB"], []


def _mark_differences(marks: list[SignalMark], findings: list[Finding]) -> None:
    """Set ``differs`` and say in ``text`` how."""
    by_place = {(one.strategy, one.record, one.n): one for one in findings if one.n is not None}
    for mark in marks:
        one = by_place.get((mark["strategy"], mark["record"], mark["n"]))
        if one is None:
            continue
        mark["differs"] = True
        sides = f"live {one.live or 'nothing'}, replayed {one.replayed or 'nothing'}"
        mark["text"] += f"; {one.finding}: {sides}" + (f" ({one.cause})" if one.cause else "")


def _replay(task: _Task, seconds: float) -> Verification | _Failure:
    """Verify in a process of its own, which ends with the answer or after ``seconds``: a strategy is anybody's code."""
    if not _one.acquire(blocking=False):
        raise BusyError("another replay of signals is running", hint=f"ask again; one takes at most {format_duration(LONGEST)}")
    try:
        # Not forked: a process with threads, such as those of a server, may not be.
        context = get_context("spawn")
        answers, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_verify, args=(theirs, task), name="replay", daemon=True)
        process.start()
        theirs.close()
        try:
            if not answers.poll(seconds):
                raise TimedOutError(
                    f"the replay of {task.symbol} on {task.day} did not end within {format_duration(seconds)}",
                    hint=f"`stockctl signals verify {task.symbol} --date {task.day}` takes as long as it needs",
                )
            found: Verification | _Failure = answers.recv()
        except EOFError:
            process.join()
            return _Failure(f"its process ended with exit code {process.exitcode}", "the log has what it printed")
        finally:
            process.kill()
            process.join()
            process.close()
            answers.close()
    finally:
        _one.release()
    return found


def _verify(answers: Connection, task: _Task) -> None:
    """The process of a replay."""
    # Ctrl-C is for the server, which ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _, found = verify(task.settings, task.day, strategy=task.strategy, symbols=[task.symbol])
    except StockctlError as error:
        answers.send(_Failure(str(error), error.hint))
        return
    answers.send(found)
