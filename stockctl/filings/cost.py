"""Cost of revenue: which line of an income statement is the whole of it, and which a part."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stockctl.filings.filing import Item
from stockctl.filings.items import Figure, StandardItem, digits
from stockctl.filings.lines import Lines, Unclear, distinct, goods_and_services, is_total, is_whole, listed
from stockctl.filings.rounding import adds_up, parts_of, tolerance

_COST = re.compile(
    r"^(Total|Direct)?Costs?Of\w*(Revenues?|Sales|Goods|Products?|Services?|Merchandise|Sold|Subscriptions?|Licenses?)(?![a-z])"
)
_NO_COST = re.compile(r"Funds|Borrow|Debt|Repairs|Equity|Capital|Treasury|Excluding|Insurance|PerShare|Incremental|Percent")
_WHOLE = ("CostOfRevenue", "CostOfGoodsAndServicesSold", "CostOfSales")


def costs_of(lines: Lines, item: StandardItem) -> list[Item]:
    """The lines of cost of revenue, and of its parts."""
    return distinct(lines.matching(item, _COST, _NO_COST))


def cost_of_revenue(lines: Lines, item: StandardItem, sales: Figure | None) -> Figure | Unclear | None:
    """The cost of revenue of an income statement of which ``sales`` is the revenue.

    Where the report gives gross profit, the two must come to revenue. Amounts reported as negative are outflows written so.
    """
    held = costs_of(lines, item)
    profit = lines.line(item, "GrossProfit")
    if held and sales is not None and isinstance(profit, Item) and lines.measure(item, profit) == sales.measure:
        return _by_gross_profit(lines, item, sales, profit, held)
    if len(held) < 2:
        return outflow(lines.figure(item, held)) if held else None
    most = max(held, key=_value)
    others = [_value(line) for line in held if _value(line) != _value(most)]
    alone = all(line.name != most.name or line is most for line in held)
    if (is_total(most.label) and is_whole(most.label)) or parts_of(_value(most), others):
        return outflow(lines.figure(item, [most]))
    if len(held) == 2 and goods_and_services(*held):
        return outflow(lines.figure(item, held, note=f"{item.name}: no line is its total: the sum of {listed(held)}"))
    if most.name in _WHOLE and alone:
        return outflow(lines.figure(item, [most]))
    return Unclear(f"{item.name}: no line is shown to be its total: {listed(held)}")


def outflow(figure: Figure) -> Figure:
    """A figure that is an outflow by its concept as an amount above 0, though the report writes it as a negative one."""
    if figure.value >= 0:
        return figure
    note = f"{figure.item}: reported as {digits(figure.value)}, an outflow written as a negative amount"
    return figure.changed(-figure.value, derived=figure.derived or f"− {figure.concept}", note=note)


def _by_gross_profit(lines: Lines, item: StandardItem, sales: Figure, profit: Item, held: Sequence[Item]) -> Figure | Unclear:
    gross = profit.value or 0.0
    wanted, values = sales.value - gross, [_value(line) for line in held]
    for line in held:
        if adds_up(sales.value, [gross, _value(line)]):
            return outflow(lines.figure(item, [line]))
    parts = parts_of(wanted, values)
    if parts is not None:
        note = f"{item.name}: the sum of its parts, as revenue and gross profit prove"
        return outflow(lines.figure(item, [held[place] for place in parts], note=note))
    if wanted > max(values) - tolerance([wanted, *values]):
        # What is named is a part: the rest of the cost stands under names of its own.
        figure = lines.figure(item, [profit])
        note = f"{item.name}: {listed(held)} is a part of it, as revenue and gross profit prove"
        sources = (*sales.sources, *figure.sources)
        return figure.changed(wanted, derived=f"revenue − {profit.concept}", note=note, sources=sources)
    told = f"revenue {digits(sales.value)} and gross profit {digits(gross)}"
    return Unclear(f"{item.name}: {listed(held)} does not fit {told}")


def _value(line: Item) -> float:
    return abs(line.value or 0.0)
