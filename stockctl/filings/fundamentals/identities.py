"""Accounting identities over reports: what must add up, and whether it does.

- ``assets``: assets = liabilities + equity, and the report's own total of the two.
- ``cash flow``: operating + investing + financing flows (and exchange rates) = change in cash.
- ``cash``: that change (and exchange rates, where it leaves them out) = cash at the period's end less cash at its start.
- ``gross profit``: revenue less its cost = gross profit, where the report gives all three.
- ``income tax``: income before tax less the tax = income after it.
- ``eps``: diluted EPS is not above basic EPS, and not far from income over shares.
- ``parts``: no part of the balance sheet is more than its whole.
- ``quarters``: the quarters of a year sum to it, and none of them has negative revenue.

Amounts are rounded as the reports round them: each may be half a unit off. What a report does not tell is not held against it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import combinations
from typing import Any, NamedTuple

from stockctl.filings.fundamentals.periods import Part, Span, add_up, ending
from stockctl.filings.fundamentals.point_in_time import PointInTimeView
from stockctl.filings.model import Filing, Statement, bare
from stockctl.filings.standardize.line_items import Source, digits, income_to_common, table
from stockctl.filings.standardize.net_income import AFTER_TAX, BETWEEN, NOT_BETWEEN
from stockctl.filings.standardize.rounding import adds_up, tolerance
from stockctl.filings.standardize.standardize import read, value_in

_CHANGE = (
    "CashCashEquivalentsRestrictedCashAndRestrictedCashEquivalentsPeriodIncreaseDecreaseIncludingExchangeRateEffect",
    "CashCashEquivalentsRestrictedCashAndRestrictedCashEquivalentsPeriodIncreaseDecreaseExcludingExchangeRateEffect",
    "CashAndCashEquivalentsPeriodIncreaseDecrease",
    "CashAndCashEquivalentsPeriodIncreaseDecreaseExcludingExchangeRateEffect",
)
_PLAIN_CASH = "CashAndCashEquivalentsAtCarryingValue"
_ALL_CASH = "CashCashEquivalentsRestrictedCashAndRestrictedCashEquivalents"
_FLOWS = tuple(f"NetCashProvidedByUsedIn{name}Activities" for name in ("Operating", "Investing", "Financing"))
_EQUITY = ("StockholdersEquityIncludingPortionAttributableToNoncontrollingInterest", "StockholdersEquity")
_BESIDE_EQUITY = re.compile(r"MinorityInterest|NoncontrollingInterest|TemporaryEquity|Mezzanine|Redeemable")
_EXCHANGE_RATES = re.compile(r"^EffectOfExchangeRate")
_BESIDE_FLOWS = re.compile(r"EffectOfExchangeRate|DiscontinuedOperation")
_MOST_BESIDE = 8
_SUMMED = ("revenue", "net_income", "operating_cash_flow")


_ORDER = ("assets", "parts", "cash flow", "cash", "gross profit", "income tax", "eps", "quarters")
_WHOLES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("current_assets",), "assets"),
    (("cash",), "assets"),
    (("receivables", "inventory"), "current_assets"),
    (("current_liabilities",), "liabilities"),
    (("short_term_debt",), "liabilities"),
    (("long_term_debt",), "liabilities"),
)
"""Items of the balance sheet, with the item that they are parts of."""
_CENT = 0.01
_TO_OTHERS = re.compile(r"dividend|accretion|participating|preferred|deemed", re.IGNORECASE)
"""What is taken off income before it is divided by shares."""


class Finding(NamedTuple):
    """One identity of one period: ``holds`` is None where the reports do not tell all of it; ``detail`` names the terms."""

    identity: str
    period_end: date | None
    holds: bool | None
    left: float | None
    right: float | None
    detail: str
    accession: str

    @property
    def words(self) -> str:
        """The finding in one line."""
        return f"{self.identity} to {self.period_end}: {self.detail} ({self.accession})"


def check(known: PointInTimeView) -> list[Finding]:
    """Every identity over every report, the newest period first."""
    found = [
        one
        for filing in known.filings
        for one in (*_assets(filing), *_cash_flow(filing), *_cash(known, filing), *_income(filing), *_parts(filing))
    ]
    found += _quarters(known)
    for other in known.others:
        found += check(other)
    order = {name: number for number, name in enumerate(_ORDER)}
    return sorted(found, key=lambda one: (-(one.period_end or date.min).toordinal(), order[one.identity], one.accession))


def _assets(filing: Filing) -> Iterator[Finding]:
    if not filing.bs:
        return
    assets = value_in(filing, "bs", "Assets")
    total = value_in(filing, "bs", "LiabilitiesAndStockholdersEquity")
    liabilities = value_in(filing, "bs", "Liabilities")
    equities = [one for name in _EQUITY if (one := value_in(filing, "bs", name)) is not None]
    if assets is None or (total is None and (liabilities is None or not equities)):
        yield _untold("assets", filing, "the balance sheet lacks a total, or a side of it")
        return
    if total is not None:
        yield _compared("assets", filing, [assets], [total])
    if liabilities is not None and equities:
        beside = _beside(filing, "bs", _BESIDE_EQUITY)
        best = min(
            ([liabilities, equity, *more] for equity in equities for more in _choices(beside)),
            key=lambda terms: (abs(assets.value - _sum(terms)) > tolerance(_values([assets, *terms])), len(terms)),
        )
        yield _compared("assets", filing, [assets], best)


def _cash_flow(filing: Filing) -> Iterator[Finding]:
    if not filing.cf:
        return
    change = value_in(filing, "cf", *_CHANGE)
    flows = [value_in(filing, "cf", name, f"{name}ContinuingOperations") for name in _FLOWS]
    told = [flow for flow in flows if flow is not None]
    if change is None or len(told) < len(flows):
        yield _untold("cash flow", filing, "the cash flow statement lacks one of its three flows, or the change in cash")
        return
    best = min(
        ([*told, *more] for more in _choices(_beside(filing, "cf", _BESIDE_FLOWS))),
        key=lambda terms: (abs(change.value - _sum(terms)) > tolerance(_values([change, *terms])), -len(terms)),
    )
    yield _compared("cash flow", filing, [change], best)


def _cash(known: PointInTimeView, filing: Filing) -> Iterator[Finding]:
    """The change in cash against the balance sheets at both ends of the period."""
    change = value_in(filing, "cf", *_CHANGE)
    if change is None or filing.start is None or filing.end is None:
        return
    before = known.report_on(filing.start - timedelta(days=1))
    effects: list[Source] = []
    if "ExcludingExchangeRateEffect" in change.concept:
        if not any(item.value is not None and _EXCHANGE_RATES.search(item.name) for item in filing.cf):
            yield _untold("cash", filing, "the change leaves out exchange rates, whose effect the report does not tell")
            return
        effects = _beside(filing, "cf", _EXCHANGE_RATES)
    restricted = "RestrictedCash" in change.concept
    for name in (_ALL_CASH, _PLAIN_CASH) if restricted else (_PLAIN_CASH,):
        last = value_in(filing, "bs", name)
        first = value_in(before, "bs", name) if before else None
        if last is None or first is None:
            continue
        finding = _compared("cash", filing, [change, *effects], [last, first._replace(value=-first.value)])
        if finding.holds or name == _ALL_CASH or not restricted:
            yield finding
        else:
            yield _untold("cash", filing, "the change counts restricted cash, which the balance sheet does not tell apart")
        return
    yield _untold("cash", filing, "no report tells cash at the start of the period, or this one not at its end")


def _income(filing: Filing) -> Iterator[Finding]:
    """The ties of an income statement."""
    if filing.end is None or not filing.ic:
        return
    found, unclear = read(filing, "ic")
    revenue, cost, profit = (found.get(name) for name in ("revenue", "cost_of_revenue", "gross_profit"))
    if revenue is not None and profit is not None and not profit.derived:
        if cost is not None and bare(cost.sources[-1].concept) != "GrossProfit":
            # What is written as a negative amount is an outflow all the same.
            spent = [source._replace(value=abs(source.value)) for source in cost.sources]
            yield _compared("gross profit", filing, [*revenue.sources], [*spent, *profit.sources])
        elif "cost_of_revenue" in unclear:
            words = unclear["cost_of_revenue"]
            yield Finding("gross profit", filing.end, False, revenue.value, profit.value, words, filing.accession)
        else:
            yield _untold("gross profit", filing, "the report names no cost of revenue, or a part of it alone")
    pretax, tax = found.get("pretax_income"), found.get("income_tax")
    after = [one for name in AFTER_TAX if (one := value_in(filing, "ic", name)) is not None]
    if pretax is not None and tax is not None and after:
        # With the sign that the report's sums prove.
        paid = tax.sources[0]._replace(value=tax.value)
        between = [one for one in _beside(filing, "ic", BETWEEN) if not NOT_BETWEEN.search(bare(one.concept))]
        ways = [[paid, one, *more] for one in after for more in _choices([*between, *map(_negative, between)])]
        tied = next((way for way in ways if adds_up(pretax.value, _values(way))), None)
        if tied is not None or not (between or _has_others(filing)):
            yield _compared("income tax", filing, [*pretax.sources], tied or ways[0])
        else:
            yield _untold("income tax", filing, "other lines stand between income before tax and net income")
    basic, diluted = found.get("eps_basic"), found.get("eps")
    if basic is not None and diluted is not None:
        # EPS that was cut and computed here is as exact as its shares are.
        holds = basic.value >= diluted.value - (_CENT if basic.derived or diluted.derived else 0)
        words = f"basic {digits(basic.value)} {'≥' if holds else '<'} diluted {digits(diluted.value)}"
        yield Finding("eps", filing.end, holds, basic.value, diluted.value, words, filing.accession)
    # Diluted EPS may be on another income than basic EPS is.
    eps, shares = (basic, found.get("basic_shares")) if basic is not None else (diluted, found.get("diluted_shares"))
    income = income_to_common(found)
    other = any(_TO_OTHERS.search(f"{item.name} {item.label}") for item in filing.ic if item.value)
    if eps is not None and income is not None and shares is not None and shares.value > 0 and not (eps.derived or other):
        computed = income.value / shares.value
        # Income to common shares need not be reported: only what is far off is wrong.
        off = abs(computed - eps.value) > max(abs(computed), abs(eps.value), 0.1) / 2
        words = (
            f"{eps.item} {digits(eps.value)} {'≠' if off else '≈'} {income.item} / {shares.item} {digits(round(computed, 4))}"
        )
        yield Finding("eps", filing.end, not off, eps.value, computed, words, filing.accession)


def _has_others(filing: Filing) -> bool:
    """Whether lines of the report's own names stand between income before tax and net income."""
    names = [item.name for item in filing.ic if item.value is not None]
    places = [
        [place for place, name in enumerate(names) if name in some] for some in (table()["pretax_income"].concepts, AFTER_TAX)
    ]
    if not all(places):
        return True
    return any(name != "IncomeTaxExpenseBenefit" for name in names[min(places[0]) + 1 : min(places[1])])


