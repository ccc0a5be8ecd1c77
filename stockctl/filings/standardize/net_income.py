"""Net income of the parent, and income tax with the sign that the report's sums prove."""

from __future__ import annotations

import re

from stockctl.filings.model import Item
from stockctl.filings.standardize.reported_lines import StatementLines, Unclear, describe, total_of
from stockctl.filings.standardize.rounding import adds_up
from stockctl.filings.standardize.standard_items import Figure, StandardItem, table

_NONCONTROLLING = re.compile(
    r"(Income|Loss|Earnings|Profit)[A-Za-z]*AttributableTo[A-Za-z]*(Noncontrolling|NonControlling|Minority)Interest"
    r"|MinorityInterestInNetIncome|MinorityInterestIn(Earnings|Income)"
)
_TOTAL_NONCONTROLLING = "NetIncomeLossAttributableToNoncontrollingInterest"
_NONCONTROLLING_LABEL = re.compile(r"attributable to .*(non-?controlling|minority)", re.IGNORECASE)
_INCLUDING_LABEL = re.compile(r"(including|before) .*(non-?controlling|minority)", re.IGNORECASE)
_NOT_INCOME = re.compile(r"Comprehensive|Tax|PerShare|Discontinued|Including")
_PARENTS = "NetIncomeLossAttributableToParent"
_PARENTS_LABEL = re.compile(r"attributable to (?!non|minorit|redeem)", re.IGNORECASE)
AFTER_TAX = (
    "ProfitLoss",
    "IncomeLossFromContinuingOperationsIncludingPortionAttributableToNoncontrollingInterest",
    "IncomeLossFromContinuingOperations",
    "NetIncomeLoss",
    _PARENTS,
)
"""Concepts of income after tax."""

_TO_COMMON = ("NetIncomeLossAvailableToCommonStockholdersBasic", "NetIncomeLossAvailableToCommonStockholdersDiluted")
_PER_SHARE = (
    ("EarningsPerShareDiluted", "WeightedAverageNumberOfDilutedSharesOutstanding"),
    ("EarningsPerShareBasic", "WeightedAverageNumberOfSharesOutstandingBasic"),
)
_CENT = 0.0051  # half a cent of rounding

BETWEEN = re.compile(r"EquityMethod|Discontinued|NoncontrollingInterest|MinorityInterest|Extraordinary")
"""Concepts of lines that may stand between income before tax and net income."""
NOT_BETWEEN = re.compile(r"BeforeIncomeTaxes|IncomeLossFromContinuing|Comprehensive|PerShare|Including")
_MAX_BETWEEN = 6

Read = Figure | Unclear | None


def net_income(lines: StatementLines, item: StandardItem) -> Read:
    """Net income of the parent. Income of noncontrolling interests is subtracted unless the report has done so."""
    noncontrolling = _noncontrolling(lines, item)
    own, parents, total = (lines.line(item, name) for name in ("NetIncomeLoss", _PARENTS, "ProfitLoss"))
    if len({line.value for line in lines.named(item, "NetIncomeLoss")}) > 1:
        own = _parents_line(lines, item, noncontrolling) or own
    if isinstance(parents, Item) and isinstance(own, Item) and own.value != parents.value and noncontrolling:
        # The report uses NetIncomeLoss for the total: the difference to the parent's is the noncontrolling share.
        own = parents if _differ_by_noncontrolling(own, noncontrolling, parents) else own
    if isinstance(own, Item) and noncontrolling and not isinstance(total, Unclear):
        rest = (own.value or 0.0) - sum(line.value or 0.0 for line in noncontrolling)
        # The report uses NetIncomeLoss for the total: ProfitLoss, the label or EPS prove it.
        by_eps = total is None and _is_proved(lines, item, rest) and not _is_proved(lines, item, own.value or 0.0)
        if by_eps or _INCLUDING_LABEL.search(own.label) or (total is not None and own.value == total.value):
            return _without_noncontrolling(lines, item, own, noncontrolling)
    found = own if own is not None else parents
    if found is not None:
        return found if isinstance(found, Unclear) else lines.figure(item, [found])
    if total is None or isinstance(total, Unclear):
        return total
    return _without_noncontrolling(lines, item, total, noncontrolling) if noncontrolling else lines.figure(item, [total])


