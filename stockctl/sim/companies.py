"""Seeded companies with consistent books: balance sheets balance, cash matches the cash flow, quarters sum to their year.

    company = Company("AAPL", seed=7)
    for period in company.periods:
        ...  # a fiscal year with its quarters; a transition period is a short one

Amounts are whole dollars. ``statements`` writes the reports of a period.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from typing import Literal, NamedTuple

FIRST_YEAR = 2009
"""The first fiscal year of every company: statements in a form that programs read begin about there."""

Calendar = Literal["december", "june", "weeks"]
"""When a fiscal year ends: with the month, or on September's last Saturday (52 or 53 weeks)."""

_SEASON = (0.94, 0.97, 0.99, 1.10)


class Quarter(NamedTuple):
    """A quarter's flows, the balance at its end, and its average shares."""

    start: date
    end: date
    flows: Counter[str]
    balance: dict[str, int]
    basic: int
    diluted: int


class Period(NamedTuple):
    """A fiscal year, or the short period by which a company changes its calendar."""

    year: int
    quarters: list[Quarter]

    @property
    def start(self) -> date:
        """Its first day."""
        return self.quarters[0].start


class Company:
    """The company of ``symbol``, the same for a seed. Its fiscal years are those from 2009 to the one after ``last_year``.

    One in three changes its calendar once (``transition``, the year in which the short period ends, else None), one in three
    splits its shares four for one (``split``, the first day of the quarter).
    """

    def __init__(self, symbol: str, *, seed: int = 1, last_year: int) -> None:
        self.symbol = symbol
        mark = zlib.crc32(symbol.encode())
        self.cik = 1_000_000 + mark % 900_000
        self.name = f"{symbol.title()} Incorporated"
        self._random = Random(f"{seed} {symbol}")
        self.calendar: Calendar = ("december", "june", "weeks")[mark % 3]
        self.transition = 2016 + mark // 3 % 4 if self.calendar == "december" and mark // 12 % 2 else None
        split_year = 2014 + mark // 5 % 8 if mark // 7 % 3 == 0 else None
        self.split: date | None = None
        self.amended = 2018 + mark // 11 % 5
        """The fiscal year whose annual report is amended."""
        self.periods: list[Period] = []
        books = _Books(self._random)
        for year, spans in self._spans(last_year):
            quarters = []
            for number, (start, end) in enumerate(spans):
                if split_year == year and self.split is None:
                    books.split(4)
                    self.split = start
                quarters.append(books.quarter(start, end, _SEASON[number]))
            self.periods.append(Period(year, quarters))

    def _spans(self, last_year: int) -> Iterator[tuple[int, list[tuple[date, date]]]]:
        calendar: Calendar = self.calendar
        start = _year_end(calendar, FIRST_YEAR - 1) + timedelta(days=1)
        for year in range(FIRST_YEAR, last_year + 2):
            if year == self.transition:
                calendar = "june"
                ends = [date(year, 3, 31), date(year, 6, 30)]
            else:
                ends = _quarter_ends(calendar, start, year)
            spans = []
            for end in ends:
                spans.append((start, end))
                start = end + timedelta(days=1)
            yield year, spans


