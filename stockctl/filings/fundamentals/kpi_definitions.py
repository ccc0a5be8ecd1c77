"""The formulas of the KPIs, as text and as functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import mul, sub, truediv


@dataclass(frozen=True)
class Kpi:
    """A KPI: its formula as text and as a function of ``inputs``, in that order.

    ``unit`` is ``%`` (the function's value times 100), ``x`` for a ratio, or ``money`` in the statements' currency. Inputs in
    ``positive`` must be above 0 for the KPI to be meaningful.
    """

    name: str
    formula: str
    inputs: tuple[str, ...]
    compute: Callable[..., float]
    unit: str = "x"
    positive: tuple[str, ...] = ()


def _ratio(name: str, first: str, second: str, unit: str = "x") -> Kpi:
    return Kpi(name, f"{first} / {second}", (first, second), truediv, unit, (second,))


def _difference(name: str, first: str, second: str) -> Kpi:
    return Kpi(name, f"{first} − {second}", (first, second), sub, "money")


def _wacc(equity: float, debt: float, cost_of_equity: float, interest: float, tax: float) -> float:
    # Interest expense is debt times its cost, so no cost of debt is needed. Rates are in percent.
    return (equity * cost_of_equity / 100 + interest * (1 - tax / 100)) / (equity + debt)


KPIS = (
    _difference("working_capital", "current_assets", "current_liabilities"),
    _difference("free_cash_flow", "operating_cash_flow", "capital_expenditure"),
    _ratio("gross_margin", "gross_profit", "revenue", "%"),
    _ratio("operating_margin", "operating_income", "revenue", "%"),
    _ratio("net_margin", "net_income", "revenue", "%"),
    _ratio("current_ratio", "current_assets", "current_liabilities"),
    Kpi(
        "quick_ratio",
        "(current_assets − inventory) / current_liabilities",
        ("current_assets", "inventory", "current_liabilities"),
        lambda assets, inventory, liabilities: (assets - inventory) / liabilities,
        positive=("current_liabilities",),
    ),
    _ratio("debt_to_equity", "total_debt", "equity"),
    _ratio("asset_turnover", "revenue", "assets"),
    _ratio("inventory_turnover", "cost_of_revenue", "inventory"),
    _ratio("roe", "net_income", "equity", "%"),
    Kpi("eps", "as reported for the newest year", ("eps",), lambda eps: eps, "money"),
    _ratio("effective_tax_rate", "income_tax", "pretax_income", "%"),
    Kpi("market_value", "price × diluted_shares", ("price", "diluted_shares"), mul, "money"),
    Kpi(
        "enterprise_value",
        "market_value + total_debt − cash",
        ("market_value", "total_debt", "cash"),
        lambda value, debt, cash: value + debt - cash,
        "money",
    ),
    _ratio("pe", "price", "eps"),
    _ratio("ev_to_ebit", "enterprise_value", "operating_income"),
    _ratio("ev_to_sales", "enterprise_value", "revenue"),
    Kpi(
        "cost_of_equity",
        "risk_free_rate + beta × equity_premium",
        ("risk_free_rate", "beta", "equity_premium"),
        lambda free, beta, premium: (free + beta * premium) / 100,
        "%",
    ),
    Kpi(
        "wacc",
        "(market_value × cost_of_equity + interest_expense × (1 − effective_tax_rate)) / (market_value + total_debt)",
        ("market_value", "total_debt", "cost_of_equity", "interest_expense", "effective_tax_rate"),
        _wacc,
        "%",
        ("market_value",),
    ),
)
"""Every KPI; those that are inputs of others come first."""

PRICED = frozenset(("market_value", "enterprise_value", "pe", "ev_to_ebit", "ev_to_sales", "cost_of_equity", "wacc"))
"""KPIs that need a price, or are only useful with one."""
