"""Net income, equity and income tax: the parent's own, with the sign that the report's sums prove."""

from __future__ import annotations

import re

from stockctl.filings.model import Item
from stockctl.filings.standardize.line_items import Figure, StandardItem, table
from stockctl.filings.standardize.rounding import adds_up
from stockctl.filings.standardize.statement_lines import Lines, Unclear, listed, total_of

_MINORITY_INCOME = re.compile(
    r"(Income|Loss|Earnings|Profit)[A-Za-z]*AttributableTo[A-Za-z]*(Noncontrolling|NonControlling|Minority)Interest"
    r"|MinorityInterestInNetIncome|MinorityInterestIn(Earnings|Income)"
)
_MINORITY = "NetIncomeLossAttributableToNoncontrollingInterest"
_MINORITY_LABEL = re.compile(r"attributable to .*(non-?controlling|minority)", re.IGNORECASE)
_WITH_LABEL = re.compile(r"(including|before) .*(non-?controlling|minority)", re.IGNORECASE)
_MINORITY_EQUITY = re.compile(r"Minority|Noncontrolling")
_NO_EQUITY = re.compile(r"Income|Redeemable|Including|Temporary|Comprehensive|StockholdersEquity")
_NO_INCOME = re.compile(r"Comprehensive|Tax|PerShare|Discontinued|Including")
_PARENTS = "NetIncomeLossAttributableToParent"
_WITH_MINORITIES = "StockholdersEquityIncludingPortionAttributableToNoncontrollingInterest"
AFTER_TAX = (
    "ProfitLoss",
    "IncomeLossFromContinuingOperationsIncludingPortionAttributableToNoncontrollingInterest",
    "IncomeLossFromContinuingOperations",
    "NetIncomeLoss",
    _PARENTS,
)
_OF_PARENT = re.compile(r"attributable to (?!non|minorit|redeem)", re.IGNORECASE)

_TO_COMMON = ("NetIncomeLossAvailableToCommonStockholdersBasic", "NetIncomeLossAvailableToCommonStockholdersDiluted")
_PER_SHARE = (
    ("EarningsPerShareDiluted", "WeightedAverageNumberOfDilutedSharesOutstanding"),
    ("EarningsPerShareBasic", "WeightedAverageNumberOfSharesOutstandingBasic"),
)
_CENT = 0.0051  # half a cent, which rounding to cents leaves open

BETWEEN = re.compile(r"EquityMethod|Discontinued|NoncontrollingInterest|MinorityInterest|Extraordinary")
NOT_BETWEEN = re.compile(r"BeforeIncomeTaxes|IncomeLossFromContinuing|Comprehensive|PerShare|Including")
_MOST_BETWEEN = 6

Read = Figure | Unclear | None


def net_income(lines: Lines, item: StandardItem) -> Read:
    """Net income of the parent: what belongs to minorities is none of it, be it that it must be taken off."""
    minorities = _minorities(lines, item)
    own, parents, whole = (lines.line(item, name) for name in ("NetIncomeLoss", _PARENTS, "ProfitLoss"))
    if len({line.value for line in lines.named(item, "NetIncomeLoss")}) > 1:
        own = _the_parents(lines, item, minorities) or own
    if isinstance(parents, Item) and isinstance(own, Item) and own.value != parents.value and minorities:
        # The concept of the parent's is used for the whole, where the difference is the minorities'.
        own = parents if _is_less(own, minorities, parents) else own
    if isinstance(own, Item) and minorities and not isinstance(whole, Unclear):
        left = (own.value or 0.0) - sum(line.value or 0.0 for line in minorities)
        # The concept of the parent's is used for the whole: the whole says so, or EPS does.
        alone = whole is None and _proved(lines, item, left) and not _proved(lines, item, own.value or 0.0)
        if alone or _WITH_LABEL.search(own.label) or (whole is not None and own.value == whole.value):
            return _less_minorities(lines, item, own, minorities)
    found = own if own is not None else parents
    if found is not None:
        return found if isinstance(found, Unclear) else lines.figure(item, [found])
    if whole is None or isinstance(whole, Unclear):
        return whole
    return _less_minorities(lines, item, whole, minorities) if minorities else lines.figure(item, [whole])


def equity(lines: Lines, item: StandardItem) -> Read:
    """Equity of the parent's shareholders: what belongs to minorities is none of it."""
    minorities = [line for line in lines.matching(item, _MINORITY_EQUITY, _NO_EQUITY) if line.value]
    own = lines.first(item, *(concept for concept in item.concepts if concept != _WITH_MINORITIES))
    both, liabilities = (lines.line(item, name) for name in ("LiabilitiesAndStockholdersEquity", "Liabilities"))
    if isinstance(own, Unclear):
        own = _equity_that_fits(lines, item, minorities, both, liabilities) or own
    if isinstance(own, Unclear):
        return own
    if own is not None:
        # The balance sheet may leave no room for minorities beside it: then it has them in it.
        sides = [one.value or 0.0 for one in (both, liabilities) if isinstance(one, Item)]
        within = bool(minorities) and len(sides) > 1 and adds_up(sides[0], [sides[1], own.value or 0.0])
        return lines.figure(item, [own], less=minorities if within else ())
    whole = lines.line(item, _WITH_MINORITIES)
    return lines.figure(item, [whole], less=minorities) if isinstance(whole, Item) else whole


