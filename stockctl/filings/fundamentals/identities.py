"""Accounting identities over reports: what must add up, and whether it does.

- ``assets``: assets = liabilities + equity, and the report's own total of the two.
- ``cash flow``: operating + investing + financing flows (and exchange rates) = change in cash.
- ``cash``: that change (and exchange rates, if it excludes them) = cash at the period's end minus cash at its start.
- ``gross profit``: revenue minus its cost = gross profit, if the report has all three.
- ``income tax``: income before tax minus the tax = income after it.
- ``eps``: diluted EPS is not above basic EPS, and not far from income over shares.
- ``parts``: no part of the balance sheet is more than its total.
- ``quarters``: the quarters of a year sum to it, and none of them has negative revenue.

Each amount may be off by half a unit of rounding. An identity with an unreported term is neither true nor false.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import combinations
from typing import Any, NamedTuple

from stockctl.filings.fundamentals.periods import Part, Span, add_up, ending, formula
from stockctl.filings.fundamentals.point_in_time import PointInTimeView
from stockctl.filings.model import Filing, Statement, bare
from stockctl.filings.standardize.equity import LIABILITIES_AND_EQUITY, PARENTS_EQUITY, TOTAL_EQUITY
from stockctl.filings.standardize.net_income import AFTER_TAX, BETWEEN, NOT_BETWEEN
from stockctl.filings.standardize.rounding import adds_up, tolerance
from stockctl.filings.standardize.standard_items import Figure, Source, digits, income_to_common, table
from stockctl.filings.standardize.statement import StandardStatement, standardize, value_in

_CHANGE = (
    "CashCashEquivalentsRestrictedCashAndRestrictedCashEquivalentsPeriodIncreaseDecreaseIncludingExchangeRateEffect",
    "CashCashEquivalentsRestrictedCashAndRestrictedCashEquivalentsPeriodIncreaseDecreaseExcludingExchangeRateEffect",
    "CashAndCashEquivalentsPeriodIncreaseDecrease",
    "CashAndCashEquivalentsPeriodIncreaseDecreaseExcludingExchangeRateEffect",
)
_CASH = "CashAndCashEquivalentsAtCarryingValue"
_WITH_RESTRICTED_CASH = "CashCashEquivalentsRestrictedCashAndRestrictedCashEquivalents"
_FLOWS = tuple(f"NetCashProvidedByUsedIn{name}Activities" for name in ("Operating", "Investing", "Financing"))
_EQUITY = (TOTAL_EQUITY, PARENTS_EQUITY)
_OUTSIDE_EQUITY = re.compile(r"MinorityInterest|NoncontrollingInterest|TemporaryEquity|Mezzanine|Redeemable")
_EXCHANGE_RATES = re.compile(r"^EffectOfExchangeRate")
_OTHER_FLOWS = re.compile(r"EffectOfExchangeRate|DiscontinuedOperation")
_MAX_OPTIONAL = 8
_SUMMED = ("revenue", "net_income", "operating_cash_flow")

_ORDER = ("assets", "parts", "cash flow", "cash", "gross profit", "income tax", "eps", "quarters")
_TOTALS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("current_assets",), "assets"),
    (("cash",), "assets"),
    (("receivables", "inventory"), "current_assets"),
    (("current_liabilities",), "liabilities"),
    (("short_term_debt",), "liabilities"),
    (("long_term_debt",), "liabilities"),
)
"""Items of the balance sheet, and the item that they are parts of."""
_CENT = 0.01
_NOT_TO_COMMON = re.compile(r"dividend|accretion|participating|preferred|deemed", re.IGNORECASE)
"""What is subtracted from income before it is divided by shares."""


class IdentityCheck(NamedTuple):
    """One identity of one period. ``holds`` is None if a term is not reported; ``detail`` has the terms."""

    identity: str
    period_end: date | None
    holds: bool | None
    left: float | None
    right: float | None
    detail: str
    accession: str

    @property
    def summary(self) -> str:
        """The check in one line."""
        return f"{self.identity} to {self.period_end}: {self.detail} ({self.accession})"


def check(view: PointInTimeView) -> list[IdentityCheck]:
    """Every identity over every report, the newest period first."""
    checks = [one for filing in view.filings for one in _of_report(view, filing)]
    checks += _quarters(view)
    for other in view.others:
        checks += check(other)
    order = {name: number for number, name in enumerate(_ORDER)}
    return sorted(checks, key=lambda one: (-(one.period_end or date.min).toordinal(), order[one.identity], one.accession))


def rows(checks: Iterable[IdentityCheck], symbol: str) -> list[dict[str, Any]]:
    """One row per check; ``holds`` is ``yes``, ``no`` or ``unknown``."""
    words = {True: "yes", False: "no", None: "unknown"}
    return [{"symbol": symbol} | one._asdict() | {"holds": words[one.holds]} for one in checks]


def _of_report(view: PointInTimeView, filing: Filing) -> Iterator[IdentityCheck]:
    yield from _assets(filing)
    yield from _cash_flow(filing)
    yield from _cash(view, filing)
    if filing.end is not None and filing.ic:
        statement = standardize(filing, "ic")
        yield from _gross_profit(filing, statement)
        yield from _income_tax(filing, statement)
        yield from _eps(filing, statement)
    yield from _parts(filing)


def _assets(filing: Filing) -> Iterator[IdentityCheck]:
    if not filing.bs:
        return
    assets = value_in(filing, "bs", "Assets")
    total = value_in(filing, "bs", LIABILITIES_AND_EQUITY)
    liabilities = value_in(filing, "bs", "Liabilities")
    equities = [one for name in _EQUITY if (one := value_in(filing, "bs", name)) is not None]
    if assets is None or (total is None and (liabilities is None or not equities)):
        yield _unknown("assets", filing, "the balance sheet has no total, or lacks one of its sides")
        return
    if total is not None:
        yield _compared("assets", filing, [assets], [total])
    if liabilities is not None and equities:
        optional = _optional(filing, "bs", _OUTSIDE_EQUITY)
        best = min(
            ([liabilities, equity, *some] for equity in equities for some in _subsets(optional)),
            key=lambda terms: (abs(assets.value - _sum(terms)) > tolerance(_values([assets, *terms])), len(terms)),
        )
        yield _compared("assets", filing, [assets], best)


def _cash_flow(filing: Filing) -> Iterator[IdentityCheck]:
    if not filing.cf:
        return
    change = value_in(filing, "cf", *_CHANGE)
    sources = [value_in(filing, "cf", name, f"{name}ContinuingOperations") for name in _FLOWS]
    flows = [flow for flow in sources if flow is not None]
    if change is None or len(flows) < len(_FLOWS):
        yield _unknown("cash flow", filing, "the cash flow statement lacks one of its three flows, or the change in cash")
        return
    best = min(
        ([*flows, *some] for some in _subsets(_optional(filing, "cf", _OTHER_FLOWS))),
        key=lambda terms: (abs(change.value - _sum(terms)) > tolerance(_values([change, *terms])), -len(terms)),
    )
    yield _compared("cash flow", filing, [change], best)


def _cash(view: PointInTimeView, filing: Filing) -> Iterator[IdentityCheck]:
    """The change in cash against the balance sheets at both ends of the period."""
    change = value_in(filing, "cf", *_CHANGE)
    if change is None or filing.start is None or filing.end is None:
        return
    before = view.report_on(filing.start - timedelta(days=1))
    effects: list[Source] = []
    if "ExcludingExchangeRateEffect" in change.concept:
        if not any(item.value is not None and _EXCHANGE_RATES.search(item.name) for item in filing.cf):
            yield _unknown("cash", filing, "the change excludes exchange rates, and the report does not have their effect")
            return
        effects = _optional(filing, "cf", _EXCHANGE_RATES)
    has_restricted = "RestrictedCash" in change.concept
    for name in (_WITH_RESTRICTED_CASH, _CASH) if has_restricted else (_CASH,):
        last = value_in(filing, "bs", name)
        first = value_in(before, "bs", name) if before else None
        if last is None or first is None:
            continue
        result = _compared("cash", filing, [change, *effects], [last, first._replace(value=-first.value)])
        if result.holds or name == _WITH_RESTRICTED_CASH or not has_restricted:
            yield result
        else:
            yield _unknown("cash", filing, "the change includes restricted cash, which the balance sheet does not show")
        return
    yield _unknown("cash", filing, "no report has cash at the start of the period, or this one has none at its end")


def _gross_profit(filing: Filing, statement: StandardStatement) -> Iterator[IdentityCheck]:
    figures, unclear = statement
    revenue, cost, profit = (figures.get(name) for name in ("revenue", "cost_of_revenue", "gross_profit"))
    if revenue is None or profit is None or profit.derived:
        return
    if cost is not None and bare(cost.sources[-1].concept) != "GrossProfit":
        # A negative amount of cost is the same outflow.
        costs = [source._replace(value=abs(source.value)) for source in cost.sources]
        yield _compared("gross profit", filing, [*revenue.sources], [*costs, *profit.sources])
    elif "cost_of_revenue" in unclear:
        reason = unclear["cost_of_revenue"]
        yield IdentityCheck("gross profit", filing.end, False, revenue.value, profit.value, reason, filing.accession)
    else:
        yield _unknown("gross profit", filing, "the report has no cost of revenue, or only a part of it")


def _income_tax(filing: Filing, statement: StandardStatement) -> Iterator[IdentityCheck]:
    pretax, tax = statement.figures.get("pretax_income"), statement.figures.get("income_tax")
    after = [one for name in AFTER_TAX if (one := value_in(filing, "ic", name)) is not None]
    if pretax is None or tax is None or not after:
        return
    # The figure's value has the sign that the report's sums prove.
    paid = tax.sources[0]._replace(value=tax.value)
    between = [one for one in _optional(filing, "ic", BETWEEN) if not NOT_BETWEEN.search(bare(one.concept))]
    choices = [[paid, one, *some] for one in after for some in _subsets([*between, *map(_negative, between)])]
    proved = next((terms for terms in choices if adds_up(pretax.value, _values(terms))), None)
    if proved is not None or not (between or _has_lines_between(filing)):
        yield _compared("income tax", filing, [*pretax.sources], proved or choices[0])
    else:
        yield _unknown("income tax", filing, "the report has other lines between income before tax and net income")


def _eps(filing: Filing, statement: StandardStatement) -> Iterator[IdentityCheck]:
    figures = statement.figures
    basic, diluted = figures.get("eps_basic"), figures.get("eps")
    if basic is not None and diluted is not None:
        # EPS that was cut to an integer and computed from income is only as exact as its shares.
        holds = basic.value >= diluted.value - (_CENT if basic.derived or diluted.derived else 0)
        detail = f"basic {digits(basic.value)} {'≥' if holds else '<'} diluted {digits(diluted.value)}"
        yield IdentityCheck("eps", filing.end, holds, basic.value, diluted.value, detail, filing.accession)
    # Prefer basic EPS: diluted EPS may be based on another income.
    eps, shares = (basic, figures.get("basic_shares")) if basic is not None else (diluted, figures.get("diluted_shares"))
    income = income_to_common(figures)
    has_deductions = any(_NOT_TO_COMMON.search(f"{item.name} {item.label}") for item in filing.ic if item.value)
    if eps is None or income is None or shares is None or shares.value <= 0 or eps.derived or has_deductions:
        return
    computed = income.value / shares.value
    # Income to common shares may not be reported, so only a large difference is an error.
    is_off = abs(computed - eps.value) > max(abs(computed), abs(eps.value), 0.1) / 2
    ratio = f"{income.item} / {shares.item} {digits(round(computed, 4))}"
    detail = f"{eps.item} {digits(eps.value)} {'≠' if is_off else '≈'} {ratio}"
    yield IdentityCheck("eps", filing.end, not is_off, eps.value, computed, detail, filing.accession)


def _has_lines_between(filing: Filing) -> bool:
    """Whether the report may have other lines between income before tax and net income."""
    names = [item.name for item in filing.ic if item.value is not None]
    places = [
        [place for place, name in enumerate(names) if name in some] for some in (table()["pretax_income"].concepts, AFTER_TAX)
    ]
    if not all(places):
        return True
    return any(name != "IncomeTaxExpenseBenefit" for name in names[min(places[0]) + 1 : min(places[1])])


def _parts(filing: Filing) -> Iterator[IdentityCheck]:
    """Parts of the balance sheet against their totals."""
    figures, unclear = standardize(filing, "bs") if filing.end is not None else ({}, {})
    for names, total_name in _TOTALS:
        parts, total = [figures[name] for name in names if name in figures], figures.get(total_name)
        if not parts or total is None or {part.measure for part in parts} != {total.measure}:
            continue
        values = [part.value for part in parts]
        holds = sum(values) <= total.value + tolerance([*values, total.value])
        terms = " + ".join(f"{part.item} {digits(part.value)}" for part in parts)
        detail = f"{terms} {'≤' if holds else '>'} {total_name} {digits(total.value)}"
        yield IdentityCheck("parts", filing.end, holds, sum(values), total.value, detail, filing.accession)
    if "total_debt" in unclear and "liabilities" in figures:
        reason = unclear["total_debt"]
        yield IdentityCheck("parts", filing.end, False, None, figures["liabilities"].value, reason, filing.accession)


def _quarters(view: PointInTimeView) -> Iterator[IdentityCheck]:
    for name in _SUMMED:
        statement = table()[name].statement
        reported = {span: figures[name] for span, figures in view.reported(statement).items() if name in figures}
        for year in (span for span in reported if span.lasts("year")):
            # Reports of single quarters, if there are any, add up to the year without its own report.
            parts = add_up((span for span in reported if span != year), year)
            if parts is not None:
                yield _year_by_parts(name, year, reported, parts)
            else:
                quarters = _quarters_of(view.spans(statement), year)
                values = [figure.value for quarter in quarters if (figure := view.over(name, quarter)) is not None]
                yield _year_by_quarters(name, year, reported[year], values)


def _year_by_parts(name: str, year: Span, reported: dict[Span, Figure], parts: Sequence[Part]) -> IdentityCheck:
    """A year against the reported periods that add up to it."""
    figure = reported[year]
    total = sum(part.sign * reported[part.span].value for part in parts)
    sources = [figure.sources[0], *(reported[part.span].sources[0] for part in parts)]
    holds = abs(figure.value - total) <= tolerance(_values(sources))
    return _of_year(name, year, figure, holds, total, formula(parts))


def _year_by_quarters(name: str, year: Span, figure: Figure, values: Sequence[float]) -> IdentityCheck:
    """A year against the quarters that follow from its reports, of which the last may be a difference."""
    if len(values) < 4:
        detail = f"{name}: a report of the year is missing"
        return IdentityCheck("quarters", year.end, None, figure.value, None, detail, figure.accession)
    if name == "revenue" and min(values) < 0:
        detail = f"the quarters' {name} is {', '.join(map(digits, values))}: none can be negative"
        return IdentityCheck("quarters", year.end, False, figure.value, sum(values), detail, figure.accession)
    holds = abs(figure.value - sum(values)) <= 0.5 * len(values)
    return _of_year(name, year, figure, holds, sum(values), "the sum of four quarters")


def _quarters_of(spans: Iterable[Span], year: Span) -> list[Span]:
    """The quarters that the reports divide the year into, the last first; fewer than four if a report is missing."""
    known = list(spans)
    quarters: list[Span] = []
    end = year.end
    while end > year.start and (quarter := ending(known, end, "quarter")) is not None and quarter.start >= year.start:
        quarters.append(quarter)
        end = quarter.start - timedelta(days=1)
    return quarters


def _of_year(name: str, year: Span, figure: Figure, holds: bool, total: float, how: str) -> IdentityCheck:
    detail = f"{name} {digits(figure.value)} {'=' if holds else '≠'} {digits(total)}, {how}"
    return IdentityCheck("quarters", year.end, holds, figure.value, total, detail, figure.accession)


def _optional(filing: Filing, statement: Statement, pattern: re.Pattern[str]) -> list[Source]:
    """Lines that may be terms of the sum, by their concepts."""
    lines = {item.name: item for item in filing.statement(statement) if item.value and pattern.search(item.name)}
    sources = [Source(item.concept, filing.accession, item.value or 0.0) for name, item in lines.items() if name not in _EQUITY]
    return sources[:_MAX_OPTIONAL]


def _subsets(lines: Sequence[Source]) -> Iterator[tuple[Source, ...]]:
    for count in range(len(lines) + 1):
        yield from combinations(lines, count)


def _negative(term: Source) -> Source:
    return term._replace(value=-term.value)


def _values(terms: Iterable[Source]) -> list[float]:
    return [term.value for term in terms]


def _sum(terms: Iterable[Source]) -> float:
    return sum(term.value for term in terms)


def _compared(identity: str, filing: Filing, left: list[Source], right: list[Source]) -> IdentityCheck:
    holds = abs(_sum(left) - _sum(right)) <= tolerance(_values([*left, *right]))
    detail = f"{_terms(left)} {'=' if holds else '≠'} {_terms(right)}"
    return IdentityCheck(identity, filing.end, holds, _sum(left), _sum(right), detail, filing.accession)


def _terms(terms: Sequence[Source]) -> str:
    signed = (f" {'−' if term.value < 0 else '+'} {bare(term.concept)} {digits(abs(term.value))}" for term in terms)
    return "".join(signed).removeprefix(" + ").strip()


def _unknown(identity: str, filing: Filing, reason: str) -> IdentityCheck:
    return IdentityCheck(identity, filing.end, None, None, None, reason, filing.accession)