def income_tax(lines: StatementLines, item: StandardItem, pretax: Figure | None) -> Read:
    """Income tax, positive where it is paid. If income before and after tax prove the other sign, the sign is changed."""
    line = lines.first(item, *item.concepts)
    if not isinstance(line, Item):
        return line
    figure = lines.figure(item, [line])
    after = [one.value for name in AFTER_TAX if isinstance(one := lines.line(item, name), Item) and one.value is not None]
    if pretax is None or not figure.value or not after:
        return figure
    # Other lines may stand between the two: equity-method income, noncontrolling interests, discontinued operations.
    between = [line.value or 0.0 for line in lines.matching(item, BETWEEN, NOT_BETWEEN) if line.value][:_MAX_BETWEEN]
    choices = [[], *([sign * one] for one in between for sign in (1, -1))]
    as_reported = any(adds_up(pretax.value, [figure.value, value, *some]) for value in after for some in choices)
    negated = any(adds_up(pretax.value, [-figure.value, value, *some]) for value in after for some in choices)
    if as_reported or not negated:
        return figure
    note = f"{item.name}: the report has the opposite sign; income before and after tax prove this one"
    return figure.changed(-figure.value, derived=f"− {figure.concept}", note=note)


def _noncontrolling(lines: StatementLines, item: StandardItem) -> list[Item]:
    """The lines of income that belongs to noncontrolling interests, by concept, else by label."""
    by_concept = [line for line in lines.matching(item, _NONCONTROLLING, _NOT_INCOME) if "Before" not in line.name]
    by_label = [
        line
        for line in lines.matching(item, None, _NOT_INCOME)
        if _NONCONTROLLING_LABEL.search(line.label)
        and line not in by_concept
        and not line.name.startswith(("NetIncome", "ProfitLoss"))
    ]
    return [line for line in (by_concept or by_label) if line.value]


def _parents_line(lines: StatementLines, item: StandardItem, noncontrolling: list[Item]) -> Item | None:
    """Of several lines of net income the parent's, by its label, by the noncontrolling share, or by EPS."""
    candidates = lines.named(item, "NetIncomeLoss")
    by_share = [
        one
        for one in candidates
        if any(_differ_by_noncontrolling(other, noncontrolling, one) for other in candidates if other.value != one.value)
    ]
    proved = [one for one in candidates if _PARENTS_LABEL.search(one.label)] or by_share
    if not proved and total_of(candidates) is None:
        proved = [one for one in candidates if _is_proved(lines, item, one.value or 0.0)]
    return proved[0] if len({one.value for one in proved}) == 1 else None


def _differ_by_noncontrolling(total: Item, noncontrolling: list[Item], parents: Item) -> bool:
    """Whether ``parents`` is ``total`` without one of the noncontrolling lines."""
    return any(adds_up(total.value or 0.0, [parents.value or 0.0, abs(line.value or 0.0)]) for line in noncontrolling)


def _without_noncontrolling(
    lines: StatementLines, item: StandardItem, total: Item, noncontrolling: list[Item]
) -> Figure | Unclear:
    """The total without the noncontrolling share. EPS proves whether that is written as income or as a deduction."""
    in_one_line = [line for line in noncontrolling if line.name == _TOTAL_NONCONTROLLING]
    choices = [list(one) for one in dict.fromkeys((tuple(in_one_line[:1] or noncontrolling), tuple(noncontrolling)))]
    value = total.value or 0.0
    shares = [sum(line.value or 0.0 for line in some) for some in choices]
    subtracted = [some for some, share in zip(choices, shares, strict=True) if _is_proved(lines, item, value - share)]
    added = [(some, share) for some, share in zip(choices, shares, strict=True) if _is_proved(lines, item, value + share)]
    if subtracted or (not added and len(choices) == 1 and shares[0] > 0):
        return lines.figure(item, [total], less=subtracted[0] if subtracted else choices[0])
    if not added:
        return Unclear(
            f"{item.name}: the share of noncontrolling interests in {describe([total])} is unclear: {describe(noncontrolling)}"
        )
    some, share = added[0]
    note = f"{item.name}: without noncontrolling interests, which the report writes as a deduction"
    derived = " + ".join(line.concept for line in (total, *some))
    return lines.figure(item, [total, *some]).changed(value + share, derived=derived, note=note)


def _is_proved(lines: StatementLines, item: StandardItem, value: float) -> bool:
    """Whether income to common shares, or EPS times shares, is the net income ``value``."""
    for name in _TO_COMMON:
        common = lines.line(item, name)
        if isinstance(common, Item) and adds_up(value, [common.value or 0.0]):
            return True
    for per_share, count in _PER_SHARE:
        eps, shares = (
            lines.line(table()[one], name) for one, name in zip(("eps", "diluted_shares"), (per_share, count), strict=True)
        )
        if isinstance(eps, Item) and isinstance(shares, Item) and shares.value and shares.value > 0:
            return abs(value / shares.value - (eps.value or 0.0)) <= _CENT
    return False
