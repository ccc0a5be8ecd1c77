"""Strategies for tests of backtests, as files that a user writes."""

from __future__ import annotations

from pathlib import Path

PLAN = '''
from pydantic import BaseModel

from stockctl.exchange.calendar import from_ms
from stockctl.strategies import Signal, Strategy


class PlanParams(BaseModel):
    """``plan``: targets from exchange times on, such as ``23 10:00=1 24 11:30=0``: the day of the month and the time."""

    plan: str
    warmup_days: int = 0


class Plan(Strategy):
    """Wants each target at the first trade at or after its time."""

    Params = PlanParams

    def __init__(self, params, symbol):
        super().__init__(params, symbol)
        self.warmup_days = params.warmup_days
        words = params.plan.split()
        self.plan = []
        for day, text in zip(words[::2], words[1::2]):
            time, _, target = text.partition("=")
            self.plan.append((f"{day} {time}", float(target)))
        self.now = ""

    def on_trade(self, trade):
        before, self.now = self.now, f"{from_ms(trade.ts_event):%d %H:%M}"
        for at, target in self.plan:
            if before < at <= self.now and (before or at[:2] == self.now[:2]):
                yield Signal("exit" if target == 0 else "buy" if target > 0 else "sell", target)
'''

COUNT = '''
from pydantic import BaseModel

from stockctl.strategies import Strategy, buy


class CountParams(BaseModel):
    warmup_days: int = 1


class Count(Strategy):
    """Says at each date's first trade how many trades it has seen before."""

    Params = CountParams

    def __init__(self, params, symbol):
        super().__init__(params, symbol)
        self.warmup_days = params.warmup_days
        self.seen = 0

    def on_trade(self, trade):
        self.seen += 1
        if self.seen % 100 == 0:
            yield buy(0.5, strength=self.seen, reason=trade.id)
'''

FILINGS = '''
from stockctl.strategies import Strategy, buy


class Filings(Strategy):
    """Buys when a report comes."""

    def __init__(self, params, symbol):
        super().__init__(params, symbol)
        self.reports = 0

    def on_filing(self, filing):
        self.reports += 1
        reason = f"{filing.form} to {filing.period_end}, report {self.reports}"
        yield buy(0.5, strength=filing.figures["revenue"], reason=reason)
'''

NOISY = """
from stockctl.strategies import Strategy, buy


class Noisy(Strategy):
    def on_trade(self, trade):
        print("a word of the strategy")
        if trade.price < 0.5:
            raise KeyError("no such level")
"""

SOURCES = {"plan": PLAN, "count": COUNT, "filings": FILINGS, "noisy": NOISY}


def write(folder: Path, name: str) -> str:
    """The file of the strategy ``name`` in ``folder``."""
    file = folder / f"{name}.py"
    file.write_text(SOURCES[name])
    return str(file)