def _parts(filing: Filing) -> Iterator[Finding]:
    """Parts of the balance sheet against the wholes that they are in."""
    found, unclear = read(filing, "bs") if filing.end is not None else ({}, {})
    for names, whole in _WHOLES:
        parts, total = [found[name] for name in names if name in found], found.get(whole)
        if not parts or total is None or {part.measure for part in parts} != {total.measure}:
            continue
        values = [part.value for part in parts]
        holds = sum(values) <= total.value + tolerance([*values, total.value])
        told = " + ".join(f"{part.item} {digits(part.value)}" for part in parts)
        words = f"{told} {'≤' if holds else '>'} {whole} {digits(total.value)}"
        yield Finding("parts", filing.end, holds, sum(values), total.value, words, filing.accession)
    if "total_debt" in unclear and "liabilities" in found:
        yield Finding("parts", filing.end, False, None, found["liabilities"].value, unclear["total_debt"], filing.accession)


def _quarters(known: PointInTimeView) -> Iterator[Finding]:
    for name in _SUMMED:
        statement = table()[name].statement
        told = {span: found[name] for span, found in known.told(statement).items() if name in found}
        for year in (span for span in told if span.lasts("year")):
            # Without the year itself: reports of single quarters, where there are any, tell it a second time.
            parts = add_up((span for span in told if span != year), year)
            quarters = _cut(known.spans(statement), year)
            figures = [known.over(name, quarter) for quarter in quarters]
            values = [figure.value for figure in figures if figure is not None]
            accession = told[year].accession
            if parts is not None:
                right = sum(part.sign * told[part.span].value for part in parts)
                sources = [told[year].sources[0], *(told[part.span].sources[0] for part in parts)]
                holds = abs(told[year].value - right) <= tolerance(_values(sources))
                yield _of_year(name, year, holds, told[year].value, right, _told_parts(parts), accession)
            elif len(values) < 4:
                yield Finding(
                    "quarters", year.end, None, told[year].value, None, f"{name}: a report of the year is missing", accession
                )
            elif name == "revenue" and min(values) < 0:
                words = f"the quarters' {name} is {', '.join(digits(value) for value in values)}: none can be negative"
                yield Finding("quarters", year.end, False, told[year].value, sum(values), words, accession)
            else:
                holds = abs(told[year].value - sum(values)) <= 0.5 * len(values)
                yield _of_year(name, year, holds, told[year].value, sum(values), "the sum of four quarters", accession)