class _Books:
    """The ledger: each quarter's flows move the balance, so that it always balances."""

    def __init__(self, random: Random) -> None:
        self._random = random
        revenue = round(10 ** random.uniform(4.3, 7.3)) * 1000
        self._revenue = float(revenue)
        self._growth = random.uniform(1.0, 1.035)
        self._cost = random.uniform(0.35, 0.75)
        self._shares = round(revenue / 1000 / random.uniform(4, 30)) * 1000 + 1_000_000
        self._balance = {
            "cash": revenue,
            "receivables": revenue // 3000 * 1000,
            "inventory": revenue // 4000 * 1000,
            "property": revenue * 2,
            "payables": revenue // 3000 * 1000,
            "short debt": revenue // 10_000 * 1000,
            "long debt": revenue,
        }
        owned = sum(self._balance[name] for name in ("cash", "receivables", "inventory", "property"))
        equity = owned - sum(self._balance[name] for name in ("payables", "short debt", "long debt"))
        self._balance["stock"] = equity // 2
        self._balance["retained"] = equity - equity // 2

    def split(self, times: int) -> None:
        """Multiply the shares."""
        self._shares *= times

    def quarter(self, start: date, end: date, season: float) -> Quarter:
        """Book one quarter."""
        draw, thousands = self._random.uniform, self._thousands
        self._revenue *= self._growth
        flows: Counter[str] = Counter()
        flows["revenue"] = revenue = thousands(self._revenue * season * draw(0.93, 1.07))
        flows["cost"] = thousands(revenue * self._cost * draw(0.95, 1.05))
        flows["research"] = thousands(revenue * draw(0.04, 0.09))
        flows["selling"] = thousands(revenue * draw(0.06, 0.12))
        flows["platform"] = thousands(revenue * draw(0.005, 0.02))
        flows["operating"] = revenue - sum(flows[name] for name in ("cost", "research", "selling", "platform"))
        flows["interest"] = thousands((self._balance["long debt"] + self._balance["short debt"]) * 0.01)
        flows["other"] = thousands(revenue * draw(-0.01, 0.01))
        flows["pretax"] = flows["operating"] - flows["interest"] + flows["other"]
        flows["tax"] = max(0, thousands(flows["pretax"] * draw(0.14, 0.24)))
        flows["income"] = flows["pretax"] - flows["tax"]
        self._book_cash(flows, revenue)
        self._shares = round(self._shares * draw(0.993, 1.002) / 1000) * 1000
        return Quarter(start, end, flows, dict(self._balance), self._shares, round(self._shares * 1.015 / 1000) * 1000)

    def _book_cash(self, flows: Counter[str], revenue: int) -> None:
        draw, thousands, balance = self._random.uniform, self._thousands, self._balance
        flows["depreciation"] = thousands(balance["property"] * 0.025)
        flows["stock pay"] = thousands(revenue * draw(0.01, 0.03))
        for name, share in (("receivables", 0.35), ("inventory", 0.25), ("payables", 0.35)):
            flows[name] = thousands(revenue * share * draw(0.9, 1.1)) - balance[name]
        flows["from operations"] = (
            sum(flows[name] for name in ("income", "depreciation", "stock pay", "payables"))
            - flows["receivables"]
            - flows["inventory"]
        )
        flows["capital expenditure"] = thousands(balance["property"] * draw(0.02, 0.04))
        flows["from investing"] = -flows["capital expenditure"]
        before = balance["cash"] + flows["from operations"] + flows["from investing"]
        flows["repaid"] = balance["short debt"]
        flows["borrowed"] = max(0, thousands(revenue * 0.3) - before + flows["repaid"])
        spare = max(0, before + flows["borrowed"] - flows["repaid"] - revenue)
        flows["dividends"] = thousands(spare * 0.2)
        flows["buybacks"] = thousands(spare * 0.3)
        flows["from financing"] = flows["borrowed"] - sum(flows[name] for name in ("repaid", "dividends", "buybacks"))
        flows["cash change"] = sum(flows[name] for name in ("from operations", "from investing", "from financing"))
        balance["cash"] += flows["cash change"]
        for name in ("receivables", "inventory", "payables"):
            balance[name] += flows[name]
        balance["property"] += flows["capital expenditure"] - flows["depreciation"]
        debt = balance["long debt"] + balance["short debt"] + flows["borrowed"] - flows["repaid"]
        balance["short debt"] = thousands(debt * 0.05)
        balance["long debt"] = debt - balance["short debt"]
        balance["stock"] += flows["stock pay"]
        balance["retained"] += flows["income"] - flows["dividends"] - flows["buybacks"]

    @staticmethod
    def _thousands(amount: float) -> int:
        return round(amount / 1000) * 1000


def _year_end(calendar: Calendar, year: int) -> date:
    if calendar == "december":
        return date(year, 12, 31)
    if calendar == "june":
        return date(year, 6, 30)
    last = date(year, 9, 30)
    return last - timedelta(days=(last.weekday() - 5) % 7)


def _quarter_ends(calendar: Calendar, start: date, year: int) -> list[date]:
    end = _year_end(calendar, year)
    if calendar == "weeks":
        return [*(start + timedelta(weeks=13 * number, days=-1) for number in (1, 2, 3)), end]
    months = [start.month - 1 + 3 * number for number in (1, 2, 3)]
    return [*(date(start.year + month // 12, month % 12 + 1, 1) - timedelta(days=1) for month in months), end]