def _equity_that_fits(
    lines: Lines, item: StandardItem, minorities: list[Item], both: Item | Unclear | None, liabilities: Item | Unclear | None
) -> Item | None:
    """Of several lines of equity the parent's: the one that makes up another with minorities, or the balance sheet's rest."""
    found, share = lines.named(item, "StockholdersEquity"), sum(line.value or 0.0 for line in minorities)
    told = [one for one in found if share and any(adds_up(other.value or 0.0, [one.value or 0.0, share]) for other in found)]
    if not told and isinstance(both, Item) and isinstance(liabilities, Item):
        rest = [liabilities.value or 0.0, *([share] if share else [])]
        told = [one for one in found if adds_up(both.value or 0.0, [one.value or 0.0, *rest])]
    return told[0] if len({one.value for one in told}) == 1 else None


def income_tax(lines: Lines, item: StandardItem, pretax: Figure | None) -> Read:
    """Income tax, above 0 where it is paid: a report that writes it as a negative amount is known by what is left after tax."""
    line = lines.first(item, *item.concepts)
    if not isinstance(line, Item):
        return line
    figure = lines.figure(item, [line])
    left = [after.value for name in AFTER_TAX if isinstance(after := lines.line(item, name), Item) and after.value is not None]
    if pretax is None or not figure.value or not left:
        return figure
    # What stands between the two as well: income of other companies, of minorities, of what was given up.
    beside = [line.value or 0.0 for line in lines.matching(item, BETWEEN, NOT_BETWEEN) if line.value][:_MOST_BETWEEN]
    ways = [[], *([sign * one] for one in beside for sign in (1, -1))]
    taken = any(adds_up(pretax.value, [figure.value, value, *way]) for value in left for way in ways)
    added = any(adds_up(pretax.value, [-figure.value, value, *way]) for value in left for way in ways)
    if taken or not added:
        return figure
    note = f"{item.name}: reported with the other sign, as income before and after it proves"
    return figure.changed(-figure.value, derived=f"− {figure.concept}", note=note)


def _minorities(lines: Lines, item: StandardItem) -> list[Item]:
    """The lines of income that belongs to minorities, by concept or by label."""
    named = [line for line in lines.matching(item, _MINORITY_INCOME, _NO_INCOME) if "Before" not in line.name]
    own = [
        line
        for line in lines.matching(item, None, _NO_INCOME)
        if _MINORITY_LABEL.search(line.label) and line not in named and not line.name.startswith(("NetIncome", "ProfitLoss"))
    ]
    return [line for line in (named or own) if line.value]


def _the_parents(lines: Lines, item: StandardItem, minorities: list[Item]) -> Item | None:
    """Of several lines of net income the one that is the parent's, by the minorities' share or by its label."""
    found = lines.named(item, "NetIncomeLoss")
    less = [one for one in found if any(_is_less(other, minorities, one) for other in found if other.value != one.value)]
    told = [one for one in found if _OF_PARENT.search(one.label)] or less
    if not told and total_of(found) is None:
        told = [one for one in found if _proved(lines, item, one.value or 0.0)]
    return told[0] if len({one.value for one in told}) == 1 else None


def _is_less(whole: Item, minorities: list[Item], parents: Item) -> bool:
    """Whether ``parents`` is ``whole`` without what belongs to minorities."""
    return any(adds_up(whole.value or 0.0, [parents.value or 0.0, abs(line.value or 0.0)]) for line in minorities)


def _less_minorities(lines: Lines, item: StandardItem, whole: Item, minorities: list[Item]) -> Figure | Unclear:
    """The whole without the minorities' share: whether that is written as income or as a deduction, EPS proves."""
    total = [line for line in minorities if line.name == _MINORITY]
    ways = [list(one) for one in dict.fromkeys((tuple(total[:1] or minorities), tuple(minorities)))]
    first = whole.value or 0.0
    shares = [sum(line.value or 0.0 for line in way) for way in ways]
    proved = [(way, share) for way, share in zip(ways, shares, strict=True) if _proved(lines, item, first - share)]
    added = [(way, share) for way, share in zip(ways, shares, strict=True) if _proved(lines, item, first + share)]
    if proved or (not added and len(ways) == 1 and shares[0] > 0):
        return lines.figure(item, [whole], less=proved[0][0] if proved else ways[0])
    if not added:
        return Unclear(f"{item.name}: what of {listed([whole])} belongs to minorities is not clear: {listed(minorities)}")
    way, share = added[0]
    note = f"{item.name}: without the minorities' share, which is written as a deduction"
    words = " + ".join(line.concept for line in (whole, *way))
    return lines.figure(item, [whole, *way]).changed(first + share, derived=words, note=note)


def _proved(lines: Lines, item: StandardItem, value: float) -> bool:
    """Whether income to common shares, or EPS and shares, say that net income is ``value``."""
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