def _cut(spans: Iterable[Span], year: Span) -> list[Span]:
    """The quarters that the reports cut the year into, the last first; fewer than four where one is missing."""
    held = list(spans)
    quarters: list[Span] = []
    end = year.end
    while end > year.start and (quarter := ending(held, end, "quarter")) is not None and quarter.start >= year.start:
        quarters.append(quarter)
        end = quarter.start - timedelta(days=1)
    return quarters


def _of_year(name: str, year: Span, holds: bool, left: float, right: float, words: str, accession: str) -> Finding:
    sign = "=" if holds else "≠"
    return Finding(
        "quarters", year.end, holds, left, right, f"{name} {digits(left)} {sign} {digits(right)}, {words}", accession
    )


def _told_parts(parts: Sequence[Part]) -> str:
    return "".join(f" {'+' if part.sign > 0 else '−'} {part.span}" for part in parts).removeprefix(" + ")


def _beside(filing: Filing, statement: Statement, pattern: re.Pattern[str]) -> list[Source]:
    """Lines that may belong to the sum, by their concepts."""
    lines = {item.name: item for item in filing.statement(statement) if item.value and pattern.search(item.name)}
    found = [Source(item.concept, filing.accession, item.value or 0.0) for name, item in lines.items() if name not in _EQUITY]
    return found[:_MOST_BESIDE]


