"""Equity of a balance sheet: its concepts, what else stands between liabilities and the total, and the parent's share."""

from __future__ import annotations

import re

from stockctl.filings.model import Item
from stockctl.filings.standardize.reported_lines import StatementLines, Unclear
from stockctl.filings.standardize.rounding import adds_up
from stockctl.filings.standardize.standard_items import Figure, StandardItem

PARENTS_EQUITY = "StockholdersEquity"
TOTAL_EQUITY = "StockholdersEquityIncludingPortionAttributableToNoncontrollingInterest"
"""Equity of the parent's shareholders and of noncontrolling interests."""
LIABILITIES_AND_EQUITY = "LiabilitiesAndStockholdersEquity"

_NONCONTROLLING = re.compile(r"Minority|Noncontrolling")
_NOT_NONCONTROLLING = re.compile(r"Income|Redeemable|Including|Temporary|Comprehensive|StockholdersEquity")
_OUTSIDE_EQUITY = re.compile(r"^(Minority|Noncontrolling)Interests?$|TemporaryEquity|Mezzanine|Redeemable\w*(Equity|Interest)")
"""Lines between liabilities and the parent's equity."""
_TEMPORARY_EQUITY = re.compile(r"TemporaryEquity|Mezzanine|Redeemable\w*(Equity|Interest)")
"""Lines between liabilities and total equity."""
_NO_AMOUNT = re.compile(r"Shares|ParValue|Dividend")


def equity(lines: StatementLines, item: StandardItem) -> Figure | Unclear | None:
    """Equity of the parent's shareholders, without noncontrolling interests."""
    noncontrolling = [line for line in lines.matching(item, _NONCONTROLLING, _NOT_NONCONTROLLING) if line.value]
    own = lines.first(item, *(concept for concept in item.concepts if concept != TOTAL_EQUITY))
    both, liabilities = (lines.line(item, name) for name in (LIABILITIES_AND_EQUITY, "Liabilities"))
    if isinstance(own, Unclear):
        own = _balancing_equity(lines, item, noncontrolling, both, liabilities) or own
    if isinstance(own, Unclear):
        return own
    if own is not None:
        # If the balance sheet already balances without noncontrolling interests, the line includes them.
        sides = [one.value or 0.0 for one in (both, liabilities) if isinstance(one, Item)]
        within = bool(noncontrolling) and len(sides) > 1 and adds_up(sides[0], [sides[1], own.value or 0.0])
        return lines.figure(item, [own], less=noncontrolling if within else ())
    total = lines.line(item, TOTAL_EQUITY)
    return lines.figure(item, [total], less=noncontrolling) if isinstance(total, Item) else total


def liabilities_by_difference(lines: StatementLines, item: StandardItem) -> Figure | None:
    """The balance sheet's total less equity, noncontrolling interests and temporary equity."""
    both, total, own = (lines.line(item, name) for name in (LIABILITIES_AND_EQUITY, TOTAL_EQUITY, PARENTS_EQUITY))
    reported = total if isinstance(total, Item) else own
    if not isinstance(both, Item) or not isinstance(reported, Item):
        return None
    others = lines.matching(item, _TEMPORARY_EQUITY if reported is total else _OUTSIDE_EQUITY, _NO_AMOUNT)
    return lines.figure(item, [both], less=[reported, *(line for line in others if line.value)])


def _balancing_equity(
    lines: StatementLines,
    item: StandardItem,
    noncontrolling: list[Item],
    both: Item | Unclear | None,
    liabilities: Item | Unclear | None,
) -> Item | None:
    """Of several lines of equity, the parent's: together with noncontrolling interests it is another line, or it balances."""
    candidates, share = lines.named(item, PARENTS_EQUITY), sum(line.value or 0.0 for line in noncontrolling)
    proved = [
        one
        for one in candidates
        if share and any(adds_up(other.value or 0.0, [one.value or 0.0, share]) for other in candidates)
    ]
    if not proved and isinstance(both, Item) and isinstance(liabilities, Item):
        rest = [liabilities.value or 0.0, *([share] if share else [])]
        proved = [one for one in candidates if adds_up(both.value or 0.0, [one.value or 0.0, *rest])]
    return proved[0] if len({one.value for one in proved}) == 1 else None
