"""Cost of revenue: which line of an income statement is the whole of it, and which a part."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from stockctl.filings.model import Item
from stockctl.filings.standardize.line_items import Figure, StandardItem, digits
from stockctl.filings.standardize.rounding import adds_up, parts_of, tolerance
from stockctl.filings.standardize.statement_lines import (
    Lines,
    Unclear,
    distinct,
    goods_and_services,
    is_labelled_total,
    is_unlabelled,
    is_whole,
    listed,
    words_of,
)

_COST = re.compile(
    r"^(Total|Direct|Other)?Costs?Of\w*(Revenues?|Sales|Goods|Products?|Services?|Merchandise|Sold|Subscriptions?|Licenses?|Leased\w+)(?![a-z])"
)
_NO_COST = re.compile(
    r"Funds|Borrow|Debt|Repairs|Equity|Capital|Treasury|Excluding|Insurance|PerShare|Incremental|Percent|OperatingExpenses"
)
_COST_LABEL = re.compile(r"^(total )?costs? of (?!.*(funds|debt|borrow|deposit|financ|capital))", re.IGNORECASE)
_COSTLESS = re.compile(
    r"royalt|licen[cs]|collaborat|grant|milestone|alliance|membership|\bother\b|interest|investment", re.IGNORECASE
)
"""Revenue that costs nothing to speak of."""
_NEARLY = 0.9  # of revenue: a part that is nearly all of it
_WHOLE = ("CostOfRevenue", "CostOfGoodsAndServicesSold", "CostOfSales")


def costs_of(lines: Lines, item: StandardItem) -> list[Item]:
    """The lines of cost of revenue, and of its parts."""
    named = lines.matching(item, _COST, _NO_COST)
    labelled = [line for line in lines.matching(item, None, _NO_COST) if _COST_LABEL.search(line.label)]
    return distinct(line for line in lines.items if any(line is one for one in (*named, *labelled)))


def cost_of_revenue(
    lines: Lines, item: StandardItem, sales: Figure | None, sold: Callable[[], Sequence[Item]]
) -> Figure | Unclear | None:
    """The cost of revenue of an income statement of which ``sales`` is the revenue, and ``sold`` gives the lines of that.

    Where the report gives gross profit, the two must come to revenue. Amounts reported as negative are outflows written so.
    """
    held = costs_of(lines, item)
    profit = lines.line(item, "GrossProfit")
    if sales is not None and isinstance(profit, Item) and lines.measure(item, profit) == sales.measure:
        return _by_gross_profit(lines, item, sales, profit, held)
    if not held:
        return None
    if len(held) == 1:
        return _alone(lines, item, held[0], sales, sold)
    results = [lines.line(item, name) for name in ("OperatingIncomeLoss", "OperatingExpenses")]
    if sales is not None and all(isinstance(one, Item) for one in results):
        left = sales.value - sum(one.value or 0.0 for one in results if isinstance(one, Item))
        proved = parts_of(left, [_value(line) for line in held], 1)
        if proved is not None:
            note = f"{item.name}: the sum of its parts, as operating income proves" if len(proved) > 1 else ""
            return outflow(lines.figure(item, [held[place] for place in proved], note=note))
    most = max(held, key=_value)
    others = [_value(line) for line in held if _value(line) != _value(most)]
    alone = all(line.name != most.name or line is most for line in held)
    if is_labelled_total(most) or parts_of(_value(most), others):
        return outflow(lines.figure(item, [most]))
    if len(held) == 2 and goods_and_services(*held):
        return outflow(lines.figure(item, held, note=f"{item.name}: no line is its total: the sum of {listed(held)}"))
    if _is_whole(most) and alone:
        return outflow(lines.figure(item, [most]))
    return Unclear(f"{item.name}: no line is shown to be its total: {listed(held)}")


def _alone(
    lines: Lines, item: StandardItem, cost: Item, sales: Figure | None, sold: Callable[[], Sequence[Item]]
) -> Figure | Unclear:
    """The only line of cost: where revenue has parts, one named after a part is that part's, unless that is nearly all."""
    figure = outflow(lines.figure(item, [cost]))
    if sales is None or _is_whole(cost):
        return figure
    parts = [line for line in sold() if line.value != sales.value]
    costing = [line for line in parts if not _COSTLESS.search(line.label) and not _COSTLESS.search(line.name)]
    if not parts or (len(costing) == 1 and len(parts) > 1):
        return figure
    most = max(parts, key=_value)
    is_of_most = bool(words_of(most.label) & words_of(cost.label))
    if len(parts) == 1 and not is_of_most:
        return figure
    if _value(most) < _NEARLY * sales.value or not (is_whole(most.label) or is_of_most):
        return Unclear(f"{item.name}: {listed([cost])} is not shown to be all of it")
    return outflow(lines.figure(item, [cost], note=f"{item.name}: {listed([cost])}; revenue has small parts beside"))


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
    rest = wanted - sum(values)
    # What stands between cost and gross profit under another name is a cost as well.
    between = any(abs(line.value or 0.0) == rest for line in lines.items if line.name not in ("GrossProfit", "Revenues"))
    if wanted > max(values, default=0.0) - tolerance([wanted, *values]) and (between or not any(map(_is_whole, held))):
        # What is named is a part: the rest of the cost stands under names of its own.
        figure = lines.figure(item, [profit])
        part = f"{listed(held)} is a part of it" if held else "no line names it"
        note = f"{item.name}: {part}: revenue less gross profit"
        sources = (*sales.sources, *figure.sources)
        return figure.changed(wanted, derived=f"revenue − {profit.concept}", note=note, sources=sources)
    told = f"revenue {digits(sales.value)} and gross profit {digits(gross)}"
    return Unclear(f"{item.name}: {listed(held)} does not fit {told}")


def _is_whole(line: Item) -> bool:
    """Whether a line names all of the cost, by its label, or by its concept where the label tells nothing."""
    return is_whole(line.label) or (line.name in _WHOLE and is_unlabelled(line))


def _value(line: Item) -> float:
    return abs(line.value or 0.0)