def _choices(lines: Sequence[Source]) -> Iterator[tuple[Source, ...]]:
    for count in range(len(lines) + 1):
        yield from combinations(lines, count)


def _negative(term: Source) -> Source:
    return term._replace(value=-term.value)


def _values(terms: Iterable[Source]) -> list[float]:
    return [term.value for term in terms]


def _sum(terms: Iterable[Source]) -> float:
    return sum(term.value for term in terms)


def _compared(identity: str, filing: Filing, left: list[Source], right: list[Source]) -> Finding:
    holds = abs(_sum(left) - _sum(right)) <= tolerance(_values([*left, *right]))
    words = f"{_named(left)} {'=' if holds else '≠'} {_named(right)}"
    return Finding(identity, filing.end, holds, _sum(left), _sum(right), words, filing.accession)


def _named(terms: Sequence[Source]) -> str:
    signed = (f" {'−' if term.value < 0 else '+'} {bare(term.concept)} {digits(abs(term.value))}" for term in terms)
    return "".join(signed).removeprefix(" + ").strip()


def _untold(identity: str, filing: Filing, words: str) -> Finding:
    return Finding(identity, filing.end, None, None, None, words, filing.accession)


def rows(found: Iterable[Finding], symbol: str) -> list[dict[str, Any]]:
    """A row a finding; ``holds`` is ``yes``, ``no`` or ``not told``."""
    words = {True: "yes", False: "no", None: "not told"}
    return [{"symbol": symbol} | one._asdict() | {"holds": words[one.holds]} for one in found]
