"""Cost of revenue: which line of an income statement is all of it, and which is a part."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from stockctl.filings.model import Item
from stockctl.filings.standardize.reported_lines import (
    StatementLines,
    Unclear,
    describe,
    distinct,
    goods_and_services,
    is_labelled_total,
    is_unlabelled,
    names_complete_item,
    words_of,
)
from stockctl.filings.standardize.rounding import adds_up, parts_of, tolerance
from stockctl.filings.standardize.standard_items import Figure, StandardItem, digits

_COST = re.compile(
    r"^(Total|Direct|Other)?Costs?Of\w*(Revenues?|Sales|Goods|Products?|Services?|Merchandise|Sold|Subscriptions?|Licenses?|Leased\w+)(?![a-z])"
)
_NO_COST = re.compile(
    r"Funds|Borrow|Debt|Repairs|Equity|Capital|Treasury|Excluding|Insurance|PerShare|Incremental|Percent|OperatingExpenses"
)
_COST_LABEL = re.compile(r"^(total )?costs? of (?!.*(funds|debt|borrow|deposit|financ|capital))", re.IGNORECASE)
_WITHOUT_COST = re.compile(
    r"royalt|licen[cs]|collaborat|grant|milestone|alliance|membership|\bother\b|interest|investment", re.IGNORECASE
)
"""Revenue with practically no cost."""
_NEARLY_ALL = 0.9  # of revenue
_COMPLETE = ("CostOfRevenue", "CostOfGoodsAndServicesSold", "CostOfSales")


def costs_of(lines: StatementLines, item: StandardItem) -> list[Item]:
    """The lines of cost of revenue and of its parts."""
    by_concept = lines.matching(item, _COST, _NO_COST)
    by_label = [line for line in lines.matching(item, None, _NO_COST) if _COST_LABEL.search(line.label)]
    return distinct(line for line in lines.items if any(line is one for one in (*by_concept, *by_label)))


def cost_of_revenue(
    lines: StatementLines, item: StandardItem, sales: Figure | None, sold: Callable[[], Sequence[Item]]
) -> Figure | Unclear | None:
    """The cost of revenue of an income statement. ``sales`` is its revenue, ``sold`` returns the lines of revenue.

    If the report has gross profit, cost and gross profit must add up to revenue. A negative amount is the same outflow.
    """
    costs = costs_of(lines, item)
    profit = lines.line(item, "GrossProfit")
    if sales is not None and isinstance(profit, Item) and lines.measure(item, profit) == sales.measure:
        return _by_gross_profit(lines, item, sales, profit, costs)
    if not costs:
        return None
    if len(costs) == 1:
        return _single(lines, item, costs[0], sales, sold)
    results = [lines.line(item, name) for name in ("OperatingIncomeLoss", "OperatingExpenses")]
    if sales is not None and all(isinstance(one, Item) for one in results):
        rest = sales.value - sum(one.value or 0.0 for one in results if isinstance(one, Item))
        places = parts_of(rest, [_value(line) for line in costs], 1)
        if places is not None:
            note = f"{item.name}: the sum of its parts, which operating income proves" if len(places) > 1 else ""
            return outflow(lines.figure(item, [costs[place] for place in places], note=note))
    most = max(costs, key=_value)
    others = [_value(line) for line in costs if _value(line) != _value(most)]
    only_of_concept = all(line.name != most.name or line is most for line in costs)
    if is_labelled_total(most) or parts_of(_value(most), others):
        return outflow(lines.figure(item, [most]))
    if len(costs) == 2 and goods_and_services(*costs):
        note = f"{item.name}: the report has no total; this is the sum of {describe(costs)}"
        return outflow(lines.figure(item, costs, note=note))
    if _is_complete(most) and only_of_concept:
        return outflow(lines.figure(item, [most]))
    return Unclear(f"{item.name}: the report does not show which line is the total: {describe(costs)}")


def _single(
    lines: StatementLines, item: StandardItem, cost: Item, sales: Figure | None, sold: Callable[[], Sequence[Item]]
) -> Figure | Unclear:
    """The only line of cost. If it is named after a part of revenue, it is the cost of that part, unless that is nearly all."""
    figure = outflow(lines.figure(item, [cost]))
    if sales is None or _is_complete(cost):
        return figure
    parts = [line for line in sold() if line.value != sales.value]
    with_cost = [line for line in parts if not _WITHOUT_COST.search(line.label) and not _WITHOUT_COST.search(line.name)]
    if not parts or (len(with_cost) == 1 and len(parts) > 1):
        return figure
    most = max(parts, key=_value)
    is_of_most = bool(words_of(most.label) & words_of(cost.label))
    if len(parts) == 1 and not is_of_most:
        return figure
    if _value(most) < _NEARLY_ALL * sales.value or not (names_complete_item(most.label) or is_of_most):
        return Unclear(f"{item.name}: the report does not show that {describe([cost])} is the total")
    note = f"{item.name}: {describe([cost])}; smaller parts of revenue may have a cost of their own"
    return outflow(lines.figure(item, [cost], note=note))


def outflow(figure: Figure) -> Figure:
    """The figure as a positive amount. Its concept is an outflow, so a negative amount in the report means the same."""
    if figure.value >= 0:
        return figure
    note = f"{figure.item}: reported as {digits(figure.value)}; the concept is an outflow, so the sign is changed"
    return figure.changed(-figure.value, derived=figure.derived or f"− {figure.concept}", note=note)


def _by_gross_profit(
    lines: StatementLines, item: StandardItem, sales: Figure, profit: Item, costs: Sequence[Item]
) -> Figure | Unclear:
    gross = profit.value or 0.0
    wanted, values = sales.value - gross, [_value(line) for line in costs]
    for line in costs:
        if adds_up(sales.value, [gross, _value(line)]):
            return outflow(lines.figure(item, [line]))
    places = parts_of(wanted, values)
    if places is not None:
        note = f"{item.name}: the sum of its parts, which revenue and gross profit prove"
        return outflow(lines.figure(item, [costs[place] for place in places], note=note))
    rest = wanted - sum(values)
    # A line between cost and gross profit with the missing amount is a cost too, whatever its name.
    between = any(abs(line.value or 0.0) == rest for line in lines.items if line.name not in ("GrossProfit", "Revenues"))
    if wanted > max(values, default=0.0) - tolerance([wanted, *values]) and (between or not any(map(_is_complete, costs))):
        # The lines of cost are a part: the rest has concepts of its own.
        figure = lines.figure(item, [profit])
        reason = f"{describe(costs)} is a part of it" if costs else "the report has no line for it"
        note = f"{item.name}: {reason}, so it is revenue minus gross profit"
        sources = (*sales.sources, *figure.sources)
        return figure.changed(wanted, derived=f"revenue − {profit.concept}", note=note, sources=sources)
    totals = f"revenue {digits(sales.value)} and gross profit {digits(gross)}"
    return Unclear(f"{item.name}: {describe(costs)} does not fit {totals}")


def _is_complete(line: Item) -> bool:
    """Whether a line names all of the cost, by its label, or by its concept if it has no label."""
    return names_complete_item(line.label) or (line.name in _COMPLETE and is_unlabelled(line))


def _value(line: Item) -> float:
    return abs(line.value or 0.0)
